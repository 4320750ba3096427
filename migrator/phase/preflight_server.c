#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "lib/base/clock.h"
#include "lib/base/number.h"
#include "lib/cluster/probe.h"
#include "migrator/phase/phase_internal.h"
#include "migrator/phase/preflight.h"

#define VERSION_MAJOR_MIN 7u
#define BACKLOG_BYTES_MIN UINT64_C(1048576)
/* Of maxmemory on the target: room for what clients write meanwhile, and for the metadata. */
#define HEADROOM_PERCENT 90u

static bool version_of(struct preflight *preflight, enum side side, char *version, size_t size)
{
    struct error err;
    return shard_info(preflight_link(preflight, side), "server", "redis_version", version, size,
                      &err) ||
           preflight_note(preflight, false, "%s", err.text);
}

bool preflight_versions(struct preflight *preflight)
{
    char versions[SIDE_COUNT][32];
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        if (!version_of(preflight, side, versions[side], sizeof(versions[side]))) {
            return false;
        }
        if (strtoul(versions[side], NULL, 10) < VERSION_MAJOR_MIN) {
            return preflight_note(preflight, false, "shard \"%s\" is Redis %s; 7.0 is the oldest",
                                  preflight_name(preflight, side), versions[side]);
        }
    }
    return preflight_note(preflight, true, "%s, %s", versions[SIDE_SOURCE], versions[SIDE_TARGET]);
}

bool preflight_fences(struct preflight *preflight)
{
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct fence_state fence;
        struct error err;
        if (!fence_read(preflight_link(preflight, side), &fence, &err)) {
            return preflight_note(preflight, false, "%s", err.text);
        }
        const struct shard_identity *identity = &preflight->engine->view.shards[side].identity;
        if (!fence.exists || !shard_identity_equal(&fence.identity, identity)) {
            return preflight_note(preflight, false,
                                  "shard \"%s\": the fence is absent or names another process",
                                  preflight_name(preflight, side));
        }
    }
    return true;
}

/* One of each kind that the migrator and the proxies send during a migration, tried by ACL DRYRUN:
 * found out now, not in a hold. */
static const char *const needed_commands[] = {"MULTI",
                                              "EXEC",
                                              "HINCRBY h f 1",
                                              "SADD s m",
                                              "SREM s m",
                                              "SCARD s",
                                              "SRANDMEMBER s 1",
                                              "SISMEMBER s m",
                                              "HGET h f",
                                              "HMGET h f",
                                              "HEXISTS h f",
                                              "HSET h f v",
                                              "HSETNX h f v",
                                              "DUMP k",
                                              "RESTORE k 0 v ABSTTL",
                                              "PEXPIRETIME k",
                                              "EXISTS k",
                                              "UNLINK k",
                                              "TIME",
                                              "SCAN 0",
                                              "MEMORY USAGE k",
                                              "EVALSHA 0 0",
                                              "SCRIPT LOAD x",
                                              "CLIENT LIST",
                                              "CLIENT KILL ID 1",
                                              "INFO",
                                              "CONFIG GET x",
                                              "FUNCTION LIST",
                                              "FUNCTION LOAD x"};

static bool may_run(struct preflight *preflight, enum side side, const char *user,
                    const char *command)
{
    char line[128];
    struct error err;
    (void)snprintf(line, sizeof(line), "ACL DRYRUN %s %s", user, command);
    /* Fixed words without a '%' of ours: hiredis splits them at the spaces. */
    struct slice argv[8];
    unsigned argc = 0;
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = slice_of(word);
    }
    struct shard_reply *reply = shard_command(preflight_link(preflight, side), argv, argc, &err);
    if (reply == NULL) {
        return preflight_note(preflight, false, "%s", err.text);
    }
    struct slice answer = shard_reply_text(reply);
    bool ok = slice_equal(answer, SLICE("OK"));
    if (!ok) {
        (void)preflight_note(preflight, false, "shard \"%s\": %.*s",
                             preflight_name(preflight, side), (int)answer.len, answer.data);
    }
    shard_reply_free(reply);
    return ok;
}

