#include "proxy/backend/backend.h"

#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/base/random.h"
#include "lib/net/stream.h"
#include "lib/resp/framer.h"
#include "lib/topology/snapshot.h"
#include "proxy/backend/backend_internal.h"
#include "proxy/backend/backoff.h"

#define KEPT_OUT_BYTES  ((size_t)64 << 10)
#define READS_PER_TURN  16
#define STALL_BYTES     ((size_t)512 << 10) /* unread by the client */
#define STALL_MAX_US    50000u
#define LATE_TICK_US    100000u  /* of a longer one no more counts: see count_silence */
#define OUT_LIMIT_BYTES SIZE_MAX /* the router stops senders above a mark: backend_backlog */

static const char *const state_names[] = {"down", "connecting", "greeting", "ready"};

/* The one place where the state changes. */
static void set_state(struct backend *backend, enum backend_state state)
{
    ASSERT(state == BACKEND_DOWN || state == backend->state + 1);
    log_debug("backend shard=%s from=%s to=%s", backend->name, state_names[backend->state],
              state_names[state]);
    backend->state = state;
}

/* Brings the shard's counters up to date. Its gauge is the sum of what its connections have in
 * flight. */
static void count_in_flight(struct backend *backend, unsigned count)
{
    histogram_run_end(&backend->latency);
    struct counter *gauge = &backend->counters->in_flight;
    counter_subtract(gauge, backend->counted_in_flight);
    counter_add(gauge, count);
    backend->counted_in_flight = count;
}

static void count_for(struct backend *backend, unsigned index)
{
    backend->index = index;
    struct counters *counters = backend->shared->counters;
    backend->counters = backend->greeting == GREETING_NAMED
                            ? &counters_of_replicas(counters, index)->connections
                            : counters_of_shard(counters, index);
    backend->latency.histogram = &backend->counters->latency;
}

static void set_index(struct backend *backend, unsigned index)
{
    count_in_flight(backend, 0);
    count_for(backend, index);
    count_in_flight(backend, backend->in_flight.count);
}

struct backend *backend_new(const struct backend_shared *shared,
                            const struct backend_events *events)
{
    struct backend *backend = mem_zalloc(sizeof(*backend));
    backend->shared = shared;
    count_for(backend, 0);
    backend->events = *events;
    backend->stream.fd = -1;
    backend->protocol = 2;
    buffer_init(&backend->out, OUT_LIMIT_BYTES);
    buffer_init(&backend->value, 0); /* backend_set_listening */
    turn_task_init(&backend->flush_task, backend_flush, backend);
    return backend;
}

static void release_memory(void *context)
{
    struct backend *backend = context;
    buffer_fini(&backend->out);
    buffer_fini(&backend->value);
    mem_free(backend->orphans);
    mem_free(backend);
}

void backend_free(struct backend *backend)
{
    ASSERT(!backend->is_freed);
    backend->is_freed = true;
    if (backend->stream.fd >= 0) {
        backend_lose(backend, "the proxy drops the shard");
    }
    /* Perhaps from one of its own callbacks: its memory stays until the end of the turn. */
    loop_cancel(&backend->flush_task);
    turn_task_init(&backend->flush_task, release_memory, backend);
    loop_at_turn_end(backend->shared->loop, &backend->flush_task);
}

/* What was not sent keeps its bytes, so that it can go elsewhere. */
static void keep_bytes(const struct backend *backend, struct request *request, uint64_t end)
{
    uint64_t from = request->begin_offset - backend->written;
    struct slice out = buffer_slice(&backend->out);
    if (buffer_length(&request->bytes) == 0) {
        buffer_add(&request->bytes, out.data + from, (size_t)(end - request->begin_offset));
    }
}

