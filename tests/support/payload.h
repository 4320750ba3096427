/* Writes DUMP payloads by hand, for the encodings that no server at hand writes any more, or yet.
 */
#ifndef TESTS_SUPPORT_PAYLOAD_H
#define TESTS_SUPPORT_PAYLOAD_H

#include <stdint.h>

#include "lib/base/buffer.h"

/* Numbers of so many bytes. */
void put_byte(struct buffer *out, unsigned byte);
void put_little(struct buffer *out, uint64_t number, unsigned width_bytes);
void put_big(struct buffer *out, uint64_t number, unsigned width_bytes);
/* The shortest form. */
void put_length(struct buffer *out, uint64_t length);
void put_text(struct buffer *out, struct slice text);
void put_words(struct buffer *out, const char *const *words, size_t count);
/* A ziplist, itself a text of the payload. */
void put_ziplist(struct buffer *out, const char *const *words, size_t count);
/* The RDB version and the checksum. */
void put_footer(struct buffer *out, unsigned version);

#endif
