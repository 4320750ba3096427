#include "proxy/routing/blocking.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/fail_point.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/routing/blocking_internal.h"
#include "proxy/routing/reply_cursor.h"

#define WAKE_AGAIN_US UINT64_C(200000) /* a waiter that has not ended by then */

/* --- life ------------------------------------------------------------------------------------- */

static void unlink_from_all(struct blocking *blocking)
{
    struct router *router = blocking->router;
    if (blocking->previous != NULL) {
        blocking->previous->next = blocking->next;
    } else {
        router->blockings = blocking->next;
    }
    if (blocking->next != NULL) {
        blocking->next->previous = blocking->previous;
    } else {
        router->last_blocking = blocking->previous;
    }
    if (blocking->is_promoted) {
        struct blocking **link = &router->promoted;
        while (*link != blocking) {
            link = &(*link)->next_promoted;
        }
        *link = blocking->next_promoted;
    }
}

/* It is the first before a key now: it looks there at once, and not at the next tick. */
static void promote(struct blocking *blocking)
{
    struct router *router = blocking->router;
    if (!blocking->is_promoted) {
        blocking->is_promoted = true;
        blocking->next_promoted = router->promoted;
        router->promoted = blocking;
        loop_at_turn_end(router->settings.backend.loop, &router->promotion_task);
    }
}

static void on_promoted(void *context)
{
    struct router *router = context;
    while (router->promoted != NULL) {
        struct blocking *blocking = router->promoted;
        router->promoted = blocking->next_promoted;
        blocking->is_promoted = false;
        if (blocking->state == BLOCKING_IDLE) {
            blocking_decide(blocking);
        }
    }
}

static void leave_places(struct blocking *blocking)
{
    for (unsigned key = 0; blocking->places != NULL && key < blocking->form.nkeys; key++) {
        struct blocking *first = waiters_leave(&blocking->router->waiters, &blocking->places[key]);
        if (first != NULL && first != blocking) {
            promote(first);
        }
    }
    mem_free(blocking->places);
}

void blocking_free(struct blocking *blocking)
{
    ASSERT(blocking->request == NULL && blocking->exchange == NULL);
    if (blocking->lane != NULL) {
        private_lane_close(blocking->lane);
    }
    timer_stop(&blocking->timer);
    leave_places(blocking);
    unlink_from_all(blocking);
    buffer_fini(&blocking->bytes);
    mem_free(blocking->argv);
    mem_free(blocking);
}

/* Behind all others: who came first is served first when all look for an element themselves. */
static void link_last(struct router *router, struct blocking *blocking)
{
    blocking->previous = router->last_blocking;
    if (blocking->previous != NULL) {
        blocking->previous->next = blocking;
    } else {
        router->blockings = blocking;
    }
    router->last_blocking = blocking;
}

/* The client's request, no longer bound to this. */
static struct request *release(struct blocking *blocking)
{
    struct request *request = blocking->request;
    const struct unblocking *unblocking = &blocking->unblocking;
    blocking->request = NULL;
    request->work = NULL;
    request->cancel = NULL;
    if (unblocking->told != NULL) {
        unblocking->told(unblocking->context, blocking->was_unblocked);
    }
    return request;
}

void blocking_answer(struct blocking *blocking, struct slice reply)
{
    struct request *request = release(blocking);
    request->is_error = reply.len > 0 && reply.data[0] == '-';
    buffer_add(request_answer(request), reply.data, reply.len);
    blocking_free(blocking);
    router_answer(request);
}

/* What one gets who waited in vain. */
static struct slice nothing(const struct blocking *blocking)
{
    return blocking->protocol == 3 ? SLICE("_\r\n") : SLICE("*-1\r\n");
}

static void answer_unblocked(struct blocking *blocking)
{
    blocking->was_unblocked = true;
    blocking_answer(blocking, blocking->unblocking.with_error
                                  ? SLICE("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")
                                  : nothing(blocking));
}

static void fail(struct blocking *blocking, bool may_have_run)
{
    struct router *router = blocking->router;
    struct request *request = release(blocking);
    blocking_free(blocking);
    if (may_have_run) {
        router_answer_unknown(router, request);
    } else {
        router_answer_unavailable(router, request, "its shard cannot be used now");
    }
}

