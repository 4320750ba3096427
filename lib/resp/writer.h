/* Writes RESP into a buffer whose limit the caller has made large enough. What looks different in
 * RESP2 and RESP3 takes the protocol, 2 or 3, and writes what Redis writes in it. Pure. */
#ifndef LIB_RESP_WRITER_H
#define LIB_RESP_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/slice.h"

void write_status(struct buffer *out, const char *text);
/* `text` with its code word, without "-" and CRLF. */
void write_error(struct buffer *out, const char *text);
void write_integer(struct buffer *out, int64_t value);
void write_bulk(struct buffer *out, struct slice text);
void write_verbatim(struct buffer *out, unsigned protocol, struct slice text); /* plain text */
void write_null(struct buffer *out, unsigned protocol);       /* instead of a string */
void write_null_array(struct buffer *out, unsigned protocol); /* instead of an array */
void write_double(struct buffer *out, unsigned protocol, double value);
void write_array(struct buffer *out, uint64_t count); /* its elements follow */
/* Their elements follow: in a map keys and values by turns. */
void write_map_header(struct buffer *out, unsigned protocol, uint64_t pairs);
void write_set_header(struct buffer *out, unsigned protocol, uint64_t count);
/* A push comes between replies and is none: RESP2 has it as an array. */
void write_push_header(struct buffer *out, unsigned protocol, uint64_t count);
/* A whole command. */
void write_command(struct buffer *out, const struct slice *argv, unsigned argc);

#endif
