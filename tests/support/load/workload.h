/* What a load asks and what must be answered: requests with keys "key:%012u", values that follow
 * from the key alone, so that every reply can be checked byte by byte while others write the same
 * keys. Pure; one thread. */
#ifndef TESTS_SUPPORT_LOAD_WORKLOAD_H
#define TESTS_SUPPORT_LOAD_WORKLOAD_H

#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"

#define WORKLOAD_VALUE_MIN 12u /* the key's digits stand at the front of its value */

enum workload_kind {
    WORKLOAD_GET,
    WORKLOAD_SET,
    WORKLOAD_MIX,  /* GET and SET in turn */
    WORKLOAD_MGET, /* of keys that follow one another */
    WORKLOAD_FILL  /* SET of every key, once and in order */
};

struct workload {
    enum workload_kind kind;
    uint64_t keys;
    size_t value_min, value_max; /* a key's size lies between, and follows from the key */
    unsigned mget_keys;
    uint64_t random; /* state */
    uint64_t asked;  /* so far */
    char *padding;   /* value_max bytes */
};

/* One request that waits for its reply. */
struct asked {
    uint64_t key;
    uint64_t at_us; /* when it was to be sent */
    bool is_set;
};

enum reply_check {
    REPLY_RIGHT,
    REPLY_MORE,  /* needed */
    REPLY_ERROR, /* an error, whole */
    REPLY_WRONG, /* not what the key's value is: the data are wrong, or the proxy is */
};

/* The kind's name is "get", "set", "mix", "mget" or "fill". */
bool workload_init(struct workload *workload, const char *kind, uint64_t keys, size_t value_min,
                   size_t value_max, struct error *err) __attribute__((warn_unused_result));
void workload_fini(struct workload *workload);
/* Appends the next request. */
void workload_ask(struct workload *workload, struct buffer *out, struct asked *asked);
/* Compares the front of `data` with what must be answered; *used says how long the reply is. */
enum reply_check workload_check(const struct workload *workload, const struct asked *asked,
                                const char *data, size_t size, size_t *used);

#endif
