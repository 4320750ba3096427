/* BLPOP and its kin through a proxy over two shards, beside the same on one plain Redis: the same
 * bytes, the same order, and no element lost. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/duel.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"
#include "tests/support/wait.h"

#define WAITERS 200
#define WAIT_MS 60000

static int start(void **state)
{
    /* On a busy machine two hundred connections take their time, and commands wait for theirs. */
    static const char *const arguments[] = {
        "--drain-timeout", "1s",  "--threads", "3", "--connect-timeout", "30s",
        "--wait-max",      "60s", NULL};
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

static unsigned blocked_on_shards(void)
{
    return blocked_clients(cluster_shard_port(duel_cluster(duel), 0)) +
           blocked_clients(cluster_shard_port(duel_cluster(duel), 1));
}

static int close_clients(void **state)
{
    (void)state;
    duel_close_clients(duel);
    DUEL(duel, "blocked 0");
    return 0;
}

/* --- as Redis --------------------------------------------------------------------------------- */

static void what_is_there_is_popped_at_once(void **state)
{
    (void)state;
    DUEL(duel, "A: RPUSH {a}l 1 2 3 4 5 6 7 8 9", "A: ZADD {a}z 1 a 2 b 3 c 4 d 5 e",
         "A: BLPOP {a}l 0", "A: BRPOP {a}none {a}l 0", "A: BLMOVE {a}l {a}m LEFT RIGHT 0",
         "A: BRPOPLPUSH {a}l {a}m 0", "A: BLMPOP 0 2 {a}none {a}l RIGHT COUNT 2",
         "A: BZPOPMIN {a}z 0", "A: BZPOPMAX {a}none {a}z 0", "A: BZMPOP 0 1 {a}z MIN COUNT 2",
         "A| BLPOP {a}l 0", "A: LRANGE {a}l 0 -1", "A: LRANGE {a}m 0 -1", "A: ZRANGE {a}z 0 -1");
}

static void what_comes_late_is_popped_when_it_comes(void **state)
{
    (void)state;
    DUEL(duel, "A> BLPOP {b}l 0", "blocked 1", "B: RPUSH {b}l 1", "A<");
    DUEL(duel, "A> BRPOP {b}none {b}l 0", "blocked 1", "B: RPUSH {b}l 1 2", "A<");
    DUEL(duel, "A> BLMOVE {b}k {b}m LEFT LEFT 0", "blocked 1", "B: RPUSH {b}k 1 2", "A<");
    DUEL(duel, "A> BRPOPLPUSH {b}o {b}m 0", "blocked 1", "B: LPUSH {b}o 1 2", "A<");
    DUEL(duel, "A> BLMPOP 0 1 {b}p LEFT COUNT 3", "blocked 1", "B: RPUSH {b}p 1 2 3 4", "A<");
    DUEL(duel, "A> BZPOPMIN {b}z 0", "blocked 1", "B: ZADD {b}z 1 a", "A<");
    DUEL(duel, "A> BZPOPMAX {b}z 0", "blocked 1", "B: ZADD {b}z 1 a 2 b", "A<");
    DUEL(duel, "A> BZMPOP 0 1 {b}y MAX", "blocked 1", "B: ZADD {b}y 1 a 2 b", "A<");
    DUEL(duel, "A>| BLPOP {b}q 0", "blocked 1", "B: RPUSH {b}q 1", "A<");
    DUEL(duel, "A: LRANGE {b}m 0 -1", "A: PING", "blocked 0");
}

static void an_element_may_come_from_any_command(void **state)
{
    (void)state;
    DUEL(duel, "A> BLPOP {c}l 0", "blocked 1", "B: MULTI", "B: RPUSH {c}l 1", "B: DEL {c}l",
         "B: RPUSH {c}l 2 3", "B: EXEC", "A<");
    DUEL(duel, "A> BLPOP {c}n 0", "blocked 1", "B: MULTI", "B: RPUSH {c}n 1", "B: DEL {c}n",
         "B: EXEC", "blocked 1", "B: RPUSH {c}o 5", "B: RENAME {c}o {c}n", "A<");
    DUEL(duel, "A> BLPOP {c}n 0", "B> BLMOVE {c}p {c}n LEFT LEFT 0", "blocked 2", "C: RPUSH {c}p x",
         "B<", "A<");
    DUEL(duel, "A> BLPOP {c}n 0", "blocked 1", "B: SET {c}n text", "blocked 1", "B: DEL {c}n",
         "B: RPUSH {c}n y", "A<");
}

