/* hiredis' reader with replies in an arena: a group of keys is a thousand values, and two
 * allocations for each were a quarter of the migrator's work. One thread. */
#ifndef LIB_SHARD_REPLY_READER_H
#define LIB_SHARD_REPLY_READER_H

#include <stdbool.h>

#include "lib/shard/reply.h"

struct reply_reader;

struct reply_reader *reply_reader_new(void) __attribute__((warn_unused_result));
void reply_reader_free(struct reply_reader *reader); /* null is allowed */
/* Copies what has come. False when the bytes are no reply: reply_reader_why says so, and nothing
 * more can be read. */
bool reply_reader_feed(struct reply_reader *reader, const char *bytes, size_t count);
/* The next reply that is complete, the caller's from now on; null in *reply: it is not all there
 * yet. False as above. */
bool reply_reader_next(struct reply_reader *reader, struct shard_reply **reply);
const char *reply_reader_why(const struct reply_reader *reader);

#endif