static bool permissions_on(struct preflight *preflight, enum side side)
{
    struct error err;
    char user[64];
    struct shard_reply *reply = shard_commandf(preflight_link(preflight, side), &err, "ACL WHOAMI");
    if (reply == NULL) {
        return preflight_note(preflight, false, "%s", err.text);
    }
    struct slice name = shard_reply_text(reply);
    (void)snprintf(user, sizeof(user), "%.*s", (int)name.len, name.data);
    shard_reply_free(reply);
    for (size_t i = 0; i < sizeof(needed_commands) / sizeof(needed_commands[0]); i++) {
        if (!may_run(preflight, side, user, needed_commands[i])) {
            return false;
        }
    }
    return true;
}

bool preflight_permissions(struct preflight *preflight)
{
    return permissions_on(preflight, SIDE_SOURCE) && permissions_on(preflight, SIDE_TARGET);
}

/* What a full source evicts ends each hold before the switch, for the copy still has it. */
static bool source_has_room(struct preflight *preflight, const char *policy)
{
    uint64_t used = 0;
    uint64_t max = 0;
    if (strncmp(policy, "volatile-", 9) != 0) {
        return true;
    }
    if (!preflight_info(preflight, SIDE_SOURCE, "memory", "used_memory", &used) ||
        !preflight_info(preflight, SIDE_SOURCE, "memory", "maxmemory", &max)) {
        return false;
    }
    if (max == 0 || used < max - max / 20) {
        return true;
    }
    return preflight_note(preflight, false,
                          "the source is full and evicts keys (maxmemory-policy %s), which undoes "
                          "each hold: give it more maxmemory, or noeviction, while slots move",
                          policy);
}

/* An evicted copy would pass for a deleted key, evicted marks for verified ones. */
bool preflight_eviction(struct preflight *preflight)
{
    char policy[SIDE_COUNT][32];
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        if (!preflight_config(preflight, side, "maxmemory-policy", policy[side],
                              sizeof(policy[side]))) {
            return false;
        }
    }
    if (strcmp(policy[SIDE_TARGET], "noeviction") != 0) {
        return preflight_note(preflight, false,
                              "the target evicts (maxmemory-policy %s): set it to noeviction",
                              policy[SIDE_TARGET]);
    }
    if (strncmp(policy[SIDE_SOURCE], "allkeys-", 8) == 0) {
        return preflight_note(preflight, false,
                              "the source evicts any key (maxmemory-policy %s), marks too: set it "
                              "to noeviction or volatile-*",
                              policy[SIDE_SOURCE]);
    }
    if (!source_has_room(preflight, policy[SIDE_SOURCE])) {
        return false;
    }
    return preflight_note(preflight, true, "%s, %s", policy[SIDE_SOURCE], policy[SIDE_TARGET]);
}

/* 0: nothing is written; 3: every write is on the disk before its answer. */
static bool durability_of(struct preflight *preflight, enum side side, int *rank, char *text,
                          size_t size)
{
    char is_on[8];
    char fsync[16];
    if (!preflight_config(preflight, side, "appendonly", is_on, sizeof(is_on)) ||
        !preflight_config(preflight, side, "appendfsync", fsync, sizeof(fsync))) {
        return false;
    }
    bool is_off = strcmp(is_on, "yes") != 0;
    *rank = is_off ? 0 : strcmp(fsync, "always") == 0 ? 3 : strcmp(fsync, "everysec") == 0 ? 2 : 1;
    (void)snprintf(text, size, "%s", is_off ? "no AOF" : fsync);
    return true;
}

