/* Every write command that is served, in a slot with a copy and in one without: the replies are
 * those of a plain Redis, and the mirrors alone (the migrator is dead) leave both shards alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "lib/command/command.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/migrations.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define LONG_MS   60000
#define FAR       "4000000000123"
#define WORDS_MAX 4
#define TAG_MAX   32

/* '%' is the tag. A line that begins with '~' has a reply by chance, or by the clock. */
static const char *const lines[] = {
    "SET %s 10",
    "SET %s 11 GET",
    "SET %t v PXAT " FAR,
    "SET %t w KEEPTTL",
    "APPEND %s 5",
    "INCR %s",
    "INCRBY %s 5",
    "INCRBYFLOAT %f 1.5",
    "DECR %s",
    "DECRBY %s 3",
    "GETSET %s 7",
    "SETNX %n v",
    "SETNX %n w",
    "SETRANGE %r 5 hello",
    "SETEX %ex 1000 v",
    "PSETEX %px 900000 v",
    "MSET %m1 a %m2 b %m3 c %m4 d",
    "MSETNX %m1 x %m5 y",
    "MSETNX %m6 x %m7 y",
    "GETDEL %m1",
    "GETEX %m2 PXAT " FAR,
    "GETEX %t PERSIST",
    "DEL %m3 %none",
    "UNLINK %m4",
    "SUBSTR %r 0 2",
    "EXPIRE %s 1000",
    "PEXPIRE %s 900000 GT",
    "EXPIREAT %s 4000000000",
    "PEXPIREAT %s " FAR " XX",
    "PERSIST %ex",
    "EXPIRE %m6 0",
    "TOUCH %s %n",
    "RENAME %n %n2",
    "RENAMENX %n2 %n",
    "RENAMENX %n %s",
    "COPY %s %copy",
    "COPY %t %copy REPLACE",
    "SETBIT %b 100 1",
    "BITFIELD %b SET u8 0 200 INCRBY i5 100 1",
    "BITOP NOT %b2 %b",
    "BITOP AND %b3 %b %b2",
    "BITFIELD_RO %b GET u8 0",
    "PFADD %h1 a b c",
    "PFADD %h2 c d",
    "PFCOUNT %h1",
    "PFCOUNT %h1 %h2",
    "PFMERGE %h3 %h1 %h2",
    /* lists */
    "RPUSH %l a b c d e f g h i j",
    "LPUSH %l z",
    "LPUSHX %l y",
    "RPUSHX %none x",
    "LINSERT %l BEFORE c bb",
    "LSET %l 0 Y",
    "LREM %l 1 a",
    "LTRIM %l 0 9",
    "LPOP %l",
    "RPOP %l 2",
    "LPOP %none 2",
    "LMOVE %l %l2 LEFT RIGHT",
    "RPOPLPUSH %l %l2",
    "LMPOP 2 %none %l LEFT COUNT 2",
    "BLPOP %l 0",
    "BRPOP %none %l 0",
    "BLMOVE %l2 %l RIGHT LEFT 0",
    "BRPOPLPUSH %l %l2 0",
    "BLMPOP 0 2 %none %l2 LEFT",
    "BLPOP %none 0.01",
    "BLMOVE %none %l LEFT LEFT 0.01",
    "RPUSH %l 3 1 2",
    "LTRIM %l -3 -1",
    "SORT %l DESC STORE %sorted",
    "SORT %l BY nosort GET # STORE %sorted2",
    /* sets */
    "SADD %a 1 2 3 4",
    "SADD %c 3 4 5",
    "SREM %a 4",
    "SMOVE %a %c 1",
    "SADD %one x",
    "SPOP %one",
    "SADD %odd 1 2 3 4",
    "~SPOP %odd 2",
    "SDIFFSTORE %sd %a %c",
    "SINTERSTORE %si %a %c",
    "SUNIONSTORE %su %a %none",
    "SINTERCARD 2 %a %a",
    /* hashes */
    "HSET %hash f v g w",
    "HMSET %hash h 1 i 2",
    "HSETNX %hash f x",
    "HINCRBY %hash h 5",
    "HINCRBYFLOAT %hash i 0.5",
    "HDEL %hash g none",
    /* sorted sets */
    "ZADD %z 1 a 2 b 3 c 4 d 5 e 6 f 7 g",
    "ZADD %z GT CH 0 a 9 b",
    "ZINCRBY %z 2.5 c",
    "ZADD %y 1 a 1 b 1 z",
    "ZADD %lex 0 a 0 b 0 c 0 d",
    "ZREM %z g",
    "ZREMRANGEBYLEX %lex [a (b",
    "ZREMRANGEBYRANK %lex 0 0",
    "ZREMRANGEBYSCORE %z 6 6",
    "ZPOPMIN %z",
    "ZPOPMAX %z 1",
    "BZPOPMIN %z 0",
    "BZPOPMAX %none %z 0",
    "ZADD %z 1 a 2 b 3 c 4 d 5 e",
    "ZMPOP 2 %none %z MIN COUNT 2",
    "BZMPOP 0 1 %z MAX",
    "BZPOPMIN %none 0.01",
    "ZUNIONSTORE %zu 2 %z %y WEIGHTS 1 2",
    "ZINTERSTORE %zi 2 %z %y",
    "ZDIFFSTORE %zd 2 %z %y",
    "ZRANGESTORE %zr %y 0 1",
    "ZADD %y 5 q",
    "ZUNIONSTORE %zr 1 %none",
    "ZINTERCARD 2 %z %y",
    /* geo */
    "GEOADD %geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
    "GEORADIUS %geo 15 37 200 km STORE %g1",
    "GEORADIUSBYMEMBER %geo Palermo 200 km STOREDIST %g2",
    "GEOSEARCHSTORE %g3 %geo FROMLONLAT 15 37 BYRADIUS 200 km ASC",
    "GEODIST %geo Palermo Catania",
    /* streams */
    "XADD %x 1-1 f v",
    "XADD %x 2-1 f v g w",
    "XADD %x MAXLEN 3 3-1 f v",
    "XADD %x 4-1 f v",
    "~XADD %auto * f v",
    "XGROUP CREATE %x g 0",
    "XGROUP CREATE %new h $ MKSTREAM",
    "XGROUP CREATECONSUMER %x g c",
    "~XREADGROUP GROUP g c COUNT 2 STREAMS %x >",
    "~XREADGROUP GROUP g c NOACK COUNT 1 STREAMS %x >",
    "XADD %x 5-1 f v",
    "~XREADGROUP GROUP g d BLOCK 0 STREAMS %x >",
    "~XREADGROUP GROUP g d BLOCK 10 STREAMS %x >",
    "~XREADGROUP GROUP g c BLOCK 0 STREAMS %x 0",
    "XACK %x g 2-1",
    "~XCLAIM %x g d 0 3-1 JUSTID",
    "~XAUTOCLAIM %x g e 0 0 COUNT 10",
    "XGROUP SETID %x g 3-1",
    "XGROUP DELCONSUMER %x g c",
    "XDEL %x 4-1",
    "XTRIM %x MINLEN 1",
    "XTRIM %x MAXLEN 2",
    "XSETID %x 9-1",
    "XGROUP DESTROY %new h",
    "XPENDING %x nogroup",
    "XINFO GROUPS %none",
    /* scripts, transactions and errors */
    "EVAL \"redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[1])\" 1 %ev 41",
    "MULTI",
    "SET %tx 1",
    "RPUSH %txl a b",
    "LPOP %txl",
    "INCR %txl",
    "EXEC",
    "LPUSH %s wrong",
    "HSET %l f v",
    "INCR %t",
    "SETRANGE %none -1 x",
    "OBJECT ENCODING %s",
    "OBJECT REFCOUNT %none",
};

