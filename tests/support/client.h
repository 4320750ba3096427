/* A Redis client for tests: `expect(c, "SET a 1", "+OK")`. Fails the test when it cannot go on.
 *
 * Replies are written as one line: a status "+OK", an error "-ERR ...", an integer ":1", a bulk as
 * its bytes, nil as "(nil)", an array as "[a, :1, (nil)]". */
#ifndef TESTS_SUPPORT_CLIENT_H
#define TESTS_SUPPORT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

struct client;

/* To 127.0.0.1. Fails the test when nobody answers. */
struct client *client_connect(uint16_t port) __attribute__((warn_unused_result));
/* Null when nobody answers within a second. */
struct client *client_try_connect(uint16_t port) __attribute__((warn_unused_result));
void client_close(struct client *client); /* null is allowed */
redisContext *client_context(struct client *client);

/* Sends one command, words split at spaces ("..." or '...' with C escapes where needed), and
 * returns the reply as text, freed with mem_free; "closed" when the connection is lost. */
char *client_ask(struct client *client, const char *command) __attribute__((warn_unused_result));
/* The same with arguments of any bytes. */
char *client_ask_argv(struct client *client, int argc, const char **argv, const size_t *lengths)
    __attribute__((warn_unused_result));
char *client_reply_text(const redisReply *reply) __attribute__((warn_unused_result));

/* Fail the test unless the reply is, or starts with, that text. */
#define expect(client, command, reply) \
    client_expect((client), (command), (reply), false, __FILE__, __LINE__)
#define expect_prefix(client, command, reply) \
    client_expect((client), (command), (reply), true, __FILE__, __LINE__)
void client_expect(struct client *client, const char *command, const char *reply, bool is_prefix,
                   const char *file, int line);
/* Asks until the reply is that text: fails the test with the last one after so many ms. */
#define expect_within(client, command, reply, ms) \
    client_expect_within((client), (command), (reply), (ms), __FILE__, __LINE__)
void client_expect_within(struct client *client, const char *command, const char *reply,
                          uint64_t ms, const char *file, int line);
/* The words with `tag` for every '%'; freed with mem_free. */
char *words_with(const char *words, const char *tag) __attribute__((warn_unused_result));
/* True when the reply is that text: for WAIT_UNTIL. */
bool client_gets(struct client *client, const char *command, const char *reply);

#endif
