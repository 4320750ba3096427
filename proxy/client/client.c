#include "proxy/client/client.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/net/socket.h"
#include "proxy/client/client_internal.h"

#define PENDING_MAX         1024u               /* requests of one client under way */
#define PENDING_BYTES_MAX   ((size_t)1 << 20)   /* and their bytes; one request may be larger */
#define OUT_HIGH_BYTES      ((size_t)256 << 10) /* unread replies: the client is not read */
#define STRANGER_OUT_BYTES  ((size_t)16 << 10)  /* the same before it has logged in */
#define LARGE_REQUEST_BYTES ((size_t)1 << 20)   /* what is larger is not kept, if that can be */
#define LARGE_REQUEST_ARGS  1024u
/* Behind BLPOP: of a client that goes away TCP tells only who has read nearly all. */
#define BLOCKED_INPUT_MAX ((size_t)16 << 20)
#define KEPT_BYTES        ((size_t)16 << 10)
#define READS_PER_TURN    4
#define SWEEP_US          500000u
#define QUIET_US          1000000u

static void on_turn_end(void *context);
static void go_on(struct client *client);

/* --- life ------------------------------------------------------------------------------------ */

static void link_client(struct client *client)
{
    struct client_host *host = client->host;
    client->next = host->first;
    if (host->first != NULL) {
        host->first->previous = client;
    }
    host->first = client;
    host->count++;
    counter_set(&host->counters->clients, host->count);
}

static void unlink_client(struct client *client)
{
    struct client_host *host = client->host;
    if (client->previous != NULL) {
        client->previous->next = client->next;
    } else {
        host->first = client->next;
    }
    if (client->next != NULL) {
        client->next->previous = client->previous;
    }
    host->count--;
    counter_set(&host->counters->clients, host->count);
}

static void unpause(struct client *client)
{
    if (!client->is_paused) {
        return;
    }
    client->is_paused = false;
    if (client->previous_paused != NULL) {
        client->previous_paused->next_paused = client->next_paused;
    } else {
        client->host->paused = client->next_paused;
    }
    if (client->next_paused != NULL) {
        client->next_paused->previous_paused = client->previous_paused;
    }
    client->next_paused = client->previous_paused = NULL;
}

static void pause_reading(struct client *client)
{
    struct client_host *host = client->host;
    if (client->is_paused) {
        return;
    }
    client->is_paused = true;
    client->next_paused = host->paused;
    if (host->paused != NULL) {
        host->paused->previous_paused = client;
    }
    host->paused = client;
    io_pause_reading(&client->io);
}

static void on_abandoned(struct request *request)
{
    request_give(router_pool(request->owner), request);
}

/* What is under way is answered to nobody. */
static void abandon_pipeline(struct client *client)
{
    struct request *request = client->first;
    client->first = client->last = NULL;
    client->blocked = NULL;
    while (request != NULL) {
        struct request *next = request->pipeline_next;
        if (request->is_complete) {
            request_give(router_pool(client->host->router), request);
        } else {
            request->sink = NULL;
            if (request->stalled != NULL) {
                backend_go_on(request->stalled);
            }
            request->owner = client->host->router;
            request->done = on_abandoned;
            request->progress = NULL;
            if (request->cancel != NULL) {
                request->cancel(request);
            }
        }
        request = next;
    }
}

void client_cut_off(struct client *client)
{
    if (client->is_closed) {
        return;
    }
    client->is_closed = true;
    unpause(client);
    io_stop(&client->io);
    stream_close(&client->stream);
    large_request_forget(client);
    abandon_pipeline(client);
    transaction_unwatch(client);
    subscription_end(client);
    unlink_client(client);
    loop_at_turn_end(client->host->loop, &client->task);
}

static void client_free(struct client *client)
{
    transaction_forget(client);
    command_parser_fini(&client->parser);
    buffer_fini(&client->in);
    buffer_fini(&client->out);
    buffer_fini(&client->pushes);
    mem_free(client);
}

void client_drain(struct client *client)
{
    client->is_draining = true;
    large_request_abandon(client);
    unpause(client);
    io_pause_reading(&client->io);
    loop_at_turn_end(client->host->loop, &client->task);
}

void client_bound(struct client *client, bool is_stranger)
{
    command_parser_restrict(&client->parser, is_stranger);
    client->unread_max = is_stranger ? STRANGER_OUT_BYTES : OUT_HIGH_BYTES;
}

/* --- answers --------------------------------------------------------------------------------- */

/* Replies that the client has not taken yet. */
static size_t unread_bytes(const struct client *client)
{
    return buffer_length(&client->out) + buffer_length(&client->pushes) + client->parked_bytes;
}