static void judge_in_flight(struct backend *backend, bool *was_any_sent)
{
    uint64_t total = backend->written + buffer_length(&backend->out);
    uint64_t number = backend->ended;
    *was_any_sent = false;
    for (struct request *request = backend->in_flight.first; request != NULL;
         request = request->next) {
        uint64_t end = request->next != NULL ? request->next->begin_offset : total;
        /* One byte written is too many to send it again. Model: RESEND. */
        bool is_begun = request == backend->begun;
        bool is_unsent = is_begun || request->begin_offset >= backend->written;
        request->outcome = is_unsent ? OUTCOME_NOT_SENT : OUTCOME_UNKNOWN;
        request->is_outdated = ++number <= backend->drain_mark;
        request->shard = backend->is_freed ? NO_SHARD : backend->index;
        if (is_unsent && !is_begun) {
            keep_bytes(backend, request, end);
        }
        *was_any_sent = *was_any_sent || !is_unsent;
    }
}

static void tell_in_flight(struct backend *backend)
{
    struct request_queue lost = backend->in_flight;
    backend->in_flight = (struct request_queue){.count = 0};
    backend->ended += lost.count;
    struct request *request;
    while ((request = request_queue_pop(&lost)) != NULL) {
        request->on_reply(request);
    }
}

static void end_stall(struct backend *backend)
{
    struct request *oldest = backend->in_flight.first;
    backend->stalled_at_us = 0;
    if (oldest != NULL) {
        oldest->stalled = NULL;
    }
}

void backend_lose(struct backend *backend, const char *why)
{
    bool was_any_sent;
    bool was_ready = backend->state == BACKEND_READY;
    ASSERT(backend->stream.fd >= 0);
    end_stall(backend);
    log_debug("backend lost shard=%s why=\"%s\"", backend->name, why);
    io_stop(&backend->io);
    stream_close(&backend->stream);
    judge_in_flight(backend, &was_any_sent);
    backend->framer = (struct framer){.values_left = 0};
    backend->is_in_push = false;
    backend->begun = NULL;
    backend->incarnation++;
    backend->failures = was_ready ? 0 : backend->failures + 1;
    backend->retry_at_us = loop_now_us(backend->shared->loop) +
                           (was_ready ? 0 : backoff_us(backend->failures, random_system()));
    counter_add(&backend->counters->failures, 1);
    if (was_any_sent && was_ready && backend->events.on_given_up != NULL) {
        backend_orphan(backend, backend->connection_id);
        backend->events.on_given_up(backend->events.context, backend, backend->connection_id);
    }
    set_state(backend, BACKEND_DOWN);
    buffer_recycle(&backend->out, KEPT_OUT_BYTES);
    buffer_fini(&backend->value);
    backend->written = 0;
    backend->appended = 0;
    tell_in_flight(backend);
    count_in_flight(backend, backend->in_flight.count);
    if (!backend->is_freed) { /* by what it has just told */
        backend->events.on_down(backend->events.context, backend);
    }
}

/* --- replies ------------------------------------------------------------------------------- */

static void deliver(struct backend *backend, struct request *request)
{
    request_queue_pop(&backend->in_flight);
    backend->ended++;
    request->outcome = OUTCOME_REPLY;
    if (backend->state == BACKEND_READY) {
        histogram_run_record(&backend->latency,
                             loop_now_us(backend->shared->loop) - request->sent_at_us);
    }
    request->on_reply(request);
}

/* What comes next belongs to no request: RESP3 has pushes between the replies. */
static bool is_at_push(struct backend *backend, char first)
{
    if (backend->framer.values_left == 0) {
        backend->is_in_push = first == '>';
    }
    return backend->is_in_push;
}

static bool drop_push(struct backend *backend, const char *data, size_t size, size_t *used)
{
    return framer_feed(&backend->framer, data, size, used) != PARSE_BAD;
}

/* One reply of the oldest request, or what there is of it. */
static inline bool take_reply(struct backend *backend, const char *data, size_t size, size_t *used)
{
    struct request *request = backend->in_flight.first;
    if (request == NULL) {
        return false;
    }
    if (backend->framer.values_left == 0 && data[0] == '-') {
        request->is_error = true;
    }
    enum parse_status status = framer_feed(&backend->framer, data, size, used);
    if (status == PARSE_BAD) {
        return false;
    }
    if (request->sink != NULL) {
        buffer_add(request->sink, data, *used);
        request->has_begun = true;
    }
    if (status == PARSE_OK && --request->replies_left == 0) {
        deliver(backend, request);
    } else if (status == PARSE_MORE && request->progress != NULL && request->sink != NULL) {
        request->progress(request);
    }
    return true;
}

