/* A reply as a tree, RESP2 or RESP3, for the control plane: COMMAND, SCAN, INFO and the like.
 * The data path has the framer, which builds nothing. Pure; any thread.
 *
 * The input is hostile until proven otherwise: depth is bounded, and an element count is refused
 * when the bytes that follow cannot hold that many elements, so the tree is never larger than a
 * small multiple of the input. */
#ifndef LIB_RESP_VALUE_H
#define LIB_RESP_VALUE_H

#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/slice.h"

#define RESP_VALUE_DEPTH_MAX 32 /* aggregates inside each other */

enum resp_type {
    RESP_STATUS,  /* + text */
    RESP_ERROR,   /* - or ! text */
    RESP_INTEGER, /* : integer */
    RESP_BULK,    /* $ text; = text without its "txt:" */
    RESP_NIL,     /* $-1, *-1, _ */
    RESP_BOOLEAN, /* # integer is 0 or 1 */
    RESP_NUMBER,  /* , or ( text: a double or a big number, as it was written */
    RESP_ARRAY,   /* * or ~ or > elements */
    RESP_MAP,     /* % elements: key, value, key, value ... (RESP2 sends the same as an array) */
};

struct resp_value {
    enum resp_type type;
    int64_t integer;
    struct slice text; /* points into the input; empty for types without text */
    const struct resp_value *elements;
    size_t count; /* of elements: for a map twice its pairs */
};

/* The one reply that `bytes` are, from the first byte to the last. The texts point into `bytes`,
 * which must outlive the tree. Null with a message when they are not one whole reply. */
struct resp_value *resp_value_parse(struct slice bytes, struct error *err)
    __attribute__((warn_unused_result));
/* The whole tree, given its root as resp_value_parse returned it; null is allowed. */
void resp_value_free(struct resp_value *root);

static inline bool resp_value_has_elements(const struct resp_value *value)
{
    return value->type == RESP_ARRAY || value->type == RESP_MAP;
}

#endif
