#include "migrator/engine/barrier.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/fail_point.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "migrator/engine/steps.h"

#define POLL_MS            UINT64_C(1)
#define MEMBERS_AGE_MAX_US UINT64_C(200000)
/* Longer than a live proxy, which renews every second, stays off the list when the store was
 * away for the whole of its lease. */
#define GONE_AFTER_MS UINT64_C(3000)

/* Who is alive, asked of the store now and then only, and since when it matters. */
struct roll {
    uint64_t start_us; /* of the barrier */
    uint64_t round_us; /* just before the peers were read: who was late then is late */
    struct store_member *members;
    unsigned count;
    bool is_known;    /* the store has answered */
    uint64_t read_us; /* 0: never */
};

/* What is known of a peer. */
enum standing {
    STANDING_LIVES, /* or may live: the store does not say */
    STANDING_MISSING,
    STANDING_SUCCEEDED /* by a later incarnation: it is certainly dead */
};

static void refresh_roll(struct roll *roll, struct store *store)
{
    if (roll->read_us != 0 && clock_now_us() - roll->read_us < MEMBERS_AGE_MAX_US) {
        return;
    }
    struct error err;
    mem_free(roll->members);
    roll->members = NULL;
    roll->count = 0;
    roll->is_known = store_members(store, &roll->members, &roll->count, &err);
    if (!roll->is_known) {
        log_warn("barrier cannot ask who is alive why=\"%s\"", err.text);
        roll->members = NULL;
        roll->count = 0;
    }
    roll->read_us = clock_now_us(); /* of the answer, which may have taken its time */
}

/* Nothing safe hangs on it. */
static enum standing standing_of(const struct roll *roll, const char *peer)
{
    enum standing standing = roll->is_known ? STANDING_MISSING : STANDING_LIVES;
    const char *incarnation = strrchr(peer, ':'); /* there may be others in the id */
    struct slice id = {peer, incarnation != NULL ? (size_t)(incarnation - peer) : strlen(peer)};
    for (unsigned i = 0; i < roll->count; i++) {
        const struct store_member *member = &roll->members[i];
        if (strcmp(member->kind, "proxy") != 0 || !member->is_alive ||
            !slice_equal(slice_of(member->id), id)) {
            continue;
        }
        if (incarnation != NULL && strcmp(member->incarnation, incarnation + 1) == 0) {
            return STANDING_LIVES;
        }
        standing = STANDING_SUCCEEDED;
    }
    return standing;
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

static bool is_behind(const struct barrier *barrier, const struct fence_peer *peer,
                      struct roll *roll)
{
    if (peer->epoch >= barrier->epoch && !barrier->is_roll_call) {
        return false;
    }
    refresh_roll(roll, barrier->store);
    return peer->epoch < barrier->epoch || standing_of(roll, peer->name) != STANDING_LIVES;
}

static uint64_t patience_ms(const struct barrier *barrier, enum standing standing)
{
    if (standing == STANDING_SUCCEEDED) {
        return 0;
    }
    return standing == STANDING_MISSING && GONE_AFTER_MS < barrier->timeout_ms
               ? GONE_AFTER_MS
               : barrier->timeout_ms;
}

/* Whoever is not worth waiting for any more is killed, or spared. */
static enum fence_outcome look_after(struct barrier *barrier, const struct fence_peer *peer,
                                     const struct roll *roll, struct error *err)
{
    enum standing standing = standing_of(roll, peer->name);
    if (roll->round_us - roll->start_us < patience_ms(barrier, standing) * 1000) {
        return FENCE_OK;
    }
    if (standing != STANDING_LIVES || !barrier->spares_the_living) {
        return kill_peer(barrier, peer, err);
    }
    log_warn("barrier is given up for a slow proxy shard=%s peer=%s published=%llu epoch=%llu",
             shard_address(barrier->link), peer->name, (unsigned long long)peer->epoch,
             (unsigned long long)barrier->epoch);
    barrier->was_interrupted = barrier->has_spared = true;
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
    roll->round_us = clock_now_us();
    enum fence_outcome outcome =
        fence_raise(barrier->link, barrier->identity, barrier->is_roll_call ? 0 : barrier->epoch,
                    &peers, &count, err);
    PASS(STEP_BARRIER_AFTER_RAISE);
    *behind = 0;
    for (unsigned i = 0; i < count && outcome == FENCE_OK; i++) {
        if (is_behind(barrier, &peers[i], roll)) {
            (*behind)++;
            outcome = look_after(barrier, &peers[i], roll, err);
        }
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
    barrier->was_interrupted = barrier->has_spared = false;
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
