#include "proxy/control/sentinel_watch.h"

#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/cluster/sentinel.h"

#define SETTLED_MS   2000
#define UNSETTLED_MS 250      /* no majority, or another primary than the topology's */
#define TELL_US      1000000u /* the rescuer is told again so long after */

/* A shard and its Sentinels. The watch's thread only. */
struct watched {
    struct topology_shard shard; /* as adopted */
    struct sentinels *sentinels; /* null: their text is malformed */
    uint64_t told_at_us;
    bool is_silent; /* no majority, and that was logged */
};

struct sentinel_watch {
    pthread_t thread;
    struct steward *rescuer;
    struct watched *watched;
    unsigned nwatched;
    int wake_fd;
    pthread_mutex_t lock;
    struct topology_shard *adopted; /* under lock: not seen by the thread yet; null: nothing new */
    unsigned nadopted;              /* under lock */
    bool is_stopping;               /* under lock */
};

/* --- one shard ------------------------------------------------------------------------------- */

static void note_answer(struct watched *watched, const struct error *failure)
{
    bool is_silent = failure != NULL;
    if (is_silent && !watched->is_silent) {
        log_warn("sentinels do not tell shard=%s why=\"%s\"", watched->shard.name, failure->text);
    } else if (!is_silent && watched->is_silent) {
        log_info("sentinels tell again shard=%s", watched->shard.name);
    }
    watched->is_silent = is_silent;
}

static void tell(struct sentinel_watch *watch, struct watched *watched,
                 const struct address *primary)
{
    uint64_t now = clock_now_us();
    if (watched->told_at_us != 0 && now < watched->told_at_us + TELL_US) {
        return;
    }
    watched->told_at_us = now;
    log_warn("sentinels name another primary shard=%s address=%s:%u", watched->shard.name,
             primary->host, primary->port);
    steward_take_over(watch->rescuer, watched->shard.name);
}

/* Whether the Sentinels say what the topology says. Listens before it asks, so that nothing is
 * missed in between. */
static bool look(struct sentinel_watch *watch, struct watched *watched)
{
    struct address primary;
    struct error err = {{0}};
    bool is_heard = watched->sentinels != NULL && sentinels_listen(watched->sentinels, &err) &&
                    sentinels_primary(watched->sentinels, &primary, &err);
    note_answer(watched, is_heard ? NULL : &err);
    if (!is_heard) {
        return false;
    }
    if (primary.port == watched->shard.port && strcmp(primary.host, watched->shard.host) == 0) {
        return true;
    }
    tell(watch, watched, &primary);
    return false;
}

/* --- all of them ----------------------------------------------------------------------------- */

static struct sentinels *take_sentinels(struct watched *older, unsigned count,
                                        const struct topology_shard *shard)
{
    for (unsigned i = 0; i < count; i++) {
        struct sentinels *sentinels = older[i].sentinels;
        if (sentinels != NULL && strcmp(older[i].shard.sentinels, shard->sentinels) == 0) {
            older[i].sentinels = NULL;
            return sentinels;
        }
    }
    struct error err;
    struct sentinels *sentinels = sentinels_new(shard->sentinels, &err);
    if (sentinels == NULL) {
        log_error("shard has no Sentinels shard=%s why=\"%s\"", shard->name, err.text);
    }
    return sentinels;
}

static void replace_watched(struct sentinel_watch *watch, const struct topology_shard *shards,
                            unsigned count)
{
    struct watched *older = watch->watched;
    unsigned nolder = watch->nwatched;
    watch->watched = mem_zalloc((count + 1) * sizeof(*watch->watched));
    watch->nwatched = count;
    for (unsigned i = 0; i < count; i++) {
        watch->watched[i].shard = shards[i];
        watch->watched[i].sentinels = take_sentinels(older, nolder, &shards[i]);
    }
    for (unsigned i = 0; i < nolder; i++) {
        sentinels_free(older[i].sentinels);
    }
    mem_free(older);
}