static bool is_over(const struct blocking *blocking)
{
    return blocking->deadline_us != WAIT_FOR_EVER &&
           router_now_us(blocking->router) >= blocking->deadline_us;
}

bool blocking_only_reads(const struct blocking *blocking)
{
    return blocking->form.awaited == AWAITED_STREAM && blocking->form.nkeys > 0;
}

struct request *blocking_take_exchange(struct blocking *blocking, enum blocking_state state)
{
    ASSERT(blocking->state == BLOCKING_IDLE && blocking->exchange == NULL);
    struct request *exchange = request_take(router_pool(blocking->router));
    exchange->owner = blocking;
    exchange->sender = blocking->router;
    exchange->slot = blocking->slot;
    exchange->command = blocking->command;
    exchange->arrived_us = router_now_us(blocking->router);
    blocking->exchange = exchange;
    blocking->state = state;
    return exchange;
}

void blocking_end_exchange(struct blocking *blocking)
{
    blocking->exchange = NULL;
    blocking->state = BLOCKING_IDLE;
}

/* --- waiting on the shard --------------------------------------------------------------------- */

static void on_waited(struct request *exchange)
{
    struct blocking *blocking = exchange->owner;
    blocking_end_exchange(blocking);
    bool has_reply = exchange->outcome == OUTCOME_REPLY;
    blocking->has_run = blocking->has_run || has_reply;
    blocking->has_looked = blocking->has_looked || has_reply;
    bool is_nil = has_reply && reply_is_null(buffer_slice(&exchange->reply));
    bool is_unknown = exchange->outcome == OUTCOME_UNKNOWN && !blocking_only_reads(blocking);
    if (blocking->request == NULL) {
        blocking_free(blocking);
    } else if (has_reply && !(is_nil && blocking->is_woken && !is_over(blocking))) {
        blocking_answer(blocking, buffer_slice(&exchange->reply));
    } else if (is_unknown) {
        fail(blocking, true);
    } else if (exchange->outcome == OUTCOME_NOT_SENT && !blocking->is_woken && !is_over(blocking)) {
        fail(blocking, false);
    } else {
        /* It was woken, or not sent for a changed slot, or only read: the next tick sends it anew.
         */
        blocking_settle(blocking);
    }
    request_give(router_pool(exchange->sender), exchange);
}

static void on_unblocked(struct request *request)
{
    request_give(router_pool(request->sender), request);
}

static void unblock(struct blocking *blocking)
{
    struct router *router = blocking->router;
    if (blocking->state != BLOCKING_WAITING || !private_lane_is_ready(blocking->lane)) {
        return;
    }
    if (FAIL_POINT("unblock.lost")) {
        return;
    }
    char digits[20];
    struct backend *waits = private_lane_backend(blocking->lane);
    uint64_t id = backend_connection_id(waits);
    const struct slice argv[] = {
        SLICE("CLIENT"), SLICE("UNBLOCK"), {digits, number_format_u64(digits, id)}};
    blocking->woken_at_us = router_now_us(router);
    for (unsigned i = 0; i < router->nlanes; i++) {
        struct backend *shared = router->lanes[i]->backend;
        if (strcmp(backend_name(shared), backend_name(waits)) == 0 &&
            backend_state(shared) == BACKEND_READY) {
            struct request *unblock = request_take(router_pool(router));
            unblock->sink = NULL;
            unblock->sender = router;
            unblock->on_reply = on_unblocked;
            write_command(backend_begin(shared), argv, 3);
            backend_commit(shared, unblock, 1);
        }
    }
}

static void on_stale(void *context)
{
    struct blocking *blocking = context;
    blocking->is_woken = true;
    unblock(blocking);
}

/* The command with the time that is left. */
static void write_with_timeout(const struct blocking *blocking, struct buffer *out)
{
    struct wait_variant variant = {.key = ALL_KEYS, .timeout_us = WAIT_FOR_EVER};
    uint64_t now = router_now_us(blocking->router);
    if (blocking->deadline_us != WAIT_FOR_EVER) {
        variant.timeout_us = blocking->deadline_us > now ? blocking->deadline_us - now : 1000;
    }
    wait_command_write(&blocking->form, blocking->argv, blocking->argc, &variant, out);
}

