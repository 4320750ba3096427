/* A request that is too large to be kept until it is whole: its bytes go on as they come.
 *
 *   begin --> coming, to the shard (proxy/routing/upload.h) --> has come --> answered
 *               |                                                              ^
 *               +--> answered too early: coming, to nobody --------------------+
 *
 * The client gets its answer behind its last byte, whoever gave it when. The request is alone in
 * the pipeline: what came before it is answered, what comes behind it waits. */
#include "lib/base/memory.h"
#include "proxy/client/client_internal.h"
#include "proxy/routing/upload.h"

struct large_request {
    struct request *request;
    request_fn *done; /* the client's */
    uint64_t taken_bytes;
    bool is_answered; /* in request->reply, if it has not come */
    bool has_come;
};

static void finish(struct client *client)
{
    struct request *request = client->large->request;
    request->done = client->large->done;
    mem_free(client->large);
    client->large = NULL;
    client_begin_head(client);
    request->done(request);
}

static void on_answered(struct request *request)
{
    struct client *client = request->owner;
    client->large->is_answered = true;
    if (client->large->has_come) {
        finish(client);
    } else {
        loop_at_turn_end(client->host->loop, &client->task); /* reads on */
    }
}

void large_request_begin(struct client *client, struct request *request, size_t size)
{
    struct large_request *large = mem_zalloc(sizeof(*large));
    large->request = request;
    large->done = request->done;
    large->taken_bytes = size;
    request->done = on_answered;
    request->sink = &request->reply;
    client->large = large;
    client->blocked = request;
    command_parser_let_pass(&client->parser, size);
}

bool large_request_wants_more(const struct client *client)
{
    const struct large_request *large = client->large;
    if (large == NULL || large->has_come) {
        return false;
    }
    return large->is_answered || (upload_has_room(large->request) &&
                                  !session_waits_for_pause(client, large->request->command));
}

bool large_request_waits_for_client(const struct client *client)
{
    return !client->is_paused && large_request_wants_more(client);
}

/* Its last byte is there: what is answered from now on goes straight to the client. */
static void complete(struct client *client)
{
    struct large_request *large = client->large;
    large->has_come = true;
    large->request->arrived_us = loop_now_us(client->host->loop);
    if (large->is_answered) {
        finish(client);
    } else {
        client_begin_head(client);
    }
}

size_t large_request_take(struct client *client, const char *data, size_t size)
{
    struct large_request *large = client->large;
    size_t used = 0;
    if (!large_request_wants_more(client)) {
        return 0;
    }
    enum parse_status status = command_pass(&client->parser, data, size, &used);
    large->taken_bytes += used;
    if (status == PARSE_BAD) {
        large_request_abandon(client);
        session_protocol_error(client, client->parser.error);
        return size;
    }
    if (large->taken_bytes > client->host->limits->request_max) {
        client_cut_off(client);
        return size;
    }
    if (!large->is_answered && used > 0) {
        upload_add(large->request, (struct slice){data, used}, status == PARSE_OK);
    }
    if (status == PARSE_OK) {
        complete(client);
    }
    return used;
}

void large_request_abandon(struct client *client)
{
    const struct large_request *large = client->large;
    if (large == NULL || large->has_come) {
        return;
    }
    struct request *request = large->request;
    if (!large->is_answered) {
        upload_abandon(request);
    }
    request->is_muted = true;
    request->outcome = OUTCOME_REPLY;
    finish(client);
}

void large_request_forget(struct client *client)
{
    struct large_request *large = client->large;
    if (large != NULL) {
        large->request->is_complete = large->is_answered; /* nobody else has it then */
        client->large = NULL;
        mem_free(large);
    }
}