static void a_time_out_answers_nil(void **state)
{
    (void)state;
    DUEL(duel, "A: BLPOP {d}l 0.05", "A: BRPOP {d}l {d}k 0.05",
         "A: BLMOVE {d}l {d}k LEFT LEFT 0.05", "A: BRPOPLPUSH {d}l {d}k 0.05",
         "A: BLMPOP 0.05 1 {d}l LEFT", "A: BZPOPMIN {d}z 0.05", "A: BZPOPMAX {d}z 0.05",
         "A: BZMPOP 0.05 1 {d}z MIN", "A: BLPOP {d}l 0.001", "A: PING", "blocked 0");
}

static void the_wrong_type_and_bad_words_are_refused(void **state)
{
    (void)state;
    DUEL(duel, "A: SET {e}s text", "A: RPUSH {e}l 1", "A: BLPOP {e}s 0", "A: BZPOPMIN {e}l 0",
         "A: BLPOP {e}none {e}s 0", "A: BLMOVE {e}l {e}s LEFT LEFT 0", "A: LRANGE {e}l 0 -1",
         "A: BLPOP {e}l x", "A: BLPOP {e}l -1", "A: BLPOP {e}l nan", "A: BLPOP {e}l inf",
         "A: BLPOP {e}l 1e400", "A: BLPOP {e}l 1e16", "A: BLPOP", "A: BLPOP {e}l",
         "A: BLMPOP 0 0 {e}l LEFT", "A: BLMPOP 0 x {e}l LEFT", "A: BLMPOP 0 1 {e}l MIDDLE",
         "A: BLMPOP 0 1 {e}l LEFT COUNT 0", "A: BLMOVE {e}l {e}k UP DOWN 0",
         "A: BZMPOP x 1 {e}z MIN", "A: LRANGE {e}l 0 -1");
    DUEL(duel, "A> BLMOVE {e}n {e}s LEFT LEFT 0", "blocked 1", "B: RPUSH {e}n 1", "A<",
         "A: LRANGE {e}n 0 -1");
}

static void a_time_out_beyond_all_bounds_waits(void **state)
{
    (void)state;
    DUEL(duel, "A> BLPOP {ee}l 1e10", "blocked 1", "B: RPUSH {ee}l 1", "A<");
}

/* --- streams ---------------------------------------------------------------------------------- */

static void what_a_stream_has_is_read_at_once(void **state)
{
    (void)state;
    DUEL(duel, "A: XADD {s}s 1-1 f v", "A: XADD {s}s 2-1 f w", "A: XREAD BLOCK 0 STREAMS {s}s 0",
         "A: XREAD COUNT 1 BLOCK 0 STREAMS {s}none {s}s 5 0", "A: XREAD STREAMS {s}s $",
         "A: xread block 50 streams {s}s $", "A: XREAD BLOCK 50 STREAMS {s}s {s}none 2-1 $",
         "A: XGROUP CREATE {s}s g 0", "A: XREADGROUP GROUP g c COUNT 1 BLOCK 0 STREAMS {s}s >",
         "A: XREADGROUP GROUP g c BLOCK 0 NOACK STREAMS {s}s >",
         "A: XREADGROUP GROUP g c BLOCK 0 STREAMS {s}s 0",
         "A: XREADGROUP GROUP g other BLOCK 0 STREAMS {s}s 0", "A: XPENDING {s}s g",
         "A: XREADGROUP GROUP g c BLOCK 50 STREAMS {s}s >",
         "A: XREADGROUP GROUP g STREAMS BLOCK 50 STREAMS {s}s >");
}

