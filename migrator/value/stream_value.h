/* Reads a stream: its entries in order, its counters, its groups with their pending entries and
 * consumers. All that clients can see, and nothing of how it is packed. Pure. */
#ifndef MIGRATOR_VALUE_STREAM_VALUE_H
#define MIGRATOR_VALUE_STREAM_VALUE_H

#include "migrator/value/dump_reader.h"
#include "migrator/value/fold.h"

/* The three formats there are: of Redis 5, of 7.0, of 7.2. */
enum stream_format {
    STREAM_FORMAT_5 = 1,
    STREAM_FORMAT_7 = 2,
    STREAM_FORMAT_7_2 = 3
};

/* False with the reader's problem set. */
bool stream_value_read(struct dump_reader *reader, enum stream_format format,
                       struct value_fold *fold) __attribute__((warn_unused_result));

#endif
