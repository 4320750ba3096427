/* What is told in which turn, and to whom no more: readiness, timers, tasks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/net/loop.h"
#include "lib/net/timer_heap.h"

/* One end of a pair of sockets, and what its callbacks do besides counting. */
struct side {
    struct io io;
    struct loop *loop;
    int fd, other;
    unsigned reads, writes;
    void (*on_read)(struct side *side);
    void (*on_write)(struct side *side);
    struct side **victim;
};

static unsigned calls; /* of all sides of a test */

static void on_readable(void *context)
{
    struct side *side = context;
    calls++;
    side->reads++;
    if (side->on_read != NULL) {
        side->on_read(side);
    }
}

static void on_writable(void *context)
{
    struct side *side = context;
    calls++;
    side->writes++;
    if (side->on_write != NULL) {
        side->on_write(side);
    }
}

static void side_open(struct side *side, struct loop *loop)
{
    int fds[2];
    int failed = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
    assert_int_equal(failed, 0);
    *side = (struct side){.loop = loop, .fd = fds[0], .other = fds[1]};
    io_start(&side->io, loop, side->fd, on_readable, on_writable, side);
}

static void hang_up(struct side *side)
{
    if (side->other >= 0) {
        (void)close(side->other);
        side->other = -1;
    }
}

static void side_close(struct side *side)
{
    io_stop(&side->io);
    (void)close(side->fd);
    hang_up(side);
}

static void send_byte(const struct side *side)
{
    assert_int_equal(write(side->other, "x", 1), 1);
}

static void drain(const struct side *side)
{
    char bytes[16];
    assert_true(read(side->fd, bytes, sizeof(bytes)) > 0);
}

static void stop_loop(void *context)
{
    loop_stop(context);
}

/* What is ready now is told, and nothing is waited for. */
static void run_one_turn(struct loop *loop)
{
    struct timer now;
    timer_init(&now, loop, stop_loop, loop);
    timer_start(&now, 0);
    loop_run(loop);
    timer_stop(&now);
}

static int set_up(void **state)
{
    *state = loop_new();
    calls = 0;
    return 0;
}

static int tear_down(void **state)
{
    loop_free(*state);
    return 0;
}

/* --- descriptors ----------------------------------------------------------------------------- */

static void reading_is_told_as_long_as_there_are_bytes(void **state)
{
    struct loop *loop = *state;
    struct side side;
    side_open(&side, loop);
    run_one_turn(loop);
    assert_int_equal(side.reads, 0);
    send_byte(&side);
    run_one_turn(loop);
    run_one_turn(loop);
    assert_int_equal(side.reads, 2);
    drain(&side);
    run_one_turn(loop);
    assert_int_equal(side.reads, 2);
    side_close(&side);
}

static void a_pause_of_reading_lasts_until_it_is_resumed(void **state)
{
    struct loop *loop = *state;
    struct side side;
    side_open(&side, loop);
    send_byte(&side);
    io_pause_reading(&side.io);
    run_one_turn(loop);
    assert_int_equal(side.reads, 0);
    io_resume_reading(&side.io);
    run_one_turn(loop);
    assert_int_equal(side.reads, 1);
    side_close(&side);
}

static void writing_is_told_once_for_each_wish(void **state)
{
    struct loop *loop = *state;
    struct side side;
    side_open(&side, loop);
    io_want_write(&side.io);
    assert_true(side.io.is_writing);
    run_one_turn(loop);
    run_one_turn(loop);
    assert_int_equal(side.writes, 1);
    assert_false(side.io.is_writing);
    side_close(&side);
}

static void want_write(struct side *side)
{
    io_want_write(&side->io);
}

static void writing_goes_on_when_its_callback_wants_more(void **state)
{
    struct loop *loop = *state;
    struct side side;
    side_open(&side, loop);
    side.on_write = want_write;
    io_want_write(&side.io);
    run_one_turn(loop);
    run_one_turn(loop);
    assert_int_equal(side.writes, 2);
    side_close(&side);
}

static void stop_self(struct side *side)
{
    io_stop(&side->io);
}

static void who_stops_while_it_reads_is_not_told_that_it_may_write(void **state)
{
    struct loop *loop = *state;
    struct side side;
    side_open(&side, loop);
    side.on_read = stop_self;
    send_byte(&side);
    io_want_write(&side.io);
    run_one_turn(loop);
    assert_int_equal(side.reads, 1);
    assert_int_equal(side.writes, 0);
    side_close(&side);
}

/* Two that are ready in the same turn; whichever is told first does this to the other. */
struct pair {
    struct side *sides[2];
};