static bool may_push(const struct client *client)
{
    return !subscription_is_confirming(client) &&
           (client->first == NULL || !client->first->has_begun);
}

struct buffer *client_push(struct client *client)
{
    loop_at_turn_end(client->host->loop, &client->task);
    return may_push(client) ? &client->out : &client->pushes;
}

void client_flush_pushes(struct client *client)
{
    struct slice pushes = buffer_slice(&client->pushes);
    if (pushes.len > 0 && may_push(client)) {
        buffer_add(&client->out, pushes.data, pushes.len);
        buffer_recycle(&client->pushes, KEPT_BYTES);
    }
}

static inline void begin_head(struct client *client)
{
    struct request *head = client->first;
    size_t early = buffer_length(&head->reply);
    if (early > 0) {
        client->parked_bytes -= head->is_complete ? early : 0;
        if (!head->is_muted) {
            buffer_add(&client->out, buffer_slice(&head->reply).data, early);
        }
        buffer_clear(&head->reply);
    }
    head->sink = head->is_muted ? NULL : &client->out;
}

void client_begin_head(struct client *client)
{
    begin_head(client);
}

static void complete_head(struct client *client)
{
    struct client_host *host = client->host;
    struct request *head = client->first;
    client->first = head->pipeline_next;
    if (client->first == NULL) {
        client->last = NULL;
    }
    client->pending--;
    client->pending_bytes -= head->size_bytes;
    histogram_run_record(&host->latency, loop_now_us(host->loop) - head->arrived_us);
    request_give(router_pool(host->router), head);
}

static void on_request_done(struct request *request)
{
    struct client *client = request->owner;
    if (request->outcome == OUTCOME_UNKNOWN) {
        client_cut_off(client); /* half of its reply is out: see router_answer_unknown */
        request_give(router_pool(client->host->router), request);
        return;
    }
    request->is_complete = true;
    if (client->blocked == request) {
        client->blocked = NULL;
    }
    if (request != client->first) {
        client->parked_bytes += buffer_length(&request->reply);
        if (unread_bytes(client) > OUT_HIGH_BYTES) {
            loop_at_turn_end(client->host->loop, &client->task); /* it may read too slowly */
        }
        return;
    }
    while (client->first != NULL && client->first->is_complete) {
        complete_head(client);
        if (buffer_length(&client->pushes) > 0) {
            client_flush_pushes(client);
        }
        if (client->first != NULL) {
            begin_head(client);
        }
    }
    loop_at_turn_end(client->host->loop, &client->task);
}

static void on_progress(struct request *request)
{
    struct client *client = request->owner;
    if (request == client->first) {
        loop_at_turn_end(client->host->loop, &client->task);
    }
}

/* CLIENT REPLY OFF or SKIP. What a shard answers is thrown away as it comes. */
static void mute(struct client *client, struct request *request)
{
    request->is_muted = true;
    request->sink = NULL;
    if (client->reply_mode == REPLY_SKIP_NEXT) {
        client->reply_mode = REPLY_ON;
    }
}

inline struct request *client_begin(struct client *client, const struct command_info *info,
                                    const struct command *command)
{
    struct request *request = request_take(router_pool(client->host->router));
    request->command = info;
    request->protocol = client->protocol;
    request->owner = client;
    request->done = on_request_done;
    request->progress = on_progress;
    request->arrived_us = loop_now_us(client->host->loop);
    request->size_bytes = command != NULL ? command->raw.len : 0;
    client->pending++;
    client->pending_bytes += request->size_bytes;
    if (client->last == NULL) {
        client->first = request;
        request->sink = &client->out;
    } else {
        client->last->pipeline_next = request;
    }
    client->last = request;
    if (client->reply_mode != REPLY_ON) {
        mute(client, request);
    }
    return request;
}

void client_unmute(struct client *client)
{
    struct request *request = client->last;
    client->reply_mode = REPLY_ON;
    request->is_muted = false;
    request->sink = request == client->first ? &client->out : &request->reply;
}

/* --- writing --------------------------------------------------------------------------------- */

/* Redis' rule: above the hard limit at once, above the soft one when it has been so for a while. */
static bool reads_too_slowly(struct client *client)
{
    bool is_pubsub = client_class_of(client) == CLIENT_CLASS_PUBSUB;
    const struct output_limit *limit =
        &client->host->limits->output[is_pubsub ? OUTPUT_PUBSUB : OUTPUT_NORMAL];
    size_t unread = unread_bytes(client);
    uint64_t now = loop_now_us(client->host->loop);
    if (limit->hard_bytes > 0 && unread > limit->hard_bytes) {
        return true;
    }
    if (limit->soft_bytes == 0 || unread <= limit->soft_bytes) {
        client->above_soft_us = 0;
        return false;
    }
    if (client->above_soft_us == 0) {
        client->above_soft_us = now;
    }
    return now - client->above_soft_us > limit->soft_us;
}