static void what_comes_late_to_a_stream_is_read_when_it_comes(void **state)
{
    (void)state;
    DUEL(duel, "A> XREAD BLOCK 0 STREAMS {t}s $", "blocked 1", "B: XADD {t}s 1-1 f v", "A<");
    DUEL(duel, "A> XREAD BLOCK 0 STREAMS {t}s {t}t $ $",
         "B> XREAD COUNT 5 BLOCK 0 STREAMS {t}s 1-1", "C> XREAD BLOCK 60000 STREAMS {t}s $",
         "blocked 3", "D: XADD {t}s 2-1 f v", "A<", "B<", "C<");
    DUEL(duel, "A> XREAD BLOCK 0 STREAMS {t}s {t}t $ $", "blocked 1", "B: XADD {t}t 1-1 f v", "A<");
    DUEL(duel, "B: XGROUP CREATE {t}s g $", "A> XREADGROUP GROUP g a BLOCK 0 STREAMS {t}s >",
         "blocked 1", "C> XREADGROUP GROUP g c BLOCK 0 NOACK STREAMS {t}s >", "blocked 2",
         "B: XADD {t}s 3-1 f v", "A<", "blocked 1", "B: XADD {t}s 4-1 f v", "C<",
         "B: XPENDING {t}s g", "B: XINFO GROUPS {t}s");
    DUEL(duel, "A>| XREAD BLOCK 0 STREAMS {t}s $\r\nXREAD BLOCK 0 STREAMS {t}s $\r\nPING",
         "blocked 1", "B: XADD {t}s 5-1 f v", "A<", "blocked 1", "B: XADD {t}s 6-1 f v", "A<",
         "A<");
    DUEL(duel, "A: MULTI", "A: XREAD BLOCK 0 STREAMS {t}s $",
         "A: XREADGROUP GROUP g a BLOCK 0 STREAMS {t}s >", "A: EXEC", "blocked 0");
}

static void reading_streams_badly_is_refused_as_redis_does(void **state)
{
    (void)state;
    DUEL(duel, "A: SET {v}x text", "A: XADD {v}s 1-1 f v", "A: XREAD BLOCK 0 STREAMS {v}x $",
         "A: XREAD BLOCK 0 STREAMS {v}x 0", "A: XREAD BLOCK x STREAMS {v}s $",
         "A: XREAD BLOCK -1 STREAMS {v}s $", "A: XREAD BLOCK x STREAMS {v}x 0",
         "A: XREAD BLOCK -1 STREAMS {v}s 0", "A: XREAD BLOCK 0 STREAMS {v}s {v}t $",
         "A: XREAD BLOCK 0 STREAMS {v}s bad", "A: XREAD BLOCK 0 COUNT x STREAMS {v}s $",
         "A: XREAD BLOCK 0 NOACK STREAMS {v}s $", "A: XREAD BLOCK 0 STREAMS {v}s >",
         "A: XREADGROUP GROUP none c BLOCK 0 STREAMS {v}s >",
         "A: XREADGROUP GROUP g c BLOCK 0 STREAMS {v}none >",
         "A: XREADGROUP BLOCK 0 STREAMS {v}s >", "A: XGROUP CREATE {v}s g $",
         "A: XREADGROUP GROUP g c BLOCK 0 STREAMS {v}s $",
         "A: XREADGROUP GROUP g c BLOCK 20 STREAMS {v}x >", "A: XREAD BLOCK",
         "A: XREAD BLOCK 0 STREAMS", "A: XREAD BLOCK 0 STREAMS {v}s");
}

static void a_reader_of_streams_that_goes_away_leaves_nothing_behind(void **state)
{
    (void)state;
    DUEL(duel, "B: XGROUP CREATE {w}s g $ MKSTREAM",
         "A> XREADGROUP GROUP g a BLOCK 0 STREAMS {w}s >", "blocked 1",
         "B> XREADGROUP GROUP g b BLOCK 0 STREAMS {w}s >", "C> XREAD BLOCK 0 STREAMS {w}s $",
         "blocked 3", "A close", "C half", "blocked 1", "D: XADD {w}s 1-1 f v", "B<",
         "D: XPENDING {w}s g");
}

