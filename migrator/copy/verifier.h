/* Compares every key of the migration's slots that SCAN finds on the authority or on the copy.
 *
 * A key that is unequal, and carries no mark, is a finding: it is told to hooks->found and given a
 * new number and a mark, so that the drain repairs it and compares it again. Keys that carry a mark
 * are the drain's business anyway. So "the walk is over and the drain has come to an end" means
 * that every key has compared equal since its last write. */
#ifndef MIGRATOR_COPY_VERIFIER_H
#define MIGRATOR_COPY_VERIFIER_H

#include "migrator/copy/scanner.h"
#include "migrator/copy/tally.h"

struct verifier {
    struct scanner over_authority;
    struct scanner over_copy;
    uint64_t keys;
    uint64_t bytes;
    uint64_t findings;
    struct tally tally;
};

void verifier_init(struct verifier *verifier, unsigned nslots);
void verifier_fini(struct verifier *verifier);
/* Goes on to the end of both walks; may be called again after COPY_INTERRUPTED or COPY_FAILED, for
 * the same base. */
enum copy_status verifier_run(struct verifier *verifier, struct copy_pair *pair);

#endif
