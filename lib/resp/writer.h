/* Writes RESP2 into a buffer whose limit the caller has made large enough. Pure. */
#ifndef LIB_RESP_WRITER_H
#define LIB_RESP_WRITER_H

#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/slice.h"

void write_status(struct buffer *out, const char *text);
/* `text` with its code word, without "-" and CRLF. */
void write_error(struct buffer *out, const char *text);
void write_integer(struct buffer *out, int64_t value);
void write_bulk(struct buffer *out, struct slice text);
void write_nil(struct buffer *out);
void write_array(struct buffer *out, uint64_t count); /* its elements follow */
/* A whole command. */
void write_command(struct buffer *out, const struct slice *argv, unsigned argc);

#endif