/* False: stop. */
static bool take_news(struct sentinel_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    bool is_stopping = watch->is_stopping;
    struct topology_shard *adopted = watch->adopted;
    unsigned count = watch->nadopted;
    watch->adopted = NULL;
    (void)pthread_mutex_unlock(&watch->lock);
    if (adopted != NULL) {
        replace_watched(watch, adopted, count);
        mem_free(adopted);
    }
    return !is_stopping;
}

/* Until somebody has news, at most `timeout_ms` (-1: for ever). */
static void wait_for_news(struct sentinel_watch *watch, int timeout_ms)
{
    struct pollfd *pollers = mem_zalloc((watch->nwatched + 1) * sizeof(*pollers));
    for (unsigned i = 0; i < watch->nwatched; i++) {
        const struct sentinels *sentinels = watch->watched[i].sentinels;
        pollers[i].fd = sentinels != NULL ? sentinels_fd(sentinels) : -1;
        pollers[i].events = POLLIN;
    }
    struct pollfd *waker = &pollers[watch->nwatched];
    *waker = (struct pollfd){.fd = watch->wake_fd, .events = POLLIN};
    (void)poll(pollers, watch->nwatched + 1, timeout_ms);
    for (unsigned i = 0; i < watch->nwatched; i++) {
        if (pollers[i].revents != 0) {
            /* Whatever it is: they are asked next, and listened to anew before that. */
            sentinels_close_news(watch->watched[i].sentinels);
        }
    }
    uint64_t count;
    if (waker->revents != 0) {
        ssize_t got = read(watch->wake_fd, &count, sizeof(count));
        ASSERT(got == (ssize_t)sizeof(count));
    }
    mem_free(pollers);
}

static void *run(void *context)
{
    struct sentinel_watch *watch = context;
    while (take_news(watch)) {
        bool is_settled = true;
        for (unsigned i = 0; i < watch->nwatched; i++) {
            is_settled &= look(watch, &watch->watched[i]);
        }
        wait_for_news(watch, watch->nwatched == 0 ? -1 : is_settled ? SETTLED_MS : UNSETTLED_MS);
    }
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------ */

static void wake(const struct sentinel_watch *watch)
{
    const uint64_t one = 1;
    ssize_t put = write(watch->wake_fd, &one, sizeof(one));
    ASSERT(put == (ssize_t)sizeof(one));
}

struct sentinel_watch *sentinel_watch_start(struct steward *rescuer)
{
    struct sentinel_watch *watch = mem_zalloc(sizeof(*watch));
    watch->rescuer = rescuer;
    watch->wake_fd = eventfd(0, EFD_CLOEXEC);
    ASSERT(watch->wake_fd >= 0);
    (void)pthread_mutex_init(&watch->lock, NULL);
    int failed = pthread_create(&watch->thread, NULL, run, watch);
    ASSERT(failed == 0);
    return watch;
}

void sentinel_watch_stop(struct sentinel_watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    watch->is_stopping = true;
    (void)pthread_mutex_unlock(&watch->lock);
    wake(watch);
    (void)pthread_join(watch->thread, NULL);
    replace_watched(watch, NULL, 0);
    mem_free(watch->watched);
    mem_free(watch->adopted);
    (void)close(watch->wake_fd);
    (void)pthread_mutex_destroy(&watch->lock);
    mem_free(watch);
}

void sentinel_watch_adopt(struct sentinel_watch *watch, const struct topology *topology)
{
    struct topology_shard *shards = mem_alloc((topology->nshards + 1) * sizeof(*shards));
    unsigned count = 0;
    for (unsigned i = 0; i < topology->nshards; i++) {
        if (topology->shards[i].sentinels[0] != '\0') {
            shards[count++] = topology->shards[i];
        }
    }
    (void)pthread_mutex_lock(&watch->lock);
    mem_free(watch->adopted);
    watch->adopted = shards;
    watch->nadopted = count;
    (void)pthread_mutex_unlock(&watch->lock);
    wake(watch);
}
