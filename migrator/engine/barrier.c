#include "migrator/engine/barrier.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/fail_point.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "migrator/engine/steps.h"

#define POLL_MS            UINT64_C(1)
#define MEMBERS_AGE_MAX_US UINT64_C(200000)

/* Who is alive, asked of the store now and then only, and since when it matters. */
struct roll {
    uint64_t start_us; /* of the barrier */
    struct store_member *members;
    unsigned count;
    uint64_t read_us; /* 0: never */
};

static void refresh_roll(struct roll *roll, struct store *store)
{
    uint64_t now_us = clock_now_us();
    if (roll->read_us != 0 && now_us - roll->read_us < MEMBERS_AGE_MAX_US) {
        return;
    }
    struct error err;
    mem_free(roll->members);
    roll->members = NULL;
    roll->count = 0;
    roll->read_us = now_us;
    if (!store_members(store, &roll->members, &roll->count, &err)) {
        /* Nothing safe hangs on it: without the list nobody is known to be alive. */
        log_warn("barrier cannot ask who is alive why=\"%s\"", err.text);
        roll->members = NULL;
        roll->count = 0;
    }
}

static bool is_alive(const struct roll *roll, const char *peer)
{
    char name[sizeof(((struct fence_peer *)0)->name)];
    for (unsigned i = 0; i < roll->count; i++) {
        const struct store_member *member = &roll->members[i];
        (void)snprintf(name, sizeof(name), "%s:%s", member->id, member->incarnation);
        if (strcmp(member->kind, "proxy") == 0 && member->is_alive && strcmp(name, peer) == 0) {
            return true;
        }
    }
    return false;
}

static void note_killed(struct barrier *barrier, const char *name)
{
    size_t used = strlen(barrier->killed_names);
    barrier->killed++;
    (void)snprintf(barrier->killed_names + used, sizeof(barrier->killed_names) - used, "%s%s",
                   used > 0 ? " " : "", name);
}

/* Kills the peer's connections, then forgets it, if it has not said hello again since it was
 * read. If it has, the next round sees it anew. Model: NOKILL. */
static enum fence_outcome kill_peer(struct barrier *barrier, const struct fence_peer *peer,
                                    struct error *err)
{
    unsigned connections = 0;
    if (!fence_kill_peer(barrier->link, peer->name, &connections, err)) {
        return FENCE_FAILED;
    }
    PASS(STEP_BARRIER_AFTER_KILL);
    log_warn("barrier killed a proxy shard=%s peer=%s connections=%u published=%llu epoch=%llu",
             shard_address(barrier->link), peer->name, connections, (unsigned long long)peer->epoch,
             (unsigned long long)barrier->epoch);
    note_killed(barrier, peer->name);
    enum fence_outcome outcome = fence_remove_peer(barrier->link, peer, err);
    return outcome == FENCE_STALE ? FENCE_OK : outcome;
}

static bool is_in_time(const struct barrier *barrier, const struct roll *roll)
{
    return clock_now_us() - roll->start_us < barrier->timeout_ms * 1000;
}

/* Whoever is behind and not worth waiting for (any more) is killed; *behind counts all of them. */
static enum fence_outcome look_after(struct barrier *barrier, const struct fence_peer *peer,
                                     struct roll *roll, unsigned *behind, struct error *err)
{
    if (peer->epoch >= barrier->epoch) {
        return FENCE_OK;
    }
    (*behind)++;
    refresh_roll(roll, barrier->store);
    if (!is_alive(roll, peer->name)) {
        return kill_peer(barrier, peer, err);
    }
    if (is_in_time(barrier, roll)) {
        return FENCE_OK;
    }
    if (!barrier->spares_the_living) {
        return kill_peer(barrier, peer, err);
    }
    log_warn("barrier is given up for a slow proxy shard=%s peer=%s published=%llu epoch=%llu",
             shard_address(barrier->link), peer->name, (unsigned long long)peer->epoch,
             (unsigned long long)barrier->epoch);
    barrier->was_interrupted = true;
    return FENCE_OK;
}

