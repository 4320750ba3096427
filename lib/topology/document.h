/* The topology as JSON and back. Both are strict: a document that does not validate is neither
 * written nor adopted. jansson; control plane. */
#ifndef LIB_TOPOLOGY_DOCUMENT_H
#define LIB_TOPOLOGY_DOCUMENT_H

#include "lib/base/buffer.h"
#include "lib/topology/topology.h"

/* Null with a message that says where and why; an unknown `format` has its own
 * ("... format 7, this program knows 1: upgrade it first"). */
struct topology *document_parse(struct slice text, struct error *err)
    __attribute__((warn_unused_result));
/* Indented JSON with a final newline; slots as "0-99,200" texts by shard name. */
void document_format(const struct topology *topology, struct buffer *text);

#endif
