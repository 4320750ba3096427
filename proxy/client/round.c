/* Used by every worker's thread, one at a time for one round: see mailbox.c for the hand-over. */
#include "proxy/client/round.h"

#include "lib/base/memory.h"
#include "proxy/client/client_internal.h"

static void round_free(struct round *round)
{
    buffer_fini(&round->text);
    mem_free(round->question);
    mem_free(round);
}

/* The client has gone; the round itself is with some other worker. */
static void on_cancel(struct request *request)
{
    struct round *round = request->work;
    round->request = NULL;
    request->work = NULL;
    request->done(request);
}

static struct request *release(struct round *round)
{
    struct request *request = round->request;
    round->request = NULL;
    if (request != NULL) {
        request->work = NULL;
        request->cancel = NULL;
    }
    return request;
}

static struct round *round_new(struct client *client, struct request *request, visit_fn *visit,
                               round_end_fn *end)
{
    struct round *round = mem_zalloc(sizeof(*round));
    round->visit = visit;
    round->end = end;
    round->home = client->host->worker;
    round->request = request;
    buffer_init(&round->text, SIZE_MAX); /* bounded by the clients there are */
    request->work = round;
    request->cancel = on_cancel;
    client->blocked = request;
    return round;
}

void round_begin(struct client *client, struct request *request, visit_fn *visit, round_end_fn *end,
                 void *question)
{
    struct round *round = round_new(client, request, visit, end);
    round->question = question;
    client->host->pass_on(client->host->context, round);
}

void round_begin_by(struct client *client, struct request *request, visit_fn *visit,
                    round_end_fn *end, round_start_fn *start)
{
    start(client->host->context, round_new(client, request, visit, end));
}

void round_go_on(struct round *round, struct client_host *host)
{
    if (host->worker != round->home) {
        host->pass_on(host->context, round);
        return;
    }
    struct request *request = release(round);
    if (request != NULL) {
        round->end(round, request);
    }
    round_free(round);
}

void round_arrive(struct round *round, struct client_host *host)
{
    if (round->visit(round, host) == VISIT_DONE) {
        round_go_on(round, host);
    }
}

void round_drop(struct round *round)
{
    struct request *request = release(round);
    if (request != NULL) {
        router_answer_error(request, "UNAVAILABLE the proxy stops");
    }
    round_free(round);
}