/* False when the client was closed. */
static bool write_out(struct client *client)
{
    while (buffer_length(&client->out) > 0 && !client->io.is_writing) {
        struct slice out = buffer_slice(&client->out);
        size_t count;
        enum stream_result result = stream_write(&client->stream, out.data, out.len, &count);
        if (result == STREAM_END) {
            client_cut_off(client);
            return false;
        }
        if (result == STREAM_AGAIN) {
            io_want_write(&client->io);
            break;
        }
        counter_add(&client->host->counters->bytes_out, count);
        client->active_us = loop_now_us(client->host->loop);
        buffer_consume(&client->out, count);
    }
    if ((unread_bytes(client) > 0 || client->above_soft_us > 0) && reads_too_slowly(client)) {
        counter_add(&client->host->counters->slow_readers, 1);
        client_cut_off(client);
        return false;
    }
    if (client->first != NULL && client->first->stalled != NULL &&
        buffer_length(&client->out) < OUT_HIGH_BYTES) {
        backend_go_on(client->first->stalled);
    }
    if (buffer_length(&client->out) == 0) {
        buffer_recycle(&client->out, KEPT_BYTES);
    }
    return true;
}

/* A pipeline's replies come from several shards, often in turns that follow each other. Those in
 * front wait one turn for the rest, but for no shard, since that turn does not sleep: a quarter
 * fewer writes with pipelines of 16 over two shards. */
static bool waits_for_more(struct client *client)
{
    size_t size = buffer_length(&client->out);
    client->is_waiting_for_more =
        !client->is_waiting_for_more && client->first != NULL && size > 0 && size < KEPT_BYTES;
    return client->is_waiting_for_more;
}

static void on_turn_end(void *context)
{
    struct client *client = context;
    if (client->is_closed) {
        client_free(client);
        return;
    }
    if (waits_for_more(client)) {
        loop_at_next_turn_end(client->host->loop, &client->task);
        return;
    }
    histogram_run_end(&client->host->latency); /* whoever reads the answer may ask for counters */
    subscription_tidy(client);
    if (!write_out(client)) {
        return;
    }
    if (client->is_draining) {
        if (client->first == NULL && buffer_length(&client->out) == 0) {
            client_cut_off(client);
        }
        return;
    }
    go_on(client);
}

static void on_writable(void *context)
{
    on_turn_end(context);
}

/* --- reading --------------------------------------------------------------------------------- */

static bool has_enough_under_way(const struct client *client)
{
    return client->pending >= PENDING_MAX || client->pending_bytes >= PENDING_BYTES_MAX ||
           unread_bytes(client) >= client->unread_max;
}

/* Whether some shard takes less than it is sent: looked at once for all that was read, and only
 * when it matters, since it looks at every shard. */
enum congestion {
    CONGESTION_UNKNOWN,
    CONGESTED,
    NOT_CONGESTED
};

/* Who waits for no answer may go on: it may be another shard that is asked next. */
static inline bool is_held_back(const struct client *client, enum congestion *congestion)
{
    if (client->pending == 0) {
        return has_enough_under_way(client);
    }
    if (*congestion == CONGESTION_UNKNOWN) {
        *congestion = router_is_congested(client->host->router) ? CONGESTED : NOT_CONGESTED;
    }
    return *congestion == CONGESTED || has_enough_under_way(client);
}

bool client_waits_for_an_element(const struct client *client)
{
    return client->blocked != NULL && client->blocked->cancel != NULL &&
           client->blocked->command->handler == HANDLER_BLOCK;
}

static bool may_wait_for_hours(const struct client *client)
{
    return client_waits_for_an_element(client) ||
           (client->blocked != NULL && client->blocked->command->handler == HANDLER_WAIT);
}

/* Nothing more of it is dispatched before something that is under way is answered. */
static bool must_wait(const struct client *client)
{
    const struct request *last = client->last;
    return client->blocked != NULL || (last != NULL && last->is_barrier && !last->is_complete);
}

/* What a client has sent behind a command that must be answered first. Where that may take hours,
 * reading goes on for a while, so that a client that goes away is noticed; then the tick asks. */
