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
/* JSON with a final newline, as it stands in the store; slots as slot_set_format_hex by shard name:
 * all proxies read it while clients wait in a hold. */
void document_format(const struct topology *topology, struct buffer *text);
/* The same for people: slots as "0-99,200". */
void document_format_readable(const struct topology *topology, struct buffer *text);

#endif
