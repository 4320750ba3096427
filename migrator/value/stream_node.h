/* Reads the entries of one stream node, a listpack. Pure. */
#ifndef MIGRATOR_VALUE_STREAM_NODE_H
#define MIGRATOR_VALUE_STREAM_NODE_H

#include "migrator/value/fold.h"

struct stream_id {
    uint64_t ms, sequence;
};

/* 16 bytes, big-endian. */
struct stream_id stream_id_at(const unsigned char *at);

/* The entries that are not deleted, in order. Entries count from `first`, the node's own id. */
bool stream_node_fold(struct element_source *source, struct stream_id first,
                      struct value_fold *fold) __attribute__((warn_unused_result));

#endif