bool preflight_durability(struct preflight *preflight)
{
    int rank[SIDE_COUNT];
    char text[SIDE_COUNT][24];
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        struct error err;
        if (!durability_of(preflight, side, &rank[side], text[side], sizeof(text[side]))) {
            return false;
        }
        if (!probe_replays_all(preflight_link(preflight, side), &err)) {
            return preflight_note(preflight, false, "%s", err.text);
        }
    }
    if (rank[SIDE_TARGET] < rank[SIDE_SOURCE]) {
        return preflight_note(preflight, false,
                              "the target is less durable (%s) than the source (%s): a crash right "
                              "after the switch would lose what the source had on disk",
                              text[SIDE_TARGET], text[SIDE_SOURCE]);
    }
    return preflight_note(preflight, true, "%s, %s", text[SIDE_SOURCE], text[SIDE_TARGET]);
}

bool preflight_clocks(struct preflight *preflight)
{
    struct clock_skew skew;
    struct error err;
    if (!phase_measure_clocks(preflight->engine, &skew, &err)) {
        return preflight_note(preflight, false, "%s", err.text);
    }
    return preflight_note(preflight, true, "%" PRId64 " ms", skew.target_ahead_ms);
}

/* What the slots weigh: the source's data by the share of its slots that move. */
static bool estimate(struct preflight *preflight, uint64_t *bytes)
{
    struct engine *engine = preflight->engine;
    struct error err;
    uint64_t dataset = 0;
    uint64_t keys = 0;
    if (!preflight_info(preflight, SIDE_SOURCE, "memory", "used_memory_dataset", &dataset)) {
        return false;
    }
    struct topology *topology = store_read(engine->store, NULL, &err);
    if (topology == NULL) {
        return preflight_note(preflight, false, "%s", err.text);
    }
    uint64_t owned = topology_slots_owned(topology, engine->view.migration.source);
    topology_free(topology);
    struct shard_reply *size =
        shard_commandf(preflight_link(preflight, SIDE_SOURCE), &err, "DBSIZE");
    keys = size != NULL ? (uint64_t)shard_reply_integer(size) : 0;
    shard_reply_free(size);
    uint64_t moving = slot_set_count(&engine->view.migration.slots);
    owned = owned > 0 ? owned : 1;
    *bytes = (uint64_t)((double)dataset * (double)moving / (double)owned);
    counter_set(&engine->progress->keys_total,
                (uint64_t)((double)keys * (double)moving / (double)owned));
    return true;
}

bool preflight_memory(struct preflight *preflight)
{
    uint64_t bytes = 0;
    uint64_t used = 0;
    uint64_t limit = 0;
    if (!estimate(preflight, &bytes) ||
        !preflight_info(preflight, SIDE_TARGET, "memory", "used_memory", &used) ||
        !preflight_info(preflight, SIDE_TARGET, "memory", "maxmemory", &limit)) {
        return false;
    }
    if (limit > 0 && used + bytes > limit / 100 * HEADROOM_PERCENT) {
        return preflight_note(preflight, false,
                              "the target has %" PRIu64 " of %" PRIu64
                              " bytes in use and is to get about %" PRIu64
                              " more: raise its maxmemory or move fewer slots",
                              used, limit, bytes);
    }
    return preflight_note(preflight, true,
                          "about %" PRIu64 " bytes move; the target uses %" PRIu64 " of %" PRIu64,
                          bytes, used, limit);
}

/* A target whose replicas have to resynchronise in full because of the backfill would change its
 * replid, or lag behind for long. */
bool preflight_backlog(struct preflight *preflight)
{
    uint64_t replicas = 0;
    uint64_t backlog = 0;
    if (!preflight_info(preflight, SIDE_TARGET, "replication", "connected_slaves", &replicas) ||
        !preflight_info(preflight, SIDE_TARGET, "replication", "repl_backlog_size", &backlog)) {
        return false;
    }
    if (replicas > 0 && backlog < BACKLOG_BYTES_MIN) {
        return preflight_note(preflight, false,
                              "the target has replicas and a repl-backlog-size of only %" PRIu64
                              " bytes: raise it to at least %" PRIu64,
                              backlog, BACKLOG_BYTES_MIN);
    }
    return preflight_note(preflight, true, "%" PRIu64 " replicas, backlog %" PRIu64 " bytes",
                          replicas, backlog);
}
