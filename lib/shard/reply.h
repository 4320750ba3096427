/* What a shard answers: a tree of values, in memory of its own, freed as a whole. One thread at a
 * time. */
#ifndef LIB_SHARD_REPLY_H
#define LIB_SHARD_REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"

struct shard_reply;

enum reply_type {
    REPLY_STATUS,
    REPLY_ERROR,
    REPLY_INTEGER,
    REPLY_BULK,
    REPLY_NIL,
    REPLY_ARRAY
};

enum reply_type shard_reply_type(const struct shard_reply *reply);
int64_t shard_reply_integer(const struct shard_reply *reply);   /* 0 unless an integer */
struct slice shard_reply_text(const struct shard_reply *reply); /* empty unless it has text */
size_t shard_reply_count(const struct shard_reply *reply);      /* elements; 0 unless an array */
/* Lives as long as the whole. */
const struct shard_reply *shard_reply_at(const struct shard_reply *reply, size_t index);
/* Of a whole, as shard.h hands it out; null is allowed. */
void shard_reply_free(struct shard_reply *reply);

#endif
