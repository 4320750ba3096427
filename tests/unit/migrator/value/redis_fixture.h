/* A real redis-server for the tests of this folder: free port, own folder, ended by its pid.
 * Commands are written as in redis-cli: words, 'quoted words' and "quoted words". */
#ifndef TESTS_UNIT_MIGRATOR_VALUE_REDIS_FIXTURE_H
#define TESTS_UNIT_MIGRATOR_VALUE_REDIS_FIXTURE_H

#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/slice.h"

#define START_DEADLINE_US UINT64_C(10000000)
#define WORDS_MAX         512
#define COMMAND_ROOM      8192

struct redis_fixture {
    pid_t pid;
    int port;
    char folder[64];
    redisContext *connection;
};

static inline int fixture_free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline void fixture_exec(const struct redis_fixture *redis)
{
    char port[16];
    (void)snprintf(port, sizeof(port), "%d", redis->port);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
           "--appendonly", "no", "--dir", redis->folder, "--logfile", "log",
           "--enable-debug-command", "yes", (char *)NULL);
    _exit(127);
}

static inline int fixture_start(void **state)
{
    struct redis_fixture *redis = mem_zalloc(sizeof(*redis));
    (void)snprintf(redis->folder, sizeof(redis->folder), "/tmp/value-test.XXXXXX");
    assert_non_null(mkdtemp(redis->folder));
    redis->port = fixture_free_port();
    redis->pid = fork();
    assert_true(redis->pid >= 0);
    if (redis->pid == 0) {
        fixture_exec(redis);
    }
    uint64_t deadline = clock_now_us() + START_DEADLINE_US;
    for (;;) {
        redis->connection = redisConnect("127.0.0.1", redis->port);
        if (redis->connection != NULL && redis->connection->err == 0) {
            break;
        }
        redisFree(redis->connection);
        assert_true(clock_now_us() < deadline);
        clock_sleep_ms(5);
    }
    *state = redis;
    return 0;
}

static inline int fixture_stop(void **state)
{
    struct redis_fixture *redis = *state;
    redisFree(redis->connection);
    (void)kill(redis->pid, SIGKILL);
    (void)waitpid(redis->pid, NULL, 0);
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/log", redis->folder);
    (void)unlink(path);
    (void)rmdir(redis->folder);
    mem_free(redis);
    return 0;
}

/* Cuts `line` into words, in place. */
static inline int fixture_words(char *line, const char **words)
{
    int count = 0;
    char *at = line;
    while (*(at += strspn(at, " ")) != '\0') {
        assert_true(count < WORDS_MAX);
        bool is_quoted = *at == '"' || *at == '\'';
        char end[2] = " ";
        if (is_quoted) {
            end[0] = *at++;
        }
        words[count++] = at;
        at += strcspn(at, end);
        if (*at != '\0') {
            *at++ = '\0';
        }
    }
    return count;
}

/* The reply, which must be no error; the caller frees it. */
static inline redisReply *fixture_words_reply(struct redis_fixture *redis, int count,
                                              const char **words, const size_t *lengths)
{
    redisReply *reply = redisCommandArgv(redis->connection, count, words, lengths);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR) {
        fail_msg("%s %s: %s", words[0], count > 1 ? words[1] : "", reply->str);
    }
    return reply;
}

static inline redisReply *fixture_line_reply(struct redis_fixture *redis, const char *line)
{
    char copy[COMMAND_ROOM];
    const char *words[WORDS_MAX];
    assert_true(strlen(line) < sizeof(copy));
    (void)snprintf(copy, sizeof(copy), "%s", line);
    int count = fixture_words(copy, words);
    return fixture_words_reply(redis, count, words, NULL);
}

/* Runs commands, one a line. */
static inline void run(struct redis_fixture *redis, const char *lines)
{
    char copy[COMMAND_ROOM];
    assert_true(strlen(lines) < sizeof(copy));
    (void)snprintf(copy, sizeof(copy), "%s", lines);
    char *rest = copy;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (line[strspn(line, " ")] != '\0') {
            freeReplyObject(fixture_line_reply(redis, line));
        }
    }
}

/* A copy of what DUMP answers; freed with payload_free. Its memory ends with its last byte, so
 * that the address sanitizer sees every read behind it. */
static inline struct slice dump_of(struct redis_fixture *redis, const char *key)
{
    const char *words[] = {"DUMP", key};
    redisReply *reply = fixture_words_reply(redis, 2, words, NULL);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    struct slice copy = {mem_dup(reply->str, reply->len), reply->len};
    freeReplyObject(reply);
    return copy;
}

static inline void payload_free(struct slice payload)
{
    union {
        const char *borrowed;
        void *owned;
    } memory = {.borrowed = payload.data};

    mem_free(memory.owned);
}

static inline void restore(struct redis_fixture *redis, const char *key, struct slice dump)
{
    const char *words[] = {"RESTORE", key, "0", dump.data, "REPLACE"};
    const size_t lengths[] = {7, strlen(key), 1, dump.len, 7};
    freeReplyObject(fixture_words_reply(redis, 5, words, lengths));
}

static inline void assert_encoding(struct redis_fixture *redis, const char *key,
                                   const char *encoding)
{
    const char *words[] = {"OBJECT", "ENCODING", key};
    redisReply *reply = fixture_words_reply(redis, 3, words, NULL);
    assert_string_equal(reply->str, encoding);
    freeReplyObject(reply);
}

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
