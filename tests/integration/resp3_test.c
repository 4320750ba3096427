/* HELLO, RESET and replies in RESP3: the same scripts to a proxy over two shards and to one plain
 * Redis must give the same bytes. The differential test has the other commands in both protocols.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/duel.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"

static int start(void **state)
{
    static const char *const arguments[] = {"--shard-timeout", "2s", NULL};
    (void)state;
    duel = duel_start(arguments);
    return 0;
}

/* --- HELLO and RESET -------------------------------------------------------------------------- */

static void hello_is_answered_as_redis_answers_it(void **state)
{
    (void)state;
    DUEL(duel, "A: HELLO", "A: HELLO 2", "A: HELLO 3", "A: HELLO", "A: HELLO 3 SETNAME bob",
         "A: CLIENT GETNAME", "A: HELLO 2 AUTH default any",
         "A: HELLO 3 AUTH default x SETNAME eve", "A: CLIENT GETNAME",
         "A: hello 3 setname a SetName b", "A: CLIENT GETNAME");
}

static void a_bad_hello_has_redis_error(void **state)
{
    (void)state;
    DUEL(duel, "A: HELLO 4", "A: HELLO 1", "A: HELLO 0", "A: HELLO -1", "A: HELLO x",
         "A: HELLO 9223372036854775808", "A: HELLO 3 AUTH", "A: HELLO 3 AUTH a",
         "A: HELLO 3 AUTH nobody secret", "A: HELLO 3 SETNAME", "A: HELLO 3 NONSENSE",
         "A: HELLO 3 SETNAME bob NONSENSE x", "A: HELLO 3 SETNAME eve AUTH nobody x",
         "A: CLIENT GETNAME", "A: GET {t}none");
    duel_bytes(duel, 'A',
               SLICE("*4\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$7\r\nSETNAME\r\n$3\r\na b\r\n"
                     "*3\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$6\r\no'x\r\n\t\r\n"
                     "*4\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$7\r\nSETNAME\r\n$0\r\n\r\n"
                     "*2\r\n$6\r\nCLIENT\r\n$7\r\nGETNAME\r\n"),
               4);
}

static void reset_goes_back_to_resp2_and_forgets_the_name(void **state)
{
    (void)state;
    DUEL(duel, "A: HELLO 3 SETNAME bob", "A: MULTI", "A: GET {t}none", "A: RESET", "A: GET {t}none",
         "A: CLIENT GETNAME", "A: EXEC", "A: HELLO");
}

/* Each protocol has its connection to a shard: were HELLO not to wait, the GET behind it would
 * overtake the INCRs before it. */
static void commands_before_and_behind_a_hello_stay_in_order(void **state)
{
    (void)state;
    struct buffer bytes;
    unsigned replies = 0;
    buffer_init(&bytes, SIZE_MAX);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 20; i++) {
            buffer_printf(&bytes, "INCR {o}n\r\n");
        }
        buffer_printf(&bytes, "%s\r\nGET {o}n\r\nHGETALL {o}none\r\n",
                      round % 3 == 2   ? "RESET"
                      : round % 3 == 1 ? "HELLO 2"
                                       : "HELLO 3");
        replies += 23;
    }
    duel_bytes(duel, 'A', buffer_slice(&bytes), replies);
    buffer_fini(&bytes);
}

static void a_name_and_the_protocol_belong_to_one_client(void **state)
{
    (void)state;
    DUEL(duel, "A: HELLO 3", "B: GET {t}none", "A: GET {t}none", "B: HELLO", "A: HELLO",
         "B: HELLO 3", "B: GET {t}none", "A: HELLO 2", "A: GET {t}none", "B: GET {t}none");
}

/* --- replies ---------------------------------------------------------------------------------- */

