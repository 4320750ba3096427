#include "proxy/routing/blocking.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/fail_point.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/routing/private_lane.h"
#include "proxy/routing/reply_cursor.h"
#include "proxy/routing/router_internal.h"

#define FOR_EVER UINT64_MAX

/* idle: the next tick looks where it stands (in a hold, or before the next poll).
 * waiting: the command is with its shard. polling: EXISTS is. trying: the unit is. */
enum blocking_state {
    BLOCKING_IDLE,
    BLOCKING_WAITING,
    BLOCKING_POLLING,
    BLOCKING_TRYING
};

struct blocking {
    struct blocking *next, *previous;
    struct router *router;
    struct request *request;  /* the client's; null: cancelled */
    struct request *exchange; /* with a shard, unless idle */
    struct private_lane *lane;
    enum blocking_state state;
    bool is_woken;                /* CLIENT UNBLOCK was sent: an empty answer is not the client's */
    struct unblocking unblocking; /* by another client; told is null: by none */
    bool was_unblocked;
    uint64_t deadline_us;
    unsigned timeout_position; /* in argv */
    struct buffer bytes;       /* the command as the client sent it */
    const struct command_info *command;
    unsigned slot;
    bool has_written_keys;
    uint8_t protocol;
};

/* --- life --------------------------------------------------------------------------------------
 */

