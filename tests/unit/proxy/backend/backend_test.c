/* One connection to a shard: what is said on it and when, and what becomes of the requests on it.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/net/loop.h"
#include "lib/resp/writer.h"
#include "lib/shard/fence.h"
#include "proxy/backend/backend.h"
#include "tests/support/client.h"
#include "tests/support/process.h"
#include "tests/support/redis.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define PATIENCE_MS 60000
#define TIMEOUT_US  1000000u
#define REQUESTS    8u

static struct loop *loop;
static struct timer timer;
static struct request_pool pool;
static struct counters counters;
static char scratch[65536];
static struct backend_shared shared;
static struct backend *backend;
static uint64_t epoch;

static struct {
    unsigned ready, down, fenced, unfenced, given_up;
    uint64_t connection_id;
} told;

static uint64_t on_epoch(void *context)
{
    (void)context;
    return epoch;
}

static void on_ready(void *context, struct backend *which)
{
    (void)context;
    assert_ptr_equal(which, backend);
    told.ready++;
}

static void on_down(void *context, struct backend *which)
{
    (void)context;
    (void)which;
    told.down++;
}

static void on_fenced(void *context)
{
    (void)context;
    told.fenced++;
}

static void on_unfenced(void *context, const char *shard)
{
    (void)context;
    assert_string_equal(shard, backend_name(backend));
    told.unfenced++;
}

static void on_given_up(void *context, struct backend *which, uint64_t connection_id)
{
    (void)context;
    (void)which;
    told.given_up++;
    told.connection_id = connection_id;
}

static void on_time(void *context)
{
    (void)context;
    backend_tick(backend, loop_update_now(loop));
    loop_stop(loop);
}

static void turn(void)
{
    timer_start(&timer, 1);
    loop_run(loop);
}

#define TURN_UNTIL(condition)                                       \
    do {                                                            \
        uint64_t turn_deadline_us = deadline_after_ms(PATIENCE_MS); \
        while (!(condition)) {                                      \
            if (deadline_is_over(turn_deadline_us)) {               \
                fail_msg("never: %s", #condition);                  \
            }                                                       \
            turn();                                                 \
        }                                                           \
    } while (0)

static int start(void **state)
{
    (void)state;
    const struct backend_events events = {
        .on_ready = on_ready, .on_down = on_down, .on_given_up = on_given_up};
    memset(&told, 0, sizeof(told));
    epoch = 1;
    script_init();
    loop = loop_new();
    timer_init(&timer, loop, on_time, NULL);
    shared = (struct backend_shared){.hello = {on_epoch, on_fenced, on_unfenced, NULL},
                                     .loop = loop,
                                     .pool = &pool,
                                     .counters = &counters,
                                     .peer = "p1:0123456789abcdef",
                                     .timeout_us = TIMEOUT_US,
                                     .connect_timeout_us = TIMEOUT_US,
                                     .scratch = scratch,
                                     .scratch_size = sizeof(scratch)};
    backend = backend_new(&shared, &events);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    timer_stop(&timer);
    backend_free(backend);
    assert_int_equal(pool.taken, 0);
    request_pool_fini(&pool);
    loop_free(loop);
    process_stop_all();
    return 0;
}

static void point_at(uint16_t port, const struct shard_identity *identity)
{
    struct error err = {{0}};
    struct endpoint endpoint;
    assert_true(endpoint_resolve(&endpoint, "127.0.0.1", port, &err));
    backend_set_target(backend, 0, "s1", &endpoint, identity);
}

/* --- requests --------------------------------------------------------------------------------- */

struct asked {
    enum outcome outcome;
    unsigned calls;
    char reply[64];
};

static struct asked asked[REQUESTS];

static void on_reply(struct request *request)
{
    struct asked *this = request->owner;
    this->outcome = request->outcome;
    this->calls++;
    struct slice reply = buffer_slice(&request->reply);
    (void)snprintf(this->reply, sizeof(this->reply), "%.*s", (int)reply.len, reply.data);
    if (request->outcome == OUTCOME_NOT_SENT) {
        struct slice bytes = buffer_slice(&request->bytes);
        (void)snprintf(this->reply, sizeof(this->reply), "%.*s", (int)bytes.len, bytes.data);
    }
    request_give(&pool, request);
}

static void ask(unsigned index, struct slice bytes)
{
    struct request *request = request_take(&pool);
    asked[index] = (struct asked){.outcome = OUTCOME_PENDING};
    request->owner = &asked[index];
    request->on_reply = on_reply;
    backend_send(backend, request, bytes);
}

/* --- a shard that the test plays
 * ------------------------------------------------------------------ */

