/* Eight bytes a step ("slicing by 8"): table[n][b] is the checksum of byte b followed by n zero
 * bytes, so eight look-ups that do not wait for each other advance the checksum by eight bytes. */
#include "migrator/value/crc64.h"

#include <endian.h>
#include <pthread.h>

#include "lib/base/assert.h"

/* 0xad93d23594c935a9 with its bits in reverse order. */
#define JONES_REFLECTED UINT64_C(0x95ac9329ac4bc9b5)

/* Written once, under pthread_once; constant from then on. */
static uint64_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static uint64_t byte_checksum(uint64_t byte)
{
    uint64_t crc = byte;
    for (int bit = 0; bit < 8; bit++) {
        crc = (crc >> 1) ^ ((crc & 1) != 0 ? JONES_REFLECTED : 0);
    }
    return crc;
}

static void build_table(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        table[0][byte] = byte_checksum(byte);
    }
    for (int zeros = 1; zeros < 8; zeros++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint64_t crc = table[zeros - 1][byte];
            table[zeros][byte] = table[0][crc & 0xff] ^ (crc >> 8);
        }
    }
}

static uint64_t eight_bytes(uint64_t crc, const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    word = le64toh(word) ^ crc;
    return table[7][word & 0xff] ^ table[6][(word >> 8) & 0xff] ^ table[5][(word >> 16) & 0xff] ^
           table[4][(word >> 24) & 0xff] ^ table[3][(word >> 32) & 0xff] ^
           table[2][(word >> 40) & 0xff] ^ table[1][(word >> 48) & 0xff] ^ table[0][word >> 56];
}

uint64_t crc64(struct slice bytes)
{
    int once = pthread_once(&table_once, build_table);
    ASSERT(once == 0);
    const char *at = bytes.data;
    size_t left = bytes.len;
    uint64_t crc = 0;
    for (; left >= 8; left -= 8, at += 8) {
        crc = eight_bytes(crc, at);
    }
    for (; left > 0; left--, at++) {
        crc = table[0][(crc ^ (unsigned char)*at) & 0xff] ^ (crc >> 8);
    }
    return crc;
}
