/* sluicectl explain: where a key lives, and where its requests go now. */
#include "ctl/command/all.h"
#include "lib/topology/snapshot.h"

static const char *shard_name(const struct snapshot *snapshot, unsigned shard)
{
    return snapshot->topology->shards[shard].name;
}

/* Where a read and a write go, in words. */
static void explain_routes(json_t *result, const struct snapshot *snapshot,
                           const struct slot_entry *entry)
{
    char text[3 * SHARD_NAME_MAX];
    const char *authority = shard_name(snapshot, entry->authority);
    if (entry->is_held) {
        set_text(result, "read", "held until the slot has switched, then sent to its owner");
        set_text(result, "write", "held until the slot has switched, then sent to its owner");
        return;
    }
    set_text(result, "read", authority);
    if (entry->is_dual && entry->copy != NO_SHARD) {
        (void)snprintf(text, sizeof(text), "%s, mirrored to %s", authority,
                       shard_name(snapshot, entry->copy));
        set_text(result, "write", text);
    } else {
        set_text(result, "write", authority);
    }
}

static void explain_migration(json_t *result, const struct migration *migration)
{
    if (migration == NULL) {
        set_member(result, "migration", json_null());
        return;
    }
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(migration->id, id);
    set_text(result, "migration", id);
    set_text(result, "phase", phase_name(migration->phase));
}

static void explain_key(json_t *result, const struct snapshot *snapshot, struct slice key)
{
    const struct topology *topology = snapshot->topology;
    unsigned slot = slot_of_key(key, topology->nslots);
    const struct slot_entry *entry = snapshot_entry(snapshot, slot);
    set_slice(result, "key", key);
    set_slice(result, "tag", slot_tag_of_key(key));
    set_number(result, "slot", slot);
    set_text(result, "shard", shard_name(snapshot, entry->authority));
    set_number(result, "epoch", topology->epoch);
    explain_migration(result, entry->migration);
    explain_routes(result, snapshot, entry);
}

static void print_explanation(const struct command_run *run)
{
    const json_t *result = run->result;
    const char *migration = view_text(result, "migration");
    bool is_moving = migration[0] != '\0';
    say(run, "tag        %s\n", view_text(result, "tag"));
    say(run, "slot       %llu\n", (unsigned long long)view_number(result, "slot"));
    say(run, "shard      %s\n", view_text(result, "shard"));
    say(run, "epoch      %llu\n", (unsigned long long)view_number(result, "epoch"));
    say(run, "migration  %s%s%s\n", is_moving ? migration : "none", is_moving ? ", " : "",
        view_text(result, "phase"));
    say(run, "read       %s\n", view_text(result, "read"));
    say(run, "write      %s\n", view_text(result, "write"));
}

static enum command_result explain_run(struct command_run *run, struct error *err)
{
    struct topology *topology = store_read(run->store, NULL, err);
    if (topology == NULL) {
        return COMMAND_FAILED;
    }
    struct snapshot *snapshot = snapshot_new(topology);
    explain_key(run->result, snapshot, slice_of(run->arguments[0]));
    print_explanation(run);
    snapshot_unref(snapshot);
    return COMMAND_DONE;
}

const struct command command_explain = {
    .name = "explain",
    .arguments = "KEY",
    .text = "where a key lives, and its requests go",
    .about = "Prints the key's tag, slot and shard, the migration that the slot is in, and where a "
             "read and a write go\nnow. A key that begins with -- stands behind a lone --.",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = explain_run,
};