struct shard_player {
    int listener, fd;
    struct buffer heard;
};

static const struct shard_identity somebody = {"0123456789012345678901234567890123456789",
                                               "9876543210987654321098765432109876543210"};

static void play(struct shard_player *player)
{
    struct error err = {{0}};
    struct endpoint endpoint;
    bool is_exhausted;
    buffer_init(&player->heard, SIZE_MAX);
    assert_true(endpoint_resolve(&endpoint, "127.0.0.1", 0, &err));
    player->listener = socket_listen(&endpoint, &err);
    assert_true(player->listener >= 0);
    point_at(socket_port(player->listener), &somebody);
    TURN_UNTIL((player->fd = socket_accept(player->listener, &is_exhausted)) >= 0);
}

static void end_play(struct shard_player *player)
{
    (void)close(player->fd);
    (void)close(player->listener);
    buffer_fini(&player->heard);
}

static bool hears(struct shard_player *player, struct slice last)
{
    char *room = buffer_reserve(&player->heard, 65536);
    ssize_t count = recv(player->fd, room, 65536, 0);
    if (count > 0) {
        buffer_commit(&player->heard, (size_t)count);
    }
    struct slice heard = buffer_slice(&player->heard);
    return heard.len >= last.len &&
           memcmp(heard.data + heard.len - last.len, last.data, last.len) == 0;
}

/* Hears what ends in this, then nothing more. */
static void expect_heard(struct shard_player *player, const char *first, const char *last)
{
    TURN_UNTIL(hears(player, slice_of(last)));
    for (int i = 0; i < 20; i++) {
        turn();
        assert_true(hears(player, slice_of(last)));
    }
    assert_true(slice_starts_with(buffer_slice(&player->heard), slice_of(first)));
    buffer_clear(&player->heard);
}

