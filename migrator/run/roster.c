#include "migrator/run/roster.h"

#include "lib/base/log.h"
#include "lib/base/memory.h"

void roster_init(struct roster *roster)
{
    roster->entries = NULL;
    roster->count = 0;
    roster->capacity = 0;
    atomic_init(&roster->is_stopping, false);
}

static void remove_done(struct roster *roster)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < roster->count; i++) {
        struct runner *runner = roster->entries[i].runner;
        if (!runner_is_done(runner) || !runner_end(runner, UINT64_MAX)) {
            roster->entries[kept++].runner = runner;
        }
    }
    roster->count = kept;
}

static bool has(const struct roster *roster, uint64_t id)
{
    for (unsigned i = 0; i < roster->count; i++) {
        if (runner_migration(roster->entries[i].runner) == id) {
            return true;
        }
    }
    return false;
}

void roster_update(struct roster *roster, const struct topology *topology,
                   const struct migrator_settings *settings)
{
    remove_done(roster);
    if (roster->count > 0 && atomic_load(&roster->is_stopping)) {
        return;
    }
    atomic_store(&roster->is_stopping, false);
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        uint64_t id = topology->migrations[i].id;
        struct error err;
        if (has(roster, id)) {
            continue;
        }
        struct runner *runner = runner_start(settings, id, &roster->is_stopping, &err);
        if (runner == NULL) {
            log_error("migration cannot be started why=\"%s\"", err.text);
            return;
        }
        MEM_GROW(roster->entries, roster->count, roster->capacity);
        roster->entries[roster->count++].runner = runner;
    }
}

void roster_stand_down(struct roster *roster)
{
    atomic_store(&roster->is_stopping, true);
    remove_done(roster);
}

bool roster_end(struct roster *roster, uint64_t deadline_us)
{
    bool all_ended = true;
    atomic_store(&roster->is_stopping, true);
    for (unsigned i = 0; i < roster->count; i++) {
        all_ended = runner_end(roster->entries[i].runner, deadline_us) && all_ended;
    }
    mem_free(roster->entries);
    roster_init(roster);
    return all_ended;
}