static void wait_on_shard(struct blocking *blocking)
{
    struct router *router = blocking->router;
    if (blocking->lane != NULL &&
        !private_lane_is_usable(blocking->lane, blocking->slot, blocking->protocol)) {
        private_lane_close(blocking->lane);
        blocking->lane = NULL;
    }
    if (blocking->lane == NULL) {
        const struct private_lane_events events = {.on_stale = on_stale, .context = blocking};
        blocking->lane = private_lane_open(router, blocking->slot, blocking->protocol,
                                           PRIVATE_LANE_BLOCKS, &events);
    }
    blocking->is_woken = false;
    struct request *exchange = blocking_take_exchange(blocking, BLOCKING_WAITING);
    write_with_timeout(blocking, &exchange->bytes);
    exchange->protocol = blocking->protocol;
    exchange->on_reply = on_waited;
    exchange->replies_left = 1;
    private_lane_send(blocking->lane, exchange, buffer_slice(&exchange->bytes));
}

/* --- deciding --------------------------------------------------------------------------------- */

/* Its time is up. What is there already is taken however short the time was: it may have gone by
 * before the shard could be asked. In a slot with a copy it may be there for who came before. */
static void end_in_time(struct blocking *blocking, const struct slot_entry *entry)
{
    if (blocking->has_looked || (entry->is_dual && !blocking_is_first(blocking))) {
        blocking_answer(blocking, nothing(blocking));
    } else if (!entry->is_held) {
        blocking_try(blocking);
    }
}

void blocking_decide(struct blocking *blocking)
{
    const struct slot_entry *entry = snapshot_entry(blocking->router->snapshot, blocking->slot);
    if (blocking->unblocking.told != NULL) {
        answer_unblocked(blocking);
    } else if (is_over(blocking)) {
        end_in_time(blocking, entry);
    } else if (entry->is_held) {
        return;
    } else if (blocking->is_open) {
        blocking_open(blocking);
    } else if (entry->is_dual) {
        blocking_poll(blocking);
    } else {
        wait_on_shard(blocking);
    }
}

void blocking_settle(struct blocking *blocking)
{
    if (blocking->unblocking.told != NULL || is_over(blocking)) {
        blocking_decide(blocking);
    }
}

static void start_timer(struct blocking *blocking, uint64_t us)
{
    timer_start(&blocking->timer, (us + 999) / 1000);
}

/* Where the shard has the command, its own clock ends it. */
static void on_deadline(void *context)
{
    struct blocking *blocking = context;
    uint64_t now = loop_update_now(blocking->router->settings.backend.loop);
    if (now < blocking->deadline_us) {
        start_timer(blocking, blocking->deadline_us - now); /* a timer may ring a moment early */
        return;
    }
    if (blocking->state == BLOCKING_IDLE) {
        blocking_decide(blocking);
    } else if (blocking->state == BLOCKING_WAITING && !private_lane_is_ready(blocking->lane)) {
        struct private_lane *lane = blocking->lane;
        blocking->lane = NULL;
        private_lane_close(lane); /* ends in on_waited */
    }
}

void blocking_tick(struct router *router)
{
    for (struct blocking *blocking = router->blockings, *next; blocking != NULL; blocking = next) {
        next = blocking->next;
        if (blocking->state == BLOCKING_IDLE) {
            blocking_decide(blocking);
        } else if (blocking->is_woken &&
                   router_now_us(router) - blocking->woken_at_us > WAKE_AGAIN_US) {
            unblock(blocking); /* again: the first may have overtaken the command */
        }
    }
}

bool blocking_unblock(struct request *request, const struct unblocking *unblocking)
{
    struct blocking *blocking = request->work;
    if (blocking->unblocking.told != NULL) {
        return false;
    }
    blocking->unblocking = *unblocking;
    if (blocking->state == BLOCKING_IDLE) {
        blocking_decide(blocking);
    } else {
        blocking->is_woken = true;
        unblock(blocking);
    }
    return true;
}

