/* MULTI, EXEC, DISCARD, WATCH, UNWATCH through a proxy over two shards. Where Sluice promises what
 * Redis does, the same scripts go to one plain Redis as well and must give the same bytes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/duel.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define COMMANDS 1000
#define WAIT_MS  60000
#define BYTES    256

static int start(void **state)
{
    static const char *const arguments[] = {"--shard-timeout", "60s", NULL};
    (void)state;
    duel = duel_start(arguments);
    return 0;
}

static int start_hasty(void **state)
{
    static const char *const arguments[] = {"--shard-timeout", "2s", NULL};
    (void)state;
    duel = duel_start(arguments);
    return 0;
}

static int start_in_resp3(void **state)
{
    (void)start(state);
    duel_set_protocol(duel, 3);
    return 0;
}

/* --- as Redis --------------------------------------------------------------------------------- */

static void a_transaction_answers_what_redis_answers(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: SET {t}a 1", "A: INCR {t}a", "A: GET {t}a", "A: RPUSH {t}l a b c",
         "A: LRANGE {t}l 0 -1", "A: HSET {t}h f v", "A: HGETALL {t}h", "A: GET {t}none",
         "A: LPOP {t}none 2", "A: MGET {t}a {t}none", "A: MSET {t}x 1 {t}y 2", "A: DEL {t}x {t}no",
         "A: EXISTS {t}a {t}y", "A: ZADD {t}z 1 m", "A: ZRANGE {t}z 0 -1 WITHSCORES",
         "A: EVAL return{1,{2,3}} 1 {t}a", "A: EXEC", "A: GET {t}a", "A: PING");
}

static void multi_in_multi_is_refused_and_harms_nothing(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: SET {n}a 1", "A: MULTI", "A: INCR {n}a", "A: EXEC", "A: GET {n}a");
}

static void exec_and_discard_want_a_multi(void **state)
{
    (void)state;
    DUEL(duel, "A: EXEC", "A: DISCARD", "A: MULTI", "A: DISCARD", "A: DISCARD", "A: EXEC",
         "A: MULTI", "A: EXEC", "A: EXEC", "A: PING");
}

static void an_error_while_queueing_aborts_the_whole(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: SET {q}a 1", "A: SET {q}a", "A: SET {q}b 1", "A: EXEC",
         "A: EXISTS {q}a {q}b");
    DUEL(duel, "A: MULTI", "A: SET {q}a 1", "A: NOSUCHCOMMAND x", "A: EXEC", "A: EXISTS {q}a");
    DUEL(duel, "A: MULTI", "A: SET {q}a 1", "A: OBJECT NOSUCH {q}a", "A: DISCARD", "A: EXEC");
    DUEL(duel, "A: MULTI", "A: GET", "A: DISCARD", "A: MULTI", "A: SET {q}a 2", "A: EXEC",
         "A: GET {q}a");
}

static void too_many_words_for_exec_abort_too(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: SET {w}a 1", "A: EXEC now", "A: EXISTS {w}a", "A: EXEC", "A: PING");
    DUEL(duel, "A: EXEC now", "A: MULTI now", "A: DISCARD now", "A: WATCH");
    DUEL(duel, "A: MULTI", "A: SET {w}a 1", "A: DISCARD now", "A: EXEC", "A: EXISTS {w}a");
    DUEL(duel, "A: MULTI", "A: SET {w}a 1", "A: MULTI now", "A: EXEC", "A: EXISTS {w}a");
}

static void an_error_while_executing_stops_nothing(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: SET {e}a text", "A: LPUSH {e}a x", "A: INCR {e}a", "A: SET {e}b 1",
         "A: EXEC", "A: MGET {e}a {e}b");
}

static void an_empty_transaction_is_an_empty_array(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: EXEC", "A: WATCH {m}a", "A: MULTI", "A: EXEC", "A: WATCH {m}a",
         "B: SET {m}a 1", "A: MULTI", "A: EXEC", "A: PING");
}

static void inline_commands_are_queued_like_others(void **state)
{
    (void)state;
    DUEL(duel, "A| MULTI", "A| SET {i}a \"x y\"", "A: APPEND {i}a z", "A| GET {i}a", "A| EXEC",
         "A| multi", "A| GET", "A| exec", "A| GET {i}a");
}

