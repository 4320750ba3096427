#include <poll.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/store/etcd_place.h"
#include "lib/store/store_internal.h"

/* A watch may miss a change (a network file system, a folder made later): look this often anyway.
 */
#define LOOK_AGAIN_MS     200
#define LOOK_UNWATCHED_MS 20

static struct store *open_file(const char *url, struct error *err)
{
    static const char prefix[] = "file:";
    const char *place = url + sizeof(prefix) - 1;
    if (strncmp(url, prefix, sizeof(prefix) - 1) != 0) {
        (void)error_set(err, "the URL must be file:DIR or etcd:HOST:PORT[,HOST:PORT...][/PREFIX]");
        return NULL;
    }
    if (place[0] == '\0') {
        (void)error_set(err, "the folder is missing");
        return NULL;
    }
    return file_store_open(place);
}

struct store *store_open(const char *url, struct error *err)
{
    struct store *store = etcd_place_is_one(url) ? etcd_store_open(url, err) : open_file(url, err);
    if (store == NULL) {
        (void)error_prefix(err, "cannot open the store \"%s\"", url);
        return NULL;
    }
    store->url = mem_strdup(url);
    return store;
}

bool store_check_url(const char *url, struct error *err)
{
    struct store *store = store_open(url, err);
    store_close(store);
    return store != NULL;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    mem_free(store->url);
    store->operations->close(store);
}

const char *store_url(const struct store *store)
{
    return store->url;
}

bool store_is_missing(const struct store *store, struct error *err)
{
    return error_set(err,
                     "no topology in %s: run `sluicectl init` first, or name the place that it was "
                     "told",
                     store->url);
}

struct topology *store_read(struct store *store, bool *is_missing, struct error *err)
{
    if (is_missing != NULL) {
        *is_missing = false;
    }
    return store->operations->read(store, is_missing, err);
}

bool store_may_write(struct store *store, struct error *err)
{
    return store->operations->may_write == NULL || store->operations->may_write(store, err);
}

static enum newest_result peek(struct store *store, uint64_t *epoch, struct error *err)
{
    const struct store_operations *operations = store->operations;
    return operations->peek != NULL ? operations->peek(store, epoch, err)
                                    : operations->newest(store, epoch, err);
}

bool store_epoch(struct store *store, uint64_t *epoch, struct error *err)
{
    switch (peek(store, epoch, err)) {
    case NEWEST_FOUND:
        return true;
    case NEWEST_NONE:
        return store_is_missing(store, err);
    case NEWEST_FAILED:
        break;
    }
    return false;
}

/* Both writers: the document must hold, and its epoch must follow the newest. */
static enum cas_result write_next(struct store *store, const struct topology *next,
                                  struct error *err)
{
    if (!topology_validate(next, err)) {
        (void)error_prefix(err, "the topology of epoch %llu was not written, it is not valid",
                           (unsigned long long)next->epoch);
        return CAS_FAILED;
    }
    uint64_t newest = 0;
    if (store->operations->newest(store, &newest, err) == NEWEST_FAILED) {
        return CAS_FAILED;
    }
    if (newest >= next->epoch) {
        (void)error_set(err, "epoch %llu is in %s already", (unsigned long long)next->epoch,
                        store->url);
        return CAS_LOST;
    }
    if (newest + 1 != next->epoch) {
        (void)error_set(err, "epoch %llu cannot be written: the newest in %s is %llu",
                        (unsigned long long)next->epoch, store->url, (unsigned long long)newest);
        return CAS_FAILED;
    }
    return store->operations->cas(store, next, err);
}

enum cas_result store_create(struct store *store, const struct topology *topology,
                             struct error *err)
{
    ASSERT(topology->epoch == 1);
    if (!store_prepare(store, err)) {
        return CAS_FAILED;
    }
    return write_next(store, topology, err);
}

bool store_prepare(struct store *store, struct error *err)
{
    return store->operations->prepare(store, err);
}

enum cas_result store_import(struct store *store, const struct topology *topology,
                             struct error *err)
{
    uint64_t newest = 0;
    if (!topology_validate(topology, err) || !store_prepare(store, err)) {
        return CAS_FAILED;
    }
    switch (store->operations->newest(store, &newest, err)) {
    case NEWEST_NONE:
        return store->operations->cas(store, topology, err);
    case NEWEST_FOUND:
        (void)error_set(err, "there is a topology in %s already, of epoch %llu", store->url,
                        (unsigned long long)newest);
        return CAS_LOST;
    case NEWEST_FAILED:
        break;
    }
    return CAS_FAILED;
}

