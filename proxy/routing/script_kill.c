#include "proxy/routing/script_kill.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "proxy/routing/router_internal.h"

/* A shard begins to listen again when its script has run for busy-reply-threshold, 5 s unless it is
 * configured. */
#define WAIT_MAX_US 10000000u

struct kill_line {
    struct script_kill *kill;
    struct backend *backend;
    struct request *exchange; /* its reply, when is_answered */
    bool is_answered;         /* or it never will be */
};

struct script_kill {
    struct script_kill *next; /* of the router's */
    struct router *router;
    struct request *request; /* null: it is answered, or its client is gone */
    struct kill_line *lines; /* one a shard */
    unsigned nlines, pending;
    uint64_t deadline_us;
};

/* --- the answer ------------------------------------------------------------------------------ */

static bool is_success(const struct request *exchange)
{
    return exchange->outcome == OUTCOME_REPLY && !exchange->is_error;
}

static bool has_nothing_to_kill(const struct request *exchange)
{
    return exchange->outcome == OUTCOME_REPLY &&
           slice_starts_with(buffer_slice(&exchange->reply), SLICE("-NOTBUSY"));
}

/* A success, else what kept a shard from killing, else that there was nothing to kill anywhere. */
static const struct request *choose(const struct script_kill *kill)
{
    const struct request *chosen = kill->lines[0].exchange;
    for (unsigned i = 1; i < kill->nlines && !is_success(chosen); i++) {
        const struct request *exchange = kill->lines[i].exchange;
        if (is_success(exchange) || has_nothing_to_kill(chosen)) {
            chosen = exchange;
        }
    }
    return chosen;
}

/* The connections are closed by the next tick. */
static void answer(struct script_kill *kill)
{
    struct request *request = kill->request;
    if (request == NULL) {
        return;
    }
    const struct request *chosen = choose(kill);
    kill->request = NULL;
    request->work = NULL;
    request->cancel = NULL;
    if (chosen->outcome != OUTCOME_REPLY) {
        router_answer_unavailable(kill->router, request, "a shard cannot be reached");
        return;
    }
    struct slice reply = buffer_slice(&chosen->reply);
    request->is_error = chosen->is_error;
    buffer_add(request_answer(request), reply.data, reply.len);
    router_answer(request);
}

static void end_line(struct kill_line *line)
{
    struct script_kill *kill = line->kill;
    if (line->is_answered) {
        return;
    }
    line->is_answered = true;
    kill->pending--;
    if (kill->pending == 0) {
        answer(kill);
    }
}

/* --- events of the connections ----------------------------------------------------------------
 */

static uint64_t epoch_of(void *context)
{
    const struct kill_line *line = context;
    return line->kill->router->snapshot->topology->epoch;
}

static void on_answered(struct request *exchange)
{
    end_line(exchange->owner);
}

static void on_ready(void *context, struct backend *backend)
{
    struct kill_line *line = context;
    struct request *exchange = line->exchange;
    if (!line->is_answered) {
        backend_send(backend, exchange, buffer_slice(&exchange->bytes));
    }
}

static void on_down(void *context, struct backend *backend)
{
    (void)backend;
    end_line(context);
}

/* Only hello is refused, which these do not say. */
static void on_refused(void *context, struct backend *backend)
{
    (void)context;
    (void)backend;
    ASSERT(false);
}

/* Whether it is executed after all is the same to everybody. */
static void on_given_up(void *context, struct backend *backend, uint64_t connection_id)
{
    (void)context;
    backend_killed(backend, connection_id);
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_client_gone(struct request *request)
{
    struct script_kill *kill = request->work;
    kill->request = NULL;
    request->work = NULL;
    router_answer(request);
}

static void open_line(struct script_kill *kill, unsigned shard, const struct request *request,
                      struct slice bytes)
{
    struct router *router = kill->router;
    struct kill_line *line = &kill->lines[shard];
    const struct topology_shard *target = &router->snapshot->topology->shards[shard];
    struct backend_events events = {.epoch = epoch_of,
                                    .on_ready = on_ready,
                                    .on_down = on_down,
                                    .on_fenced = on_refused,
                                    .on_unfenced = on_refused,
                                    .on_given_up = on_given_up,
                                    .context = line};
    line->kill = kill;
    line->exchange = request_take(router_pool(router));
    line->exchange->owner = line;
    line->exchange->on_reply = on_answered;
    line->exchange->command = request->command;
    buffer_add(&line->exchange->bytes, bytes.data, bytes.len);
    line->backend = backend_new(&router->settings.backend, &events);
    backend_set_patient(line->backend);
    backend_set_unfenced(line->backend);
    backend_set_target(line->backend, shard, target->name, &router->lanes[shard]->endpoint,
                       &target->identity);
}

void script_kill_dispatch(struct router *router, struct request *request, struct slice bytes)
{
    struct script_kill *kill = mem_alloc(sizeof(*kill));
    unsigned nshards = router->snapshot->topology->nshards;
    *kill = (struct script_kill){.next = router->script_kills,
                                 .router = router,
                                 .request = request,
                                 .nlines = nshards,
                                 .pending = nshards,
                                 .deadline_us = router_now_us(router) + WAIT_MAX_US};
    kill->lines = mem_zalloc(nshards * sizeof(*kill->lines));
    router->script_kills = kill;
    request->work = kill;
    request->cancel = on_client_gone;
    for (unsigned i = 0; i < nshards; i++) {
        open_line(kill, i, request, bytes); /* the last may answer */
    }
}

static void kill_free(struct script_kill *kill)
{
    ASSERT(kill->pending == 0);
    for (unsigned i = 0; i < kill->nlines; i++) {
        backend_free(kill->lines[i].backend);
        request_give(router_pool(kill->router), kill->lines[i].exchange);
    }
    mem_free(kill->lines);
    mem_free(kill);
}

/* Those that have not answered are done without. */
static void end_all_lines(struct script_kill *kill)
{
    for (unsigned i = 0; i < kill->nlines; i++) {
        end_line(&kill->lines[i]);
    }
}

static void tick_lines(struct script_kill *kill, uint64_t now)
{
    for (unsigned i = 0; i < kill->nlines; i++) {
        if (!kill->lines[i].is_answered) {
            backend_tick(kill->lines[i].backend, now);
        }
    }
    if (now > kill->deadline_us) {
        end_all_lines(kill);
    }
}

void script_kills_tick(struct router *router)
{
    struct script_kill **link = &router->script_kills;
    while (*link != NULL) {
        struct script_kill *kill = *link;
        tick_lines(kill, router_now_us(router));
        if (kill->pending == 0) {
            *link = kill->next;
            kill_free(kill);
        } else {
            link = &kill->next;
        }
    }
}

void script_kills_forget_all(struct router *router)
{
    struct script_kill *kill;
    while ((kill = router->script_kills) != NULL) {
        router->script_kills = kill->next;
        end_all_lines(kill);
        kill_free(kill);
    }
}