static void commands_without_keys_may_be_inside(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: PING", "A: EXEC", "A: MULTI", "A: ECHO hello", "A: PING text",
         "A: SET {k}a 1", "A: PING", "A: EXEC", "A: WATCH {k}a", "A: MULTI", "A: PING", "A: EXEC",
         "A: WATCH {k}a", "B: INCR {k}a", "A: MULTI", "A: PING", "A: EXEC");
}

/* What no shard is asked for is answered in its place. */
static void the_proxys_own_commands_have_their_place_in_the_array(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: CLIENT SETNAME bob", "A: SET {l}a 1", "A: CLIENT GETNAME",
         "A: SELECT 0", "A: INCR {l}a", "A: SELECT x", "A: AUTH default x", "A: HGETALL {l}none",
         "A: EXEC", "A: CLIENT GETNAME", "A: GET {l}a");
    DUEL(duel, "A: MULTI", "A: SELECT 0", "A: CLIENT SETNAME eve", "A: EXEC", "A: CLIENT GETNAME");
    DUEL(duel, "A: MULTI", "A: CLIENT SETNAME amy", "A: DISCARD", "A: CLIENT GETNAME");
    DUEL(duel, "A: MULTI", "A: CLIENT SETNAME amy", "A: CLIENT SETNAME", "A: EXEC",
         "A: CLIENT GETNAME", "A: MULTI", "A: CLIENT NOSUCH", "A: EXEC", "A: PING");
    DUEL(duel, "A: MULTI", "A: CONFIG GET nosuch", "A: LPUSH {l}a x", "A: ACL WHOAMI",
         "A: CONFIG SET nosuch 1", "A: GET {l}a", "A: EXEC");
    DUEL(duel, "A| MULTI", "A| CLIENT SETNAME ann", "A| GET {l}a", "A| CLIENT GETNAME", "A| EXEC");
}

static void subscriptions_may_be_inside(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: SET {p}k 1", "A: SUBSCRIBE {p}a", "A: GET {p}k", "A: EXEC",
         "A: PING", "B: PUBLISH {p}a hi", "A<", "A: UNSUBSCRIBE", "A: GET {p}k");
    /* Each channel has its confirmation, though the array counts commands. */
    DUEL(duel, "A: MULTI", "A: SUBSCRIBE {p}x {p}y", "A: PSUBSCRIBE {p}z*", "A: EXEC", "A<",
         "B: PUBLISH {p}y hi", "A<", "B: PUBLISH {p}zz hi", "A<", "A: RESET", "B: PUBLISH {p}y hi");
    DUEL(duel, "B: MULTI", "B: SSUBSCRIBE s", "B: SUNSUBSCRIBE", "B: UNSUBSCRIBE", "B: GET {p}k",
         "B: PUNSUBSCRIBE q", "B: EXEC", "B: PING");
    DUEL(duel, "C: MULTI", "C: SUBSCRIBE {p}n", "C: UNSUBSCRIBE {p}n", "C: EXEC", "C: GET {p}k",
         "C: MULTI", "C: SUBSCRIBE", "C: EXEC", "C: GET {p}k");
}

static void who_is_not_let_pass_is_not_subscribed(void **state)
{
    (void)state;
    DUEL(duel, "C: WATCH {p}k", "D: INCR {p}k", "C: MULTI", "C: SUBSCRIBE {p}n", "C: GET {p}k",
         "C: EXEC", "C: GET {p}k", "D: PUBLISH {p}n x", "C: MULTI", "C: SUBSCRIBE {p}n",
         "C: SET {p}k", "C: EXEC", "D: PUBLISH {p}n x", "C: MULTI", "C: SUBSCRIBE {p}n",
         "C: DISCARD", "D: PUBLISH {p}n x", "C: WATCH {p}k", "C: MULTI", "C: SUBSCRIBE {p}n",
         "C: EXEC", "D: PUBLISH {p}n x", "C<", "C: PING");
}

