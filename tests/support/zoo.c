#include "tests/support/zoo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"

#define COPIES 12  /* of every kind, in different slots */
#define LARGE  600 /* elements: beyond every listpack limit of Redis' defaults */
#define FAR    "4000000000123"

/* One kind of key: how it is made ("%k": its name, "%i": 0 .. repeat - 1), and read. */
struct kind {
    const char *name;
    const char *encoding; /* as OBJECT ENCODING says once it is made */
    const char *make;
    unsigned repeat;
    const char *then; /* another command, or null */
    const char *read;
};

// clang-format off
static const struct kind kinds[] = {
    {"int",        "int",       "SET %k 12345",                 1, NULL, "GET %k"},
    {"embstr",     "embstr",    "SET %k short",                 1, NULL, "GET %k"},
    {"empty",      "embstr",    "SET %k \"\"",                  1, NULL, "GET %k"},
    {"raw",        "raw",       "APPEND %k 0123456789-%i-",     90, NULL, "GET %k"},
    {"binary",     "embstr",    "SET %k \"\\x00\\r\\n\\xff\"",  1, NULL, "GET %k"},
    {"expiring",   "embstr",    "SET %k value PXAT " FAR,       1, NULL, "PEXPIRETIME %k"},
    {"hll",        "raw",       "PFADD %k e%i",                 200, NULL, "PFCOUNT %k"},
    {"bits",       "raw",       "SETBIT %k 9%i 1",              30, NULL, "BITCOUNT %k"},
    {"list",       "quicklist", "RPUSH %k a b c",               1, NULL, "LRANGE %k 0 -1"},
    {"list-large", "quicklist", "RPUSH %k value-number-%i",     LARGE, NULL, "LRANGE %k 0 -1"},
    {"set-int",    "intset",    "SADD %k %i",                   50, NULL, "SORT %k"},
    {"set-text",   "hashtable", "SADD %k member-%i",            20, NULL, "SORT %k ALPHA"},
    {"set-large",  "hashtable", "SADD %k %i",                   LARGE, NULL, "SORT %k"},
    {"hash",       "listpack",  "HSET %k f%i v%i",              20, NULL, "HGETALL %k"},
    {"hash-large", "hashtable", "HSET %k f%i v%i",              LARGE, NULL, "HMGET %k f0 f1 f299 f599 none"},
    {"hash-ttl",   "listpack",  "HSET %k f v",                  1, "PEXPIREAT %k " FAR, "PEXPIRETIME %k"},
    {"zset",       "listpack",  "ZADD %k %i.5 m%i",             20, NULL, "ZRANGE %k 0 -1 WITHSCORES"},
    {"zset-large", "skiplist",  "ZADD %k %i m%i",               LARGE, "ZADD %k inf last -inf first", "ZRANGE %k 0 -1 WITHSCORES"},
    {"geo",        "listpack",  "GEOADD %k 13.361389 38.115556 Palermo", 1, NULL, "GEOHASH %k Palermo"},
    {"stream",     "stream",    "XADD %k 1-%i f v%i g w",       40, "XDEL %k 1-7", "XRANGE %k - +"},
    {"group",      "stream",    "XADD %k %i-1 f v",             10, "XGROUP CREATE %k g 0", "XINFO GROUPS %k"},
};
// clang-format on
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static char *texts[KINDS][COPIES]; /* what each read gave after the load */

/* The command with its holes filled; streams know no 0-0, so numbers begin at 1 for them. */
static char *fill(const char *format, const char *kind, unsigned copy, unsigned number)
{
    char text[256];
    size_t length = 0;
    for (const char *at = format; *at != '\0' && length < sizeof(text) - 64; at++) {
        if (at[0] == '%' && at[1] == 'k') {
            length += (size_t)snprintf(text + length, 64, "zoo:%s:%u", kind, copy);
            at++;
        } else if (at[0] == '%' && at[1] == 'i') {
            length += (size_t)snprintf(text + length, 64, "%u", number);
            at++;
        } else {
            text[length++] = *at;
        }
    }
    return mem_strndup(text, length);
}

static char *ask(struct client *client, const char *format, const struct kind *kind, unsigned copy,
                 unsigned number)
{
    char *command = fill(format, kind->name, copy, number);
    char *reply = client_ask(client, command);
    if (reply[0] == '-' && reply[1] >= 'A' && reply[1] <= 'Z') {
        fail_msg("%s: %s", command, reply);
    }
    mem_free(command);
    return reply;
}

static void load_one(struct client *client, const struct kind *kind, unsigned copy)
{
    bool is_stream = strcmp(kind->encoding, "stream") == 0;
    for (unsigned i = 0; i < kind->repeat; i++) {
        mem_free(ask(client, kind->make, kind, copy, is_stream ? i + 1 : i));
    }
    if (kind->then != NULL) {
        mem_free(ask(client, kind->then, kind, copy, 0));
    }
    char *encoding = ask(client, "OBJECT ENCODING %k", kind, copy, 0);
    assert_string_equal(encoding, kind->encoding);
    mem_free(encoding);
}

void zoo_load(struct cluster *cluster)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, 0));
    for (size_t i = 0; i < KINDS; i++) {
        for (unsigned copy = 0; copy < COPIES; copy++) {
            load_one(client, &kinds[i], copy);
            mem_free(texts[i][copy]);
            texts[i][copy] = ask(client, kinds[i].read, &kinds[i], copy, 0);
        }
    }
    client_close(client);
}

void zoo_check(struct cluster *cluster, unsigned proxy)
{
    struct client *client = client_connect(cluster_proxy_port(cluster, proxy));
    for (size_t i = 0; i < KINDS; i++) {
        for (unsigned copy = 0; copy < COPIES; copy++) {
            char *text = ask(client, kinds[i].read, &kinds[i], copy, 0);
            assert_string_equal(text, texts[i][copy]);
            mem_free(text);
        }
    }
    client_close(client);
}
