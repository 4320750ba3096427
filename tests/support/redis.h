/* A real redis-server on a free port of 127.0.0.1, in a folder of its own. Fails the test when it
 * does not start. Main thread only. */
#ifndef TESTS_SUPPORT_REDIS_H
#define TESTS_SUPPORT_REDIS_H

#include <stdbool.h>
#include <stdint.h>

struct redis_server;

/* `options`: more words for its command line ("--maxmemory", "10mb", ...), ended by null; null:
 * none. AOF is on with appendfsync always, so that a restart comes back with all of its data. */
struct redis_server *redis_server_start(const char *const *options)
    __attribute__((warn_unused_result));
/* Without AOF: a restart comes back with nothing. */
struct redis_server *redis_server_start_in_memory(void) __attribute__((warn_unused_result));
/* As redis_server_start, with "NAME=VALUE" texts added to its environment, ended by null; they must
 * stay. */
struct redis_server *redis_server_start_in(const char *const *environment,
                                           const char *const *options)
    __attribute__((warn_unused_result));
uint16_t redis_server_port(const struct redis_server *server);
struct process *redis_server_process(struct redis_server *server);
const char *redis_server_folder(const struct redis_server *server); /* its dir */
/* kill -9. */
void redis_server_kill(struct redis_server *server);
/* Again on the same port, with its AOF, or with nothing when `is_empty`; kills it first when it
 * runs. */
void redis_server_restart(struct redis_server *server, bool is_empty);
/* kill -9, and frees it; null is allowed. */
void redis_server_stop(struct redis_server *server);

#endif
