/* How the replies of several shards become one, by the response policy that the server publishes
 * with the command. Pure. */
#ifndef PROXY_ROUTING_AGGREGATE_H
#define PROXY_ROUTING_AGGREGATE_H

#include "lib/base/buffer.h"
#include "lib/command/command.h"

/* One whole reply, which the caller keeps. */
struct shard_answer {
    struct slice reply;
    bool is_error;
};

/* The answer that stands for all of them when the command failed: that of the shard which may or
 * may not have executed it, else the first error. Null: it did not fail. */
const struct shard_answer *aggregate_failure(enum response_policy policy,
                                             const struct shard_answer *answers, unsigned count);
/* Appends that failure's error. Where a write was executed on one shard and not on another, that is
 * "-UNKNOWN", and true: "-UNAVAILABLE" promises that nothing was. */
bool aggregate_error(const struct shard_answer *failure, const struct shard_answer *answers,
                     unsigned count, bool is_write, struct buffer *out);
/* Appends the one reply of answers that did not fail. At least one answer. */
void aggregate(enum response_policy policy, const struct shard_answer *answers, unsigned count,
               struct buffer *out);

#endif