static void pair_open(struct pair *pair, struct loop *loop, void (*on_read)(struct side *side))
{
    for (int i = 0; i < 2; i++) {
        pair->sides[i] = mem_alloc(sizeof(struct side));
        side_open(pair->sides[i], loop);
        pair->sides[i]->on_read = on_read;
        pair->sides[i]->victim = &pair->sides[1 - i];
        send_byte(pair->sides[i]);
    }
}

static void pair_close(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        if (pair->sides[i] != NULL) {
            side_close(pair->sides[i]);
            mem_free(pair->sides[i]);
        }
    }
}

static void pause_victim(struct side *side)
{
    io_pause_reading(&(*side->victim)->io);
}

static void who_is_paused_by_another_of_the_same_turn_is_not_told(void **state)
{
    struct pair pair;
    pair_open(&pair, *state, pause_victim);
    run_one_turn(*state);
    assert_int_equal(calls, 1);
    pair_close(&pair);
}

static void free_victim(struct side *side)
{
    if (*side->victim != NULL) {
        side_close(*side->victim);
        mem_free(*side->victim);
        *side->victim = NULL;
    }
}

static void who_is_freed_by_another_of_the_same_turn_is_not_told(void **state)
{
    struct pair pair;
    pair_open(&pair, *state, free_victim);
    io_want_write(&pair.sides[0]->io);
    io_pause_reading(&pair.sides[0]->io);
    pair.sides[0]->on_write = free_victim;
    run_one_turn(*state);
    assert_int_equal(calls, 1);
    pair_close(&pair);
}

/* Another takes its place at once: the same memory, the same descriptor. */
static void replace_victim(struct side *side)
{
    struct side *victim = *side->victim;
    int fd = victim->fd;
    side_close(victim);
    side_open(victim, side->loop);
    assert_int_equal(victim->fd, fd);
}

static void who_takes_the_place_of_another_is_not_told_of_its_readiness(void **state)
{
    struct pair pair;
    pair_open(&pair, *state, replace_victim);
    run_one_turn(*state);
    assert_int_equal(calls, 1);
    int fresh = pair.sides[0]->reads == 0 ? 0 : 1;
    pair.sides[1 - fresh]->on_read = NULL;
    send_byte(pair.sides[fresh]);
    run_one_turn(*state);
    assert_int_equal(pair.sides[fresh]->reads, 1);
    pair_close(&pair);
}

static void an_end_is_told_to_who_reads_and_to_who_waits_to_write(void **state)
{
    struct loop *loop = *state;
    struct side reader, writer;
    char bytes[65536] = "";
    side_open(&reader, loop);
    side_open(&writer, loop);
    io_pause_reading(&writer.io);
    while (write(writer.fd, bytes, sizeof(bytes)) > 0) {
    }
    io_want_write(&writer.io);
    run_one_turn(loop);
    assert_int_equal(calls, 0);
    hang_up(&reader);
    hang_up(&writer);
    run_one_turn(loop);
    assert_int_equal(reader.reads, 1);
    assert_int_equal(writer.writes, 1);
    side_close(&reader);
    side_close(&writer);
}

/* Else the kernel would tell of it in every turn, and the thread would never sleep. */
static void an_end_that_nobody_watches_wakes_nobody(void **state)
{
    struct loop *loop = *state;
    struct side side;
    struct timer later;
    side_open(&side, loop);
    io_pause_reading(&side.io);
    hang_up(&side);
    assert_int_equal(side.io.watched, 0);
    timer_init(&later, loop, stop_loop, loop);
    timer_start(&later, 5);
    loop_run(loop);
    assert_int_equal(calls, 0);
    io_resume_reading(&side.io);
    run_one_turn(loop);
    assert_int_equal(side.reads, 1);
    side_close(&side);
}

static void stop_the_loop(struct side *side)
{
    loop_stop(side->loop);
}

static void what_a_stopped_loop_has_not_told_it_tells_when_it_runs_again(void **state)
{
    struct loop *loop = *state;
    struct pair pair;
    pair_open(&pair, loop, stop_the_loop);
    loop_run(loop);
    assert_int_equal(calls, 1);
    int told = pair.sides[0]->reads == 1 ? 0 : 1;
    drain(pair.sides[told]);
    loop_run(loop);
    assert_int_equal(pair.sides[1 - told]->reads, 1);
    pair_close(&pair);
}

/* --- reading again --------------------------------------------------------------------------- */

static void read_again(struct side *side)
{
    io_read_again(&side->io);
}

