#include "lib/cluster/probe.h"

#include <ctype.h>
#include <stdio.h>

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/shard/metadata.h"

#define PROBE_TIMEOUT_MS 5000
#define OLDEST_MAJOR     7

static bool check_version(struct shard_link *link, struct error *err)
{
    char version[32];
    uint64_t major;
    if (!shard_info(link, "server", "redis_version", version, sizeof(version), err)) {
        return false;
    }
    struct slice digits = {version, strcspn(version, ".")};
    if (!number_parse_u64(digits, &major) || major < OLDEST_MAJOR) {
        return error_set(err, "%s is Redis %s: Sluice needs 7.0 or newer", shard_address(link),
                         version);
    }
    return true;
}

static bool check_mode(struct shard_link *link, struct error *err)
{
    char mode[16];
    if (!shard_info(link, "server", "redis_mode", mode, sizeof(mode), err)) {
        return false;
    }
    return strcmp(mode, "cluster") != 0 ||
           error_set(err, "%s runs in cluster mode: a shard must be a plain server",
                     shard_address(link));
}

static bool check_role(struct shard_link *link, struct error *err)
{
    char role[16];
    if (!shard_info(link, "replication", "role", role, sizeof(role), err)) {
        return false;
    }
    return strcmp(role, "master") == 0 ||
           error_set(err, "%s is a replica: a shard must be a master", shard_address(link));
}

struct shard_link *probe_open_any(const struct topology_shard *place, struct error *err)
{
    struct shard_link *link = shard_open(place, "control", PROBE_TIMEOUT_MS, err);
    if (link != NULL && !(check_version(link, err) && check_mode(link, err))) {
        shard_close(link);
        return NULL;
    }
    return link;
}

struct shard_link *probe_open(const struct topology_shard *place, struct error *err)
{
    struct shard_link *link = probe_open_any(place, err);
    if (link != NULL && !check_role(link, err)) {
        shard_close(link);
        return NULL;
    }
    return link;
}

bool probe_count_keys(struct shard_link *link, uint64_t *keys, struct error *err)
{
    struct shard_reply *size = shard_commandf(link, err, "DBSIZE");
    if (size == NULL) {
        return false;
    }
    struct shard_reply *ours = shard_commandf(link, err, "EXISTS " METADATA_FENCE);
    if (ours == NULL) {
        shard_reply_free(size);
        return false;
    }
    *keys = (uint64_t)(shard_reply_integer(size) - shard_reply_integer(ours));
    shard_reply_free(size);
    shard_reply_free(ours);
    return true;
}

/* The key with what is not printable as '.', cut to the size. */
static void describe(struct slice key, char example[64])
{
    size_t length = key.len < 63 ? key.len : 63;
    for (size_t i = 0; i < length; i++) {
        example[i] = isprint((unsigned char)key.data[i]) ? key.data[i] : '.';
    }
    example[length] = '\0';
}

static void count_misplaced(const struct shard_reply *keys, const struct topology *topology,
                            unsigned shard, uint64_t *misplaced, char example[64])
{
    for (size_t i = 0; i < shard_reply_count(keys); i++) {
        struct slice key = shard_reply_text(shard_reply_at(keys, i));
        if (!metadata_is_name(key) &&
            topology->owner[slot_of_key(key, topology->nslots)] != shard) {
            describe(key, example);
            *misplaced += 1;
        }
    }
}

bool probe_misplaced_keys(struct shard_link *link, const struct topology *topology, unsigned shard,
                          uint64_t *misplaced, char example[64], struct error *err)
{
    char cursor[24] = "0";
    *misplaced = 0;
    example[0] = '\0';
    do {
        struct shard_reply *page = shard_commandf(link, err, "SCAN %s COUNT 1000", cursor);
        if (page == NULL) {
            return false;
        }
        if (shard_reply_count(page) != 2) {
            shard_reply_free(page);
            return error_set(err, "%s: SCAN gave no cursor and keys", shard_address(link));
        }
        struct slice next = shard_reply_text(shard_reply_at(page, 0));
        (void)snprintf(cursor, sizeof(cursor), "%.*s", (int)next.len, next.data);
        count_misplaced(shard_reply_at(page, 1), topology, shard, misplaced, example);
        shard_reply_free(page);
    } while (strcmp(cursor, "0") != 0);
    return true;
}

/* --- what a restart reads again --------------------------------------------------------------- */

/* What transactions are made of, and what is the first to be forbidden. */
static const char *const replayed[] = {"UNLINK k", "HSET k f v", "RESTORE k 0 v"};

/* Null when the connection is lost. Whoever may not ask gets an error, and is told nothing. */
static struct shard_reply *ask(struct shard_link *link, const char *command, struct error *err)
{
    shard_appendf(link, command);
    return shard_take(link, err);
}

static bool has_file(struct shard_link *link, bool *has, struct error *err)
{
    struct shard_reply *reply = ask(link, "CONFIG GET appendonly", err);
    if (reply == NULL) {
        return false;
    }
    *has = shard_reply_count(reply) == 2 &&
           slice_equal(shard_reply_text(shard_reply_at(reply, 1)), SLICE("yes"));
    shard_reply_free(reply);
    return true;
}

static bool may_replay(struct shard_link *link, const char *command, struct error *err)
{
    char line[64];
    (void)snprintf(line, sizeof(line), "ACL DRYRUN default %s", command);
    struct shard_reply *reply = ask(link, line, err);
    if (reply == NULL) {
        return false;
    }
    bool may = shard_reply_type(reply) != REPLY_BULK; /* a bulk says why not */
    shard_reply_free(reply);
    return may || error_set(err,
                            "%s reads its append-only file as the default user, who may not run "
                            "%.*s: a restart loses what stands there in transactions. Keep that "
                            "user off, but with all rights (user default off ~* &* +@all)",
                            shard_address(link), (int)strcspn(command, " "), command);
}

bool probe_replays_all(struct shard_link *link, struct error *err)
{
    bool has = false;
    bool is_good = has_file(link, &has, err);
    for (size_t i = 0; is_good && has && i < sizeof(replayed) / sizeof(replayed[0]); i++) {
        is_good = may_replay(link, replayed[i], err);
    }
    return is_good;
}
