#include "tests/support/chaos/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"

#define WORDS_MAX     8
#define SCRIPT_ONE_IN 10
#define MULTI_ONE_IN  8
#define LONG_ONE_IN   20
#define LONG_VALUE    600

/* %v: a value of its own; %f: one of a few fields; %n: one of a few fields that hold numbers. Each
 * is as likely as the others of its family, so the frequent ones stand there several times. */
static const char *const registers[] = {
    "GET",    "GET",       "GET",      "GET",       "GET", "SET %v", "SET %v",
    "SET %v", "GETSET %v", "SETNX %v", "APPEND %v", "DEL", "GETDEL", NULL,
};
static const char *const counters[] = {
    "GET", "GET", "GET", "INCR", "INCR", "INCR", "INCR", "INCRBY 7", "INCRBY -3", NULL,
};
static const char *const hashes[] = {
    "HGET %f",      "HGET %f",      "HGET %n", "HSET %f %v", "HSET %f %v", "HDEL %f",
    "HINCRBY %n 1", "HINCRBY %n 5", "HLEN",    "HSET %f %v", NULL,
};
static const char *const lists[] = {
    "RPUSH %v", "RPUSH %v", "LPUSH %v",    "LPOP",        "RPOP",
    "LLEN",     "LPOP",     "LRANGE 0 -1", "LRANGE 0 -1", NULL,
};

static const struct family {
    const char *name;
    const char *const *commands;
    const char *final[7];
} families[CALL_FAMILIES] = {
    [CALL_REGISTER] = {"register", registers, {"GET"}},
    [CALL_COUNTER] = {"counter", counters, {"GET"}},
    [CALL_HASH] = {"hash", hashes, {"HLEN", "HGET fa", "HGET fb", "HGET fc", "HGET na", "HGET nb"}},
    [CALL_LIST] = {"list", lists, {"LRANGE 0 -1"}},
};

const char *call_family_name(enum call_family family)
{
    return families[family].name;
}

const char *call_final(enum call_family family, unsigned i)
{
    return families[family].final[i];
}

bool call_writes(const char *command)
{
    if (strchr(command, '|') != NULL) {
        return true;
    }
    return strcmp(command, "GET") != 0 && strncmp(command, "HGET", 4) != 0 &&
           strcmp(command, "HLEN") != 0 && strcmp(command, "LLEN") != 0 &&
           strncmp(command, "LRANGE", 6) != 0;
}

/* --- choosing -------------------------------------------------------------------------------- */

static void add_word(struct buffer *text, char kind, struct random *random, unsigned client,
                     uint64_t sequence)
{
    if (kind == 'f') {
        buffer_printf(text, "f%c", (char)('a' + random_below(random, 3)));
    } else if (kind == 'n') {
        buffer_printf(text, "n%c", (char)('a' + random_below(random, 2)));
    } else {
        buffer_printf(text, "%u.%llu", client, (unsigned long long)sequence);
        if (random_below(random, LONG_ONE_IN) == 0) {
            buffer_printf(text, "-%0*d", LONG_VALUE, 0);
        }
    }
}

static void add_command(struct buffer *text, enum call_family family, struct random *random,
                        unsigned client, uint64_t sequence)
{
    const char *const *commands = families[family].commands;
    unsigned count = 0;
    while (commands[count] != NULL) {
        count++;
    }
    for (const char *at = commands[random_below(random, count)]; *at != '\0'; at++) {
        if (*at == '%') {
            add_word(text, *++at, random, client, sequence);
        } else {
            buffer_add(text, at, 1);
        }
    }
}

void call_choose(struct call *call, enum call_family family, struct random *random, unsigned client,
                 uint64_t sequence)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    *call = (struct call){.is_scripted = random_below(random, SCRIPT_ONE_IN) == 0};
    add_command(&text, family, random, client, sequence);
    if (random_below(random, MULTI_ONE_IN) == 0) {
        buffer_add_text(&text, "|");
        add_command(&text, family, random, client, sequence);
    }
    call->command = mem_strndup(buffer_slice(&text).data, buffer_length(&text));
    buffer_fini(&text);
}