/* Hands out what arrived. False when the bytes are no reply to anything. A callback may lose this
 * backend: `incarnation` tells. */
static bool take_replies(struct backend *backend, const char *data, size_t size)
{
    uint64_t incarnation = backend->incarnation;
    while (size > 0 && backend->incarnation == incarnation) {
        size_t used = 0;
        bool is_sane = backend->protocol == 3 && is_at_push(backend, data[0])
                           ? drop_push(backend, data, size, &used)
                           : take_reply(backend, data, size, &used);
        if (!is_sane) {
            return false;
        }
        data += used;
        size -= used;
    }
    return true;
}

void backend_go_on(struct backend *backend)
{
    if (backend->stalled_at_us == 0) {
        return;
    }
    end_stall(backend);
    backend->progress_us = loop_now_us(backend->shared->loop); /* the shard did nothing wrong */
    stream_resume_reading(&backend->stream, &backend->io);
}

/* Only a client drains its output; what is gathered in a request of its own never does. */
static void stall_if_ahead(struct backend *backend)
{
    struct request *oldest = backend->in_flight.first;
    if (oldest == NULL || oldest->sink == NULL || oldest->sink == &oldest->reply ||
        oldest->progress == NULL || oldest->is_read_slowly || !oldest->has_begun ||
        buffer_length(oldest->sink) < STALL_BYTES) {
        return;
    }
    oldest->stalled = backend;
    backend->stalled_at_us = loop_now_us(backend->shared->loop);
    io_pause_reading(&backend->io);
}

/* As take_replies, for a listening connection. What lies whole in the read buffer is handed over
 * where it lies. */
static bool take_values(struct backend *backend, const char *data, size_t size)
{
    uint64_t incarnation = backend->incarnation;
    while (size > 0 && backend->incarnation == incarnation) {
        size_t used = 0;
        bool is_begun = buffer_length(&backend->value) > 0;
        enum parse_status status = framer_feed(&backend->framer, data, size, &used);
        if (status == PARSE_BAD) {
            return false;
        }
        if ((is_begun || status == PARSE_MORE) && !buffer_append(&backend->value, data, used)) {
            return false;
        }
        if (status == PARSE_OK) {
            struct buffer whole = backend->value;
            buffer_init(&backend->value, whole.limit);
            backend->on_value(backend->events.context,
                              is_begun ? buffer_slice(&whole) : (struct slice){data, used});
            buffer_fini(&whole);
        }
        data += used;
        size -= used;
    }
    return true;
}

static bool is_listening(const struct backend *backend)
{
    return backend->on_value != NULL && backend->state == BACKEND_READY;
}

static void read_replies(struct backend *backend)
{
    const struct backend_shared *shared = backend->shared;
    uint64_t incarnation = backend->incarnation;
    for (int reads = 0; reads < READS_PER_TURN; reads++) {
        size_t count;
        enum stream_result result =
            stream_read(&backend->stream, shared->scratch, shared->scratch_size, &count);
        if (result == STREAM_END) {
            backend_lose(backend, stream_why(&backend->stream));
            return;
        }
        if (result == STREAM_AGAIN) {
            break;
        }
        counter_add(&backend->counters->bytes_in, count);
        bool is_sane = is_listening(backend) ? take_values(backend, shared->scratch, count)
                                             : take_replies(backend, shared->scratch, count);
        if (backend->incarnation != incarnation) {
            return;
        }
        if (!is_sane) {
            backend_lose(backend, "its bytes are no reply to anything");
            return;
        }
        backend->progress_us = loop_now_us(shared->loop);
        stall_if_ahead(backend);
        if (count < shared->scratch_size || backend->stalled_at_us != 0) {
            break;
        }
    }
    if (backend->stream.has_pending) {
        io_read_again(&backend->io);
    }
    count_in_flight(backend, backend->in_flight.count);
}

