/* Per slot and side: how many keys compared equal, and the order-independent digest of their keys,
 * types, values and expiries, each side's from its own bytes. The proof that `sluicectl report`
 * shows. One thread. */
#ifndef MIGRATOR_COPY_TALLY_H
#define MIGRATOR_COPY_TALLY_H

#include "lib/topology/slot.h"
#include "migrator/copy/state.h"
#include "migrator/value/digest.h"

struct tally_side {
    uint64_t keys;
    uint64_t bytes; /* of the payloads */
    struct value_digest digest;
};

struct tally {
    unsigned nslots;
    struct tally_side *authority; /* [nslots] */
    struct tally_side *copy;      /* [nslots] */
    uint64_t keys;
    uint64_t moving;       /* carried a mark when the walk met them: left to the drain */
    uint64_t keys_on_copy; /* as a walk over the copy itself counts them */
};

void tally_init(struct tally *tally, unsigned nslots);
void tally_fini(struct tally *tally);
/* A key that compared equal. */
void tally_add(struct tally *tally, struct slice key, const struct key_state *authority,
               const struct key_state *copy);

#endif
