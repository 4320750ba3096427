/* CLIENT subcommands that concern the clients of all workers: each is one round of questions. */
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/command/errors.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"
#include "proxy/client/round.h"
#include "proxy/routing/blocking.h"

static struct client *find_client(const struct client_host *host, uint64_t id)
{
    struct client *client = host->first;
    while (client != NULL && client->id != id) {
        client = client->next;
    }
    return client;
}

static void refuse_syntax(struct client *client, struct request *request,
                          const struct command *command)
{
    char text[192];
    struct slice shown = command->argv[1];
    (void)snprintf(text, sizeof(text),
                   "unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT HELP.",
                   (int)shown.len, shown.data);
    bool is_written = command_error_text(request_answer(request), text);
    ASSERT(is_written);
    session_refuse(client, request);
}

/* --- CLIENT UNBLOCK id [TIMEOUT|ERROR] -------------------------------------------------------- */

struct unblock_question {
    int64_t id;
    bool with_error;
    struct client_host *visited; /* where the round waits */
};

/* What waits on a shard may get an element while it is being unblocked: then it was not. */
static void on_unblocked(void *context, bool was_waiting)
{
    struct round *round = context;
    const struct unblock_question *question = round->question;
    round->number += was_waiting ? 1 : 0;
    round_go_on(round, question->visited);
}

static enum visit visit_unblock(struct round *round, struct client_host *host)
{
    struct unblock_question *question = round->question;
    const struct client *client =
        question->id > 0 ? find_client(host, (uint64_t)question->id) : NULL;
    if (client == NULL || !client_waits_for_an_element(client)) {
        return VISIT_DONE;
    }
    question->visited = host;
    struct unblocking unblocking = {on_unblocked, round, question->with_error};
    return blocking_unblock(client->blocked, &unblocking) ? VISIT_WAITS : VISIT_DONE;
}

static void answer_number(struct round *round, struct request *request)
{
    write_integer(request_answer(request), (int64_t)round->number);
    router_answer(request);
}

static void unblock(struct client *client, struct request *request, const struct command *command)
{
    struct unblock_question question = {.id = 0};
    if (command->argc > 4) {
        refuse_syntax(client, request, command);
        return;
    }
    if (command->argc == 4) {
        question.with_error = slice_equal_nocase(command->argv[3], SLICE("error"));
        if (!question.with_error && !slice_equal_nocase(command->argv[3], SLICE("timeout"))) {
            router_answer_error(request, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
            return;
        }
    }
    if (!number_parse_i64(command->argv[2], &question.id)) {
        router_answer_error(request, "ERR value is not an integer or out of range");
        return;
    }
    round_begin(client, request, visit_unblock, answer_number,
                mem_dup(&question, sizeof(question)));
}

/* --- all of them ------------------------------------------------------------------------------ */

void all_clients_dispatch(struct client *client, struct request *request,
                          const struct command *command)
{
    static const struct {
        const char *name;
        void (*dispatch)(struct client *client, struct request *request,
                         const struct command *command);
    } subcommands[] = {{"unblock", unblock}};

    for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        if (slice_equal_nocase(command->argv[1], slice_of(subcommands[i].name))) {
            subcommands[i].dispatch(client, request, command);
            return;
        }
    }
    ASSERT(false); /* overrides.def names those with HANDLER_CLIENTS */
}