static void leave_backlog(struct client *client, size_t size)
{
    if (large_request_wants_more(client)) {
        return;
    }
    client->has_backlog = true;
    if (!may_wait_for_hours(client) || size > BLOCKED_INPUT_MAX) {
        pause_reading(client);
    }
}

/* A command that is not whole, and may be too large to be kept. Returns how many bytes of it are
 * used up. */
static size_t handle_begun(struct client *client, const char *data, size_t size)
{
    struct command command;
    bool is_large = command_parser_needs(&client->parser) > LARGE_REQUEST_BYTES &&
                    command_parser_needs(&client->parser) <= client->host->limits->request_max;
    if (!is_large || size > LARGE_REQUEST_BYTES ||
        !command_parser_begun(&client->parser, data, size, LARGE_REQUEST_ARGS, &command)) {
        return 0;
    }
    switch (session_handle_begun(client, &command)) {
    case BEGUN_PASSES:
        leave_backlog(client, 0);
        return size;
    case BEGUN_WAITS:
        leave_backlog(client, size);
        return 0;
    case BEGUN_IS_KEPT:
        break;
    }
    return 0;
}

/* Handles whole commands at the front of the bytes; returns how many bytes they had. */
static size_t handle_commands(struct client *client, const char *data, size_t size)
{
    size_t used = 0;
    enum congestion congestion = CONGESTION_UNKNOWN;
    while (used < size && !client->is_closed && !client->is_draining) {
        struct command command;
        if (must_wait(client)) {
            used += large_request_take(client, data + used, size - used);
            if (!must_wait(client)) {
                continue; /* it was answered before it had come */
            }
            leave_backlog(client, size - used);
            break;
        }
        if (is_held_back(client, &congestion)) {
            pause_reading(client);
            break;
        }
        enum parse_status status =
            command_parse(&client->parser, data + used, size - used, &command);
        if (status == PARSE_MORE) {
            used += handle_begun(client, data + used, size - used);
            break;
        }
        if (status == PARSE_BAD) {
            session_protocol_error(client, client->parser.error);
            return size;
        }
        if (command.argc > 0 && !session_handle(client, &command)) {
            leave_backlog(client, size - used);
            break;
        }
        used += command.raw.len;
    }
    return used;
}

/* What begins in the thread's read buffer and is not whole moves to the client's own. */
static void handle_fresh(struct client *client, size_t count)
{
    const char *data = client->host->scratch;
    size_t used = handle_commands(client, data, count);
    if (used < count && !client->is_closed && !client->is_draining) {
        buffer_add(&client->in, data + used, count - used);
    }
}

static void handle_kept(struct client *client)
{
    struct slice in = buffer_slice(&client->in);
    size_t used = handle_commands(client, in.data, in.len);
    if (!client->is_closed) {
        buffer_consume(&client->in, used);
        if (buffer_length(&client->in) == 0) {
            buffer_recycle(&client->in, KEPT_BYTES);
            command_parser_trim(&client->parser);
        }
    }
}

/* Where to read to: the thread's buffer, or behind a begun command. */
static char *read_room(struct client *client, size_t *size)
{
    size_t kept = buffer_length(&client->in);
    *size = client->host->scratch_size;
    if (kept == 0) {
        return client->host->scratch;
    }
    size_t needs = command_parser_needs(&client->parser);
    /* Grow with what has come, not with what was announced. */
    size_t wanted = needs > kept ? needs - kept : 0;
    size_t bound = kept > *size ? kept : *size;
    *size = wanted > *size ? (wanted < bound ? wanted : bound) : *size;
    char *room = buffer_reserve(&client->in, *size);
    ASSERT(room != NULL);
    return room;
}

static void on_readable(void *context)
{
    struct client *client = context;
    for (int reads = 0; reads < READS_PER_TURN; reads++) {
        size_t size, count;
        char *room = read_room(client, &size);
        enum stream_result result = stream_read(&client->stream, room, size, &count);
        if (result == STREAM_END) {
            /* It may have closed only its own half, as `... | nc` does: what it asked is answered;
             * when it is gone altogether the next write tells. But nothing is popped for it, and
             * nothing is waited for. */
            if (may_wait_for_hours(client)) {
                client_cut_off(client);
            } else {
                client_drain(client);
            }
            return;
        }
        if (result == STREAM_AGAIN) {
            break;
        }
        counter_add(&client->host->counters->bytes_in, count);
        client->active_us = loop_now_us(client->host->loop);
        if (room == client->host->scratch) {
            handle_fresh(client, count);
        } else {
            buffer_commit(&client->in, count);
            handle_kept(client);
        }
        if (!client->is_closed && buffer_length(&client->in) > client->host->limits->request_max) {
            client_cut_off(client);
            return;
        }
        if (client->is_closed || client->is_draining || client->is_paused || count < size) {
            break;
        }
    }
    if (client->stream.has_pending) {
        io_read_again(&client->io);
    }
}