static void subscriptions_inside_keep_the_order_of_their_client(void **state)
{
    (void)state;
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (unsigned i = 0; i < 50; i++) {
        buffer_printf(&bytes,
                      "INCR {sx%u}n\r\nMULTI\r\nINCR {sx%u}n\r\nSUBSCRIBE c%u\r\nEXEC\r\nPING\r\n"
                      "UNSUBSCRIBE c%u\r\nGET {sx%u}n\r\nMULTI\r\nUNSUBSCRIBE c\r\nEXEC\r\n",
                      i % 7, i % 7, i, i, i % 7);
    }
    duel_bytes(duel, 'A', buffer_slice(&bytes), 550);
    buffer_fini(&bytes);
}

static void a_failed_watch_spares_the_proxys_own_commands(void **state)
{
    (void)state;
    DUEL(duel, "A: CLIENT SETNAME bob", "A: WATCH {l}w", "B: INCR {l}w", "A: MULTI",
         "A: CLIENT SETNAME eve", "A: EXEC", "A: CLIENT GETNAME", "A: WATCH {l}w", "B: INCR {l}w",
         "A: MULTI", "A: GET {l}w", "A: CLIENT SETNAME eve", "A: EXEC", "A: CLIENT GETNAME",
         "A: WATCH {l}w", "A: MULTI", "A: CLIENT SETNAME eve", "A: GET {l}w", "A: EXEC",
         "A: CLIENT GETNAME", "A: WATCH {l}w", "A: MULTI", "A: CLIENT GETNAME", "A: EXEC");
}

/* Many in one write, so that what is behind an EXEC is there before its answer. */
static void mixed_transactions_stay_in_the_order_of_their_client(void **state)
{
    (void)state;
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (unsigned i = 0; i < 100; i++) {
        buffer_printf(&bytes,
                      "MULTI\r\nINCR {mx%u}n\r\nCLIENT SETNAME n%u\r\nINCR {mx%u}n\r\n"
                      "CLIENT GETNAME\r\nEXEC\r\nGET {mx%u}n\r\nCLIENT GETNAME\r\n",
                      i % 7, i, i % 7, i % 7);
    }
    duel_bytes(duel, 'A', buffer_slice(&bytes), 800);
    buffer_fini(&bytes);
}

static void hello_in_multi_may_not_change_the_protocol(void **state)
{
    (void)state;
    struct client *client = client_connect(duel_proxy_port(duel));
    expect(client, "MULTI", "+OK");
    expect(client, "HELLO", "+QUEUED");
    expect(client, "HELLO 2 SETNAME bob", "+QUEUED");
    expect(client, "CLIENT GETNAME", "+QUEUED");
    expect(client, "INFO server", "+QUEUED");
    char *reply = client_ask(client, "EXEC");
    assert_int_equal(strncmp(reply, "[[server, redis, ", 17), 0);
    assert_non_null(strstr(reply, "], bob, # Server"));
    mem_free(reply);
    expect(client, "MULTI", "+OK");
    expect_prefix(client, "HELLO 3", "-ERR ");
    expect_prefix(client, "EXEC", "-EXECABORT ");
    client_close(client);
}

static void the_proxys_own_commands_are_bounded(void **state)
{
    (void)state;
    struct client *client = client_connect(duel_proxy_port(duel));
    expect(client, "MULTI", "+OK");
    for (unsigned i = 0; i < 1024; i++) {
        expect(client, "INFO everything", "+QUEUED");
    }
    expect(client, "INFO everything", "-ERR the transaction is too large");
    expect_prefix(client, "EXEC", "-EXECABORT ");
    expect(client, "PING", "+PONG");
    client_close(client);
}

static void a_thousand_commands_are_one_transaction(void **state)
{
    (void)state;
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    buffer_add_text(&bytes, "MULTI\r\n");
    for (unsigned i = 0; i < COMMANDS; i++) {
        buffer_printf(&bytes, i % 3 == 0 ? "SET {th}k%u v%u\r\n" : "INCRBY {th}n%u %u\r\n", i % 97,
                      i);
    }
    buffer_add_text(&bytes, "EXEC\r\nMGET {th}k0 {th}n1 {th}n2 {th}k96\r\n");
    duel_bytes(duel, 'A', buffer_slice(&bytes), COMMANDS + 3);
    buffer_fini(&bytes);
}

