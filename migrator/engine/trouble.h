/* Keys whose copies cannot be made equal: the repair is refused each time, or never leads to equal.
 * A few of them are remembered, by length and hash. Pure; the clock is the caller's. One thread. */
#ifndef MIGRATOR_ENGINE_TROUBLE_H
#define MIGRATOR_ENGINE_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/slice.h"

#define TROUBLES_MAX 16u
/* A key is worth telling of when it has been tried so often in vain ... */
#define TROUBLE_TRIES 20u
/* ... with no more than so long between two tries. */
#define TROUBLE_FORGET_US UINT64_C(5000000)

struct trouble {
    uint64_t hash; /* XXH3 of the key */
    size_t length; /* of the key */
    uint64_t last_us;
    unsigned tries; /* 0: unused */
    bool is_told;   /* set by the caller */
};

/* Counts one try in vain. Takes the place that was not used for longest for a key that is new. */
struct trouble *trouble_count(struct trouble list[TROUBLES_MAX], struct slice key, uint64_t now_us);

#endif