static bool may_go_on(const struct client *client)
{
    enum congestion congestion = CONGESTION_UNKNOWN;
    return large_request_wants_more(client) ||
           (!must_wait(client) && !is_held_back(client, &congestion));
}

/* After a pause: what was read already comes first. */
static void go_on(struct client *client)
{
    bool has_reason = client->is_paused || client->has_backlog;
    if (!has_reason || !may_go_on(client)) {
        return;
    }
    client->has_backlog = false;
    unpause(client);
    handle_kept(client);
    if (!client->is_closed && !client->is_paused && !client->is_draining) {
        stream_resume_reading(&client->stream, &client->io);
    }
}

/* Not one that was answered in this turn: what it waited for is about to be written. */
static bool is_idle(const struct client *client, uint64_t now)
{
    uint64_t limit = client->host->limits->idle_us;
    bool is_waited_for = client->first == NULL || large_request_waits_for_client(client);
    return limit > 0 && is_waited_for && client->task.queue == NULL &&
           now - client->active_us > limit && client_class_of(client) != CLIENT_CLASS_PUBSUB;
}

/* Who says nothing for a while keeps no memory for what it may say or be told. */
static void release_buffers(struct client *client)
{
    if (buffer_length(&client->in) == 0) {
        command_parser_trim(&client->parser);
    }
    struct buffer *const buffers[] = {&client->in, &client->out, &client->pushes};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        if (buffer_length(buffers[i]) == 0) {
            buffer_recycle(buffers[i], 0);
        }
    }
}

/* What only time brings about. */
static void sweep(struct client_host *host, uint64_t now)
{
    unsigned blocked = 0;
    host->swept_us = now;
    for (struct client *client = host->first, *next; client != NULL; client = next) {
        next = client->next;
        blocked += client_waits_for_an_element(client) ? 1 : 0;
        if (is_idle(client, now)) {
            counter_add(&host->counters->timed_out, 1);
            client_cut_off(client);
            continue;
        }
        if (client->above_soft_us != 0) {
            loop_at_turn_end(host->loop, &client->task);
        }
        if (now - client->active_us > QUIET_US) {
            release_buffers(client);
        }
    }
    counter_set(&host->counters->blocked, blocked);
}

void clients_tick(struct client_host *host)
{
    uint64_t now = loop_now_us(host->loop);
    histogram_run_end(&host->latency); /* of those that went away with their answer */
    if (now - host->swept_us > SWEEP_US) {
        sweep(host, now);
    }
    struct client *client = host->paused;
    while (client != NULL) {
        struct client *next = client->next_paused;
        if (may_wait_for_hours(client) && stream_is_ending(&client->stream)) {
            client_cut_off(client);
        } else {
            loop_at_turn_end(host->loop, &client->task);
        }
        client = next;
    }
}

void clients_drain(struct client_host *host)
{
    host->is_draining = true;
    for (struct client *client = host->first; client != NULL; client = client->next) {
        client_drain(client);
    }
}

void client_open(struct client_host *host, const struct stream *stream)
{
    struct client *client = mem_zalloc(sizeof(*client));
    client->host = host;
    client->id = host->next_id;
    host->next_id += host->id_step;
    client->connected_us = client->active_us = loop_now_us(host->loop);
    client->protocol = 2;
    buffer_init(&client->in, SIZE_MAX);     /* bounded in on_readable: limits->request_max */
    buffer_init(&client->out, SIZE_MAX);    /* bounded in write_out: limits->output */
    buffer_init(&client->pushes, SIZE_MAX); /* likewise */
    command_parser_init(&client->parser, host->limits->bulk_max);
    users_forget_login(client);
    turn_task_init(&client->task, on_turn_end, client);
    socket_set_keepalive(stream->fd, host->limits->keepalive_s);
    client->stream = *stream;
    io_start(&client->io, host->loop, stream->fd, on_readable, on_writable, client);
    stream_resume_reading(&client->stream, &client->io);
    link_client(client);
    counter_add(&host->counters->accepted, 1);
}

void client_close_all(struct client_host *host)
{
    struct client *client = host->first;
    while (client != NULL) {
        struct client *next = client->next;
        client_cut_off(client);
        loop_cancel(&client->task);
        client_free(client);
        client = next;
    }
}
