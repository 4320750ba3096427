/* What a client may cost: named as in redis.conf, where it has them. Pure. */
#ifndef PROXY_CONFIG_LIMITS_H
#define PROXY_CONFIG_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/slice.h"

/* Redis' classes of clients, as far as a proxy has them. */
enum output_class {
    OUTPUT_NORMAL,
    OUTPUT_PUBSUB,
    OUTPUT_CLASSES
};

extern const char *const output_class_names[OUTPUT_CLASSES];

/* Unread reply bytes: above `hard` a client is cut off at once, above `soft` when it stays there
 * for so long. 0: no limit. */
struct output_limit {
    uint64_t hard_bytes, soft_bytes, soft_us;
};

struct client_limits {
    uint64_t clients_max; /* open connections, over all threads */
    uint64_t idle_us;     /* 0: none */
    unsigned keepalive_s; /* 0: none */
    uint64_t bulk_max;    /* bytes of one argument */
    uint64_t request_max; /* bytes of one command */
    struct output_limit output[OUTPUT_CLASSES];
    bool has_acl_file;   /* ACL LOAD reads it again */
    bool trusts_scripts; /* of users with limits: only the keys they name are checked */
};

/* "normal 1gb 0 0 pubsub 32mb 8mb 60"; a class that is not named has no limit. */
bool output_limits_parse(struct slice text, struct output_limit limits[OUTPUT_CLASSES],
                         struct error *err) __attribute__((warn_unused_result));

#endif
