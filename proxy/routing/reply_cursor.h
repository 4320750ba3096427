/* Walks over the values of a captured reply, RESP2 or RESP3. Pure. */
#ifndef PROXY_ROUTING_REPLY_CURSOR_H
#define PROXY_ROUTING_REPLY_CURSOR_H

#include <stdint.h>

#include "lib/base/slice.h"

/* Cuts the next whole value, nested ones included, off the front of *rest. False at the end. */
bool reply_next(struct slice *rest, struct slice *value) __attribute__((warn_unused_result));
/* The element count of an array value, whose elements are then in *elements. -1: not an array. */
int64_t reply_array(struct slice value, struct slice *elements);
/* The pairs of a map, which in RESP2 is an array. -1: neither. */
int64_t reply_map(struct slice value, struct slice *elements);
/* ":N". False for anything else. */
bool reply_integer(struct slice value, int64_t *number) __attribute__((warn_unused_result));
/* The null of a string or an array. */
bool reply_is_null(struct slice value) __attribute__((warn_unused_result));
/* The text of a bulk string. False for null and anything else. */
bool reply_bulk(struct slice value, struct slice *text) __attribute__((warn_unused_result));
/* The text of a verbatim string of RESP3, without its kind. False for anything else. */
bool reply_verbatim(struct slice value, struct slice *text) __attribute__((warn_unused_result));
/* The value behind a name in an array of names and values, as a map is in RESP2. */
bool reply_field(struct slice map, const char *name, struct slice *value)
    __attribute__((warn_unused_result));
/* The text behind '-' without CRLF; empty when it is no error. */
struct slice reply_error(struct slice value);

#endif
