/* Finds where one reply ends, in bytes that arrive in any pieces, without building anything.
 * RESP2 and RESP3 (https://redis.io/docs/reference/protocol-spec): a nested reply needs no stack,
 * only the number of values still to come. Pure. */
#ifndef LIB_RESP_FRAMER_H
#define LIB_RESP_FRAMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum parse_status {
    PARSE_OK,   /* one whole value */
    PARSE_MORE, /* not yet: feed what comes next */
    PARSE_BAD,  /* not RESP: the connection is of no use any more */
};

/* Only framer.c reads the fields. All zero is a framer at the start of a value. */
struct framer {
    uint64_t values_left; /* of the current top-level value; 0: between two */
    uint64_t body_left;   /* bytes of a bulk body, its CRLF included */
    uint64_t number;      /* of the header that is being read */
    uint8_t state;
    char type;
    bool is_negative;
    bool has_digits;
    bool has_return;
};

/* The length of one whole value without elements at the front of the data, as nearly all replies
 * are. 0 leaves it to framer_feed: it is not whole, or another type, or odd. */
size_t framer_flat(const char *data, size_t size);

/* Reads on from data. *consumed says how many bytes belong to the current value; after PARSE_OK the
 * framer is at the start of the next. */
enum parse_status framer_feed(struct framer *framer, const char *data, size_t size,
                              size_t *consumed);

#endif
