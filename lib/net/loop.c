#include "lib/net/loop.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/net/timer_heap.h"

#define EVENTS_PER_TURN 256

struct task_queue {
    struct turn_task *first, **last;
    unsigned count;
};

/* The kernel's notices are handled one by one; one whose io has stopped meanwhile names none. What
 * is not handled in this turn is told again in the next: they are level-triggered. */
struct loop {
    int epoll;
    struct epoll_event events[EVENTS_PER_TURN];
    unsigned nevents, event; /* how many there are in this turn, and the one being handled */
    struct timer_heap timers;
    struct task_queue turn_end;
    struct task_queue next_turn_end;
    struct task_queue read_again;
    uint64_t now_us;
    bool is_stopped;
};

/* --- tasks ----------------------------------------------------------------------------------- */

void turn_task_init(struct turn_task *task, void (*run)(void *), void *context)
{
    *task = (struct turn_task){.run = run, .context = context};
}

static void queue_init(struct task_queue *queue)
{
    *queue = (struct task_queue){.last = &queue->first};
}

static void queue_put(struct task_queue *queue, struct turn_task *task)
{
    if (task->queue != NULL) {
        return;
    }
    task->queue = queue;
    task->next = NULL;
    *queue->last = task;
    queue->last = &task->next;
    queue->count++;
}

static void queue_remove(struct turn_task *task)
{
    struct task_queue *queue = task->queue;
    if (queue == NULL) {
        return;
    }
    struct turn_task **link = &queue->first;
    while (*link != task) {
        link = &(*link)->next;
    }
    *link = task->next;
    if (queue->last == &task->next) {
        queue->last = link;
    }
    task->queue = NULL;
    queue->count--;
}

/* Up to `count` from the front. A task may put down others, and itself. */
static void queue_run(struct task_queue *queue, unsigned count)
{
    for (; count > 0 && queue->first != NULL; count--) {
        struct turn_task *task = queue->first;
        queue->first = task->next;
        if (queue->first == NULL) {
            queue->last = &queue->first;
        }
        queue->count--;
        task->queue = NULL;
        task->run(task->context);
    }
}

void loop_at_turn_end(struct loop *loop, struct turn_task *task)
{
    queue_put(&loop->turn_end, task);
}

void loop_at_next_turn_end(struct loop *loop, struct turn_task *task)
{
    queue_put(&loop->next_turn_end, task);
}

void loop_cancel(struct turn_task *task)
{
    queue_remove(task);
}

/* Those for this turn's end that are put down meanwhile, too. */
static void run_tasks(struct loop *loop)
{
    queue_run(&loop->next_turn_end, loop->next_turn_end.count);
    queue_run(&loop->turn_end, UINT_MAX);
}

/* --- descriptors ----------------------------------------------------------------------------- */

/* One that is watched for nothing must not be known to the kernel at all: it would tell of its end
 * again and again. */
static void watch(struct io *io)
{
    uint32_t wanted = (io->is_reading ? EPOLLIN : 0U) | (io->is_writing ? EPOLLOUT : 0U);
    if (wanted == io->watched) {
        return;
    }
    int operation = io->watched == 0 ? EPOLL_CTL_ADD : wanted == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    struct epoll_event event = {.events = wanted, .data.ptr = io};
    int failed = epoll_ctl(io->loop->epoll, operation, io->fd, &event);
    ASSERT(failed == 0);
    io->watched = wanted;
}

static void read_now(void *context)
{
    struct io *io = context;
    io->on_readable(io->context);
}

void io_start(struct io *io, struct loop *loop, int fd, io_fn *on_readable, io_fn *on_writable,
              void *context)
{
    *io = (struct io){.on_readable = on_readable,
                      .on_writable = on_writable,
                      .context = context,
                      .loop = loop,
                      .fd = fd};
    turn_task_init(&io->again, read_now, io);
    io_resume_reading(io);
}

void io_stop(struct io *io)
{
    struct loop *loop = io->loop;
    io->is_writing = false;
    io->is_reading = false;
    watch(io);
    queue_remove(&io->again);
    for (unsigned i = loop->event; i < loop->nevents; i++) {
        if (loop->events[i].data.ptr == io) {
            loop->events[i].data.ptr = NULL;
        }
    }
}

void io_pause_reading(struct io *io)
{
    io->is_reading = false;
    watch(io);
    queue_remove(&io->again);
}