static struct redis_server *plain_server;
static struct client *client, *plain, *source, *target;

static int start(void **state)
{
    const struct cluster_options options = {.shards = 1, .spares = 1, .has_migrator = true};
    (void)state;
    cluster = cluster_start(&options);
    plain_server = redis_server_start(NULL);
    cluster_add_spare(cluster, 1);
    client = client_connect(cluster_proxy_port(cluster, 0));
    plain = client_connect(redis_server_port(plain_server));
    source = client_connect(cluster_shard_port(cluster, 0));
    target = client_connect(cluster_shard_port(cluster, 1));
    return 0;
}

static int stop(void **state)
{
    client_close(client);
    client_close(plain);
    client_close(source);
    client_close(target);
    redis_server_stop(plain_server);
    return stage_clear(state);
}

/* --- the list --------------------------------------------------------------------------------- */

static const struct command_info *command_of(const char *line)
{
    struct slice argv[WORDS_MAX];
    unsigned argc = 0;
    line += *line == '~' ? 1 : 0;
    while (argc < WORDS_MAX && *line != '\0') {
        size_t length = strcspn(line, " ");
        argv[argc++] = (struct slice){line, length};
        line += length + (line[length] == ' ' ? 1 : 0);
    }
    return command_find(command_table_builtin(), argv, argc);
}