static void blocking_free(struct blocking *blocking)
{
    ASSERT(blocking->request == NULL && blocking->exchange == NULL);
    if (blocking->lane != NULL) {
        private_lane_close(blocking->lane);
    }
    if (blocking->previous != NULL) {
        blocking->previous->next = blocking->next;
    } else {
        blocking->router->blockings = blocking->next;
    }
    if (blocking->next != NULL) {
        blocking->next->previous = blocking->previous;
    } else {
        blocking->router->last_blocking = blocking->previous;
    }
    buffer_fini(&blocking->bytes);
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

static void answer(struct blocking *blocking, struct slice reply)
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
    answer(blocking, blocking->unblocking.with_error
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
    return blocking->deadline_us != FOR_EVER &&
           router_now_us(blocking->router) >= blocking->deadline_us;
}

static void take_exchange(struct blocking *blocking, request_fn *on_reply,
                          enum blocking_state state)
{
    ASSERT(blocking->exchange == NULL);
    blocking->exchange = request_take(router_pool(blocking->router));
    blocking->exchange->owner = blocking;
    blocking->exchange->sender = blocking->router;
    blocking->exchange->on_reply = on_reply;
    blocking->exchange->slot = blocking->slot;
    blocking->exchange->protocol = blocking->protocol;
    blocking->exchange->command = blocking->command;
    blocking->exchange->arrived_us = router_now_us(blocking->router);
    blocking->state = state;
}

/* After this the exchange's reply may still be read until request_give. */
static struct request *end_exchange(struct blocking *blocking)
{
    struct request *exchange = blocking->exchange;
    blocking->exchange = NULL;
    blocking->state = BLOCKING_IDLE;
    return exchange;
}

/* --- waiting on the shard ----------------------------------------------------------------------
 */

static void on_waited(struct request *exchange)
{
    struct blocking *blocking = exchange->owner;
    (void)end_exchange(blocking);
    bool has_reply = exchange->outcome == OUTCOME_REPLY;
    bool is_empty = has_reply && reply_is_null(buffer_slice(&exchange->reply));
    if (blocking->request == NULL) {
        blocking_free(blocking);
    } else if (has_reply && !(is_empty && blocking->is_woken && !is_over(blocking))) {
        answer(blocking, buffer_slice(&exchange->reply));
    } else if (has_reply && blocking->unblocking.told != NULL) {
        answer_unblocked(blocking);
    } else if (exchange->outcome == OUTCOME_UNKNOWN) {
        fail(blocking, true);
    } else if (exchange->outcome == OUTCOME_NOT_SENT && !blocking->is_woken) {
        fail(blocking, false);
    }
    /* Else it was woken, or not sent for a changed slot: the next tick sends it anew. */
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
static void write_with_timeout(struct blocking *blocking, struct buffer *out)
{
    struct command command;
    char seconds[32];
    struct slice bytes = buffer_slice(&blocking->bytes);
    enum parse_status status =
        command_parse(&blocking->router->parser, bytes.data, bytes.len, &command);
    ASSERT(status == PARSE_OK);
    uint64_t now = router_now_us(blocking->router);
    uint64_t left = blocking->deadline_us > now ? blocking->deadline_us - now : 1000;
    int length = snprintf(seconds, sizeof(seconds), "%.6f", (double)left / 1e6);
    write_array(out, command.argc);
    for (unsigned i = 0; i < command.argc; i++) {
        bool is_timeout = i == blocking->timeout_position && blocking->deadline_us != FOR_EVER;
        write_bulk(out, is_timeout ? (struct slice){seconds, (size_t)length} : command.argv[i]);
    }
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
        blocking->lane = private_lane_open(router, blocking->slot, blocking->protocol,
                                           PRIVATE_LANE_BLOCKS, on_stale, blocking);
    }
    blocking->is_woken = false;
    take_exchange(blocking, on_waited, BLOCKING_WAITING);
    write_with_timeout(blocking, &blocking->exchange->bytes);
    blocking->exchange->replies_left = 1;
    private_lane_send(blocking->lane, blocking->exchange, buffer_slice(&blocking->exchange->bytes));
}

/* --- polling, while the slot has a copy --------------------------------------------------------
 */

static void on_tried(struct request *attempt)
{
    struct blocking *blocking = attempt->owner;
    struct slice reply = buffer_slice(&attempt->reply), elements = reply, element;
    (void)end_exchange(blocking);
    bool has_element = reply_array(reply, &elements) == 1 && reply_next(&elements, &element);
    if (blocking->request == NULL) {
        blocking_free(blocking);
    } else if (!has_element) {
        answer(blocking, reply); /* an error: EXECABORT, UNAVAILABLE, UNKNOWN */
    } else if (!reply_is_null(element)) {
        answer(blocking, element);
    }
    request_give(router_pool(attempt->sender), attempt);
}

/* As a transaction of one command: in MULTI it does not block, on whichever shard by now. */
static void try_now(struct blocking *blocking)
{
    take_exchange(blocking, NULL, BLOCKING_TRYING);
    struct request *attempt = blocking->exchange;
    struct slice bytes = buffer_slice(&blocking->bytes);
    attempt->done = on_tried;
    attempt->has_written_keys = blocking->has_written_keys;
    attempt->unit = mem_zalloc(sizeof(*attempt->unit));
    attempt->unit->commands = mem_alloc(sizeof(struct command_info *));
    attempt->unit->commands[0] = blocking->command;
    attempt->unit->count = attempt->unit->capacity = 1;
    buffer_add(&attempt->bytes, bytes.data, bytes.len);
    router_dispatch(blocking->router, attempt, buffer_slice(&attempt->bytes));
}

static void on_polled(struct request *poll)
{
    struct blocking *blocking = poll->owner;
    int64_t count = 0;
    (void)end_exchange(blocking);
    bool has_key =
        !poll->is_error && reply_integer(buffer_slice(&poll->reply), &count) && count > 0;
    if (blocking->request == NULL) {
        blocking_free(blocking);
    } else if (has_key) {
        try_now(blocking);
    }
    request_give(router_pool(poll->sender), poll);
}

/* BLMOVE and BRPOPLPUSH: the first key is the source, the second the destination. */
static bool moves(const struct command_info *command)
{
    return strcmp(command->name, "blmove") == 0 || strcmp(command->name, "brpoplpush") == 0;
}

static void poll_now(struct blocking *blocking)
{
    struct command command;
    struct slice bytes = buffer_slice(&blocking->bytes);
    take_exchange(blocking, NULL, BLOCKING_POLLING);
    struct request *poll = blocking->exchange;
    poll->done = on_polled;
    enum parse_status status =
        command_parse(&blocking->router->parser, bytes.data, bytes.len, &command);
    ASSERT(status == PARSE_OK);
    int count = command_keys(blocking->command, command.argv, command.argc, NULL, 0);
    ASSERT(count > 0);
    struct command_key *keys = mem_alloc((size_t)count * sizeof(*keys));
    (void)command_keys(blocking->command, command.argv, command.argc, keys, (unsigned)count);
    /* What is there where elements go to wakes nobody. */
    int nsources = moves(blocking->command) ? 1 : count;
    write_array(&poll->bytes, 1 + (uint64_t)nsources);
    write_bulk(&poll->bytes, SLICE("EXISTS"));
    for (int i = 0; i < nsources; i++) {
        write_bulk(&poll->bytes, command.argv[keys[i].position]);
    }
    mem_free(keys);
    router_dispatch(blocking->router, poll, buffer_slice(&poll->bytes));
}

/* --- deciding ----------------------------------------------------------------------------------
 */

static void decide(struct blocking *blocking)
{
    const struct slot_entry *entry = snapshot_entry(blocking->router->snapshot, blocking->slot);
    if (blocking->unblocking.told != NULL) {
        answer_unblocked(blocking);
    } else if (is_over(blocking)) {
        answer(blocking, nothing(blocking));
    } else if (entry->is_dual) {
        poll_now(blocking);
    } else if (!entry->is_held) {
        wait_on_shard(blocking);
    }
}

void blocking_tick(struct router *router)
{
    for (struct blocking *blocking = router->blockings, *next; blocking != NULL; blocking = next) {
        next = blocking->next;
        if (blocking->state == BLOCKING_IDLE) {
            decide(blocking);
        } else if (blocking->is_woken) {
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
        decide(blocking);
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

/* Which argument is the time-out: the first of BLMPOP and BZMPOP, the last of the others. */
static bool read_timeout(struct blocking *blocking, const struct command *command)
{
    double seconds;
    bool is_first = slice_starts_with(slice_of(blocking->command->name), SLICE("blmpop")) ||
                    slice_starts_with(slice_of(blocking->command->name), SLICE("bzmpop"));
    blocking->timeout_position = is_first ? 1 : command->argc - 1;
    blocking->deadline_us = FOR_EVER; /* the shard decides what it cannot be */
    if (!number_parse_double(command->argv[blocking->timeout_position], &seconds) || seconds < 0 ||
        seconds > 1e9) {
        return false;
    }
    blocking->deadline_us =
        seconds == 0 ? FOR_EVER : router_now_us(blocking->router) + (uint64_t)ceil(seconds * 1e6);
    return true;
}

void blocking_dispatch(struct router *router, struct request *request,
                       const struct command *command)
{
    struct blocking *blocking = mem_zalloc(sizeof(*blocking));
    blocking->router = router;
    blocking->request = request;
    blocking->command = request->command;
    blocking->slot = request->slot;
    blocking->protocol = request->protocol;
    blocking->has_written_keys = request->has_written_keys;
    buffer_init(&blocking->bytes, SIZE_MAX);
    write_command(&blocking->bytes, command->argv, command->argc);
    link_last(router, blocking);
    request->work = blocking;
    request->cancel = on_cancel;
    if (read_timeout(blocking, command)) {
        decide(blocking);
    } else {
        try_now(blocking); /* the shard's own error */
    }
}