static void say(struct shard_player *player, const char *text)
{
    assert_int_equal(send(player->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void nothing_is_sent_before_hello_was_answered(void **state)
{
    (void)state;
    struct shard_player player;
    play(&player);
    expect_heard(&player,
                 "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$26\r\nsluice:p1:0123456789abcdef\r\n",
                 "*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n");
    say(&player, "+OK\r\n:77\r\n");
    expect_heard(&player, "*9\r\n$4\r\nEVAL\r\n", "$2\r\n77\r\n");
    assert_int_equal(backend_state(backend), BACKEND_GREETING);
    assert_int_equal(told.ready, 0);
    say(&player, "+OK\r\n");
    TURN_UNTIL(hears(&player, SLICE("\r\n")) && buffer_length(&player.heard) > 1000);
    assert_true(slice_starts_with(buffer_slice(&player.heard),
                                  SLICE("*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\n")));
    assert_int_equal(told.ready, 0);
    say(&player, "+OK\r\n*0\r\n$1\r\na\r\n");
    TURN_UNTIL(told.ready == 1);
    assert_true(backend_has_multi(backend));
    end_play(&player);
}

static void a_shard_that_refuses_multi_is_used_and_known_for_it(void **state)
{
    (void)state;
    struct shard_player player;
    play(&player);
    say(&player, "+OK\r\n:77\r\n+OK\r\n"); /* early, but in order */
    TURN_UNTIL(buffer_length(&player.heard) > 1000 || hears(&player, SLICE("never")));
    say(&player, "-NOPERM no MULTI\r\n-ERR EXEC without MULTI\r\n$1\r\na\r\n");
    TURN_UNTIL(told.ready == 1);
    assert_false(backend_has_multi(backend));
    end_play(&player);
}

// field lesson: replies mixed between clients after a timeout
static void replies_that_nobody_asked_for_end_the_connection(void **state)
{
    (void)state;
    struct shard_player player;
    play(&player);
    say(&player, "+OK\r\n:77\r\n+OK\r\n+OK\r\n*0\r\n$1\r\na\r\n");
    TURN_UNTIL(told.ready == 1);
    say(&player, "+HELLO\r\n");
    TURN_UNTIL(told.down == 1);
    end_play(&player);
}

static void play_resp3(struct shard_player *player)
{
    backend_set_protocol(backend, 3);
    play(player);
    expect_heard(player, "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n", "$5\r\nHELLO\r\n$1\r\n3\r\n");
}

static void in_resp3_it_greets_with_hello_3(void **state)
{
    (void)state;
    struct shard_player player;
    play_resp3(&player);
    say(&player, "+OK\r\n:77\r\n%1\r\n$5\r\nproto\r\n:3\r\n");
    expect_heard(&player, "*9\r\n$4\r\nEVAL\r\n", "$2\r\n77\r\n");
    say(&player, "+OK\r\n+OK\r\n*0\r\n$1\r\na\r\n");
    TURN_UNTIL(told.ready == 1);
    assert_int_equal(backend_connection_id(backend), 77);
    end_play(&player);
}

static void a_shard_without_resp3_is_not_used_for_it(void **state)
{
    (void)state;
    struct shard_player player;
    play_resp3(&player);
    say(&player, "+OK\r\n:77\r\n-NOPROTO unsupported protocol version\r\n");
    TURN_UNTIL(told.down == 1);
    assert_int_equal(told.ready, 0);
    assert_false(backend_may_come(backend));
    end_play(&player);
}

/* Replies and pushes arrive in any pieces. */
static void a_push_between_replies_is_dropped(void **state)
{
    (void)state;
    static const char bytes[] = ">2\r\n+a\r\n-ERR b\r\n"
                                "+ONE\r\n"
                                ">3\r\n$7\r\nmessage\r\n*1\r\n_\r\n%1\r\n+k\r\n,1.5\r\n"
                                ">0\r\n"
                                "_\r\n"
                                "|1\r\n+ttl\r\n:3\r\n~1\r\n#t\r\n"
                                ">1\r\n=5\r\ntxt:a\r\n";
    struct shard_player player;
    play_resp3(&player);
    say(&player, ">1\r\n+early\r\n+OK\r\n:77\r\n%0\r\n+OK\r\n+OK\r\n*0\r\n$1\r\na\r\n");
    TURN_UNTIL(told.ready == 1);
    for (unsigned i = 0; i < 3; i++) {
        ask(i, SLICE("*1\r\n$4\r\nPING\r\n"));
    }
    for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
        const char byte[] = {bytes[i], '\0'};
        say(&player, byte);
        turn();
    }
    TURN_UNTIL(asked[2].calls == 1);
    assert_string_equal(asked[0].reply, "+ONE\r\n");
    assert_string_equal(asked[1].reply, "_\r\n");
    assert_string_equal(asked[2].reply, "|1\r\n+ttl\r\n:3\r\n~1\r\n#t\r\n");
    assert_int_equal(told.down, 0);
    end_play(&player);
}

/* What the kernel took is unknown, what it did not take goes elsewhere; a reply that began is no
 * reply. */
// field lesson: a command was resent after a lost reply
static void only_what_was_not_sent_may_be_sent_again(void **state)
{
    (void)state;
    struct shard_player player;
    size_t huge_size = (size_t)64 << 20;
    char *huge = mem_alloc(huge_size);
    memset(huge, 'x', huge_size);
    play(&player);
    say(&player, "+OK\r\n:77\r\n+OK\r\n+OK\r\n*0\r\n$1\r\na\r\n");
    TURN_UNTIL(told.ready == 1);
    ask(0, SLICE("*1\r\n$4\r\nPING\r\n"));
    ask(1, SLICE("*1\r\n$4\r\nPONG\r\n"));
    ask(2, (struct slice){huge, huge_size}); /* more than the kernel takes */
    ask(3, SLICE("*1\r\n$4\r\nLATE\r\n"));
    ask(4, SLICE("*1\r\n$5\r\nLATER\r\n"));
    say(&player, "+PONG\r\n$5\r\nab");
    TURN_UNTIL(asked[0].outcome == OUTCOME_REPLY);
    backend_begin_drain(backend);
    assert_false(backend_has_drained(backend));
    end_play(&player);
    TURN_UNTIL(told.down > 0);
    assert_string_equal(asked[0].reply, "+PONG\r\n");
    assert_int_equal(asked[1].outcome, OUTCOME_UNKNOWN);
    assert_int_equal(asked[2].outcome, OUTCOME_UNKNOWN);
    assert_int_equal(asked[3].outcome, OUTCOME_NOT_SENT);
    assert_string_equal(asked[3].reply, "*1\r\n$4\r\nLATE\r\n");
    assert_int_equal(asked[4].outcome, OUTCOME_NOT_SENT);
    assert_string_equal(asked[4].reply, "*1\r\n$5\r\nLATER\r\n");
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(asked[i].calls, 1);
    }
    assert_int_equal(told.given_up, 1);
    assert_int_equal(told.connection_id, 77);
    assert_false(backend_has_drained(backend));
    backend_killed(backend, told.connection_id);
    assert_true(backend_has_drained(backend));
    mem_free(huge);
}

/* Lost with nothing on it: nothing is uncertain. */
static void an_idle_connection_is_not_given_up(void **state)
{
    (void)state;
    struct shard_player player;
    play(&player);
    say(&player, "+OK\r\n:77\r\n+OK\r\n+OK\r\n*0\r\n$1\r\na\r\n");
    TURN_UNTIL(told.ready == 1);
    end_play(&player);
    TURN_UNTIL(told.down > 0);
    assert_int_equal(told.given_up, 0);
    backend_begin_drain(backend);
    assert_true(backend_has_drained(backend));
}

static void a_shard_that_does_not_greet_is_left(void **state)
{
    (void)state;
    struct shard_player player;
    play(&player);
    assert_true(backend_may_come(backend));
    TURN_UNTIL(told.down == 1);
    assert_int_equal(told.given_up, 0);
    assert_false(backend_may_come(backend));
    end_play(&player);
}

/* --- a real shard ----------------------------------------------------------------------------- */

static struct redis_server *server;
static struct shard_link *link_;
static struct shard_identity identity;

static void start_server(bool has_fence)
{
    struct error err = {{0}};
    server = redis_server_start(NULL);
    struct topology_shard place = {.host = "127.0.0.1", .port = redis_server_port(server)};
    link_ = shard_open(&place, "test", 5000, &err);
    assert_non_null(link_);
    identity = *shard_link_identity(link_);
    if (has_fence) {
        assert_int_equal(fence_write(link_, FENCE_WRITE_FIRST, "0123456789abcdef0123456789abcdef",
                                     "s1", 1, &err),
                         FENCE_OK);
    }
    point_at(redis_server_port(server), &identity);
}

static void stop_server(void)
{
    shard_close(link_);
    redis_server_stop(server);
}

static void raise_fence(uint64_t to)
{
    struct error err = {{0}};
    struct fence_peer *peers;
    unsigned count;
    assert_int_equal(fence_raise(link_, &identity, to, &peers, &count, &err), FENCE_OK);
    mem_free(peers);
}

static void a_fenced_backend_comes_in_with_the_new_epoch(void **state)
{
    (void)state;
    start_server(true);
    raise_fence(5);
    TURN_UNTIL(told.fenced > 0);
    assert_int_equal(told.ready, 0);
    assert_true(backend_may_come(backend)); /* its requests wait for the adoption */
    unsigned before = told.fenced;
    TURN_UNTIL(told.fenced > before); /* it asks again by itself, and is refused again */
    assert_int_equal(told.ready, 0);
    epoch = 5;
    TURN_UNTIL(backend_state(backend) == BACKEND_DOWN);
    backend_retry(backend);
    assert_int_not_equal(backend_state(backend), BACKEND_DOWN); /* at once */
    TURN_UNTIL(told.ready == 1);
    struct error err = {{0}};
    struct fence_peer *peers;
    unsigned count;
    assert_int_equal(fence_raise(link_, &identity, 5, &peers, &count, &err), FENCE_OK);
    assert_int_equal(count, 1);
    assert_string_equal(peers[0].name, "p1:0123456789abcdef");
    mem_free(peers);
    stop_server();
}

static void an_unfenced_shard_is_told_and_not_waited_for(void **state)
{
    (void)state;
    start_server(false);
    TURN_UNTIL(told.unfenced > 0);
    assert_int_equal(told.ready, 0);
    assert_false(backend_may_come(backend));
    struct error err = {{0}};
    assert_int_equal(
        fence_write(link_, FENCE_WRITE_FIRST, "0123456789abcdef0123456789abcdef", "s1", 1, &err),
        FENCE_OK);
    TURN_UNTIL(told.ready == 1);
    stop_server();
}

static void another_process_is_not_used(void **state)
{
    (void)state;
    start_server(true);
    TURN_UNTIL(told.ready == 1);
    point_at(redis_server_port(server), &somebody);
    TURN_UNTIL(told.unfenced > 0);
    assert_int_equal(told.ready, 1);
    point_at(redis_server_port(server), &identity);
    TURN_UNTIL(told.ready == 2);
    stop_server();
}

// field lesson: a command was resent after a lost reply
static void a_killed_server_leaves_its_requests_unknown(void **state)
{
    (void)state;
    start_server(true);
    TURN_UNTIL(told.ready == 1);
    process_signal(redis_server_process(server), SIGSTOP);
    ask(0, SLICE("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"));
    ask(1, SLICE("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"));
    turn();
    assert_int_equal(asked[0].outcome, OUTCOME_PENDING);
    redis_server_kill(server);
    TURN_UNTIL(asked[0].outcome == OUTCOME_UNKNOWN && asked[1].outcome == OUTCOME_UNKNOWN);
    assert_int_equal(told.given_up, 1);
    assert_true(told.connection_id > 0);
    stop_server();
}

/* A server that stands still: given up after the time-out, once. What it left in the socket is
 * executed when it goes on: until its connection is killed, nothing has ended. */
// field lesson: one slow or dead shard stalls everything pipelined behind it
static void a_standing_server_is_given_up_after_the_time_out(void **state)
{
    (void)state;
    start_server(true);
    TURN_UNTIL(told.ready == 1);
    process_signal(redis_server_process(server), SIGSTOP);
    uint64_t began_us = loop_update_now(loop); /* stopping it may have taken long */
    ask(0, SLICE("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"));
    TURN_UNTIL(asked[0].outcome == OUTCOME_UNKNOWN);
    assert_true(clock_now_us() - began_us >= TIMEOUT_US);
    assert_int_equal(told.given_up, 1);
    backend_begin_drain(backend);
    assert_false(backend_has_drained(backend));
    process_signal(redis_server_process(server), SIGCONT);
    TURN_UNTIL(told.ready == 2);
    struct client *client = client_connect(redis_server_port(server));
    expect(client, "GET a", "1"); /* it was executed behind our back */
    client_close(client);
    assert_false(backend_has_drained(backend));
    backend_killed(backend, told.connection_id);
    backend_begin_drain(backend);
    assert_true(backend_has_drained(backend));
    assert_int_equal(told.given_up, 1);
    stop_server();
}

/* As a process that is stopped, or has no core, for longer than the time-out: between asking and
 * writing, and between writing and reading. */
static void a_thread_that_was_away_does_not_blame_the_shard(void **state)
{
    (void)state;
    const struct slice increment = SLICE("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n");
    start_server(true);
    TURN_UNTIL(told.ready == 1);
    ask(0, increment);
    clock_sleep_ms(TIMEOUT_US * 3 / 2000);
    backend_tick(backend, loop_update_now(loop));
    assert_int_equal(asked[0].outcome, OUTCOME_PENDING);
    TURN_UNTIL(asked[0].outcome != OUTCOME_PENDING);
    assert_string_equal(asked[0].reply, ":1\r\n");
    process_signal(redis_server_process(server), SIGSTOP);
    ask(1, increment);
    turn();
    process_signal(redis_server_process(server), SIGCONT);
    clock_sleep_ms(TIMEOUT_US * 3 / 2000);
    backend_tick(backend, loop_update_now(loop));
    TURN_UNTIL(asked[1].outcome != OUTCOME_PENDING);
    assert_string_equal(asked[1].reply, ":2\r\n");
    assert_int_equal(told.given_up, 0);
    stop_server();
}

static void replies_come_in_order_whatever_their_size(void **state)
{
    (void)state;
    start_server(true);
    TURN_UNTIL(told.ready == 1);
    ask(0, SLICE("*4\r\n$8\r\nSETRANGE\r\n$1\r\nb\r\n$7\r\n3000000\r\n$1\r\nx\r\n"));
    ask(1, SLICE("*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"));
    ask(2, SLICE("*1\r\n$4\r\nNONE\r\n"));
    ask(3, SLICE("*1\r\n$4\r\nPING\r\n"));
    TURN_UNTIL(asked[3].outcome == OUTCOME_REPLY);
    assert_string_equal(asked[0].reply, ":3000001\r\n");
    assert_memory_equal(asked[1].reply, "$3000001\r\n", 10);
    assert_memory_equal(asked[2].reply, "-ERR unknown", 12);
    assert_string_equal(asked[3].reply, "+PONG\r\n");
    backend_begin_drain(backend);
    assert_true(backend_has_drained(backend));
    stop_server();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_sent_before_hello_was_answered),
        TEST(a_shard_that_refuses_multi_is_used_and_known_for_it),
        TEST(replies_that_nobody_asked_for_end_the_connection),
        TEST(in_resp3_it_greets_with_hello_3),
        TEST(a_shard_without_resp3_is_not_used_for_it),
        TEST(a_push_between_replies_is_dropped),
        TEST(only_what_was_not_sent_may_be_sent_again),
        TEST(an_idle_connection_is_not_given_up),
        TEST(a_shard_that_does_not_greet_is_left),
        TEST(a_fenced_backend_comes_in_with_the_new_epoch),
        TEST(an_unfenced_shard_is_told_and_not_waited_for),
        TEST(another_process_is_not_used),
        TEST(a_killed_server_leaves_its_requests_unknown),
        TEST(a_standing_server_is_given_up_after_the_time_out),
        TEST(a_thread_that_was_away_does_not_blame_the_shard),
        TEST(replies_come_in_order_whatever_their_size),
    };
    return cmocka_run_group_tests_name("backend", tests, NULL, NULL);
}
