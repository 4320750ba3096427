/* A control byte below 32 is followed by that many bytes plus one, to be taken as they are. Any
 * other begins a reference: LLLooooo [more length, if LLL is 7] oooooooo, which repeats LLL + 2
 * bytes from offset + 1 bytes back. */
#include "migrator/value/lzf.h"

#include <stdint.h>

struct unpacking {
    const unsigned char *in, *in_end;
    char *out_start, *out, *out_end;
};

size_t lzf_unpacked_max(size_t packed_bytes)
{
    return packed_bytes > SIZE_MAX / 88 ? SIZE_MAX : packed_bytes * 88;
}

static bool take_literal(struct unpacking *u, size_t length)
{
    if ((size_t)(u->in_end - u->in) < length || (size_t)(u->out_end - u->out) < length) {
        return false;
    }
    memcpy(u->out, u->in, length);
    u->in += length;
    u->out += length;
    return true;
}

static bool repeat(struct unpacking *u, size_t distance, size_t length)
{
    if ((size_t)(u->out - u->out_start) < distance || (size_t)(u->out_end - u->out) < length) {
        return false;
    }
    const char *from = u->out - distance;
    if (distance >= length) {
        memcpy(u->out, from, length);
    } else {
        for (size_t i = 0; i < length; i++) {
            u->out[i] = from[i]; /* may overlap: it repeats what it has just written */
        }
    }
    u->out += length;
    return true;
}

static bool take_reference(struct unpacking *u, unsigned control)
{
    size_t length = control >> 5;
    if (length == 7) {
        if (u->in == u->in_end) {
            return false;
        }
        length += *u->in++;
    }
    if (u->in == u->in_end) {
        return false;
    }
    size_t distance = ((size_t)(control & 0x1f) << 8) + *u->in++ + 1;
    return repeat(u, distance, length + 2);
}

bool lzf_unpack(struct slice packed, char *out, size_t size_bytes)
{
    const unsigned char *in = (const unsigned char *)packed.data;
    struct unpacking u = {.in = in, .in_end = in + packed.len};
    u.out_start = u.out = out;
    u.out_end = out + size_bytes;
    while (u.in < u.in_end) {
        unsigned control = *u.in++;
        bool is_good =
            control < 32 ? take_literal(&u, (size_t)control + 1) : take_reference(&u, control);
        if (!is_good) {
            return false;
        }
    }
    return u.out == u.out_end;
}