static void reading_again_comes_in_the_next_turn_whatever_the_socket_says(void **state)
{
    struct loop *loop = *state;
    struct side side;
    side_open(&side, loop);
    side.on_read = read_again;
    io_read_again(&side.io);
    io_read_again(&side.io);
    run_one_turn(loop);
    assert_int_equal(side.reads, 1);
    run_one_turn(loop);
    assert_int_equal(side.reads, 2);
    side_close(&side);
}

static void who_is_paused_or_stopped_does_not_read_again(void **state)
{
    struct loop *loop = *state;
    struct side paused, stopped;
    side_open(&paused, loop);
    side_open(&stopped, loop);
    io_read_again(&paused.io);
    io_read_again(&stopped.io);
    io_pause_reading(&paused.io);
    io_read_again(&paused.io);
    io_stop(&stopped.io);
    run_one_turn(loop);
    assert_int_equal(calls, 0);
    side_close(&paused);
    side_close(&stopped);
}

/* --- timers ---------------------------------------------------------------------------------- */

struct bell {
    struct timer timer;
    struct loop *loop;
    unsigned rings;
    uint64_t rang_us;
    struct bell *silences; /* null: none */
    bool is_last;
};

static void on_time(void *context)
{
    struct bell *bell = context;
    bell->rings++;
    bell->rang_us = clock_now_us();
    if (bell->silences != NULL) {
        timer_stop(&bell->silences->timer);
    }
    if (bell->is_last) {
        loop_stop(bell->loop);
    }
}

static void bell_init(struct bell *bell, struct loop *loop)
{
    *bell = (struct bell){.loop = loop};
    timer_init(&bell->timer, loop, on_time, bell);
}

static void timers_ring_once_in_their_order_and_never_early(void **state)
{
    struct loop *loop = *state;
    struct bell bells[3];
    const uint64_t after_ms[3] = {7, 1, 4};
    uint64_t from = clock_now_us();
    for (int i = 0; i < 3; i++) {
        bell_init(&bells[i], loop);
        timer_start(&bells[i].timer, after_ms[i]);
    }
    bells[0].is_last = true;
    loop_run(loop);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bells[i].rings, 1);
        assert_true(bells[i].rang_us >= from + after_ms[i] * 1000);
    }
    assert_true(bells[1].rang_us <= bells[2].rang_us && bells[2].rang_us <= bells[0].rang_us);
}

static void a_timer_set_anew_forgets_its_first_time(void **state)
{
    struct loop *loop = *state;
    struct bell sooner, later;
    bell_init(&sooner, loop);
    bell_init(&later, loop);
    timer_start(&sooner.timer, 60000);
    timer_start(&later.timer, 1);
    timer_start(&later.timer, 60000);
    timer_start(&sooner.timer, 2);
    sooner.is_last = true;
    loop_run(loop);
    assert_int_equal(sooner.rings, 1);
    assert_int_equal(later.rings, 0);
}

static void a_timer_that_is_stopped_by_another_of_the_same_turn_does_not_ring(void **state)
{
    struct loop *loop = *state;
    struct bell a, b;
    bell_init(&a, loop);
    bell_init(&b, loop);
    a.silences = &b;
    b.silences = &a;
    timer_start(&a.timer, 0);
    timer_start(&b.timer, 0);
    run_one_turn(loop);
    assert_int_equal(a.rings + b.rings, 1);
    timer_stop(&a.timer); /* it does not run: nothing happens */
}

static void the_heap_gives_timers_in_their_order_whatever_was_removed(void **state)
{
    enum {
        TIMERS = 200
    };
    struct timer timers[TIMERS];
    struct timer_heap heap = {.count = 0};
    struct random random;
    (void)state;
    random_seed(&random, 7);
    for (int i = 0; i < TIMERS; i++) {
        timers[i] = (struct timer){.due_us = random_below(&random, 50)};
        timer_heap_add(&heap, &timers[i]);
    }
    for (int i = 0; i < TIMERS; i += 3) {
        timer_heap_remove(&heap, &timers[i]);
        assert_int_equal(timers[i].place, 0);
    }
    uint64_t before = 0;
    unsigned count = 0;
    for (struct timer *first; (first = timer_heap_first(&heap)) != NULL; count++) {
        assert_true(first->due_us >= before);
        before = first->due_us;
        timer_heap_remove(&heap, first);
    }
    assert_int_equal(count, TIMERS - (TIMERS + 2) / 3);
    timer_heap_fini(&heap);
}

/* --- everybody's turn ------------------------------------------------------------------------ */

static void ring_at_once_again(void *context)
{
    struct bell *bell = context;
    bell->rings++;
    timer_start(&bell->timer, 0);
}

