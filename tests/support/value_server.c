#include "tests/support/value_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/redis.h"

struct value_server {
    struct redis_server *redis;
    struct client *client;
};

int value_server_start(void **state)
{
    struct value_server *server = mem_zalloc(sizeof(*server));
    server->redis = redis_server_start_in_memory();
    server->client = client_connect(redis_server_port(server->redis));
    *state = server;
    return 0;
}

int value_server_stop(void **state)
{
    struct value_server *server = *state;
    client_close(server->client);
    redis_server_stop(server->redis);
    mem_free(server);
    return 0;
}

static void run_line(struct value_server *server, const char *line)
{
    char *reply = client_ask(server->client, line);
    if (reply[0] == '-') {
        fail_msg("%s: %s", line, reply);
    }
    mem_free(reply);
}

void run(struct value_server *server, const char *lines)
{
    char *copy = mem_strdup(lines);
    char *rest = copy;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (line[strspn(line, " ")] != '\0') {
            run_line(server, line);
        }
    }
    mem_free(copy);
}

/* `command` of the key, which answers a string. */
static redisReply *ask_string(struct value_server *server, const char *command, const char *key)
{
    redisReply *reply = redisCommand(client_context(server->client), command, key);
    assert_non_null(reply);
    if (reply->type != REDIS_REPLY_STRING) {
        fail_msg("%s of %s: no string", command, key);
    }
    return reply;
}

static struct slice copy_of(redisReply *reply)
{
    struct slice copy = {mem_dup(reply->str, reply->len), reply->len};
    freeReplyObject(reply);
    return copy;
}

struct slice string_of(struct value_server *server, const char *key)
{
    return copy_of(ask_string(server, "GET %s", key));
}

struct slice dump_of(struct value_server *server, const char *key)
{
    return copy_of(ask_string(server, "DUMP %s", key));
}

void payload_free(struct slice payload)
{
    union {
        const char *borrowed;
        void *owned;
    } memory = {.borrowed = payload.data};

    mem_free(memory.owned);
}

void restore(struct value_server *server, const char *key, struct slice dump)
{
    redisReply *reply = redisCommand(client_context(server->client), "RESTORE %s 0 %b REPLACE", key,
                                     dump.data, dump.len);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR) {
        fail_msg("RESTORE %s: %s", key, reply->str);
    }
    freeReplyObject(reply);
}

void assert_encoding(struct value_server *server, const char *key, const char *encoding)
{
    redisReply *reply = ask_string(server, "OBJECT ENCODING %s", key);
    assert_string_equal(reply->str, encoding);
    freeReplyObject(reply);
}
