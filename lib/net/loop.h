/* One thread's event loop: readiness of descriptors, timers, and what is done at the end of a turn.
 *
 *   wait -> io callbacks -> timers -> io_read_again -> turn tasks -> wait ...
 *
 * Each kind gets its turn, since each does only what was due when its part of the turn began; the
 * tasks alone go on until there are none. Writes are gathered in buffers during a turn and written
 * once at its end, so a connection costs one write a turn, however many requests it carried. One
 * thread, but for mailbox.h. */
#ifndef LIB_NET_LOOP_H
#define LIB_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop *loop_new(void);
/* What was put down for the end of a turn is still done. */
void loop_free(struct loop *loop);
/* Returns after loop_stop, when this turn's tasks are done. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Monotonic microseconds, read once a turn, when the wait ends, and by loop_update_now: good enough
 * for time-outs, and for latencies of more than one turn. */
uint64_t loop_now_us(const struct loop *loop);
uint64_t loop_update_now(struct loop *loop);

/* Work for the end of this turn. Putting down what is already down does nothing. */
struct turn_task {
    struct turn_task *next;
    struct task_queue *queue; /* NULL: it is not put down */
    void (*run)(void *context);
    void *context;
};

void turn_task_init(struct turn_task *task, void (*run)(void *), void *context);
void loop_at_turn_end(struct loop *loop, struct turn_task *task);
/* For the end of the next turn, which takes what is ready and waits for nothing. */
void loop_at_next_turn_end(struct loop *loop, struct turn_task *task);
/* Before the task's memory goes away. */
void loop_cancel(struct turn_task *task);

/* Readiness of one descriptor. Reading is watched from io_start until io_stop or io_pause_reading;
 * writing only between io_want_write and the callback that follows. A connection that broke is
 * ready for whatever is watched. */
typedef void io_fn(void *context);

struct io {
    io_fn *on_readable;
    io_fn *on_writable;
    void *context;
    struct loop *loop;
    struct turn_task again;
    int fd;
    uint32_t watched; /* what the kernel was told: EPOLLIN, EPOLLOUT */
    bool is_reading;
    bool is_writing;
};

void io_start(struct io *io, struct loop *loop, int fd, io_fn *on_readable, io_fn *on_writable,
              void *context);
/* Before the descriptor is closed. No callback comes any more, not even for what was ready already:
 * its memory may go. May be called twice. */
void io_stop(struct io *io);
void io_pause_reading(struct io *io);
void io_resume_reading(struct io *io);
/* on_readable is called in the next turn, whatever the descriptor says; nothing when paused. */
void io_read_again(struct io *io);
void io_want_write(struct io *io); /* on_writable is called once, when it can be written */

struct timer {
    void (*on_time)(void *context);
    void *context;
    struct loop *loop;
    uint64_t due_us;
    unsigned place; /* in the heap, from 1 on; 0: it does not run */
};

void timer_init(struct timer *timer, struct loop *loop, void (*on_time)(void *), void *context);
/* Once, after `ms`, never before; a timer that already runs is set anew. */
void timer_start(struct timer *timer, uint64_t ms);
void timer_stop(struct timer *timer);

#endif
