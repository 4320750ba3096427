#include "lib/net/loop.h"

#include <event2/event.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/net/loop_internal.h"

struct loop {
    struct event_base *base;
    struct turn_task *first, **last;
    uint64_t now_us;
    bool is_now_old; /* of an earlier turn */
    bool is_stopped;
};

struct loop *loop_new(void)
{
    struct loop *loop = mem_zalloc(sizeof(*loop));
    struct event_config *config = event_config_new();
    ASSERT(config != NULL);
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    ASSERT(loop->base != NULL);
    loop->last = &loop->first;
    loop->now_us = clock_now_us();
    return loop;
}

/* Tasks may put down others; those run in the same turn. */
static void run_tasks(struct loop *loop)
{
    while (loop->first != NULL) {
        struct turn_task *task = loop->first;
        loop->first = task->next;
        if (loop->first == NULL) {
            loop->last = &loop->first;
        }
        task->is_queued = false;
        task->run(task->context);
    }
}

void loop_free(struct loop *loop)
{
    run_tasks(loop);
    event_base_free(loop->base);
    mem_free(loop);
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

void loop_run(struct loop *loop)
{
    loop->is_stopped = false;
    run_tasks(loop);
    while (!loop->is_stopped) {
        loop->is_now_old = true;
        int result = event_base_loop(loop->base, EVLOOP_ONCE);
        ASSERT(result >= 0);
        run_tasks(loop);
    }
}

void loop_stop(struct loop *loop)
{
    loop->is_stopped = true;
    (void)event_base_loopbreak(loop->base);
}

uint64_t loop_now_us(const struct loop *loop)
{
    return loop->now_us;
}

uint64_t loop_update_now(struct loop *loop)
{
    loop->is_now_old = false;
    return loop->now_us = clock_now_us();
}

static void refresh_now(struct loop *loop)
{
    if (loop->is_now_old) {
        (void)loop_update_now(loop);
    }
}

static void on_read_event(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct io *io = context;
    refresh_now(io->loop);
    io->on_readable(io->context);
}

static void on_write_event(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct io *io = context;
    refresh_now(io->loop);
    io->is_writing = false;
    io->on_writable(io->context);
}

static void read_in_next_turn(void *context)
{
    struct io *io = context;
    event_active(&io->read_event, EV_READ, 0);
}

void io_start(struct io *io, struct loop *loop, int fd, io_fn *on_readable, io_fn *on_writable,
              void *context)
{
    *io = (struct io){
        .on_readable = on_readable, .on_writable = on_writable, .context = context, .loop = loop};
    int assigned =
        event_assign(&io->read_event, loop->base, fd, EV_READ | EV_PERSIST, on_read_event, io) +
        event_assign(&io->write_event, loop->base, fd, EV_WRITE, on_write_event, io);
    ASSERT(assigned == 0);
    turn_task_init(&io->again, read_in_next_turn, io);
    io_resume_reading(io);
}

void io_stop(struct io *io)
{
    io_pause_reading(io);
    if (io->is_writing) {
        (void)event_del(&io->write_event);
        io->is_writing = false;
    }
}

void io_pause_reading(struct io *io)
{
    if (io->is_reading) {
        (void)event_del(&io->read_event);
        loop_cancel(io->loop, &io->again);
        io->is_reading = false;
    }
}

void io_resume_reading(struct io *io)
{
    if (!io->is_reading) {
        int added = event_add(&io->read_event, NULL);
        ASSERT(added == 0);
        io->is_reading = true;
    }
}

void io_read_again(struct io *io)
{
    if (io->is_reading) {
        loop_at_turn_end(io->loop, &io->again);
    }
}

void io_want_write(struct io *io)
{
    if (!io->is_writing) {
        int added = event_add(&io->write_event, NULL);
        ASSERT(added == 0);
        io->is_writing = true;
    }
}

static void on_timer_event(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct timer *timer = context;
    timer->on_time(timer->context);
}

void timer_init(struct timer *timer, struct loop *loop, void (*on_time)(void *), void *context)
{
    timer->on_time = on_time;
    timer->context = context;
    int assigned = event_assign(&timer->event, loop->base, -1, 0, on_timer_event, timer);
    ASSERT(assigned == 0);
}

void timer_start(struct timer *timer, uint64_t ms)
{
    struct timeval after = {.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    int added = event_add(&timer->event, &after);
    ASSERT(added == 0);
}

void timer_stop(struct timer *timer)
{
    (void)event_del(&timer->event);
}

void turn_task_init(struct turn_task *task, void (*run)(void *), void *context)
{
    *task = (struct turn_task){.run = run, .context = context};
}

void loop_at_turn_end(struct loop *loop, struct turn_task *task)
{
    if (task->is_queued) {
        return;
    }
    task->is_queued = true;
    task->next = NULL;
    *loop->last = task;
    loop->last = &task->next;
}

void loop_cancel(struct loop *loop, struct turn_task *task)
{
    if (!task->is_queued) {
        return;
    }
    struct turn_task **link = &loop->first;
    while (*link != task) {
        link = &(*link)->next;
    }
    *link = task->next;
    if (loop->last == &task->next) {
        loop->last = link;
    }
    task->is_queued = false;
}