/* The client is gone: what waits on a shard must not pop for nobody. */
static void on_cancel(struct request *request)
{
    struct blocking *blocking = request->work;
    (void)release(blocking);
    if (blocking->state == BLOCKING_IDLE) {
        blocking_free(blocking);
    } else if (blocking->state == BLOCKING_WAITING) {
        struct private_lane *lane = blocking->lane;
        blocking->lane = NULL;
        private_lane_close(lane); /* ends in on_waited, which frees */
    }
    request->done(request);
}

/* --- beginning -------------------------------------------------------------------------------- */

void blocking_init(struct router *router)
{
    turn_task_init(&router->promotion_task, on_promoted, router);
}

void blocking_fini(struct router *router)
{
    ASSERT(router->blockings == NULL && router->promoted == NULL);
    loop_cancel(&router->promotion_task);
}

void blocking_set_command(struct blocking *blocking, struct slice bytes)
{
    struct command command;
    buffer_clear(&blocking->bytes);
    buffer_add(&blocking->bytes, bytes.data, bytes.len);
    enum parse_status status = command_parse(
        &blocking->router->parser, buffer_slice(&blocking->bytes).data, bytes.len, &command);
    ASSERT(status == PARSE_OK);
    mem_free(blocking->argv);
    blocking->argc = command.argc;
    blocking->argv = mem_dup(command.argv, command.argc * sizeof(*command.argv));
    blocking->is_open = false;
    if (!wait_command_read(blocking->command, blocking->argv, blocking->argc, &blocking->form)) {
        blocking->form = (struct wait_command){.nkeys = 0};
    }
    for (unsigned key = 0; key < blocking->form.nkeys; key++) {
        blocking->is_open =
            blocking->is_open || wait_command_is_open(&blocking->form, blocking->argv, key);
    }
}

/* One place before each of its keys, where what one takes is gone for the others. */
static void take_places(struct blocking *blocking)
{
    const struct wait_command *form = &blocking->form;
    struct slice group = form->group != 0 ? blocking->argv[form->group] : SLICE("");
    if (!wait_command_takes_turns(form, blocking->argv)) {
        return;
    }
    blocking->places = mem_zalloc(form->nkeys * sizeof(*blocking->places));
    for (unsigned key = 0; key < form->nkeys; key++) {
        blocking->places[key].waiter = blocking;
        waiters_join(&blocking->router->waiters, &blocking->places[key], form->awaited,
                     blocking->argv[form->first_key + key], group);
    }
}

static void set_deadline(struct blocking *blocking, uint64_t timeout_us)
{
    /* Not the turn's time: the client may have sent it after that. */
    uint64_t now = loop_update_now(blocking->router->settings.backend.loop);
    blocking->deadline_us = now + timeout_us;
    start_timer(blocking, timeout_us);
}

static struct blocking *blocking_new(struct router *router, struct request *request)
{
    struct blocking *blocking = mem_zalloc(sizeof(*blocking));
    blocking->router = router;
    blocking->request = request;
    blocking->command = request->command;
    blocking->slot = request->slot;
    blocking->protocol = request->protocol;
    blocking->has_written_keys = request->has_written_keys;
    blocking->deadline_us = WAIT_FOR_EVER;
    buffer_init(&blocking->bytes, SIZE_MAX);
    timer_init(&blocking->timer, router->settings.backend.loop, on_deadline, blocking);
    link_last(router, blocking);
    request->work = blocking;
    request->cancel = on_cancel;
    return blocking;
}

void blocking_dispatch(struct router *router, struct request *request,
                       const struct command *command)
{
    struct blocking *blocking = blocking_new(router, request);
    struct buffer bytes;
    uint64_t timeout_us;
    buffer_init(&bytes, SIZE_MAX);
    write_command(&bytes, command->argv, command->argc);
    blocking_set_command(blocking, buffer_slice(&bytes));
    buffer_fini(&bytes);
    take_places(blocking);
    blocking->has_timeout = wait_command_timeout(&blocking->form, blocking->argv, &timeout_us);
    if (!blocking->has_timeout) {
        blocking_try(blocking); /* the shard's own error */
        return;
    }
    if (timeout_us != WAIT_FOR_EVER) {
        set_deadline(blocking, timeout_us);
    }
    blocking_decide(blocking);
}
