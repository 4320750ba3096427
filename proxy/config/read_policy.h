/* Who answers what only reads: the words of the option read-from. */
#ifndef PROXY_CONFIG_READ_POLICY_H
#define PROXY_CONFIG_READ_POLICY_H

#include <stdbool.h>

/* X(ENUM, "word") */
#define READ_POLICIES(X)                                                                      \
    X(READ_PRIMARY, "primary")                                                                \
    X(READ_PREFER_REPLICA, "prefer-replica") /* all replicas by turns, while there are any */ \
    X(READ_NEAREST, "nearest")               /* whichever answers soonest, the primary too */

enum read_policy {
#define X(symbol, word) symbol,
    READ_POLICIES(X)
#undef X
};

/* For the table of options. */
#define READ_POLICY_WORDS "primary|prefer-replica|nearest"

bool read_policy_parse(const char *word, enum read_policy *policy)
    __attribute__((warn_unused_result));

#endif