static bool is_busy(const struct error *err)
{
    return strstr(err->text, "BUSY") != NULL;
}

static enum fence_outcome one_round(struct barrier *barrier, struct roll *roll, unsigned *behind,
                                    struct error *err)
{
    struct fence_peer *peers = NULL;
    unsigned count = 0;
    enum fence_outcome outcome =
        fence_raise(barrier->link, barrier->identity, barrier->epoch, &peers, &count, err);
    PASS(STEP_BARRIER_AFTER_RAISE);
    *behind = 0;
    for (unsigned i = 0; i < count && outcome == FENCE_OK; i++) {
        outcome = look_after(barrier, &peers[i], roll, behind, err);
    }
    /* A test of the tests: a hold that does not wait for those who are still writing. */
    *behind = FAIL_POINT("rule.no-barrier") ? 0 : *behind;
    mem_free(peers);
    return outcome;
}

static bool pass_time(struct barrier *barrier)
{
    if (barrier->while_waiting != NULL) {
        return barrier->while_waiting(barrier->context);
    }
    clock_sleep_ms(POLL_MS);
    return true;
}

enum fence_outcome barrier_run(struct barrier *barrier, struct error *err)
{
    struct roll roll = {.start_us = clock_now_us()};
    unsigned behind = 0;
    enum fence_outcome outcome;
    barrier->killed = 0;
    barrier->killed_names[0] = '\0';
    barrier->was_interrupted = false;
    PASS(STEP_BARRIER_BEFORE_RAISE);
    for (;;) {
        outcome = one_round(barrier, &roll, &behind, err);
        /* During a long script CLIENT LIST and CLIENT KILL answer BUSY, and so do our scripts. */
        bool is_over = outcome == FENCE_OK ? behind == 0
                                           : outcome != FENCE_FAILED || !is_busy(err) ||
                                                 shard_is_broken(barrier->link);
        if (is_over || barrier->was_interrupted) {
            break;
        }
        if (!barrier->may_go_on(barrier->context) || !pass_time(barrier)) {
            barrier->was_interrupted = true;
            break;
        }
    }
    mem_free(roll.members);
    barrier->took_us = clock_now_us() - roll.start_us;
    return outcome;
}

/* --- roll call ------------------------------------------------------------------------------- */

static enum fence_outcome count_late(struct barrier *barrier, struct roll *roll, unsigned *late,
                                     struct error *err)
{
    struct fence_peer *peers = NULL;
    unsigned count = 0;
    enum fence_outcome outcome =
        fence_raise(barrier->link, barrier->identity, 0, &peers, &count, err);
    *late = 0;
    for (unsigned i = 0; i < count && outcome == FENCE_OK; i++) {
        if (peers[i].epoch < barrier->epoch) {
            refresh_roll(roll, barrier->store);
            *late += is_alive(roll, peers[i].name) ? 1 : 0;
        }
    }
    mem_free(peers);
    return outcome;
}

enum fence_outcome barrier_roll_call(struct barrier *barrier, struct error *err)
{
    struct roll roll = {.start_us = clock_now_us()};
    unsigned late = 0;
    enum fence_outcome outcome;
    for (;;) {
        outcome = count_late(barrier, &roll, &late, err);
        if (outcome != FENCE_OK || late == 0 || !is_in_time(barrier, &roll) ||
            !barrier->may_go_on(barrier->context)) {
            break;
        }
        clock_sleep_ms(POLL_MS);
    }
    if (outcome == FENCE_OK && late > 0) {
        log_warn("proxies have not adopted an epoch shard=%s epoch=%llu proxies=%u",
                 shard_address(barrier->link), (unsigned long long)barrier->epoch, late);
    }
    mem_free(roll.members);
    barrier->took_us = clock_now_us() - roll.start_us;
    return outcome;
}