static void nobody_starves_the_others(void **state)
{
    struct loop *loop = *state;
    struct side ready, again;
    struct bell restless, end;
    side_open(&ready, loop);
    send_byte(&ready); /* and nobody takes it */
    side_open(&again, loop);
    again.on_read = read_again;
    io_read_again(&again.io);
    bell_init(&restless, loop);
    timer_init(&restless.timer, loop, ring_at_once_again, &restless);
    timer_start(&restless.timer, 0);
    bell_init(&end, loop);
    end.is_last = true;
    timer_start(&end.timer, 3);
    loop_run(loop);
    assert_int_equal(end.rings, 1);
    assert_true(ready.reads > 0 && again.reads > 0 && restless.rings > 0);
    side_close(&ready);
    side_close(&again);
}

/* --- tasks ----------------------------------------------------------------------------------- */

struct step {
    struct turn_task task;
    struct loop *loop;
    struct step *next;
    unsigned runs;
};

static void run_step(void *context)
{
    struct step *step = context;
    step->runs++;
    if (step->next != NULL) {
        loop_at_turn_end(step->loop, &step->next->task);
    }
}

static void step_init(struct step *step, struct loop *loop, struct step *next)
{
    *step = (struct step){.loop = loop, .next = next};
    turn_task_init(&step->task, run_step, step);
}

static void tasks_run_once_with_those_that_they_put_down_but_not_the_cancelled(void **state)
{
    struct loop *loop = *state;
    struct step first, second, cancelled;
    step_init(&second, loop, NULL);
    step_init(&first, loop, &second);
    step_init(&cancelled, loop, NULL);
    loop_at_turn_end(loop, &first.task);
    loop_at_turn_end(loop, &cancelled.task);
    loop_at_turn_end(loop, &first.task);
    loop_cancel(&cancelled.task);
    loop_cancel(&cancelled.task);
    run_one_turn(loop);
    assert_int_equal(first.runs, 1);
    assert_int_equal(second.runs, 1);
    assert_int_equal(cancelled.runs, 0);
}

static void run_twice(void *context)
{
    struct step *step = context;
    if (step->runs++ == 0) {
        loop_at_next_turn_end(step->loop, &step->task);
        loop_at_turn_end(step->loop, &step->task); /* it is down already */
        loop_at_turn_end(step->loop, &step->next->task);
    } else {
        assert_int_equal(step->next->runs, 1);
        loop_stop(step->loop);
    }
}

/* Nothing else would end this loop's wait. */
static void a_task_for_the_next_turn_comes_after_this_one_and_without_a_wait(void **state)
{
    struct loop *loop = *state;
    struct step later, between, cancelled;
    step_init(&between, loop, NULL);
    step_init(&later, loop, &between);
    turn_task_init(&later.task, run_twice, &later);
    step_init(&cancelled, loop, NULL);
    loop_at_turn_end(loop, &later.task);
    loop_at_next_turn_end(loop, &cancelled.task);
    loop_cancel(&cancelled.task);
    loop_run(loop);
    assert_int_equal(later.runs, 2);
    assert_int_equal(cancelled.runs, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reading_is_told_as_long_as_there_are_bytes),
        TEST(a_pause_of_reading_lasts_until_it_is_resumed),
        TEST(writing_is_told_once_for_each_wish),
        TEST(writing_goes_on_when_its_callback_wants_more),
        TEST(who_stops_while_it_reads_is_not_told_that_it_may_write),
        TEST(who_is_paused_by_another_of_the_same_turn_is_not_told),
        TEST(who_is_freed_by_another_of_the_same_turn_is_not_told),
        TEST(who_takes_the_place_of_another_is_not_told_of_its_readiness),
        TEST(an_end_is_told_to_who_reads_and_to_who_waits_to_write),
        TEST(an_end_that_nobody_watches_wakes_nobody),
        TEST(what_a_stopped_loop_has_not_told_it_tells_when_it_runs_again),
        TEST(reading_again_comes_in_the_next_turn_whatever_the_socket_says),
        TEST(who_is_paused_or_stopped_does_not_read_again),
        TEST(timers_ring_once_in_their_order_and_never_early),
        TEST(a_timer_set_anew_forgets_its_first_time),
        TEST(a_timer_that_is_stopped_by_another_of_the_same_turn_does_not_ring),
        TEST(the_heap_gives_timers_in_their_order_whatever_was_removed),
        TEST(nobody_starves_the_others),
        TEST(tasks_run_once_with_those_that_they_put_down_but_not_the_cancelled),
        TEST(a_task_for_the_next_turn_comes_after_this_one_and_without_a_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
