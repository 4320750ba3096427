/* Text to numbers and back, strictly: the whole slice is the number, or it is none. Pure. */
#ifndef LIB_BASE_NUMBER_H
#define LIB_BASE_NUMBER_H

#include <stdint.h>

#include "lib/base/slice.h"

/* Decimal digits only (and a '-' for i64), no sign '+', no spaces, no overflow; "007" is fine. */
bool number_parse_u64(struct slice text, uint64_t *value) __attribute__((warn_unused_result));
bool number_parse_i64(struct slice text, int64_t *value) __attribute__((warn_unused_result));
/* A finite decimal as strtod reads it: "-1.5e3"; not "inf", "0x10" or " 1". */
bool number_parse_double(struct slice text, double *value) __attribute__((warn_unused_result));
/* "250ms", "10s", "10m", "2h", or a bare number of seconds. */
bool number_parse_duration_ms(struct slice text, uint64_t *ms) __attribute__((warn_unused_result));
/* "64kb", "1mb", "2gb" (powers of 1024, as in redis.conf), or bytes. */
bool number_parse_size(struct slice text, uint64_t *size_bytes) __attribute__((warn_unused_result));
/* Writes the decimal digits of value to text (20 bytes of room, not terminated); returns how many.
 */
unsigned number_format_u64(char *text, uint64_t value);

#endif
