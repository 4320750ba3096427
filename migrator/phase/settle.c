/* Before the former owner's keys are purged: the shard that took them over has them on its disk and
 * on its replicas. Until then a crash may set it back to before the switch, and the former owner
 * has the only whole copy. Model: NOSETTLE. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/number.h"
#include "migrator/phase/phase_internal.h"

/* appendfsync everysec begins a sync each second, unless one is running. So when none is seen
 * running, and again none this much later, one has begun and ended in between. */
#define SYNC_EVERY_US UINT64_C(1200000)
#define LOOK_AGAIN_MS 100
/* Longer than it takes when nothing is the matter. */
#define TELL_AFTER_US UINT64_C(2500000)

static bool read_number(struct engine *engine, enum side side, const char *section,
                        const char *field, uint64_t *number, struct error *err)
{
    char text[32];
    return shard_info(engine->links[side], section, field, text, sizeof(text), err) &&
           (number_parse_u64(slice_of(text), number) ||
            error_set(err, "shard \"%s\" says %s:%s", engine->view.shards[side].name, field, text));
}

static bool is_set_to(struct engine *engine, enum side side, const char *parameter,
                      const char *value)
{
    struct error err;
    struct shard_reply *reply =
        shard_commandf(engine->links[side], &err, "CONFIG GET %s", parameter);
    bool is_so = reply != NULL && shard_reply_count(reply) == 2 &&
                 slice_equal(shard_reply_text(shard_reply_at(reply, 1)), slice_of(value));
    shard_reply_free(reply);
    return is_so;
}

/* It writes its file anew, or a snapshot, and was told not to sync meanwhile. */
static bool look_at_children(struct engine *engine, enum side side, bool *is_busy,
                             struct error *err)
{
    uint64_t rewrites = 0;
    uint64_t snapshots = 0;
    if (!read_number(engine, side, "persistence", "aof_rewrite_in_progress", &rewrites, err) ||
        !read_number(engine, side, "persistence", "rdb_bgsave_in_progress", &snapshots, err)) {
        return false;
    }
    *is_busy =
        rewrites + snapshots > 0 && is_set_to(engine, side, "no-appendfsync-on-rewrite", "yes");
    return true;
}

/* Without an append-only file nothing can be waited for: what Redis has said of it holds. */
static bool look_at_disk(struct engine *engine, enum side side, bool *is_synced, struct error *err)
{
    struct settling *settling = &engine->settling;
    /* A shard may stand still before it answers the last question: that is not 1.2 s of work. */
    uint64_t asked_us = clock_now_us();
    uint64_t has_file = 0;
    uint64_t pending = 0;
    char status[16];
    bool is_busy = false;
    *is_synced = true;
    if (!read_number(engine, side, "persistence", "aof_enabled", &has_file, err)) {
        return false;
    }
    if (has_file == 0) {
        return true;
    }
    if (!look_at_children(engine, side, &is_busy, err)) {
        return false;
    }
    if (is_busy) {
        settling->seen_idle_us = 0;
        *is_synced = error_set(&settling->waits_for,
                               "waits for shard \"%s\" to end the rewrite of its append-only file, "
                               "or its snapshot: no-appendfsync-on-rewrite keeps it from syncing",
                               engine->view.shards[side].name);
        return true;
    }
    /* What was answered is on the disk then. */
    if (is_set_to(engine, side, "appendfsync", "always")) {
        return true;
    }
    if (!read_number(engine, side, "persistence", "aof_pending_bio_fsync", &pending, err) ||
        !shard_info(engine->links[side], "persistence", "aof_last_write_status", status,
                    sizeof(status), err)) {
        return false;
    }
    if (strcmp(status, "ok") != 0) {
        settling->seen_idle_us = 0;
        return error_set(err,
                         "shard \"%s\" cannot write its append-only file: the former owner keeps "
                         "its keys until it can",
                         engine->view.shards[side].name);
    }
    if (settling->seen_idle_us == 0 && pending == 0) {
        settling->seen_idle_us = clock_now_us();
    }
    *is_synced = (settling->seen_idle_us > 0 && pending == 0 &&
                  asked_us >= settling->seen_idle_us + SYNC_EVERY_US) ||
                 error_set(&settling->waits_for,
                           "waits for shard \"%s\" to sync its append-only file to disk",
                           engine->view.shards[side].name);
    return true;
}