static void keys_of_two_slots_are_refused(void **state)
{
    (void)state;
    struct client *client = client_connect(duel_proxy_port(duel));
    expect_prefix(client, "BLPOP {x1}a {x2}a 0", "-CROSSSLOT ");
    expect_prefix(client, "BLMOVE {x1}a {x2}a LEFT LEFT 0", "-CROSSSLOT ");
    expect_prefix(client, "BLPOP __sluice:fence 0", "-ERR ");
    client_close(client);
}

/* --- order ------------------------------------------------------------------------------------ */

static void who_came_first_is_served_first(void **state)
{
    (void)state;
    DUEL(duel, "A> BLPOP {f}l 0", "blocked 1", "B> BLPOP {f}l 0", "blocked 2", "C> BRPOP {f}l 0",
         "blocked 3", "D> BLPOP {f}none {f}l 0", "blocked 4", "E: RPUSH {f}l 1", "A<",
         "E: RPUSH {f}l 2 3 4 5", "B<", "C<", "D<", "E: LRANGE {f}l 0 -1");
}

static void what_comes_behind_a_blocked_command_waits(void **state)
{
    (void)state;
    DUEL(duel, "A>| SET {g}a 1\r\nBLPOP {g}l 0\r\nSET {g}a 2\r\nGET {g}a\r\nPING", "A<",
         "blocked 1", "B: GET {g}a", "A> GET {g}a", "B: GET {g}a", "B: RPUSH {g}l x", "A<", "A<",
         "A<", "A<", "A<");
    DUEL(duel, "A>| BLPOP {g}l 0\r\nBLPOP {g}l 0\r\nBLPOP {g}l 0", "blocked 1",
         "B: RPUSH {g}l 1 2 3", "A<", "A<", "A<");
    DUEL(duel, "A>| BLPOP {g}l 0.01\r\nMULTI\r\nINCR {g}a\r\nEXEC", "A<", "A<", "A<", "A<");
}

static void what_came_before_a_blocking_command_is_done_before_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        DUEL(duel, "B: RPUSH {h}l old", "A>| DEL {h}l\r\nRPUSH {h}l new\r\nBLPOP {h}l 0", "A<",
             "A<", "A<");
    }
}

/* --- clients that go -------------------------------------------------------------------------- */

static void a_client_that_went_away_takes_no_element(void **state)
{
    (void)state;
    DUEL(duel, "A> BLPOP {i}l 0", "B> BLPOP {i}l 0", "blocked 2", "A close", "blocked 1",
         "C: RPUSH {i}l 1", "B<", "C: RPUSH {i}l 2", "C: LRANGE {i}l 0 -1");
    DUEL(duel, "A> BLMOVE {i}k {i}m LEFT LEFT 0", "blocked 1", "A close", "blocked 0",
         "C: RPUSH {i}k 1", "C: LRANGE {i}k 0 -1", "C: EXISTS {i}m");
}

static void a_client_that_closed_its_half_takes_no_element(void **state)
{
    (void)state;
    DUEL(duel, "A> BLPOP {j}l 0", "blocked 1", "A half", "blocked 0", "C: RPUSH {j}l 1",
         "C: LRANGE {j}l 0 -1");
}

static void a_client_that_went_away_with_commands_behind_takes_no_element(void **state)
{
    (void)state;
    DUEL(duel, "A>| BLPOP {jj}l 0\r\nSET {jj}a 1\r\nBLPOP {jj}k 0", "blocked 1", "A close",
         "blocked 0", "C: RPUSH {jj}l 1", "C: LRANGE {jj}l 0 -1", "C: EXISTS {jj}a");
}