/* --- requests ------------------------------------------------------------------------------ */

/* Writing newer requests is no progress: a shard that hangs takes them until its buffers are full.
 */
static bool writes_oldest(const struct backend *backend)
{
    const struct request *oldest = backend->in_flight.first;
    uint64_t end =
        oldest != NULL && oldest->next != NULL ? oldest->next->begin_offset : backend->appended;
    return backend->written < end;
}

/* Whom a shard refuses in the middle of a request it has told why before it closed. */
static void lose_written(struct backend *backend)
{
    uint64_t incarnation = backend->incarnation;
    if (backend->begun != NULL) {
        read_replies(backend);
    }
    if (backend->incarnation == incarnation) {
        backend_lose(backend, "cannot be written to");
    }
}

void backend_flush(void *context)
{
    struct backend *backend = context;
    while (backend->stream.fd >= 0 && buffer_length(&backend->out) > 0) {
        struct slice out = buffer_slice(&backend->out);
        size_t count;
        enum stream_result result = stream_write(&backend->stream, out.data, out.len, &count);
        if (result == STREAM_END) {
            lose_written(backend);
            return;
        }
        if (result == STREAM_AGAIN) {
            io_want_write(&backend->io);
            return;
        }
        counter_add(&backend->counters->bytes_out, count);
        if (writes_oldest(backend)) {
            backend->progress_us = loop_now_us(backend->shared->loop);
        }
        buffer_consume(&backend->out, count);
        backend->written += count;
    }
    if (backend->begun != NULL) {
        backend_begun_is_written(backend); /* the room is soon needed again */
    } else if (backend->out.capacity > KEPT_OUT_BYTES) {
        buffer_recycle(&backend->out, KEPT_OUT_BYTES);
    }
}

inline struct buffer *backend_begin(struct backend *backend)
{
    ASSERT(backend->state >= BACKEND_GREETING);
    return &backend->out;
}

inline void backend_commit(struct backend *backend, struct request *request, uint32_t replies)
{
    ASSERT(replies > 0);
    request->begin_offset = backend->appended;
    backend->appended = backend->written + buffer_length(&backend->out);
    request->replies_left = replies;
    request->outcome = OUTCOME_PENDING;
    request->is_error = false;
    request->has_begun = false;
    request->sent_at_us = loop_now_us(backend->shared->loop);
    request_queue_push(&backend->in_flight, request);
    backend->sent++;
    counter_add(&backend->counters->requests, 1);
    if (!backend->io.is_writing) {
        loop_at_turn_end(backend->shared->loop, &backend->flush_task);
    }
}

inline void backend_send(struct backend *backend, struct request *request, struct slice bytes)
{
    buffer_add(backend_begin(backend), bytes.data, bytes.len);
    backend_commit(backend, request, 1);
}

void backend_append(struct backend *backend, struct slice bytes)
{
    buffer_add(&backend->out, bytes.data, bytes.len);
    if (!backend->io.is_writing) {
        loop_at_turn_end(backend->shared->loop, &backend->flush_task);
    }
}

void backend_say(struct backend *backend, struct slice bytes)
{
    ASSERT(is_listening(backend));
    backend_append(backend, bytes);
}

size_t backend_backlog(const struct backend *backend)
{
    return buffer_length(&backend->out);
}

unsigned backend_in_flight(const struct backend *backend)
{
    return backend->in_flight.count;
}

/* Since when the shard has something to do for us; 0: it has not. A large request or reply may take
 * its time, as long as it gets on. */
static uint64_t waits_since_us(const struct backend *backend)
{
    const struct request *oldest = backend->in_flight.first;
    if (backend->state != BACKEND_READY) {
        return backend->state == BACKEND_DOWN ? 0 : backend->started_at_us;
    }
    if (oldest == NULL || backend->is_patient || backend->stalled_at_us != 0 ||
        backend_waits_for_more(backend)) {
        return 0;
    }
    return oldest->sent_at_us > backend->progress_us ? oldest->sent_at_us : backend->progress_us;
}