static void values_of_any_bytes_come_through(void **state)
{
    (void)state;
    char value[BYTES];
    struct buffer bytes;
    for (unsigned i = 0; i < BYTES; i++) {
        value[i] = (char)i;
    }
    const struct slice set[] = {SLICE("SET"), SLICE("{bin}a"), {value, BYTES}};
    const struct slice get[] = {SLICE("GET"), SLICE("{bin}a")};
    buffer_init(&bytes, SIZE_MAX);
    buffer_add_text(&bytes, "MULTI\r\n");
    raw_add_command(&bytes, 3, set);
    raw_add_command(&bytes, 2, get);
    buffer_add_text(&bytes, "EXEC\r\n");
    raw_add_command(&bytes, 2, get);
    duel_bytes(duel, 'A', buffer_slice(&bytes), 5);
    buffer_fini(&bytes);
}

static void a_transaction_may_come_in_one_write_with_what_is_around_it(void **state)
{
    (void)state;
    duel_bytes(duel, 'A',
               SLICE("SET {one}a 1\r\nMULTI\r\nINCR {one}a\r\nINCR {one}b\r\nEXEC\r\n"
                     "GET {one}a\r\nMULTI\r\nINCR {one}a\r\nDISCARD\r\nGET {one}a\r\nPING\r\n"),
               11);
    duel_bytes(duel, 'A',
               SLICE("WATCH {one}a\r\nGET {one}a\r\nMULTI\r\nINCR {one}a\r\nEXEC\r\nGET {one}a\r\n"
                     "WATCH {one}a\r\nINCR {one}a\r\nMULTI\r\nINCR {one}a\r\nEXEC\r\nGET {one}a\r\n"
                     "WATCH {one}a\r\nUNWATCH\r\nINCR {one}a\r\nMULTI\r\nGET {one}a\r\nEXEC\r\n"),
               18);
}

static void others_see_all_of_a_transaction_or_nothing(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: SET {o}a 1", "A: SET {o}b 1", "B: EXISTS {o}a {o}b", "A: EXEC",
         "B: EXISTS {o}a {o}b");
}

static void blocking_commands_do_not_block_inside(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: BLPOP {bl}a 0", "A: BLMOVE {bl}a {bl}b LEFT LEFT 0",
         "A: BZPOPMIN {bl}z 0", "A: RPUSH {bl}a 1 2", "A: BRPOP {bl}a 0", "A: UNWATCH", "A: EXEC",
         "A: LRANGE {bl}a 0 -1");
}

/* --- WATCH ------------------------------------------------------------------------------------ */

static void watch_lets_exec_pass_when_nobody_wrote(void **state)
{
    (void)state;
    DUEL(duel, "A: SET {a}k 1", "A: WATCH {a}k", "A: GET {a}k", "B: GET {a}k", "A: MULTI",
         "A: INCR {a}k", "A: EXEC", "B: INCR {a}k", "A: MULTI", "A: INCR {a}k", "A: EXEC");
}

static void watch_stops_exec_when_somebody_wrote(void **state)
{
    (void)state;
    DUEL(duel, "A: WATCH {b}k", "B: SET {b}k 5", "A: MULTI", "A: SET {b}k 6", "A: EXEC",
         "A: GET {b}k", "A: MULTI", "A: INCR {b}k", "A: EXEC");
    DUEL(duel, "A: WATCH {b}k", "A: MULTI", "A: SET {b}k 7", "B: DEL {b}k", "A: EXEC",
         "A: GET {b}k");
    DUEL(duel, "A: WATCH {b}k", "B: MULTI", "B: SET {b}k 8", "B: EXEC", "A: MULTI", "A: DEL {b}k",
         "A: EXEC", "A: GET {b}k");
}

static void a_write_of_ones_own_stops_exec_as_well(void **state)
{
    (void)state;
    DUEL(duel, "A: WATCH {c}k", "A: SET {c}k 5", "A: MULTI", "A: INCR {c}k", "A: EXEC",
         "A: GET {c}k");
}

