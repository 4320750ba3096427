#include "ctl/command/migration_view.h"

#include <string.h>

/* The way back is open: the copy is verified, and a rollback would lose nothing. */
static bool has_way_back(const struct migration *migration)
{
    switch (migration->phase) {
    case PHASE_PLANNED:
    case PHASE_DUAL_WRITE:
    case PHASE_HOLD:
    case PHASE_ABORTING:
        return true; /* the source is the authority: an abort only forgets the copy */
    case PHASE_SWITCHED:
    case PHASE_HOLD_BACK:
        return migration->verified == migration->base;
    case PHASE_FINALIZING:
        break;
    }
    return false;
}

const char *migration_advice(const struct migration *migration)
{
    bool is_verified = migration->verified == migration->base;
    if (migration->is_paused) {
        return "paused; sluicectl resume lets it go on";
    }
    switch (migration->phase) {
    case PHASE_PLANNED:
        return "waits for the migrator's checks; sluicectl abort forgets it";
    case PHASE_DUAL_WRITE:
        if (is_verified && migration->options.manual_switch) {
            return "verified; sluicectl switch lets it switch, sluicectl abort undoes it";
        }
        return is_verified ? "verified, about to switch; sluicectl abort undoes it"
                           : "copying and verifying; sluicectl abort undoes it";
    case PHASE_HOLD:
        return "switching this moment";
    case PHASE_SWITCHED:
        return is_verified ? "switched; sluicectl finalize makes it final, sluicectl rollback "
                             "gives the slots back"
                           : "switched; the way back is closed until every key is verified again";
    case PHASE_HOLD_BACK:
        return "giving the slots back this moment";
    case PHASE_FINALIZING:
        return "final; purging the old copies";
    case PHASE_ABORTING:
        return "undone; purging the copies";
    }
    return "";
}

/* Its options by their names on the command line. Owned by the caller. */
static json_t *options_view(const struct migration_options *options)
{
    json_t *view = json_object();
    set_flag(view, "manual-switch", options->manual_switch);
    if (options->finalize_after_ms == FINALIZE_NEVER) {
        set_text(view, "finalize-after", "never");
    } else {
        set_number(view, "finalize-after", options->finalize_after_ms);
    }
    set_number(view, "keys-per-second", options->keys_per_second);
    set_number(view, "bytes-per-second", options->bytes_per_second);
    set_number(view, "cutover-keys", options->cutover_keys);
    set_number(view, "hold-max", options->hold_max_ms);
    set_number(view, "barrier-timeout", options->barrier_timeout_ms);
    set_number(view, "max-skew", options->max_skew_ms);
    set_number(view, "large-key", options->large_key_bytes);
    return view;
}

static void add_slots(json_t *view, const struct slot_set *slots)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    slot_set_format(slots, &text);
    set_slice(view, "slots", buffer_slice(&text));
    set_number(view, "slot_count", slot_set_count(slots));
    buffer_fini(&text);
}

static void add_epochs(json_t *view, const struct migration *migration)
{
    set_number(view, "entry_epoch", migration->entry_epoch);
    set_number(view, "generation", migration->generation);
    set_number(view, "base", migration->base);
    set_number(view, "made", migration->made);
    set_number(view, "verified", migration->verified);
    set_flag(view, "is_verified",
             migration->phase != PHASE_PLANNED && migration->verified == migration->base);
}

/* By the migrator's word, in the phase that the migration is still in; empty: for nothing. */
static const char *what_it_waits_for(const struct migration *migration, const json_t *history)
{
    const json_t *waiting = view_member(history, "waiting");
    bool is_so = strcmp(view_text(waiting, "phase"), phase_name(migration->phase)) == 0;
    return is_so ? view_text(waiting, "text") : "";
}

json_t *migration_view(const struct topology *topology, const struct migration *migration,
                       const json_t *history)
{
    const struct topology_shard *shards = topology->shards;
    bool is_forward = phase_direction(migration->phase) == DIRECTION_FORWARD;
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(migration->id, id);

    json_t *view = json_object();
    set_text(view, "id", id);
    set_text(view, "source", shards[migration->source].name);
    set_text(view, "target", shards[migration->target].name);
    add_slots(view, &migration->slots);
    set_text(view, "phase", phase_name(migration->phase));
    set_text(view, "direction", is_forward ? "forward" : "reverse");
    set_text(view, "authority", shards[migration_authority(migration)].name);
    set_text(view, "copy", shards[migration_copy(migration)].name);
    set_flag(view, "paused", migration->is_paused);
    set_text(view, "request", migration_request_name(migration->request));
    set_flag(view, "way_back", has_way_back(migration));
    set_text(view, "advice", migration_advice(migration));
    add_epochs(view, migration);
    set_member(view, "options", options_view(&migration->options));
    const json_t *progress = view_member(history, "progress");
    if (progress != NULL) {
        set_member(view, "progress", json_deep_copy(progress));
    }
    const char *waits = what_it_waits_for(migration, history);
    if (waits[0] != '\0') {
        set_text(view, "waits", waits);
    }
    const json_t *error = view_member(history, "last_error");
    if (error != NULL) {
        set_member(view, "last_error", json_deep_copy(error));
    }
    return view;
}