static void go_away_behind(size_t size, bool is_half)
{
    struct buffer bytes;
    int fd = raw_connect(duel_proxy_port(duel));
    buffer_init(&bytes, SIZE_MAX);
    buffer_add_text(&bytes, "BLPOP {jk}l 0\r\n");
    while (buffer_length(&bytes) < size) {
        buffer_add_text(&bytes, "SET {jk}a 1\r\n");
    }
    assert_true(raw_send(fd, buffer_slice(&bytes)));
    buffer_fini(&bytes);
    WAIT_UNTIL(blocked_on_shards() == 1, WAIT_MS);
    if (is_half) {
        (void)shutdown(fd, SHUT_WR);
        WAIT_UNTIL(blocked_on_shards() == 0, WAIT_MS);
    }
    (void)close(fd);
    WAIT_UNTIL(blocked_on_shards() == 0, WAIT_MS);
}

/* Of the larger one the end lies behind what is not read while it waits. */
static void a_client_that_went_away_with_much_behind_takes_no_element(void **state)
{
    static const size_t sizes[] = {(size_t)400 << 10, ((size_t)16 << 20) + ((size_t)64 << 10)};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        go_away_behind(sizes[i], false);
        go_away_behind(sizes[i], true);
    }
    DUEL(duel, "C: RPUSH {jk}l 1", "C: LRANGE {jk}l 0 -1", "C: EXISTS {jk}a");
}

/* Whose answer is there already does not wait: what it was told is the reason. */
static void expect_no_answer(struct client *client)
{
    char answer[200];
    ssize_t size =
        recv(client_context(client)->fd, answer, sizeof(answer), MSG_PEEK | MSG_DONTWAIT);
    if (size >= 0) {
        fail_msg("who should wait was answered: %.*s", (int)size, answer);
    }
}

static bool do_all_wait(struct client **clients)
{
    for (unsigned i = 0; i < WAITERS; i++) {
        expect_no_answer(clients[i]);
    }
    return blocked_on_shards() == WAITERS;
}

static void two_hundred_clients_may_wait(void **state)
{
    (void)state;
    static struct client *clients[WAITERS];
    static bool was_seen[WAITERS];
    struct client *pusher = client_connect(duel_proxy_port(duel));
    for (unsigned i = 0; i < WAITERS; i++) {
        clients[i] = client_connect(duel_proxy_port(duel));
        int done = 0;
        (void)redisAppendCommand(client_context(clients[i]), "BLPOP many%u 0", i % 10);
        while (!done) {
            assert_int_equal(redisBufferWrite(client_context(clients[i]), &done), REDIS_OK);
        }
    }
    WAIT_UNTIL(do_all_wait(clients), WAIT_MS);
    for (unsigned i = 0; i < WAITERS; i++) {
        char command[64];
        (void)snprintf(command, sizeof(command), "RPUSH many%u %u", i % 10, i);
        expect_prefix(pusher, command, ":");
    }
    memset(was_seen, 0, sizeof(was_seen));
    for (unsigned i = 0; i < WAITERS; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(client_context(clients[i]), (void **)&reply), REDIS_OK);
        assert_int_equal(reply->elements, 2);
        unsigned long number = strtoul(reply->element[1]->str, NULL, 10);
        assert_true(number < WAITERS && number % 10 == i % 10 && !was_seen[number]);
        was_seen[number] = true;
        freeReplyObject(reply);
        client_close(clients[i]);
    }
    client_close(pusher);
}

/* --- CLIENT UNBLOCK --------------------------------------------------------------------------- */

