/* One redis-server for the unit tests of lib/shard and lib/cluster, and calls of scripts on it as
 * lines of text. Fails the test when it cannot go on. Main thread. */
#ifndef TESTS_SUPPORT_SHARD_SERVER_H
#define TESTS_SUPPORT_SHARD_SERVER_H

#include <stdint.h>

#include "lib/shard/shard.h"

struct shard_server;

/* On a free port of 127.0.0.1 with a folder of its own; with an AOF, fsync always, if asked. */
struct shard_server *shard_server_start(bool has_aof) __attribute__((warn_unused_result));
/* SIGKILL, and a new process at the same port over the same folder. */
void shard_server_restart(struct shard_server *server);
void shard_server_kill(struct shard_server *server); /* keeps the folder, for a restart */
void shard_server_stop(struct shard_server *server); /* removes the folder; null is allowed */
uint16_t shard_server_port(const struct shard_server *server);
/* rm -rf */
void shard_server_remove_folder(const char *path);
struct shard_link *shard_server_open(const struct shard_server *server)
    __attribute__((warn_unused_result));

/* "+OK", "-ERR ...", ":1", a bulk's bytes, "(nil)", "[a, :1]"; freed with mem_free. Consumes the
 * reply. */
char *reply_as_text(struct shard_reply *reply) __attribute__((warn_unused_result));
/* One command, words split at spaces. */
char *ask(struct shard_link *link, const char *command) __attribute__((warn_unused_result));
/* One of ours, loaded when it is not there: KEYS and ARGV as words split at spaces; "$" in `args`
 * stands for the link's run id and replid, '' for the empty word. */
char *ask_script(struct shard_link *link, enum shard_script script, const char *keys,
                 const char *args) __attribute__((warn_unused_result));

#define expect_answer(actual, text) expect_answer_at((actual), (text), __FILE__, __LINE__)
/* Consumes `actual`. */
void expect_answer_at(char *actual, const char *text, const char *file, int line);
#define expect_ask(link, command, text) expect_answer(ask((link), (command)), (text))
#define expect_script(link, script, keys, args, text) \
    expect_answer(ask_script((link), (script), (keys), (args)), (text))

#endif