static void every_type_of_reply_comes_as_redis_sends_it(void **state)
{
    (void)state;
    DUEL(duel, "A: HELLO 3", "A: GET {r}none", "A: LPOP {r}none", "A: LPOP {r}none 2",
         "A: HSET {r}h f v", "A: HGETALL {r}h", "A: HGETALL {r}none", "A: SADD {r}s m",
         "A: SMEMBERS {r}s", "A: SMEMBERS {r}none", "A: ZADD {r}z 1.5 m", "A: ZADD {r}z inf n",
         "A: ZSCORE {r}z m", "A: ZSCORE {r}z n", "A: ZSCORE {r}z none", "A: ZRANGE {r}z 0 -1",
         "A: ZRANGE {r}z 0 -1 WITHSCORES", "A: ZPOPMIN {r}z", "A: ZADD {r}z INCR 2 m",
         "A: XADD {r}x 1-1 f v", "A: XREAD STREAMS {r}x 0", "A: XINFO GROUPS {r}x",
         "A: GEOADD {r}g 13 38 p", "A: GEOPOS {r}g p none", "A: CONFIG", "A: NOSUCH",
         "A: INCRBYFLOAT {r}f 1.5", "A: EXISTS {r}h", "A: OBJECT ENCODING {r}none",
         "A: OBJECT HELP", "A: COMMAND INFO get nosuch", "A: COMMAND COUNT", "A: COMMAND DOCS get");
}

static void scripts_convert_their_values_as_redis_does(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "return{map={k='v'}}",
        "return{set={m=true}}",
        "return{double=3.5}",
        "return{big_number='12345678901234567890'}",
        "return{verbatim_string={format='txt',string='abc'}}",
        "return{1,false,'a',true,{2.9}}",
        "return false",
        "return nil",
        "return redis.call('HGETALL',KEYS[1])",
        "return redis.call('GET',KEYS[2])",
        "redis.setresp(3);return redis.call('HGETALL',KEYS[1])",
        "redis.setresp(3);return redis.call('GET',KEYS[2])",
        "redis.setresp(3);return redis.call('ZSCORE',KEYS[3],'m')",
        "redis.setresp(3);return redis.call('SMEMBERS',KEYS[4])",
        "return redis.error_reply('MY error')",
        "return{err='NOSPACE'}",
        "return redis.status_reply('FINE')",
        "error('x')",
    };
    DUEL(duel, "A: HSET {s}h f v", "A: ZADD {s}z 1 m", "A: SADD {s}s m");
    for (unsigned protocol = 2; protocol <= 3; protocol++) {
        for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
            const struct slice argv[] = {SLICE("EVAL"), slice_of(bodies[i]), SLICE("4"),
                                         SLICE("{s}h"), SLICE("{s}none"),    SLICE("{s}z"),
                                         SLICE("{s}s")};
            struct buffer bytes;
            buffer_init(&bytes, SIZE_MAX);
            buffer_add_text(&bytes, "*1\r\n$5\r\nMULTI\r\n");
            raw_add_command(&bytes, 7, argv);
            buffer_add_text(&bytes, "*1\r\n$4\r\nEXEC\r\n");
            raw_add_command(&bytes, 7, argv);
            duel_bytes(duel, 'A', buffer_slice(&bytes), 4);
            buffer_fini(&bytes);
        }
        DUEL(duel, "A: HELLO 3");
    }
}

static void what_the_proxy_puts_together_is_resp3_too(void **state)
{
    (void)state;
    DUEL(duel, "A: HELLO 3", "A: MSET a 1 b 2 c 3 d 4", "A: MGET a none b none2 c none3 d",
         "A: MGET a none b none2 c none3 d a", "A: EXISTS a b c d none", "A: DEL a b none",
         "A: UNLINK c d", "A: DBSIZE", "A: KEYS none*", "A: TOUCH a b", "A: ECHO x", "A: PING",
         "A: PING x", "A: AUTH a b c", "A: MSET a", "A: MSETNX a 1");
}

static void what_the_proxy_knows_itself_is_told_in_resp3(void **state)
{
    (void)state;
    DUEL(duel, "A: HELLO 3", "A: CLIENT TRACKINGINFO", "A: CLIENT GETNAME", "A: CLIENT GETREDIR",
         "A: ACL WHOAMI", "A: ACL USERS", "A: ACL LIST", "A: ACL GETUSER default",
         "A: ACL GETUSER nobody", "A: CONFIG GET nosuch", "A: CONFIG GET maxmemory", "A: ROLE",
         "A: PUBSUB NUMSUB a", "A: PUBSUB CHANNELS", "A: HELLO 2", "A: CLIENT TRACKINGINFO",
         "A: ACL GETUSER default", "A: ACL GETUSER nobody", "A: CONFIG GET maxmemory");
}