/* "slave0:ip=127.0.0.1,port=7001,state=online,offset=42,lag=0", by its number. */
static bool read_replica(struct engine *engine, enum side side, unsigned replica, char *text,
                         size_t size, struct error *err)
{
    char field[24];
    (void)snprintf(field, sizeof(field), "slave%u", replica);
    return shard_info(engine->links[side], "replication", field, text, size, err);
}

/* *offset of an absent one: the largest. One that is not connected is not listed. */
static bool replica_offset(struct engine *engine, enum side side, const char *text,
                           uint64_t *offset, struct error *err)
{
    static const char key[] = "offset=";
    const char *found = strstr(text, key);
    *offset = UINT64_MAX;
    if (strstr(text, "state=online") == NULL || found == NULL) {
        return true; /* a new one gets a whole copy */
    }
    found += strlen(key);
    return number_parse_u64((struct slice){found, strcspn(found, ",")}, offset) ||
           error_set(err, "shard \"%s\" says of a replica: %s", engine->view.shards[side].name,
                     text);
}

static bool look_at_replicas(struct engine *engine, enum side side, bool *has_arrived,
                             struct error *err)
{
    uint64_t count = 0;
    *has_arrived = true;
    if (!read_number(engine, side, "replication", "connected_slaves", &count, err)) {
        return false;
    }
    for (unsigned i = 0; i < count && *has_arrived; i++) {
        char text[256];
        uint64_t offset;
        if (!read_replica(engine, side, i, text, sizeof(text), err) ||
            !replica_offset(engine, side, text, &offset, err)) {
            return false;
        }
        /* 0: it acknowledges nothing, ever */
        *has_arrived =
            offset == 0 || offset >= engine->settling.offset ||
            error_set(&engine->settling.waits_for,
                      "waits for a replica of shard \"%s\" (%.*s) to have what the shard took over",
                      engine->view.shards[side].name, (int)(strstr(text, ",state=") - text), text);
    }
    return true;
}

static bool begin(struct engine *engine, enum side keeper, struct error *err)
{
    uint64_t offset = 0;
    if (engine->settling.generation == engine->view.migration.generation) {
        return true;
    }
    if (!read_number(engine, keeper, "replication", "master_repl_offset", &offset, err)) {
        return false;
    }
    engine->settling = (struct settling){.generation = engine->view.migration.generation,
                                         .offset = offset,
                                         .since_us = clock_now_us()};
    return true;
}

static bool look(struct engine *engine, enum side keeper, struct error *err)
{
    bool is_synced = false;
    bool has_arrived = false;
    if (!begin(engine, keeper, err) || !look_at_disk(engine, keeper, &is_synced, err) ||
        !look_at_replicas(engine, keeper, &has_arrived, err)) {
        return false;
    }
    engine->settling.is_over = is_synced && has_arrived;
    return true;
}

static void tell(struct engine *engine)
{
    const struct settling *settling = &engine->settling;
    if (settling->is_over) {
        engine_note_waiting(engine, "");
    } else if (clock_now_us() - settling->since_us >= TELL_AFTER_US) {
        engine_note_waiting(engine, settling->waits_for.text);
    }
}

bool phase_is_settled(struct engine *engine, enum side keeper, enum step_result *result)
{
    const struct migration *migration = &engine->view.migration;
    const struct settling *settling = &engine->settling;
    struct error err;
    if (migration->owner_generation == 0 ||
        (settling->generation == migration->generation && settling->is_over)) {
        return true;
    }
    if (!look(engine, keeper, &err)) {
        *result = engine_failed(engine, keeper, FENCE_FAILED, &err);
        return false;
    }
    tell(engine);
    if (!settling->is_over) {
        *result = engine_wait(engine, LOOK_AGAIN_MS);
    }
    return settling->is_over;
}
