/* Used by two threads: the one that asks, which owns the links and the samples, and the one that
 * started it; they share the atomics. */
#include "migrator/copy/probe.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/shard/shard.h"

#define SHARDS    2u
#define PERIOD_MS UINT64_C(3)
#define AGAIN_MS  UINT64_C(100)
/* Of one stretch, on each shard; of these nine of ten took less. */
#define SAMPLES     32u
#define NINE_OF_TEN (SAMPLES * 9 / 10)

struct probed {
    struct topology_shard place;
    struct shard_link *link;
    uint64_t samples_us[SAMPLES];
};

struct probe {
    pthread_t thread;
    uint64_t timeout_ms;
    struct probed shards[SHARDS];
    unsigned count; /* samples of this stretch */
    atomic_bool is_stopping;
    atomic_uint_least64_t latency_us;
    atomic_uint_least64_t stretches;
    uint64_t stretches_read; /* by the other thread */
};

static bool ping(struct probe *probe, struct probed *shard, uint64_t *took_us)
{
    struct error ignored; /* The migration meets the same trouble, and tells of it. */
    if (shard->link == NULL) {
        shard->link = shard_open(&shard->place, "probe", probe->timeout_ms, &ignored);
    }
    if (shard->link == NULL) {
        return false;
    }
    uint64_t start_us = clock_now_us();
    struct shard_reply *reply = shard_commandf(shard->link, &ignored, "PING");
    *took_us = clock_now_us() - start_us;
    bool ok = reply != NULL;
    shard_reply_free(reply);
    if (!ok) {
        shard_close(shard->link);
        shard->link = NULL;
    }
    return ok;
}

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void publish(struct probe *probe)
{
    uint64_t slower_us = 0;
    for (unsigned i = 0; i < SHARDS; i++) {
        uint64_t *samples = probe->shards[i].samples_us;
        qsort(samples, SAMPLES, sizeof(*samples), by_size);
        slower_us = samples[NINE_OF_TEN] > slower_us ? samples[NINE_OF_TEN] : slower_us;
    }
    probe->count = 0;
    atomic_store(&probe->latency_us, slower_us);
    (void)atomic_fetch_add(&probe->stretches, 1);
}

static void *ask_on(void *context)
{
    struct probe *probe = context;
    while (!atomic_load(&probe->is_stopping)) {
        bool ok = true;
        for (unsigned i = 0; ok && i < SHARDS; i++) {
            struct probed *shard = &probe->shards[i];
            ok = ping(probe, shard, &shard->samples_us[probe->count]);
        }
        if (ok && ++probe->count == SAMPLES) {
            publish(probe);
        }
        clock_sleep_ms(ok ? PERIOD_MS : AGAIN_MS);
    }
    return NULL;
}

struct probe *probe_start(const struct topology_shard *a, const struct topology_shard *b,
                          uint64_t timeout_ms, struct error *err)
{
    struct probe *probe = mem_zalloc(sizeof(*probe));
    probe->timeout_ms = timeout_ms;
    probe->shards[0].place = *a;
    probe->shards[1].place = *b;
    int failed = pthread_create(&probe->thread, NULL, ask_on, probe);
    if (failed != 0) {
        (void)error_set(err, "cannot start a thread to watch the shards' latency: %s",
                        strerror(failed));
        mem_free(probe);
        return NULL;
    }
    return probe;
}

void probe_stop(struct probe *probe)
{
    if (probe == NULL) {
        return;
    }
    atomic_store(&probe->is_stopping, true);
    (void)pthread_join(probe->thread, NULL);
    for (unsigned i = 0; i < SHARDS; i++) {
        shard_close(probe->shards[i].link);
    }
    mem_free(probe);
}

bool probe_is_of(const struct probe *probe, const struct topology_shard *a,
                 const struct topology_shard *b)
{
    return topology_same_place(&probe->shards[0].place, a) &&
           topology_same_place(&probe->shards[1].place, b);
}

bool probe_read(struct probe *probe, uint64_t *latency_us)
{
    uint64_t stretches = atomic_load(&probe->stretches);
    if (stretches == probe->stretches_read) {
        return false;
    }
    probe->stretches_read = stretches;
    *latency_us = atomic_load(&probe->latency_us);
    return true;
}