enum cas_result store_cas(struct store *store, const struct topology *next, struct error *err)
{
    ASSERT(next->epoch > 1);
    return write_next(store, next, err);
}

void store_stage(struct store *store, const struct topology *next)
{
    if (store->operations->stage != NULL) {
        store->operations->stage(store, next);
    }
}

int store_watch_fd(struct store *store)
{
    return store->operations->watch_fd(store);
}

void store_watch_clear(struct store *store)
{
    store->operations->watch_clear(store);
}

static void wait_for_change(struct store *store, uint64_t wait_ms)
{
    struct pollfd watched = {.fd = store_watch_fd(store), .events = POLLIN};
    uint64_t most_ms = watched.fd >= 0 ? LOOK_AGAIN_MS : LOOK_UNWATCHED_MS;
    (void)poll(&watched, 1, (int)(wait_ms < most_ms ? wait_ms : most_ms));
}

bool store_wait(struct store *store, uint64_t epoch, uint64_t timeout_ms)
{
    uint64_t started_us = clock_now_us();
    for (;;) {
        uint64_t newest = 0;
        /* Cleared before looking: a change between the two wakes the next poll. */
        store_watch_clear(store);
        enum newest_result result = peek(store, &newest, NULL);
        if (result == NEWEST_FOUND && newest > epoch) {
            return true;
        }
        uint64_t waited_ms = (clock_now_us() - started_us) / 1000;
        if (waited_ms >= timeout_ms) {
            return false;
        }
        uint64_t left_ms = timeout_ms - waited_ms;
        if (result == NEWEST_FAILED) {
            /* Callers ask again: one that says no at once would be asked without a pause. */
            clock_sleep_ms(left_ms < LOOK_AGAIN_MS ? left_ms : LOOK_AGAIN_MS);
        } else {
            wait_for_change(store, left_ms);
        }
    }
}

bool store_renew(struct store *store, const struct store_member *member, struct error *err)
{
    ASSERT(member->kind[0] != '\0' && member->incarnation[0] != '\0');
    return store->operations->renew(store, member, err);
}

bool store_unregister(struct store *store, const struct store_member *member, struct error *err)
{
    return store->operations->unregister(store, member, err);
}

bool store_members(struct store *store, struct store_member **members, unsigned *count,
                   struct error *err)
{
    *members = NULL;
    *count = 0;
    return store->operations->members(store, members, count, err);
}

static bool is_namesake(const struct store_member *other, const struct store_member *member)
{
    return other->is_alive && strcmp(other->kind, member->kind) == 0 &&
           strcmp(other->id, member->id) == 0 &&
           strcmp(other->incarnation, member->incarnation) != 0;
}

void store_warn_of_namesake(struct store *store, const struct store_member *member)
{
    struct store_member *members = NULL;
    unsigned count = 0, i = 0;
    if (!store_members(store, &members, &count, NULL)) {
        return; /* whoever cannot be asked is told of elsewhere */
    }
    while (i < count && !is_namesake(&members[i], member)) {
        i++;
    }
    if (i < count) {
        log_warn("another %s has the same id, give each its own by --id id=%s pid=%llu admin=%s",
                 member->kind, member->id, (unsigned long long)members[i].pid, members[i].admin);
    }
    mem_free(members);
}

bool store_lead(struct store *store, const struct store_member *member, bool *leads,
                struct error *err)
{
    return store->operations->lead(store, member, leads, err);
}

bool store_yield(struct store *store, const struct store_member *member, struct error *err)
{
    return store->operations->yield(store, member, err);
}

bool store_ages(struct store *store, struct store_member *members, unsigned count,
                struct error *err)
{
    return store->operations->ages == NULL || store->operations->ages(store, members, count, err);
}

bool store_append(struct store *store, struct slice record, struct error *err)
{
    ASSERT(record.len > 0 && memchr(record.data, '\n', record.len) == NULL);
    return store->operations->append(store, record, err);
}

bool store_journal(struct store *store, journal_read_fn *read, void *context, struct error *err)
{
    uint64_t position = 0;
    return store_journal_from(store, &position, read, context, err);
}

bool store_journal_from(struct store *store, uint64_t *position, journal_read_fn *read,
                        void *context, struct error *err)
{
    return store->operations->journal(store, position, read, context, err);
}