static void unwatch_discard_and_reset_drop_the_watch(void **state)
{
    (void)state;
    DUEL(duel, "A: WATCH {d}k", "A: UNWATCH", "B: SET {d}k 1", "A: MULTI", "A: INCR {d}k",
         "A: EXEC", "A: UNWATCH");
    DUEL(duel, "A: WATCH {d}k", "A: MULTI", "A: GET {d}k", "A: DISCARD", "B: SET {d}k 1",
         "A: MULTI", "A: INCR {d}k", "A: EXEC");
    DUEL(duel, "A: WATCH {d}k", "A: RESET", "B: SET {d}k 1", "A: MULTI", "A: INCR {d}k", "A: EXEC");
    DUEL(duel, "A: WATCH {d}k", "A: MULTI", "A: GET", "A: EXEC", "B: SET {d}k 1", "A: MULTI",
         "A: INCR {d}k", "A: EXEC");
}

static void reset_ends_a_transaction(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: SET {r}k 1", "A: RESET", "A: EXEC", "A: EXISTS {r}k");
}

static void several_keys_of_one_slot_can_be_watched(void **state)
{
    (void)state;
    DUEL(duel, "A: WATCH {f}k {f}l", "A: WATCH {f}m", "A: MULTI", "A: INCR {f}k", "A: EXEC");
    DUEL(duel, "A: WATCH {f}k {f}l", "B: SET {f}l 1", "A: MULTI", "A: INCR {f}k", "A: EXEC");
    DUEL(duel, "A: WATCH {f}k", "A: WATCH {f}m", "B: SET {f}m 1", "A: MULTI", "A: INCR {f}k",
         "A: EXEC", "A: GET {f}k");
}

static void watch_in_multi_is_refused_and_harms_nothing(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: SET {g}k 1", "A: WATCH {g}k", "A: EXEC", "A: GET {g}k");
}

static void a_watch_outlives_many_transactions_of_others(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        DUEL(duel, "A: WATCH {h}k", "B: WATCH {h}k", "A: MULTI", "A: INCR {h}k", "B: MULTI",
             "B: INCR {h}k", "A: EXEC", "B: EXEC");
    }
    DUEL(duel, "A: GET {h}k");
}

/* --- Sluice's own rules ----------------------------------------------------------------------- */

static void keys_of_two_slots_abort_a_transaction(void **state)
{
    (void)state;
    struct client *client = client_connect(duel_proxy_port(duel));
    expect(client, "MULTI", "+OK");
    expect(client, "SET {x1}a 1", "+QUEUED");
    expect_prefix(client, "SET {x2}a 1", "-CROSSSLOT ");
    expect(client, "SET {x1}b 1", "+QUEUED");
    expect_prefix(client, "EXEC", "-EXECABORT ");
    expect(client, "EXISTS {x1}a {x2}a {x1}b", ":0");
    expect(client, "MULTI", "+OK");
    expect_prefix(client, "MGET {x1}a {x2}a", "-CROSSSLOT ");
    expect_prefix(client, "EXEC", "-EXECABORT ");
    expect_prefix(client, "WATCH {x1}a {x2}a", "-CROSSSLOT ");
    expect(client, "WATCH {x1}a", "+OK");
    expect_prefix(client, "WATCH {x2}a", "-CROSSSLOT ");
    expect(client, "MULTI", "+OK");
    expect_prefix(client, "SET {x2}a 1", "-CROSSSLOT ");
    expect_prefix(client, "EXEC", "-EXECABORT ");
    expect(client, "SET {x2}a 1", "+OK");
    client_close(client);
}

static void what_cannot_be_queued_aborts_a_transaction(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "KEYS *",           "SCAN 0",      "DBSIZE",         "FLUSHALL",     "CLIENT LIST",
        "CLIENT REPLY OFF", "SCRIPT KILL", "FUNCTION FLUSH", "SCRIPT FLUSH", "GET __sluice:fence",
        "WAIT 0 0",         "SLOWLOG LEN"};
    struct client *client = client_connect(duel_proxy_port(duel));
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        expect(client, "MULTI", "+OK");
        expect(client, "SET {y}a 1", "+QUEUED");
        expect_prefix(client, commands[i], "-ERR ");
        expect_prefix(client, "EXEC", "-EXECABORT ");
        expect(client, "EXISTS {y}a", ":0");
    }
    client_close(client);
}

