#include "proxy/routing/subscriber.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "proxy/routing/reply_cursor.h"
#include "proxy/routing/router_internal.h"

/* How long the proxy puts off publishing an epoch for its subscribers' sake; below any hold. */
#define CATCH_UP_US 200000u

/* The connection to one shard. */
struct line {
    struct subscriber *subscriber;
    struct backend *backend;
    unsigned owed;           /* confirmations that the shard has not given yet */
    bool is_up;              /* ready, and counted in nup */
    uint64_t catch_up_until; /* its shard has just joined the topology; 0: it has caught up */
};

struct subscriber {
    struct subscriber *next, *previous; /* of the router's */
    struct router *router;
    struct subscriber_events events;
    size_t message_max;
    struct line **lines; /* by shard index of the snapshot */
    unsigned nlines;
    unsigned nup; /* of them: those that are ready */
    bool is_settling;
    uint64_t settle_until_us;
};

/* --- settling --------------------------------------------------------------------------------- */

/* A shard that is down is told everything when it comes. */
static bool is_settled(const struct line *line)
{
    if (backend_state(line->backend) == BACKEND_READY) {
        return line->owed == 0;
    }
    return !backend_may_come(line->backend);
}

static bool have_all_settled(const struct subscriber *subscriber)
{
    for (unsigned i = 0; i < subscriber->nlines; i++) {
        if (!is_settled(subscriber->lines[i])) {
            return false;
        }
    }
    return true;
}

/* Last thing in a callback: the owner goes on. */
static void look_whether_settled(struct subscriber *subscriber)
{
    if (subscriber->is_settling &&
        (router_now_us(subscriber->router) >= subscriber->settle_until_us ||
         have_all_settled(subscriber))) {
        subscriber->is_settling = false;
        subscriber->events.on_settled(subscriber->events.context);
    }
}

bool subscriber_settle(struct subscriber *subscriber)
{
    const struct router *router = subscriber->router;
    subscriber->settle_until_us = router_now_us(router) + router->settings.tuning.wait_max_us;
    subscriber->is_settling = !have_all_settled(subscriber);
    return !subscriber->is_settling;
}

/* --- what a shard says ------------------------------------------------------------------------ */

static void note_caught_up(struct line *line)
{
    if (line->catch_up_until != 0 && line->owed == 0) {
        line->catch_up_until = 0;
        router_reply_seen(line->subscriber->router);
    }
}

static void on_confirmed(struct line *line)
{
    if (line->owed > 0 && --line->owed == 0) {
        note_caught_up(line);
        look_whether_settled(line->subscriber);
    }
}

static void on_refused(struct line *line, struct slice error)
{
    const struct subscriber *subscriber = line->subscriber;
    line->owed = 0;
    log_debug("shard refuses a subscription shard=%s answer=\"%.*s\"", backend_name(line->backend),
              (int)error.len - 2, error.data);
    subscriber->events.on_refused(subscriber->events.context, error);
}

/* "message", "pmessage", "smessage". The others that have a text first are confirmations. */
static bool is_message(struct slice kind)
{
    static const struct slice word = {"message", 7};
    return kind.len >= word.len && kind.len <= word.len + 1 &&
           memcmp(kind.data + kind.len - word.len, word.data, word.len) == 0;
}

static void on_value(void *context, struct slice value)
{
    struct line *line = context;
    const struct subscriber *subscriber = line->subscriber;
    struct slice elements, first, kind;
    if (value.data[0] == '-') {
        on_refused(line, value);
    } else if (reply_array(value, &elements) < 3 || !reply_next(&elements, &first) ||
               !reply_bulk(first, &kind)) {
        return; /* nothing that was asked for */
    } else if (is_message(kind)) {
        subscriber->events.on_message(subscriber->events.context, backend_index(line->backend),
                                      value);
    } else {
        on_confirmed(line);
    }
}

/* --- events of a connection ------------------------------------------------------------------- */

static void on_ready(void *context, struct backend *backend)
{
    struct line *line = context;
    struct subscriber *subscriber = line->subscriber;
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX); /* what the owner has bounded */
    line->is_up = true;
    subscriber->nup++;
    line->owed = subscriber->events.on_ready(subscriber->events.context, &bytes);
    backend_say(backend, buffer_slice(&bytes));
    buffer_fini(&bytes);
    note_caught_up(line);
    look_whether_settled(subscriber);
}

static void on_down(void *context, struct backend *backend)
{
    struct line *line = context;
    struct router *router = line->subscriber->router;
    (void)backend;
    line->owed = 0;
    if (line->is_up) {
        line->is_up = false;
        line->subscriber->nup--;
        counter_add(&router->settings.backend.counters->subscription_breaks, 1);
    }
    router_reply_seen(router); /* it may be the one an epoch waits for */
    look_whether_settled(line->subscriber);
}

/* --- lines ------------------------------------------------------------------------------------ */

static struct line *line_new(struct subscriber *subscriber)
{
    struct line *line = mem_zalloc(sizeof(*line));
    /* Only the greeting is ever in flight on it. */
    struct backend_events events = {.on_ready = on_ready, .on_down = on_down, .context = line};
    line->subscriber = subscriber;
    line->backend = backend_new(&subscriber->router->settings.backend, &events);
    backend_set_listening(line->backend, on_value, subscriber->message_max);
    return line;
}

