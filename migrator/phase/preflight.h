/* The checks before a migration touches anything but scratch keys. Each is a small function in the
 * table of preflight.c; it answers whether it is content and leaves a note for the journal. */
#ifndef MIGRATOR_PHASE_PREFLIGHT_H
#define MIGRATOR_PHASE_PREFLIGHT_H

#include "migrator/engine/engine.h"

#define PREFLIGHT_NOTE_MAX 512

struct preflight {
    struct engine *engine;
    char note[PREFLIGHT_NOTE_MAX]; /* of the check that runs: what it found, or why it refuses */
    bool is_interrupted;           /* a check did not come to its end: it says nothing */
};

/* Leaves the note; returns `ok`, so that `return preflight_note(p, false, ...)` reads well. */
bool preflight_note(struct preflight *preflight, bool ok, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct shard_link *preflight_link(struct preflight *preflight, enum side side);
const char *preflight_name(const struct preflight *preflight, enum side side);
/* CONFIG GET of one parameter; false leaves a note. */
bool preflight_config(struct preflight *preflight, enum side side, const char *parameter,
                      char *value, size_t size) __attribute__((warn_unused_result));
/* A number out of INFO; false leaves a note. */
bool preflight_info(struct preflight *preflight, enum side side, const char *section,
                    const char *field, uint64_t *value) __attribute__((warn_unused_result));

typedef bool preflight_fn(struct preflight *preflight);

/* preflight_server.c: what the two servers are and are set to. */
preflight_fn preflight_versions;
preflight_fn preflight_fences;
preflight_fn preflight_permissions;
preflight_fn preflight_eviction;
preflight_fn preflight_durability;
preflight_fn preflight_clocks;
preflight_fn preflight_memory;
preflight_fn preflight_backlog;
/* preflight_data.c: what they hold. */
preflight_fn preflight_payloads;
preflight_fn preflight_target_empty;
preflight_fn preflight_functions;
preflight_fn preflight_scripts;
preflight_fn preflight_large_keys;

#endif