/* RESTORE's payload cannot stand in the list: it has a line of its own below. */
static bool is_listed(const struct command_info *info)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (command_of(lines[i]) == info) {
            return true;
        }
    }
    return strcmp(info->name, "restore") == 0;
}

static void the_list_has_every_write_command_that_is_served(void **state)
{
    const struct command_table *table = command_table_builtin();
    (void)state;
    for (unsigned id = 0; id < command_table_count(table); id++) {
        const struct command_info *info = command_table_at(table, id);
        if ((info->flags & COMMAND_WRITE) != 0 && info->handler != HANDLER_REFUSE &&
            info->nspecs > 0 && !is_listed(info)) {
            fail_msg("no line for %s", info->name);
        }
    }
}

/* --- running it ------------------------------------------------------------------------------- */

static void run_line(const char *line, const char *tag)
{
    bool is_by_chance = *line == '~';
    char *command = words_with(line + (is_by_chance ? 1 : 0), tag);
    char *ours = client_ask(client, command);
    char *theirs = client_ask(plain, command);
    bool is_alike =
        is_by_chance ? (ours[0] == '-') == (theirs[0] == '-') : strcmp(ours, theirs) == 0;
    if (!is_alike) {
        fail_msg("%s\n    Sluice %s\n    Redis  %s", command, ours, theirs);
    }
    mem_free(command);
    mem_free(ours);
    mem_free(theirs);
}

/* As C escapes, which client_ask understands. */
static char *escaped_dump(const char *key)
{
    struct buffer text;
    redisReply *reply = redisCommand(client_context(plain), "DUMP %s", key);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    buffer_init(&text, SIZE_MAX);
    for (size_t i = 0; i < reply->len; i++) {
        buffer_printf(&text, "\\x%02x", (unsigned char)reply->str[i]);
    }
    freeReplyObject(reply);
    char *escaped = mem_strndup(buffer_slice(&text).data, buffer_length(&text));
    buffer_fini(&text);
    return escaped;
}

static void run_restore(const char *tag)
{
    char *key = mem_printf("%shash", tag);
    char *payload = escaped_dump(key);
    char *line = mem_printf("RESTORE %srestored 0 \"%s\"", tag, payload);
    char *again = mem_printf("RESTORE %srestored " FAR " \"%s\" ABSTTL REPLACE", tag, payload);
    run_line(line, tag);
    run_line(line, tag);
    run_line(again, tag);
    mem_free(key);
    mem_free(payload);
    mem_free(line);
    mem_free(again);
}

/* --- comparing -------------------------------------------------------------------------------- */

/* Of its type, the whole value with all that belongs to it. */
static const char *read_of(const char *type)
{
    static const char *const reads[][2] = {
        {"+string", "GET %"},
        {"+list", "LRANGE % 0 -1"},
        {"+set", "SORT % ALPHA"},
        {"+hash", "HGETALL %"},
        {"+zset", "ZRANGE % 0 -1 WITHSCORES"},
        {"+stream", "XINFO STREAM % FULL COUNT 0"},
    };
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        if (strcmp(reads[i][0], type) == 0) {
            return reads[i][1];
        }
    }
    return "TYPE %";
}