static void transactions_answer_in_resp3(void **state)
{
    (void)state;
    DUEL(duel, "A: HELLO 3", "A: MULTI", "A: HSET {x}h f v", "A: HGETALL {x}h", "A: GET {x}none",
         "A: ZADD {x}z 1.5 m", "A: ZSCORE {x}z m", "A: SMEMBERS {x}none", "A: LPOP {x}h",
         "A: MGET {x}none {x}none", "A: EXEC", "A: MULTI", "A: EXEC", "A: MULTI", "A: NOSUCH",
         "A: EXEC", "A: EXEC", "A: WATCH {x}h", "A: MULTI", "A: HGETALL {x}h", "A: EXEC",
         "A: WATCH {x}w", "B: SET {x}w 1", "A: MULTI", "A: GET {x}w", "A: EXEC", "B: MULTI",
         "B: HGETALL {x}h", "B: EXEC");
}

/* Redis keeps the watch. The proxy has it on a connection of the older protocol, whose replies are
 * of no use: it says that the transaction did not happen, as it may at any time. */
static void a_watch_across_a_change_of_protocol_aborts(void **state)
{
    (void)state;
    static const char lines[] =
        "WATCH {y}k\r\nHELLO 3\r\nMULTI\r\nGET {y}k\r\nEXEC\r\nGET {y}k\r\n";
    static const char *const replies[] = {"+OK", "%7", "+OK", "+QUEUED", "_", "_"};
    struct buffer pending, reply;
    int fd = raw_connect(duel_proxy_port(duel));
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&reply, SIZE_MAX);
    assert_true(raw_send(fd, slice_of(lines)));
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        buffer_clear(&reply);
        assert_true(raw_read_reply(fd, &pending, &reply));
        assert_memory_equal(buffer_slice(&reply).data, replies[i], strlen(replies[i]));
    }
    buffer_fini(&pending);
    buffer_fini(&reply);
    (void)close(fd);
}

static void blocked_commands_answer_in_resp3(void **state)
{
    (void)state;
    DUEL(duel, "A: HELLO 3", "A: BLPOP {b}l 0.01", "A: BLMOVE {b}l {b}m LEFT RIGHT 0.01",
         "A: BZPOPMIN {b}z 0.01", "A: BLMPOP 0.01 1 {b}l LEFT", "A> BLPOP {b}l 0", "blocked 1",
         "B: RPUSH {b}l v", "A<", "A> BZPOPMIN {b}z 0", "blocked 1", "B: ZADD {b}z 1.5 m", "A<",
         "A> BZMPOP 0 1 {b}z MIN COUNT 2", "blocked 1", "B: ZADD {b}z 1 m 2 n", "A<",
         "B: BLPOP {b}l 0.01", "A: BLPOP {b}l x", "A: BLPOP {b}l -1");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_teardown(test, stage_close_clients)
    const struct CMUnitTest tests[] = {
        TEST(hello_is_answered_as_redis_answers_it),
        TEST(a_bad_hello_has_redis_error),
        TEST(reset_goes_back_to_resp2_and_forgets_the_name),
        TEST(commands_before_and_behind_a_hello_stay_in_order),
        TEST(a_name_and_the_protocol_belong_to_one_client),
        TEST(every_type_of_reply_comes_as_redis_sends_it),
        TEST(scripts_convert_their_values_as_redis_does),
        TEST(what_the_proxy_puts_together_is_resp3_too),
        TEST(what_the_proxy_knows_itself_is_told_in_resp3),
        TEST(transactions_answer_in_resp3),
        TEST(a_watch_across_a_change_of_protocol_aborts),
        TEST(blocked_commands_answer_in_resp3),
    };
    return cmocka_run_group_tests_name("resp3", tests, start, stage_clear);
}
