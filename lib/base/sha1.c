/* After the text of RFC 3174: section 4 (padding), 5 (functions and constants), 6.1 (method 1). */
#include "lib/base/sha1.h"

#include <stdint.h>
#include <stdio.h>

#define BLOCK_SIZE 64

static uint32_t rotate_left(uint32_t word, unsigned bits)
{
    return (word << bits) | (word >> (32 - bits));
}

/* Section 5: f(t) + K(t). */
static uint32_t mix(unsigned t, uint32_t b, uint32_t c, uint32_t d)
{
    if (t < 20) {
        return ((b & c) | (~b & d)) + 0x5a827999u;
    }
    if (t < 40) {
        return (b ^ c ^ d) + 0x6ed9eba1u;
    }
    if (t < 60) {
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
    }
    return (b ^ c ^ d) + 0xca62c1d6u;
}

static void add_block(uint32_t hash[5], const unsigned char *block)
{
    uint32_t w[80];
    uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];
    for (unsigned t = 0; t < 16; t++) {
        const unsigned char *bytes = block + (size_t)4 * t;
        w[t] = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
               (uint32_t)bytes[3];
    }
    for (unsigned t = 16; t < 80; t++) {
        w[t] = rotate_left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    }
    for (unsigned t = 0; t < 80; t++) {
        uint32_t next = rotate_left(a, 5) + mix(t, b, c, d) + e + w[t];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    hash[0] += a;
    hash[1] += b;
    hash[2] += c;
    hash[3] += d;
    hash[4] += e;
}

/* Section 4: a one bit, zeros, and the length in bits, up to a whole block or two. */
static void add_tail(uint32_t hash[5], struct slice rest, uint64_t total_bytes)
{
    unsigned char tail[2 * BLOCK_SIZE] = {0};
    size_t size = rest.len < BLOCK_SIZE - 8 ? BLOCK_SIZE : 2 * BLOCK_SIZE;
    if (rest.len > 0) {
        memcpy(tail, rest.data, rest.len);
    }
    tail[rest.len] = 0x80;
    for (unsigned i = 0; i < 8; i++) {
        tail[size - 1 - i] = (unsigned char)((total_bytes * 8) >> (8 * i));
    }
    for (size_t at = 0; at < size; at += BLOCK_SIZE) {
        add_block(hash, tail + at);
    }
}

void sha1_hex(struct slice data, char hex[SHA1_HEX_LENGTH + 1])
{
    uint32_t hash[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    size_t whole = data.len / BLOCK_SIZE * BLOCK_SIZE;
    for (size_t at = 0; at < whole; at += BLOCK_SIZE) {
        add_block(hash, (const unsigned char *)data.data + at);
    }
    add_tail(hash, (struct slice){data.data + whole, data.len - whole}, data.len);
    for (unsigned i = 0; i < 5; i++) {
        (void)snprintf(hex + (size_t)8 * i, 9, "%08x", hash[i]);
    }
}