/* Counts tick by tick how long it has been silent. A tick that comes late tells of us, not of the
 * shard: we were stopped or had no core, and the answer lies in the socket, or the question still
 * in `out`. */
static void count_silence(struct backend *backend, uint64_t now_us)
{
    uint64_t since_us = waits_since_us(backend);
    bool is_same = since_us != 0 && since_us == backend->silent_since_us;
    uint64_t passed_us = since_us == 0 ? 0 : now_us - (is_same ? backend->ticked_us : since_us);
    backend->silent_us =
        (is_same ? backend->silent_us : 0) + (passed_us < LATE_TICK_US ? passed_us : LATE_TICK_US);
    backend->silent_since_us = since_us;
    backend->ticked_us = now_us;
}

static bool is_silent(const struct backend *backend, uint64_t limit_us)
{
    return backend->silent_us > limit_us && waits_since_us(backend) == backend->silent_since_us;
}

bool backend_is_stuck(const struct backend *backend, uint64_t limit_us)
{
    return backend->state == BACKEND_READY && is_silent(backend, limit_us);
}

void backend_begin_drain(struct backend *backend)
{
    backend->drain_mark = backend->sent;
}

bool backend_has_drained(const struct backend *backend)
{
    /* Given-up connections count until they are killed. Model: ORPHANPUB. */
    return backend->norphans == 0 && backend->ended >= backend->drain_mark;
}

void backend_orphan(struct backend *backend, uint64_t connection_id)
{
    MEM_GROW(backend->orphans, backend->norphans, backend->orphans_capacity);
    backend->orphans[backend->norphans++] = connection_id;
}

void backend_killed(struct backend *backend, uint64_t connection_id)
{
    for (unsigned i = 0; i < backend->norphans; i++) {
        if (backend->orphans[i] == connection_id) {
            backend->orphans[i] = backend->orphans[--backend->norphans];
            return;
        }
    }
}

/* --- connecting ---------------------------------------------------------------------------- */

/* Said once for a shard that stays so: the certificate, or that it does not speak TLS at all. */
static void lose_handshake(struct backend *backend)
{
    const char *why = stream_why(&backend->stream);
    if (backend->failures == 0) {
        log_warn("shard cannot be reached shard=%s why=\"%s\"", backend->name, why);
    }
    backend_lose(backend, why);
}

static void become_connected(struct backend *backend)
{
    set_state(backend, BACKEND_GREETING);
    counter_add(&backend->counters->connects, 1);
    if (backend->greeting == GREETING_NONE) {
        backend_become_ready(backend);
    } else {
        backend_greet(backend);
    }
}

static void connect_further(struct backend *backend)
{
    int error = socket_error(backend->stream.fd);
    if (error != 0) {
        backend_lose(backend, strerror(error));
        return;
    }
    bool wants_write;
    switch (stream_shake_hands(&backend->stream, &wants_write)) {
    case STREAM_OK:
        become_connected(backend);
        break;
    case STREAM_AGAIN:
        if (wants_write) {
            io_want_write(&backend->io);
        }
        break;
    case STREAM_END:
        lose_handshake(backend);
        break;
    }
}

static void on_readable(void *context)
{
    struct backend *backend = context;
    if (backend->state == BACKEND_CONNECTING) {
        connect_further(backend);
    } else {
        read_replies(backend);
    }
}

static void on_writable(void *context)
{
    struct backend *backend = context;
    if (backend->state == BACKEND_CONNECTING) {
        connect_further(backend);
    } else {
        backend_flush(backend);
    }
}

static void connect_now(struct backend *backend)
{
    const struct backend_shared *shared = backend->shared;
    ASSERT(backend->state == BACKEND_DOWN && backend->stream.fd < 0);
    backend->incarnation++;
    backend->started_at_us = loop_now_us(shared->loop);
    backend->has_multi = false;
    int fd = socket_connect(&backend->endpoint);
    if (fd < 0) {
        backend->failures++;
        backend->retry_at_us =
            backend->started_at_us + backoff_us(backend->failures, random_system());
        backend->events.on_down(backend->events.context, backend);
        return;
    }
    stream_open_to(&backend->stream, fd, &backend->endpoint, shared->tls);
    io_start(&backend->io, shared->loop, fd, on_readable, on_writable, backend);
    io_want_write(&backend->io);
    set_state(backend, BACKEND_CONNECTING);
}

