/* The replies of several shards to LATENCY HISTOGRAM as one, in RESP2 or RESP3: for each command
 * its calls, and how many of them took at most so many microseconds. Pure. */
#ifndef PROXY_ROUTING_HISTOGRAMS_H
#define PROXY_ROUTING_HISTOGRAMS_H

#include "proxy/routing/aggregate.h"

/* False: nothing is appended, since some answer is no such reply. */
bool histograms_add(const struct shard_answer *answers, unsigned count, struct buffer *out)
    __attribute__((warn_unused_result));

#endif
