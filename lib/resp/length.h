/* Reads the number of a header line as nearly everybody writes it. Pure; for lib/resp only. */
#ifndef LIB_RESP_LENGTH_H
#define LIB_RESP_LENGTH_H

#include <stddef.h>
#include <string.h>

#define LENGTH_DIGITS_MAX 9
#define LENGTH_SHORTEST   5 /* of what a header and what it announces have: "$", a digit, ... */

struct length {
    const char *next; /* behind the line; null: one for the careful way */
    size_t value;
};

static inline unsigned length_digit(char byte)
{
    return (unsigned char)(byte - '0');
}

static inline int length_ends(const char *at)
{
    return memcmp(at, "\r\n", 2) == 0;
}

/* Of any number of digits. */
static inline struct length length_read_long(const char *at, const char *end)
{
    const char *from = at;
    size_t number = 0;
    while (at < end && length_digit(*at) <= 9 && at - from < LENGTH_DIGITS_MAX) {
        number = number * 10 + length_digit(*at++);
    }
    int is_whole = at > from && end - at >= 2 && length_ends(at) && *from != '0';
    return (struct length){is_whole ? at + 2 : NULL, number};
}

/* The mark, "N" CRLF without a zero in front, whole before `end`, and as many bytes behind it as
 * the shortest value has. What is not so the careful way looks at, which knows what is missing or
 * wrong. */
static inline struct length length_read(const char *at, const char *end, char mark)
{
    if (end - at < LENGTH_SHORTEST || at[0] != mark) {
        return (struct length){NULL, 0};
    }
    size_t first = length_digit(at[1]);
    if (first > 9) {
        return (struct length){NULL, 0};
    }
    if (length_ends(at + 2)) {
        return (struct length){at + 4, first};
    }
    if (length_ends(at + 3) && first != 0 && length_digit(at[2]) <= 9) {
        return (struct length){at + 5, 10 * first + length_digit(at[2])};
    }
    return length_read_long(at + 1, end);
}

#endif
