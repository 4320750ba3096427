#include "proxy/routing/aside.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "lib/shard/credentials.h"
#include "proxy/routing/router_internal.h"

struct line {
    struct aside *aside;
    struct backend *backend;
    struct request *exchange; /* its reply, when is_answered */
    bool is_answered;         /* or it never will be */
};

struct aside {
    struct aside *next; /* of the router's */
    struct router *router;
    struct request *request; /* null: it is answered, or its client is gone */
    struct line *lines;      /* one a shard */
    unsigned nlines, pending;
    unsigned nreplies;
    uint64_t deadline_us; /* 0: none */
    aside_fn *done;
};

/* --- the answer ------------------------------------------------------------------------------ */

/* The connections are closed by the next tick. */
static void answer(struct aside *aside)
{
    struct request *request = aside->request;
    if (request == NULL) {
        return;
    }
    aside->request = NULL;
    request->work = NULL;
    request->cancel = NULL;
    aside->done(aside, request);
    router_answer(request);
}

static void end_line(struct line *line)
{
    struct aside *aside = line->aside;
    if (line->is_answered) {
        return;
    }
    line->is_answered = true;
    aside->pending--;
    if (aside->pending == 0) {
        answer(aside);
    }
}

/* --- events of the connections ---------------------------------------------------------------- */

static void on_answered(struct request *exchange)
{
    end_line(exchange->owner);
}

static void on_logged_in(struct request *login)
{
    request_give(login->owner, login);
}

/* A greeting would have done so. What is refused for want of it says so itself. */
static void log_in(struct line *line)
{
    const struct credentials *own = shard_credentials();
    if (own->password.len == 0) {
        return;
    }
    const struct slice words[] = {SLICE("AUTH"), own->user, own->password};
    struct request_pool *pool = router_pool(line->aside->router);
    struct request *login = request_take(pool);
    login->owner = pool;
    login->sink = NULL;
    login->on_reply = on_logged_in;
    login->command = line->exchange->command;
    write_command(backend_begin(line->backend), words, 3);
    backend_commit(line->backend, login, 1);
}

static void on_ready(void *context, struct backend *backend)
{
    struct line *line = context;
    struct request *exchange = line->exchange;
    if (!line->is_answered) {
        struct slice bytes = buffer_slice(&exchange->bytes);
        log_in(line);
        buffer_add(backend_begin(backend), bytes.data, bytes.len);
        backend_commit(backend, exchange, line->aside->nreplies);
    }
}

static void on_down(void *context, struct backend *backend)
{
    (void)backend;
    end_line(context);
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_client_gone(struct request *request)
{
    struct aside *aside = request->work;
    aside->request = NULL;
    request->work = NULL;
    router_answer(request);
}

static void open_line(struct aside *aside, unsigned shard, struct slice bytes)
{
    struct router *router = aside->router;
    struct line *line = &aside->lines[shard];
    const struct topology_shard *target = &router->snapshot->topology->shards[shard];
    /* Whether it is executed after all is the same to everybody: nothing is given up. */
    struct backend_events events = {.on_ready = on_ready, .on_down = on_down, .context = line};
    line->aside = aside;
    line->exchange = request_take(router_pool(router));
    line->exchange->owner = line;
    line->exchange->on_reply = on_answered;
    line->exchange->command = aside->request->command;
    buffer_add(&line->exchange->bytes, bytes.data, bytes.len);
    line->backend = backend_new(&router->settings.backend, &events);
    backend_set_patient(line->backend);
    backend_set_greeting(line->backend, GREETING_NONE);
    backend_set_target(line->backend, shard, target->name, &router->lanes[shard]->endpoint,
                       &target->identity);
}

void aside_send(struct router *router, struct request *request, struct slice bytes,
                unsigned nreplies, uint64_t deadline_us, aside_fn *done)
{
    struct aside *aside = mem_alloc(sizeof(*aside));
    unsigned nshards = router->snapshot->topology->nshards;
    *aside = (struct aside){.next = router->asides,
                            .router = router,
                            .request = request,
                            .nlines = nshards,
                            .pending = nshards,
                            .nreplies = nreplies,
                            .deadline_us = deadline_us,
                            .done = done};
    aside->lines = mem_zalloc(nshards * sizeof(*aside->lines));
    router->asides = aside;
    request->work = aside;
    request->cancel = on_client_gone;
    for (unsigned i = 0; i < nshards; i++) {
        open_line(aside, i, bytes); /* the last may answer */
    }
}

unsigned aside_shards(const struct aside *aside)
{
    return aside->nlines;
}

const struct request *aside_exchange(const struct aside *aside, unsigned shard)
{
    ASSERT(shard < aside->nlines);
    return aside->lines[shard].exchange;
}

static void aside_free(struct aside *aside)
{
    ASSERT(aside->pending == 0);
    for (unsigned i = 0; i < aside->nlines; i++) {
        backend_free(aside->lines[i].backend);
        request_give(router_pool(aside->router), aside->lines[i].exchange);
    }
    mem_free(aside->lines);
    mem_free(aside);
}

/* Those that have not answered are done without. */
static void end_all_lines(struct aside *aside)
{
    for (unsigned i = 0; i < aside->nlines; i++) {
        end_line(&aside->lines[i]);
    }
}

static void tick_lines(struct aside *aside, uint64_t now)
{
    for (unsigned i = 0; i < aside->nlines; i++) {
        if (!aside->lines[i].is_answered) {
            backend_tick(aside->lines[i].backend, now);
        }
    }
    bool is_late = aside->deadline_us != 0 && now > aside->deadline_us;
    if (is_late || aside->request == NULL) {
        end_all_lines(aside);
    }
}

void asides_tick(struct router *router)
{
    struct aside **link = &router->asides;
    while (*link != NULL) {
        struct aside *aside = *link;
        tick_lines(aside, router_now_us(router));
        if (aside->pending == 0) {
            *link = aside->next;
            aside_free(aside);
        } else {
            link = &aside->next;
        }
    }
}

void asides_forget_all(struct router *router)
{
    struct aside *aside;
    while ((aside = router->asides) != NULL) {
        router->asides = aside->next;
        end_all_lines(aside);
        aside_free(aside);
    }
}