static void a_waiting_client_can_be_unblocked_by_its_id(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) { /* of whichever worker */
        struct client *waiter = client_connect(duel_proxy_port(duel));
        struct client *other = client_connect(duel_proxy_port(duel));
        char *id = client_ask(waiter, "CLIENT ID");
        char *command = mem_printf("CLIENT UNBLOCK %s%s", id + 1, i % 2 == 0 ? " ERROR" : "");
        expect(other, command, ":0");
        assert_int_equal(redisAppendCommand(client_context(waiter), "BLPOP {u}l 0"), REDIS_OK);
        int is_done = 0;
        assert_int_equal(redisBufferWrite(client_context(waiter), &is_done), REDIS_OK);
        expect_within(other, command, ":1", WAIT_MS);
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(client_context(waiter), (void **)&reply), REDIS_OK);
        char *text = client_reply_text(reply);
        assert_string_equal(text, i % 2 == 0 ? "-UNBLOCKED client unblocked via CLIENT UNBLOCK"
                                             : "(nil)");
        expect(other, command, ":0");
        expect(other, "RPUSH {u}l 1", ":1");
        expect(other, "DEL {u}l", ":1");
        expect(waiter, "PING", "+PONG");
        mem_free(text);
        mem_free(command);
        mem_free(id);
        freeReplyObject(reply);
        client_close(waiter);
        client_close(other);
    }
}

static void unblocking_nobody_answers_as_redis_does(void **state)
{
    (void)state;
    DUEL(duel, "A: CLIENT UNBLOCK 123456", "A: CLIENT UNBLOCK 0", "A: CLIENT UNBLOCK -5",
         "A: CLIENT UNBLOCK x", "A: CLIENT UNBLOCK", "A: CLIENT UNBLOCK 1 NEVER",
         "A: CLIENT UNBLOCK x NEVER", "A: CLIENT UNBLOCK 123456 timeout",
         "A: CLIENT UNBLOCK 123456 ErroR", "A: CLIENT UNBLOCK 123456 ERROR MORE",
         "A>| PING\r\nCLIENT UNBLOCK 123456\r\nCLIENT UNBLOCK 123457\r\nPING", "A<", "A<", "A<",
         "A<");
}

/* --- servers that go -------------------------------------------------------------------------- */

static bool pushes(struct client *client, const char *key)
{
    char *command = mem_printf("RPUSH %s x", key);
    bool is_good = client_gets(client, command, ":1");
    mem_free(command);
    return is_good;
}

static int send_blpop(const char *key)
{
    char *command = mem_printf("BLPOP %s 0\r\n", key);
    int fd = raw_connect(duel_proxy_port(duel));
    assert_true(fd > 0);
    assert_true(raw_send(fd, slice_of(command)));
    mem_free(command);
    return fd;
}

static void expect_loud_error(int fd)
{
    struct buffer pending;
    struct buffer reply;
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&reply, SIZE_MAX);
    assert_true(raw_read_reply(fd, &pending, &reply));
    struct slice text = buffer_slice(&reply);
    if (!slice_starts_with(text, SLICE("-UNKNOWN ")) &&
        !slice_starts_with(text, SLICE("-UNAVAILABLE "))) {
        fail_msg("got %.*s", (int)text.len, text.data);
    }
    buffer_fini(&pending);
    buffer_fini(&reply);
    (void)close(fd);
}

static void a_shard_that_dies_fails_those_who_wait_and_comes_back(void **state)
{
    (void)state;
    struct client *client = client_connect(duel_proxy_port(duel));
    const char *key = cluster_key(duel_cluster(duel), 0, "dying", 0);
    int waiters[3];
    for (unsigned i = 0; i < 3; i++) {
        waiters[i] = send_blpop(key);
    }
    WAIT_UNTIL(blocked_on_shards() == 3, WAIT_MS);
    redis_server_kill(cluster_shard(duel_cluster(duel), 0));
    for (unsigned i = 0; i < 3; i++) {
        expect_loud_error(waiters[i]);
    }
    expect_loud_error(send_blpop(key));
    redis_server_restart(cluster_shard(duel_cluster(duel), 0), false);
    WAIT_UNTIL(pushes(client, key), WAIT_MS);
    char *command = mem_printf("BLPOP %s 0", key);
    char *reply = mem_printf("[%s, x]", key);
    expect(client, command, reply);
    mem_free(command);
    mem_free(reply);
    client_close(client);
}

/* As with Redis, a time-out bounds the waiting: what is there is given, however late it is looked
 * for. */