void io_resume_reading(struct io *io)
{
    io->is_reading = true;
    watch(io);
}

void io_read_again(struct io *io)
{
    if (io->is_reading) {
        queue_put(&io->loop->read_again, &io->again);
    }
}

void io_want_write(struct io *io)
{
    io->is_writing = true;
    watch(io);
}

/* One callback may stop the io, or end its interest in the other. */
static void handle_event(const struct epoll_event *event)
{
    const uint32_t broken = EPOLLERR | EPOLLHUP;
    struct io *io = event->data.ptr;
    if (io != NULL && io->is_reading && (event->events & (EPOLLIN | broken)) != 0) {
        io->on_readable(io->context);
    }
    io = event->data.ptr;
    if (io != NULL && io->is_writing && (event->events & (EPOLLOUT | broken)) != 0) {
        io->is_writing = false;
        io->on_writable(io->context);
        io = event->data.ptr;
        if (io != NULL) {
            watch(io); /* only now: it may want to write on */
        }
    }
}

static void handle_events(struct loop *loop)
{
    for (; loop->event < loop->nevents && !loop->is_stopped; loop->event++) {
        handle_event(&loop->events[loop->event]);
    }
    loop->nevents = loop->event = 0;
}

/* --- time ------------------------------------------------------------------------------------ */

uint64_t loop_now_us(const struct loop *loop)
{
    return loop->now_us;
}

uint64_t loop_update_now(struct loop *loop)
{
    return loop->now_us = clock_now_us();
}

void timer_init(struct timer *timer, struct loop *loop, void (*on_time)(void *), void *context)
{
    *timer = (struct timer){.on_time = on_time, .context = context, .loop = loop};
}

void timer_start(struct timer *timer, uint64_t ms)
{
    timer_stop(timer);
    timer->due_us = clock_now_us() + ms * 1000; /* the turn may have taken long */
    timer_heap_add(&timer->loop->timers, timer);
}

void timer_stop(struct timer *timer)
{
    if (timer->place > 0) {
        timer_heap_remove(&timer->loop->timers, timer);
    }
}

static void ring_timers(struct loop *loop)
{
    uint64_t now = loop->now_us; /* one that starts anew waits for the next turn */
    struct timer *timer;
    while (!loop->is_stopped && (timer = timer_heap_first(&loop->timers)) != NULL &&
           timer->due_us <= now) {
        timer_stop(timer);
        timer->on_time(timer->context);
    }
}

/* --- turns ----------------------------------------------------------------------------------- */

/* For epoll_wait; -1: as long as it takes. Rounded up: no timer rings early. */
static int wait_ms(const struct loop *loop)
{
    const struct timer *timer = timer_heap_first(&loop->timers);
    if (loop->read_again.first != NULL || loop->next_turn_end.first != NULL) {
        return 0;
    }
    if (timer == NULL) {
        return -1;
    }
    uint64_t now = clock_now_us();
    uint64_t left_ms = timer->due_us > now ? (timer->due_us - now + 999) / 1000 : 0;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

static void wait_for_events(struct loop *loop)
{
    int count = epoll_wait(loop->epoll, loop->events, EVENTS_PER_TURN, wait_ms(loop));
    ASSERT(count >= 0 || errno == EINTR);
    loop->nevents = count > 0 ? (unsigned)count : 0;
    loop->event = 0;
    (void)loop_update_now(loop);
}

void loop_run(struct loop *loop)
{
    loop->is_stopped = false;
    run_tasks(loop);
    while (!loop->is_stopped) {
        wait_for_events(loop);
        handle_events(loop);
        ring_timers(loop);
        queue_run(&loop->read_again, loop->read_again.count);
        run_tasks(loop);
    }
}

void loop_stop(struct loop *loop)
{
    loop->is_stopped = true;
}

/* --- life ------------------------------------------------------------------------------------ */

struct loop *loop_new(void)
{
    struct loop *loop = mem_zalloc(sizeof(*loop));
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    ASSERT(loop->epoll >= 0);
    queue_init(&loop->turn_end);
    queue_init(&loop->next_turn_end);
    queue_init(&loop->read_again);
    (void)loop_update_now(loop);
    return loop;
}

void loop_free(struct loop *loop)
{
    run_tasks(loop);
    (void)close(loop->epoll);
    timer_heap_fini(&loop->timers);
    mem_free(loop);
}