static void line_free(struct line *line)
{
    line->subscriber->nup -= line->is_up ? 1 : 0;
    backend_free(line->backend);
    mem_free(line);
}

/* Takes the line to this shard out of the array; null: there is none. */
static struct line *take_line(struct line **lines, unsigned nlines, const char *shard)
{
    for (unsigned i = 0; i < nlines; i++) {
        struct line *line = lines[i];
        if (line != NULL && strcmp(backend_name(line->backend), shard) == 0) {
            lines[i] = NULL;
            return line;
        }
    }
    return NULL;
}

/* A line a shard of the present snapshot; those that stay keep their connection. */
static void draw_lines(struct subscriber *subscriber)
{
    struct router *router = subscriber->router;
    const struct topology *topology = router->snapshot->topology;
    struct line **old = subscriber->lines;
    unsigned nold = subscriber->nlines;
    subscriber->nlines = topology->nshards;
    subscriber->lines = mem_alloc(topology->nshards * sizeof(struct line *));
    for (unsigned i = 0; i < topology->nshards; i++) {
        struct line *line = take_line(old, nold, topology->shards[i].name);
        bool is_joining = line == NULL && old != NULL;
        subscriber->lines[i] = line != NULL ? line : line_new(subscriber);
        if (is_joining) {
            subscriber->lines[i]->catch_up_until = router_now_us(router) + CATCH_UP_US;
        }
    }
    for (unsigned i = 0; i < nold; i++) {
        if (old[i] != NULL) {
            line_free(old[i]);
        }
    }
    mem_free(old);
}

static void point_lines(struct subscriber *subscriber)
{
    const struct router *router = subscriber->router;
    for (unsigned i = 0; i < subscriber->nlines; i++) {
        const struct topology_shard *shard = &router->snapshot->topology->shards[i];
        struct backend *backend = subscriber->lines[i]->backend;
        backend_set_target(backend, i, shard->name, &router->lanes[i]->endpoint, &shard->identity);
        backend_retry(backend);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

struct subscriber *subscriber_open(struct router *router, const struct subscriber_events *events,
                                   size_t message_max)
{
    struct subscriber *subscriber = mem_zalloc(sizeof(*subscriber));
    subscriber->router = router;
    subscriber->events = *events;
    subscriber->message_max = message_max;
    subscriber->next = router->subscribers;
    if (subscriber->next != NULL) {
        subscriber->next->previous = subscriber;
    }
    router->subscribers = subscriber;
    draw_lines(subscriber);
    point_lines(subscriber);
    return subscriber;
}

void subscriber_close(struct subscriber *subscriber)
{
    struct router *router = subscriber->router;
    for (unsigned i = 0; i < subscriber->nlines; i++) {
        line_free(subscriber->lines[i]);
    }
    if (subscriber->previous != NULL) {
        subscriber->previous->next = subscriber->next;
    } else {
        router->subscribers = subscriber->next;
    }
    if (subscriber->next != NULL) {
        subscriber->next->previous = subscriber->previous;
    }
    mem_free(subscriber->lines);
    mem_free(subscriber);
    router_reply_seen(router);
}

void subscriber_say(struct subscriber *subscriber, struct slice bytes, unsigned confirmations)
{
    for (unsigned i = 0; i < subscriber->nlines; i++) {
        struct line *line = subscriber->lines[i];
        if (backend_state(line->backend) == BACKEND_READY) {
            line->owed += confirmations;
            backend_say(line->backend, bytes);
        }
    }
}

/* --- of all clients --------------------------------------------------------------------------- */

void subscribers_adopt(struct router *router)
{
    for (struct subscriber *it = router->subscribers; it != NULL; it = it->next) {
        draw_lines(it);
        point_lines(it);
    }
}

/* A shard may own slots only after every proxy has published an epoch in which it is a shard; so
 * when the first message is published there, everybody listens. Bounded: a shard that does not
 * answer must not hold up a barrier on another. */
bool subscribers_have_caught_up(const struct router *router)
{
    uint64_t now = router_now_us(router);
    for (const struct subscriber *it = router->subscribers; it != NULL; it = it->next) {
        for (unsigned i = 0; i < it->nlines; i++) {
            const struct line *line = it->lines[i];
            if (line->catch_up_until > now && !is_settled(line)) {
                return false;
            }
        }
    }
    return true;
}

void subscribers_tick(struct router *router)
{
    uint64_t now = router_now_us(router);
    for (struct subscriber *it = router->subscribers; it != NULL; it = it->next) {
        for (unsigned i = 0; i < it->nlines && it->nup < it->nlines; i++) {
            backend_tick(it->lines[i]->backend, now); /* one that is ready has no time-outs */
        }
        look_whether_settled(it);
    }
    router_reply_seen(router); /* time is up for those who have not caught up */
}

void subscribers_expel(struct router *router, const char *shard)
{
    for (struct subscriber *it = router->subscribers; it != NULL; it = it->next) {
        for (unsigned i = 0; i < it->nlines; i++) {
            if (strcmp(backend_name(it->lines[i]->backend), shard) == 0) {
                backend_expel(it->lines[i]->backend);
            }
        }
    }
}
