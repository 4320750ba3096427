#include "migrator/run/roster.h"

#include "lib/base/log.h"
#include "lib/base/memory.h"

void roster_init(struct roster *roster)
{
    *roster = (struct roster){.count = 0};
}

static void remove_done(struct roster *roster)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < roster->count; i++) {
        struct runner *runner = roster->runners[i];
        if (!runner_is_done(runner) || !runner_end(runner, UINT64_MAX)) {
            roster->runners[kept++] = runner;
        }
    }
    roster->count = kept;
}

static bool has(const struct roster *roster, uint64_t id)
{
    for (unsigned i = 0; i < roster->count; i++) {
        if (runner_migration(roster->runners[i]) == id) {
            return true;
        }
    }
    return false;
}

void roster_update(struct roster *roster, const struct topology *topology,
                   const struct migrator_settings *settings, const atomic_bool *is_stopping)
{
    remove_done(roster);
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        uint64_t id = topology->migrations[i].id;
        struct error err;
        if (has(roster, id)) {
            continue;
        }
        struct runner *runner = runner_start(settings, id, is_stopping, &err);
        if (runner == NULL) {
            log_error("migration cannot be started reason=\"%s\"", err.text);
            return;
        }
        MEM_GROW(roster->runners, roster->count, roster->capacity);
        roster->runners[roster->count++] = runner;
    }
}

bool roster_end(struct roster *roster, uint64_t deadline_us)
{
    bool all_ended = true;
    for (unsigned i = 0; i < roster->count; i++) {
        all_ended = runner_end(roster->runners[i], deadline_us) && all_ended;
    }
    mem_free(roster->runners);
    roster_init(roster);
    return all_ended;
}