void backend_become_ready(struct backend *backend)
{
    backend->failures = 0;
    backend->refusal = REFUSAL_NONE;
    set_state(backend, BACKEND_READY);
    backend->events.on_ready(backend->events.context, backend);
}

void backend_set_target(struct backend *backend, unsigned index, const char *name,
                        const struct endpoint *endpoint, const struct shard_identity *identity)
{
    bool is_same = backend->is_targeted && endpoint_equal(&backend->endpoint, endpoint) &&
                   shard_identity_equal(&backend->identity, identity);
    set_index(backend, index);
    if (is_same) {
        return;
    }
    (void)snprintf(backend->name, sizeof(backend->name), "%s", name);
    backend->endpoint = *endpoint;
    backend->identity = *identity;
    backend->is_targeted = true;
    backend->refusal = REFUSAL_NONE;
    backend->failures = 0;
    if (backend->stream.fd >= 0) {
        backend_lose(backend, "the topology names another process");
        backend->failures = 0;
    }
    connect_now(backend);
}

void backend_retry(struct backend *backend)
{
    if (backend->state == BACKEND_DOWN && backend->refusal == REFUSAL_FENCED) {
        backend->refusal = REFUSAL_NONE;
        backend->failures = 0; /* it was no failure: it will be let in now */
        connect_now(backend);
    }
}

void backend_expel(struct backend *backend)
{
    backend->refusal = REFUSAL_UNFENCED;
    if (backend->stream.fd >= 0) {
        backend_lose(backend, "the shard has lost its fence");
    }
}

/* Others wait: a client that has not caught up by now is stored for. */
static void bound_stall(struct backend *backend, uint64_t now_us)
{
    if (backend->stalled_at_us != 0 && now_us > backend->stalled_at_us + STALL_MAX_US) {
        backend->in_flight.first->is_read_slowly = true;
        backend_go_on(backend);
    }
}

void backend_tick(struct backend *backend, uint64_t now_us)
{
    const struct backend_shared *shared = backend->shared;
    bound_stall(backend, now_us);
    count_silence(backend, now_us);
    if (is_silent(backend, backend->state == BACKEND_READY ? shared->timeout_us
                                                           : shared->connect_timeout_us)) {
        backend_lose(backend, "no answer in time");
    } else if (backend->state == BACKEND_DOWN && backend->is_targeted &&
               now_us >= backend->retry_at_us) {
        connect_now(backend);
    }
}

void backend_set_protocol(struct backend *backend, unsigned char protocol)
{
    ASSERT(!backend->is_targeted && (protocol == 2 || protocol == 3));
    backend->protocol = protocol;
}

void backend_set_patient(struct backend *backend)
{
    backend->is_patient = true;
}

void backend_set_greeting(struct backend *backend, enum backend_greeting greeting)
{
    ASSERT(!backend->is_targeted);
    backend->greeting = greeting;
    count_for(backend, backend->index);
}

void backend_set_listening(struct backend *backend, backend_value_fn *on_value, size_t value_max)
{
    ASSERT(!backend->is_targeted);
    backend->on_value = on_value;
    buffer_init(&backend->value, value_max);
}

uint64_t backend_connection_id(const struct backend *backend)
{
    return backend->connection_id;
}

enum backend_state backend_state(const struct backend *backend)
{
    return backend->state;
}

bool backend_may_come(const struct backend *backend)
{
    return backend->refusal == REFUSAL_FENCED ||
           (backend->refusal == REFUSAL_NONE && backend->failures == 0);
}

bool backend_has_multi(const struct backend *backend)
{
    return backend->has_multi;
}

const char *backend_name(const struct backend *backend)
{
    return backend->name;
}

unsigned backend_index(const struct backend *backend)
{
    return backend->index;
}
