/* Reads the number of a header line as nearly everybody writes it. Pure; for lib/resp only. */
#ifndef LIB_RESP_LENGTH_H
#define LIB_RESP_LENGTH_H

#include <stddef.h>

#define LENGTH_DIGITS_MAX 9

static inline unsigned length_digit(char byte)
{
    return (unsigned char)(byte - '0');
}

/* "N" CRLF without a zero in front, whole before `end`: where it ends. Null: one for the careful
 * way, which knows what is missing or wrong. */
static inline const char *length_read(const char *at, const char *end, size_t *value)
{
    if (end - at >= 4 && length_digit(at[0]) <= 9) {
        if (at[1] == '\r' && at[2] == '\n') {
            *value = length_digit(at[0]);
            return at + 3;
        }
        if (at[2] == '\r' && at[3] == '\n' && at[0] != '0' && length_digit(at[1]) <= 9) {
            *value = 10 * length_digit(at[0]) + length_digit(at[1]);
            return at + 4;
        }
    }
    const char *from = at;
    size_t number = 0;
    while (at < end && length_digit(*at) <= 9 && at - from < LENGTH_DIGITS_MAX) {
        number = number * 10 + length_digit(*at++);
    }
    *value = number;
    return at > from && end - at >= 2 && at[0] == '\r' && at[1] == '\n' && *from != '0' ? at + 2
                                                                                        : NULL;
}

#endif