/* What XINFO says of the tree that holds the entries is not the stream's own. */
static void cut_tree(char *text)
{
    char *from = strstr(text, "radix-tree-keys");
    char *to = strstr(text, "last-generated-id");
    if (from != NULL && to != NULL) {
        memmove(from, to, strlen(to) + 1);
    }
}

static bool says_the_same(const char *words, const char *key)
{
    char *command = words_with(words, key);
    char *left = client_ask(source, command);
    char *right = client_ask(target, command);
    cut_tree(left);
    cut_tree(right);
    bool is_same = strcmp(left, right) == 0;
    if (!is_same) {
        print_error("%s\n    source %s\n    copy   %s\n", command, left, right);
    }
    mem_free(command);
    mem_free(left);
    mem_free(right);
    return is_same;
}

static bool is_mirrored(const char *key)
{
    char *command = words_with("TYPE %", key);
    char *type = client_ask(source, command);
    bool is_same = says_the_same("TYPE %", key) && says_the_same("PEXPIRETIME %", key) &&
                   says_the_same(read_of(type), key);
    mem_free(command);
    mem_free(type);
    return is_same;
}

static void expect_all_mirrored(const char *tag)
{
    redisReply *keys = redisCommand(client_context(source), "KEYS %s*", tag);
    redisReply *copies = redisCommand(client_context(target), "KEYS %s*", tag);
    unsigned nbad = 0;
    assert_int_equal(keys->elements, copies->elements);
    for (size_t i = 0; i < keys->elements; i++) {
        nbad += is_mirrored(keys->element[i]->str) ? 0 : 1;
    }
    assert_int_equal(nbad, 0);
    freeReplyObject(keys);
    freeReplyObject(copies);
}

/* Looks after each line, or a later write of the same key would mirror what an earlier has missed.
 */
static void run_all(const char *tag, bool has_copy)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        run_line(lines[i], tag);
        if (has_copy) {
            expect_all_mirrored(tag);
        }
    }
    run_restore(tag);
}

/* --- tests ------------------------------------------------------------------------------------ */

/* Two tags, of which the migration moves the first only. */
static char *open_migration(char *moving, char *staying)
{
    char *id = migration_open_by_ctl(cluster, "split s1 --to s2 --manual-switch");
    WAIT_UNTIL(migration_is_verified(cluster, id), LONG_MS);
    moving[0] = staying[0] = '\0';
    for (unsigned i = 0; moving[0] == '\0' || staying[0] == '\0'; i++) {
        char tag[TAG_MAX], command[64];
        (void)snprintf(tag, sizeof(tag), "{all:%u}", i);
        (void)snprintf(command, sizeof(command), "SET %sprobe 1", tag);
        expect(client, command, "+OK");
        (void)snprintf(command, sizeof(command), "EXISTS %sprobe", tag);
        bool is_moving = client_gets(target, command, ":1");
        (void)snprintf(is_moving ? moving : staying, TAG_MAX, "%s", tag);
        (void)snprintf(command, sizeof(command), "DEL %sprobe", tag);
        expect(client, command, ":1");
    }
    return id;
}

static void every_write_is_mirrored_and_answered_as_redis_does(void **state)
{
    char moving[TAG_MAX], staying[TAG_MAX];
    (void)state;
    char *id = open_migration(moving, staying);
    process_kill(cluster_migrator(cluster)); /* it would repair what a mirror has missed */
    run_all(staying, false);
    run_all(moving, true);
    expect_all_mirrored(moving);
    cluster_restart_migrator(cluster, NULL);
    cluster_tell(cluster, "switch %s --wait", id);
    cluster_compare(cluster, "");
    mem_free(id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_has_every_write_command_that_is_served),
        cmocka_unit_test_setup_teardown(every_write_is_mirrored_and_answered_as_redis_does, start,
                                        stop),
    };
    return cmocka_run_group_tests_name("every_write", tests, NULL, NULL);
}
