/* The checksum at the end of a DUMP payload: CRC-64 with Jones' polynomial, reflected, as the RDB
 * format has it. Any thread. */
#ifndef MIGRATOR_VALUE_CRC64_H
#define MIGRATOR_VALUE_CRC64_H

#include <stdint.h>

#include "lib/base/slice.h"

/* Of "123456789": 0xe9c6d914c4b8d9ca. */
uint64_t crc64(struct slice bytes);

#endif
