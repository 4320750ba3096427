/* How fast slots move: as the last migration showed that was allowed to, or as was measured
 * elsewhere. */
#ifndef CTL_COMMAND_RATE_H
#define CTL_COMMAND_RATE_H

#include "ctl/command/command.h"

/* Without a migration to learn from: what a small virtual machine did, docs/performance.md. */
#define RATE_COPIED_DEFAULT   30000u
#define RATE_VERIFIED_DEFAULT 60000u
/* A migration of fewer keys says little. */
#define RATE_KEYS_MIN 1000u

struct rate {
    uint64_t copied; /* keys a second */
    uint64_t verified;
    char migration[MIGRATION_ID_TEXT_MAX]; /* that showed them; empty: none has */
};

/* The journal record by record, oldest first. A throttled migration shows its throttle only. Pure;
 * begins with rate_init. */
struct rate_reading {
    struct rate rate;
    struct rate next; /* of a migration that has copied, and not verified yet */
};

void rate_init(struct rate_reading *reading);
void rate_note(struct rate_reading *reading, const json_t *record);

bool rate_read(struct store *store, struct rate *rate, struct error *err)
    __attribute__((warn_unused_result));

/* Milliseconds that a migration of so much takes, copying and verifying, at this rate or at its
 * throttles where they are less (0: none). Pure. */
uint64_t rate_estimate_ms(const struct rate *rate, uint64_t keys, uint64_t bytes,
                          const struct migration_options *options);

#endif