static void a_client_that_goes_in_multi_has_done_nothing(void **state)
{
    (void)state;
    DUEL(duel, "A: MULTI", "A: SET {z}a 1", "A: INCR {z}b", "A close", "B: EXISTS {z}a {z}b");
    DUEL(duel, "A: WATCH {z}a", "A: MULTI", "A: SET {z}a 1", "A close", "B: EXISTS {z}a {z}b",
         "B: SET {z}a 1");
}

/* `printf 'WATCH...' | nc -N`: what was asked before the half-close is answered. */
static void a_client_that_closed_its_half_gets_its_answers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        DUEL(duel, "A>| WATCH {hc}a\r\nMULTI\r\nINCR {hc}a\r\nEXEC", "A half", "A<", "A<", "A<",
             "A<", "A close", "B: GET {hc}a");
    }
}

/* --- a shard that dies ------------------------------------------------------------------------ */

/* A tag whose keys are on the first shard; a static text. */
static const char *dying_tag(const char *prefix)
{
    static char tag[32];
    (void)snprintf(tag, sizeof(tag), "{%s}", cluster_key(duel_cluster(duel), 0, prefix, 0));
    return tag;
}

static void ask_with(struct client *client, const char *verb, const char *tag, const char *reply)
{
    char *command = mem_printf("%s %sk", verb, tag);
    expect(client, command, reply);
    mem_free(command);
}

static bool is_refused(const char *reply)
{
    return strncmp(reply, "-UNAVAILABLE ", 13) == 0 || strncmp(reply, "-UNKNOWN ", 9) == 0;
}

static bool serves(struct client *client, const char *tag)
{
    char *command = mem_printf("SET %s x", tag);
    bool is_good = client_gets(client, command, "+OK");
    mem_free(command);
    return is_good;
}

static void a_shard_that_dies_before_exec_fails_it_loudly(void **state)
{
    (void)state;
    struct client *client = client_connect(duel_proxy_port(duel));
    const char *tag = dying_tag("die");
    expect(client, "MULTI", "+OK");
    ask_with(client, "INCR", tag, "+QUEUED");
    ask_with(client, "INCR", tag, "+QUEUED");
    redis_server_kill(cluster_shard(duel_cluster(duel), 0));
    char *reply = client_ask(client, "EXEC");
    assert_true(is_refused(reply));
    redis_server_restart(cluster_shard(duel_cluster(duel), 0), false);
    WAIT_UNTIL(serves(client, tag), WAIT_MS);
    /* Nothing was sent to a dead shard. */
    ask_with(client, "GET", tag, "(nil)");
    expect(client, "MULTI", "+OK");
    ask_with(client, "INCR", tag, "+QUEUED");
    expect(client, "EXEC", "[:1]");
    mem_free(reply);
    client_close(client);
}

static void a_watch_on_a_shard_that_died_stops_exec(void **state)
{
    (void)state;
    struct client *client = client_connect(duel_proxy_port(duel));
    const char *tag = dying_tag("wdie");
    ask_with(client, "WATCH", tag, "+OK");
    redis_server_restart(cluster_shard(duel_cluster(duel), 0), false);
    WAIT_UNTIL(serves(client, tag), WAIT_MS);
    expect(client, "MULTI", "+OK");
    ask_with(client, "INCR", tag, "+QUEUED");
    expect(client, "EXEC", "(nil)");
    ask_with(client, "WATCH", tag, "+OK");
    expect(client, "MULTI", "+OK");
    ask_with(client, "INCR", tag, "+QUEUED");
    expect(client, "EXEC", "[:1]");
    client_close(client);
}

/* A shard that hangs: the connection of a watch has a time-out like any other. */
static void a_watching_client_is_not_left_waiting_by_a_shard_that_hangs(void **state)
{
    (void)state;
    struct process *shard = redis_server_process(cluster_shard(duel_cluster(duel), 0));
    struct client *client = client_connect(duel_proxy_port(duel));
    const char *tag = dying_tag("hang");
    ask_with(client, "WATCH", tag, "+OK");
    expect(client, "MULTI", "+OK");
    ask_with(client, "INCR", tag, "+QUEUED");
    process_signal(shard, SIGSTOP);
    char *reply = client_ask(client, "EXEC");
    process_signal(shard, SIGCONT);
    if (!is_refused(reply)) {
        fail_msg("EXEC answered %s", reply);
    }
    mem_free(reply);
    WAIT_UNTIL(serves(client, tag), WAIT_MS);
    client_close(client);
}

