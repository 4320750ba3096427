/* Numbers as an operator reads them. Pure; each returns `text`. */
#ifndef CTL_OUTPUT_HUMAN_H
#define CTL_OUTPUT_HUMAN_H

#include <stddef.h>
#include <stdint.h>

#define HUMAN_TEXT_MAX 32 /* room that is enough for each of these */

/* "850ms", "12.3s", "4m10s", "2h05m", "3d04h". */
const char *human_duration(uint64_t ms, char text[HUMAN_TEXT_MAX]);
/* "512 B", "1.5 kB", "20 MB": powers of 1024, as in redis.conf. */
const char *human_bytes(uint64_t bytes, char text[HUMAN_TEXT_MAX]);
/* "2026-11-23 03:08:39.123", UTC. */
const char *human_time(uint64_t wall_ms, char text[HUMAN_TEXT_MAX]);
#define HUMAN_LIST_MAX 60

/* A list longer than HUMAN_LIST_MAX is cut at a comma and ends in ",...": thousands of slots in one
 * line help nobody. */
const char *human_list(const char *list, char text[HUMAN_LIST_MAX + 5]);

#endif
