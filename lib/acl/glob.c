#include "lib/acl/glob.h"

/* What one byte of the text must be: the pattern's element at `at`, and where the next begins. */
struct element {
    size_t next;
    bool fits;
};

/* "[...]": a set of bytes and ranges, or its complement; without an end it goes to the end. */
static struct element match_set(struct slice pattern, size_t at, unsigned char byte)
{
    size_t i = at + 1;
    bool is_complement = i < pattern.len && pattern.data[i] == '^';
    bool is_in = false;
    i += is_complement ? 1 : 0;
    for (; i < pattern.len && pattern.data[i] != ']'; i++) {
        unsigned char low = (unsigned char)pattern.data[i];
        unsigned char high = low;
        if (low == '\\' && i + 1 < pattern.len) {
            low = high = (unsigned char)pattern.data[++i];
        } else if (i + 2 < pattern.len && pattern.data[i + 1] == '-') {
            high = (unsigned char)pattern.data[i + 2];
            i += 2;
        }
        is_in = is_in || (low <= high ? byte >= low && byte <= high : byte >= high && byte <= low);
    }
    return (struct element){i < pattern.len ? i + 1 : i, is_in != is_complement};
}

static struct element match_one(struct slice pattern, size_t at, unsigned char byte)
{
    char c = pattern.data[at];
    if (c == '?') {
        return (struct element){at + 1, true};
    }
    if (c == '[') {
        return match_set(pattern, at, byte);
    }
    if (c == '\\' && at + 1 < pattern.len) {
        at++;
    }
    return (struct element){at + 1, (unsigned char)pattern.data[at] == byte};
}

/* Only the last star is ever tried again: whatever an earlier one could take, it can as well. */
bool glob_matches(struct slice pattern, struct slice text)
{
    size_t p = 0, t = 0, star = pattern.len, star_text = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            star_text = t;
            continue;
        }
        struct element element = {p, false};
        if (p < pattern.len) {
            element = match_one(pattern, p, (unsigned char)text.data[t]);
        }
        if (element.fits) {
            p = element.next;
            t++;
        } else if (star < pattern.len) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*') {
        p++;
    }
    return p == pattern.len;
}
