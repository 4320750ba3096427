/* CLIENT subcommands that concern the clients of all workers: each is one round of questions. */
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/command/errors.h"
#include "lib/net/socket.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"
#include "proxy/client/round.h"
#include "proxy/routing/blocking.h"

#define PAUSE_MAX_MS (INT64_MAX / 2000000) /* so that no clock overflows */

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

/* --- CLIENT LIST and CLIENT KILL -------------------------------------------------------------- */

static bool is_meant(const struct client_filter *filter, const struct client *client)
{
    char address[ENDPOINT_TEXT_MAX] = "", local_address[ENDPOINT_TEXT_MAX] = "";
    struct client_facts facts = {client->id, client_class_of(client), address, local_address,
                                 acl_user_name(client->user)};
    if (filter->address[0] != '\0' || filter->local_address[0] != '\0') {
        struct endpoint remote, local;
        socket_addresses(client->stream.fd, &remote, &local);
        endpoint_format(&remote, address);
        endpoint_format(&local, local_address);
    }
    return client_filter_passes(filter, &facts);
}

/* Oldest first, as Redis; the list of a host has the newest first. */
static enum visit visit_list(struct round *round, struct client_host *host)
{
    const struct client *client = host->first;
    while (client != NULL && client->next != NULL) {
        client = client->next;
    }
    for (; client != NULL; client = client->previous) {
        if (is_meant(round->question, client)) {
            client_describe(client, &round->text);
        }
    }
    return VISIT_DONE;
}

static void answer_text(struct round *round, struct request *request)
{
    const struct client *asker = request->owner;
    write_verbatim(request_answer(request), asker->protocol, buffer_slice(&round->text));
    router_answer(request);
}

static void list(struct client *client, struct request *request, const struct command *command)
{
    struct client_filter *filter = client_filter_of_list(command, request_answer(request));
    if (filter == NULL) {
        session_refuse(client, request);
        return;
    }
    round_begin(client, request, visit_list, answer_text, filter);
}

static enum visit visit_kill(struct round *round, struct client_host *host)
{
    const struct client_filter *filter = round->question;
    for (struct client *client = host->first, *next; client != NULL; client = next) {
        next = client->next;
        if (is_meant(filter, client)) {
            round->number++;
            if (client->id != filter->asker_id) {
                client_cut_off(client);
            }
        }
    }
    return VISIT_DONE;
}

static void answer_kill(struct round *round, struct request *request)
{
    const struct client_filter *filter = round->question;
    struct client *asker = request->owner;
    if (!filter->is_old_kill) {
        write_integer(request_answer(request), (int64_t)round->number);
    } else if (round->number > 0) {
        write_status(request_answer(request), "OK");
    } else {
        write_error(request_answer(request), "ERR No such client");
    }
    if (is_meant(filter, asker)) {
        client_drain(asker); /* after its answer */
    }
    router_answer(request);
}

static void kill_clients(struct client *client, struct request *request,
                         const struct command *command)
{
    struct client_filter *filter =
        client_filter_of_kill(command, client->id, client->host->acl, request_answer(request));
    if (filter == NULL) {
        session_refuse(client, request);
        return;
    }
    round_begin(client, request, visit_kill, answer_kill, filter);
}

/* --- CLIENT PAUSE and CLIENT UNPAUSE ---------------------------------------------------------- */

/* Two pauses at once: the longer one, and the stricter one, as in Redis. */
static enum visit visit_pause(struct round *round, struct client_host *host)
{
    const struct client_pause *asked = round->question;
    struct client_pause *pause = &host->pause;
    bool is_on = pause->until_us > loop_now_us(host->loop);
    pause->is_of_writes = asked->is_of_writes && (!is_on || pause->is_of_writes);
    pause->until_us =
        is_on && pause->until_us > asked->until_us ? pause->until_us : asked->until_us;
    return VISIT_DONE;
}

static void answer_ok(struct round *round, struct request *request)
{
    (void)round;
    write_status(request_answer(request), "OK");
    router_answer(request);
}

static void pause_clients(struct client *client, struct request *request,
                          const struct command *command)
{
    struct client_pause pause = {.is_of_writes = false};
    int64_t wait_ms;
    const char *error = NULL;
    if (command->argc > 4) {
        refuse_syntax(client, request, command);
        return;
    }
    if (command->argc == 4) {
        pause.is_of_writes = slice_equal_nocase(command->argv[3], SLICE("write"));
        if (!pause.is_of_writes && !slice_equal_nocase(command->argv[3], SLICE("all"))) {
            router_answer_error(request, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    }
    if (!number_parse_i64(command->argv[2], &wait_ms)) {
        error = "ERR timeout is not an integer or out of range";
    } else if (wait_ms < 0) {
        error = "ERR timeout is negative";
    } else if (wait_ms > PAUSE_MAX_MS) {
        error = "ERR timeout is out of range";
    }
    if (error != NULL) {
        router_answer_error(request, error);
        return;
    }
    pause.until_us = loop_now_us(client->host->loop) + (uint64_t)wait_ms * 1000;
    round_begin(client, request, visit_pause, answer_ok, mem_dup(&pause, sizeof(pause)));
}

static enum visit visit_unpause(struct round *round, struct client_host *host)
{
    (void)round;
    host->pause.until_us = 0; /* the tick lets them go on */
    return VISIT_DONE;
}

static void unpause_clients(struct client *client, struct request *request,
                            const struct command *command)
{
    (void)command;
    round_begin(client, request, visit_unpause, answer_ok, NULL);
}

/* --- all of them ------------------------------------------------------------------------------ */

void all_clients_dispatch(struct client *client, struct request *request,
                          const struct command *command)
{
    static const struct {
        const char *name;
        void (*dispatch)(struct client *client, struct request *request,
                         const struct command *command);
    } subcommands[] = {{"unblock", unblock},
                       {"list", list},
                       {"kill", kill_clients},
                       {"pause", pause_clients},
                       {"unpause", unpause_clients}};

    for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        if (slice_equal_nocase(command->argv[1], slice_of(subcommands[i].name))) {
            subcommands[i].dispatch(client, request, command);
            return;
        }
    }
    ASSERT(false); /* overrides.def names those with HANDLER_CLIENTS */
}
