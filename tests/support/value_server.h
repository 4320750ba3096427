/* A real redis-server that makes values, for the tests of migrator/value: what it writes is read by
 * our code. Set-ups for cmocka; *state is the server. Fails the test when it cannot go on. */
#ifndef TESTS_SUPPORT_VALUE_SERVER_H
#define TESTS_SUPPORT_VALUE_SERVER_H

#include "lib/base/slice.h"

struct value_server;

/* Of a group of tests. */
int value_server_start(void **state);
int value_server_stop(void **state);

/* Runs commands, one a line, words as client_ask has them; none may be refused. */
void run(struct value_server *server, const char *lines);
/* A copy of a string's bytes, and of what DUMP answers; freed with payload_free. Its memory ends
 * with its last byte, so that the address sanitizer sees every read behind it. */
struct slice string_of(struct value_server *server, const char *key);
struct slice dump_of(struct value_server *server, const char *key);
void payload_free(struct slice payload);
void restore(struct value_server *server, const char *key, struct slice dump);
void assert_encoding(struct value_server *server, const char *key, const char *encoding);

/* Lines that make values of few elements be kept as those of many are, and the other way round. */
#define SMALL_LIMITS                           \
    "CONFIG SET hash-max-listpack-entries 0\n" \
    "CONFIG SET zset-max-listpack-entries 0\n" \
    "CONFIG SET set-max-intset-entries 0\n"    \
    "CONFIG SET list-max-listpack-size 2\n"    \
    "CONFIG SET stream-node-max-entries 2\n"
#define LARGE_LIMITS                                \
    "CONFIG SET hash-max-listpack-entries 100000\n" \
    "CONFIG SET hash-max-listpack-value 100000\n"   \
    "CONFIG SET zset-max-listpack-entries 100000\n" \
    "CONFIG SET zset-max-listpack-value 100000\n"   \
    "CONFIG SET set-max-intset-entries 100000\n"    \
    "CONFIG SET list-max-listpack-size -5\n"        \
    "CONFIG SET stream-node-max-entries 100\n"

#endif
