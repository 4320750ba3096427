/* Are two states of a key equal? Type, value and absolute expiry; DESIGN.md section 6, "Verify".
 * Pure. */
#ifndef MIGRATOR_COPY_COMPARE_H
#define MIGRATOR_COPY_COMPARE_H

#include "migrator/copy/state.h"
#include "migrator/value/value.h"

/* Decodes a state that exists and is no unread one. False when its payload cannot be read. */
bool state_summarize(const struct key_state *state, struct value_summary *summary)
    __attribute__((warn_unused_result));

/* Values compare decoded when their bytes differ. A key that is absent on one side equals one whose
 * expiry is not later than the larger of the two clocks plus max_skew_ms: it has expired on one
 * shard and not yet on the other. */
bool states_equal(const struct key_state *a, const struct key_state *b, uint64_t latest_clock_ms,
                  uint64_t max_skew_ms);

/* Both groups are of the same keys. */
bool groups_equal_at(const struct state_group *authority, const struct state_group *copy, size_t i,
                     uint64_t max_skew_ms);

/* Equal, and the copy is not behind: what "verified" means, and the only thing that may clear a
 * mark. Equal alone is not enough: a-b-a with a late mirror (docs/migration.md, "Numbers"). */
bool groups_verified_at(const struct state_group *authority, const struct state_group *copy,
                        size_t i, uint64_t max_skew_ms);

#endif