/* --- sending --------------------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum call_outcome judge_error(const char *error)
{
    /* Redis says these before it executes anything. */
    static const char *const refusals[] = {"UNAVAILABLE", "OOM ",      "BUSY ",     "LOADING ",
                                           "MISCONF ",    "READONLY ", "EXECABORT "};
    if (starts_with(error, "UNKNOWN ")) {
        return CALL_UNKNOWN;
    }
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (starts_with(error, refusals[i])) {
            return CALL_REFUSED;
        }
    }
    return CALL_STRANGE;
}

static int split(char *command, const char *key, bool is_scripted, const char **argv)
{
    int argc = 0;
    char *rest = NULL;
    char *name = strtok_r(command, " ", &rest);
    if (is_scripted) {
        argv[argc++] = "EVAL";
        argv[argc++] = "return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))";
        argv[argc++] = "1";
        argv[argc++] = key;
        argv[argc++] = name;
    } else {
        argv[argc++] = name;
        argv[argc++] = key;
    }
    char *word;
    while ((word = strtok_r(NULL, " ", &rest)) != NULL) {
        ASSERT(argc < WORDS_MAX);
        argv[argc++] = word;
    }
    return argc;
}

static void append_one(char *words, bool is_scripted, redisContext *context, const char *key)
{
    const char *argv[WORDS_MAX];
    int argc = split(words, key, is_scripted, argv);
    /* Only out of memory fails here, and that ends the process. */
    (void)redisAppendCommandArgv(context, argc, argv, NULL);
}

void call_append(const struct call *call, redisContext *context, const char *key)
{
    char *words = mem_strdup(call->command);
    char *second = strchr(words, '|');
    if (second != NULL) {
        *second++ = '\0';
        (void)redisAppendCommand(context, "MULTI");
    }
    append_one(words, call->is_scripted, context, key);
    if (second != NULL) {
        append_one(second, call->is_scripted, context, key);
        (void)redisAppendCommand(context, "EXEC");
    }
    mem_free(words);
}

/* Null when the connection is lost; then it is freed. */
static redisReply *take_reply(struct call *call, redisContext **context)
{
    void *answer = NULL;
    if (*context != NULL && redisGetReply(*context, &answer) != REDIS_OK) {
        call->is_given_up = (*context)->err == REDIS_ERR_IO && errno == EAGAIN;
        redisFree(*context);
        *context = NULL;
        return NULL;
    }
    return answer;
}

/* A script in a transaction is refused when it writes, not when it is queued. What refuses (the
 * memory, the disk) does not change inside of EXEC: where one write was refused, none was done. */
static enum call_outcome judge_reply(const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        return judge_error(reply->str);
    }
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const redisReply *element = reply->element[i];
        if (element->type == REDIS_REPLY_ERROR && judge_error(element->str) == CALL_REFUSED) {
            return CALL_REFUSED;
        }
    }
    return CALL_ANSWERED;
}

void call_take(struct call *call, redisContext **context)
{
    bool is_multi = strchr(call->command, '|') != NULL;
    for (unsigned i = 0; is_multi && i < 3; i++) {
        redisReply *ignored = take_reply(call, context); /* EXEC's says what came of it */
        if (ignored != NULL) {
            freeReplyObject(ignored);
        }
    }
    redisReply *reply = take_reply(call, context);
    if (reply == NULL) {
        call->outcome = CALL_UNKNOWN;
        return;
    }
    call->outcome = judge_reply(reply);
    call->result = client_reply_text(reply);
    freeReplyObject(reply);
}

void call_send(struct call *call, redisContext **context, const char *key)
{
    call_append(call, *context, key);
    call_take(call, context);
}

void call_fini(struct call *call)
{
    mem_free(call->command);
    mem_free(call->result);
}
