/* What a move would cost: the keys and bytes in its slots, found by SCAN on the source. Reads only.
 * A shard below MEASURE_EXACT_KEYS is walked whole; a larger one is sampled, which says enough
 * because SCAN's order has nothing to do with slots. */
#ifndef CTL_COMMAND_MEASURE_H
#define CTL_COMMAND_MEASURE_H

#include "lib/shard/shard.h"
#include "lib/topology/topology.h"

#define MEASURE_EXACT_KEYS  1000000u
#define MEASURE_SAMPLE_KEYS 100000u /* walked of a larger shard */
#define MEASURE_SIZES       2000u   /* keys whose memory is asked for */
#define MEASURE_LARGE_MAX   20u     /* large keys that are named */
#define MEASURE_NAME_MAX    128u    /* bytes of a name that are kept */

struct large_key {
    char name[MEASURE_NAME_MAX + 1]; /* bytes that cannot be printed are '?' */
    uint64_t bytes;
};

struct measure {
    const struct slot_set *slots; /* borrowed; set by the caller */
    uint64_t keys;                /* in these slots; estimated unless is_exact */
    bool is_exact;
    uint64_t bytes; /* estimated from `sized` keys */
    uint64_t sized;
    uint64_t sized_bytes;
    struct large_key large[MEASURE_LARGE_MAX]; /* of the sample */
    unsigned nlarge;                           /* found; may be above MEASURE_LARGE_MAX */
};

/* One walk over the shard for all of these measures. `expected` is its DBSIZE. */
bool measure_shard(struct shard_link *link, uint64_t expected, uint64_t large_key_bytes,
                   struct measure *measures, unsigned count, struct error *err)
    __attribute__((warn_unused_result));

#endif