static void what_is_there_is_popped_though_the_time_is_up_before_the_shard_is_asked(void **state)
{
    (void)state;
    struct process *shard = redis_server_process(cluster_shard(duel_cluster(duel), 0));
    struct client *client = client_connect(duel_proxy_port(duel));
    const char *key = cluster_key(duel_cluster(duel), 0, "late", 0);
    char *push = mem_printf("RPUSH %s x", key), *pop = mem_printf("BLPOP %s 0.05\r\n", key);
    char *element = mem_printf("*2\r\n$%zu\r\n%s\r\n$1\r\nx\r\n", strlen(key), key);
    struct buffer pending, reply;
    buffer_init(&pending, SIZE_MAX);
    buffer_init(&reply, SIZE_MAX);
    int fd = raw_connect(duel_proxy_port(duel));
    expect(client, push, ":1");
    process_signal(shard, SIGSTOP);
    assert_true(raw_send(fd, slice_of(pop)));
    clock_sleep_ms(200);
    process_signal(shard, SIGCONT);
    assert_true(raw_read_reply(fd, &pending, &reply));
    assert_true(slice_equal(buffer_slice(&reply), slice_of(element)));
    assert_true(raw_send(fd, slice_of(pop)));
    buffer_clear(&reply);
    assert_true(raw_read_reply(fd, &pending, &reply));
    assert_true(slice_equal(buffer_slice(&reply), SLICE("*-1\r\n")));
    (void)close(fd);
    buffer_fini(&pending);
    buffer_fini(&reply);
    mem_free(push);
    mem_free(pop);
    mem_free(element);
    client_close(client);
}

static void a_proxy_that_stops_does_not_wait_for_those_who_wait(void **state)
{
    (void)state;
    struct process *proxy = cluster_proxy(duel_cluster(duel), 0);
    int status = 0;
    int first = send_blpop("ending");
    int second = send_blpop("ending");
    WAIT_UNTIL(blocked_on_shards() == 2, WAIT_MS);
    process_signal(proxy, SIGTERM);
    assert_true(process_wait(proxy, WAIT_MS, &status));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    /* Nobody of it is left to pop. */
    WAIT_UNTIL(blocked_on_shards() == 0, WAIT_MS);
    (void)close(first);
    (void)close(second);
    cluster_restart_proxy(duel_cluster(duel), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, close_clients)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_there_is_popped_at_once),
        TEST(what_comes_late_is_popped_when_it_comes),
        TEST(an_element_may_come_from_any_command),
        TEST(a_time_out_answers_nil),
        TEST(the_wrong_type_and_bad_words_are_refused),
        TEST(a_time_out_beyond_all_bounds_waits),
        TEST(what_a_stream_has_is_read_at_once),
        TEST(what_comes_late_to_a_stream_is_read_when_it_comes),
        TEST(reading_streams_badly_is_refused_as_redis_does),
        TEST(a_reader_of_streams_that_goes_away_leaves_nothing_behind),
        TEST(keys_of_two_slots_are_refused),
        TEST(who_came_first_is_served_first),
        TEST(what_comes_behind_a_blocked_command_waits),
        TEST(what_came_before_a_blocking_command_is_done_before_it),
        TEST(a_client_that_went_away_takes_no_element),
        TEST(a_client_that_closed_its_half_takes_no_element),
        TEST(a_client_that_went_away_with_commands_behind_takes_no_element),
        TEST(a_client_that_went_away_with_much_behind_takes_no_element),
        TEST(two_hundred_clients_may_wait),
        TEST(a_waiting_client_can_be_unblocked_by_its_id),
        TEST(unblocking_nobody_answers_as_redis_does),
        TEST(what_is_there_is_popped_though_the_time_is_up_before_the_shard_is_asked),
        TEST(a_shard_that_dies_fails_those_who_wait_and_comes_back),
        TEST(a_proxy_that_stops_does_not_wait_for_those_who_wait),
    };
    int failed = cmocka_run_group_tests_name("blocking", tests, start, stage_clear);
    return failed +
           cmocka_run_group_tests_name("blocking in RESP3", tests, start_in_resp3, stage_clear);
}