/* The shard answers after the client has gone, in every way that it may go. */
static void a_client_may_go_while_its_mixed_exec_is_under_way(void **state)
{
    struct process *shard = redis_server_process(cluster_shard(duel_cluster(duel), 0));
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct client *client = client_connect(duel_proxy_port(duel));
        const char *tag = dying_tag("gone");
        if (i % 2 == 1) {
            ask_with(client, "WATCH", tag, "+OK");
        }
        expect(client, "MULTI", "+OK");
        expect(client, "CLIENT GETNAME", "+QUEUED");
        ask_with(client, "INCR", tag, "+QUEUED");
        process_signal(shard, SIGSTOP);
        assert_int_equal(redisAppendCommand(client_context(client), "EXEC"), REDIS_OK);
        int done = 0;
        while (done == 0) {
            assert_int_equal(redisBufferWrite(client_context(client), &done), REDIS_OK);
        }
        client_close(client);
        struct client *other = client_connect(duel_proxy_port(duel));
        expect(other, "PING", "+PONG"); /* the proxy has seen both by then, or soon will */
        process_signal(shard, SIGCONT);
        WAIT_UNTIL(serves(other, tag), WAIT_MS);
        client_close(other);
    }
}

#define TEST(name) cmocka_unit_test_teardown(name, stage_close_clients)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_transaction_answers_what_redis_answers),
        TEST(multi_in_multi_is_refused_and_harms_nothing),
        TEST(exec_and_discard_want_a_multi),
        TEST(an_error_while_queueing_aborts_the_whole),
        TEST(too_many_words_for_exec_abort_too),
        TEST(an_error_while_executing_stops_nothing),
        TEST(an_empty_transaction_is_an_empty_array),
        TEST(inline_commands_are_queued_like_others),
        TEST(commands_without_keys_may_be_inside),
        TEST(the_proxys_own_commands_have_their_place_in_the_array),
        TEST(subscriptions_may_be_inside),
        TEST(who_is_not_let_pass_is_not_subscribed),
        TEST(subscriptions_inside_keep_the_order_of_their_client),
        TEST(a_failed_watch_spares_the_proxys_own_commands),
        TEST(mixed_transactions_stay_in_the_order_of_their_client),
        TEST(hello_in_multi_may_not_change_the_protocol),
        TEST(the_proxys_own_commands_are_bounded),
        TEST(a_client_may_go_while_its_mixed_exec_is_under_way),
        TEST(a_thousand_commands_are_one_transaction),
        TEST(values_of_any_bytes_come_through),
        TEST(a_transaction_may_come_in_one_write_with_what_is_around_it),
        TEST(others_see_all_of_a_transaction_or_nothing),
        TEST(blocking_commands_do_not_block_inside),
        TEST(watch_lets_exec_pass_when_nobody_wrote),
        TEST(watch_stops_exec_when_somebody_wrote),
        TEST(a_write_of_ones_own_stops_exec_as_well),
        TEST(unwatch_discard_and_reset_drop_the_watch),
        TEST(reset_ends_a_transaction),
        TEST(several_keys_of_one_slot_can_be_watched),
        TEST(watch_in_multi_is_refused_and_harms_nothing),
        TEST(a_watch_outlives_many_transactions_of_others),
        TEST(keys_of_two_slots_abort_a_transaction),
        TEST(what_cannot_be_queued_aborts_a_transaction),
        TEST(a_client_that_goes_in_multi_has_done_nothing),
        TEST(a_client_that_closed_its_half_gets_its_answers),
        TEST(a_shard_that_dies_before_exec_fails_it_loudly),
        TEST(a_watch_on_a_shard_that_died_stops_exec),
    };
    const struct CMUnitTest hasty_tests[] = {
        TEST(a_watching_client_is_not_left_waiting_by_a_shard_that_hangs),
    };
    int failed = cmocka_run_group_tests_name("transaction", tests, start, stage_clear);
    failed +=
        cmocka_run_group_tests_name("transaction in RESP3", tests, start_in_resp3, stage_clear);
    return failed +
           cmocka_run_group_tests_name("hasty transaction", hasty_tests, start_hasty, stage_clear);
}
