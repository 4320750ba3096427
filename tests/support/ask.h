/* Questions to a server over the product's own link, and calls of its scripts, as lines of text.
 * Fails the test when it cannot go on. Main thread. */
#ifndef TESTS_SUPPORT_ASK_H
#define TESTS_SUPPORT_ASK_H

#include "lib/shard/shard.h"
#include "tests/support/redis.h"

struct shard_link *ask_open(const struct redis_server *server) __attribute__((warn_unused_result));

/* "+OK", "-ERR ...", ":1", a bulk's bytes, "(nil)", "[a, :1]"; freed with mem_free. Consumes the
 * reply. */
char *reply_as_text(struct shard_reply *reply) __attribute__((warn_unused_result));
/* One command, words split at spaces. */
char *ask(struct shard_link *link, const char *command) __attribute__((warn_unused_result));
/* One of ours, loaded when it is not there: KEYS and ARGV as words split at spaces; "$" in `args`
 * stands for the link's run id and replid, '' for the empty word. */
char *ask_script(struct shard_link *link, enum shard_script script, const char *keys,
                 const char *args) __attribute__((warn_unused_result));

/* Fail the test unless the answer is, or starts with, that text. Consume `actual`. */
#define expect_answer(actual, text) expect_answer_at((actual), (text), false, __FILE__, __LINE__)
#define expect_answer_prefix(actual, text) \
    expect_answer_at((actual), (text), true, __FILE__, __LINE__)
void expect_answer_at(char *actual, const char *text, bool is_prefix, const char *file, int line);
#define expect_ask(link, command, text) expect_answer(ask((link), (command)), (text))
#define expect_script(link, script, keys, args, text) \
    expect_answer(ask_script((link), (script), (keys), (args)), (text))

#endif
