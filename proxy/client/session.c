/* From a parsed command to the request that carries it: known, allowed, which slot, which way. */
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/command/errors.h"
#include "lib/resp/writer.h"
#include "lib/shard/metadata.h"
#include "proxy/client/client_internal.h"
#include "proxy/pubsub/keyspace_event.h"
#include "proxy/routing/blocking.h"
#include "proxy/routing/fanout.h"
#include "proxy/routing/scan.h"
#include "proxy/routing/script_admin.h"
#include "proxy/routing/script_call.h"
#include "proxy/routing/script_kill.h"
#include "proxy/routing/split.h"
#include "proxy/routing/upload.h"
#include "proxy/routing/wait.h"

#define FEW_KEYS 64u

void session_refuse(struct client *client, struct request *request)
{
    counter_add(&client->host->counters->errors_refused, 1);
    request->is_error = true;
    router_answer(request);
}

static void refuse_reserved_key(struct client *client, struct request *request)
{
    write_error(request_answer(request), "ERR keys that begin with __sluice: are reserved");
    session_refuse(client, request);
}

/* All keys in one slot, none of them Sluice's own; which slot, and whether any is written. Answers
 * the request itself when not. */
static bool find_slot(struct client *client, struct request *request, const struct command *command,
                      const struct command_key *keys, unsigned count)
{
    unsigned nslots = router_snapshot(client->host->router)->slot_mask + 1;
    for (unsigned i = 0; i < count; i++) {
        struct slice key = command->argv[keys[i].position];
        if (metadata_is_name(key)) {
            refuse_reserved_key(client, request);
            return false;
        }
        request->has_written_keys = request->has_written_keys || keys[i].is_written;
        unsigned slot = slot_of_key(key, nslots);
        if (i > 0 && slot != request->slot) {
            bool is_written = command_error_crossslot(request_answer(request));
            ASSERT(is_written);
            session_refuse(client, request);
            return false;
        }
        request->slot = slot;
    }
    return true;
}

/* The slot from any number of keys. A command whose keys cannot be found (a bad numkeys) goes to
 * any shard, which refuses it in Redis' own words; it is sent as no write, since it is none. */
bool session_find_slot(struct client *client, struct request *request,
                       const struct command *command)
{
    struct command_key few[FEW_KEYS];
    int count = command_keys(request->command, command->argv, command->argc, few, FEW_KEYS);
    if (count <= 0) {
        request->slot = SLOT_NONE;
        request->shard = router_usable_shard(client->host->router);
        return true;
    }
    if ((unsigned)count <= FEW_KEYS) {
        return find_slot(client, request, command, few, (unsigned)count);
    }
    struct command_key *many = mem_alloc((size_t)count * sizeof(*many));
    (void)command_keys(request->command, command->argv, command->argc, many, (unsigned)count);
    bool has_route = find_slot(client, request, command, many, (unsigned)count);
    mem_free(many);
    return has_route;
}

struct slice session_bytes_of_inline(struct request *request, const struct command *command)
{
    write_command(&request->bytes, command->argv, command->argc);
    return buffer_slice(&request->bytes);
}

/* What is watched must not be younger than what is read between WATCH and EXEC. */
static bool may_lag(const struct client *client, const struct command_info *info)
{
    return command_only_reads(info) && !client->is_watching;
}

/* What nearly all requests are: one key, at a place that is known. */
static inline void route_single(struct client *client, struct request *request,
                                const struct command *command, struct slice key)
{
    struct router *router = client->host->router;
    if (metadata_is_name(key)) {
        refuse_reserved_key(client, request);
        return;
    }
    request->has_written_keys = request->command->specs[0].is_written;
    request->may_lag = may_lag(client, request->command);
    request->slot = slot_of_key(key, router_snapshot(router)->slot_mask + 1);
    router_dispatch(router, request, session_wire_bytes(request, command));
}

static void route(struct client *client, struct request *request, const struct command *command)
{
    unsigned single = request->command->single_key;
    if (single > 0 && single < command->argc) {
        route_single(client, request, command, command->argv[single]);
        return;
    }
    request->may_lag = may_lag(client, request->command);
    if (session_find_slot(client, request, command)) {
        router_dispatch(client->host->router, request, session_wire_bytes(request, command));
    }
}

/* The keys of a command of HANDLER_SPLIT, each at the front of its group, may lie anywhere. */
static bool names_reserved_key(const struct command *command, const struct key_spec *spec,
                               unsigned groups)
{
    for (unsigned i = 0; i < groups; i++) {
        if (metadata_is_name(command->argv[(unsigned)spec->index + i * (unsigned)spec->step])) {
            return true;
        }
    }
    return false;
}

static void split(struct client *client, struct request *request, const struct command *command)
{
    const struct key_spec *spec = &request->command->specs[0];
    unsigned groups = split_groups(request->command, command->argc);
    if (groups == 0) {
        bool is_written = command_error_arity(request_answer(request), request->command);
        ASSERT(is_written);
        session_refuse(client, request);
        return;
    }
    if (names_reserved_key(command, spec, groups)) {
        refuse_reserved_key(client, request);
        return;
    }
    request->slot = SLOT_NONE;
    request->has_written_keys = spec->is_written;
    request->may_lag = may_lag(client, request->command);
    split_dispatch(client->host->router, request, command);
}

static void block(struct client *client, struct request *request, const struct command *command)
{
    if (!command_blocks(request->command, command->argv, command->argc)) {
        route(client, request, command);
        return;
    }
    if (!session_find_slot(client, request, command)) {
        return;
    }
    if (request->slot == SLOT_NONE) {
        /* A bad numkeys: the shard says so, at once. */
        router_dispatch(client->host->router, request, session_wire_bytes(request, command));
        return;
    }
    client->blocked = request;
    blocking_dispatch(client->host->router, request, command);
}

static void script(struct client *client, struct request *request, const struct command *command)
{
    if (session_find_slot(client, request, command)) {
        script_dispatch(client->host->router, request, command);
    }
}

static void publish(struct client *client, struct request *request, const struct command *command)
{
    struct router *router = client->host->router;
    unsigned nslots = router_snapshot(router)->slot_mask + 1;
    request->slot = channel_slot(command->argv[1], command->argv[2], nslots);
    router_dispatch(router, request, session_wire_bytes(request, command));
}

/* What is about the client's own state, or about other clients. */
static void dispatch_of_client(struct client *client, struct request *request,
                               const struct command *command)
{
    switch (request->command->handler) {
    case HANDLER_MULTI:
        transaction_begin(client, request);
        break;
    case HANDLER_EXEC:
        transaction_exec(client, request);
        break;
    case HANDLER_DISCARD:
        transaction_discard(client, request);
        break;
    case HANDLER_WATCH:
        transaction_watch(client, request, command);
        break;
    case HANDLER_UNWATCH:
        transaction_unwatch(client);
        write_status(request_answer(request), "OK");
        router_answer(request);
        break;
    case HANDLER_SUBSCRIBE:
        subscription_add(client, request, command);
        break;
    case HANDLER_UNSUBSCRIBE:
        subscription_remove(client, request, command);
        break;
    case HANDLER_CLIENTS:
        all_clients_dispatch(client, request, command);
        break;
    case HANDLER_USERS:
        acl_dispatch(client, request, command);
        break;
    default:
        local_answer(client, request, command);
        break;
    }
}

static void dispatch(struct client *client, struct request *request, const struct command *command)
{
    struct router *router = client->host->router;
    switch (request->command->handler) {
    case HANDLER_ROUTE:
        route(client, request, command);
        break;
    case HANDLER_SPLIT:
        split(client, request, command);
        break;
    case HANDLER_ANY_SHARD:
        fanout_any_shard(router, request, session_wire_bytes(request, command));
        break;
    case HANDLER_ALL_SHARDS:
        fanout_all_shards(router, request, session_wire_bytes(request, command));
        break;
    case HANDLER_TEXTS:
        fanout_texts(router, request, session_wire_bytes(request, command));
        break;
    case HANDLER_DBSIZE:
        fanout_dbsize(router, request);
        break;
    case HANDLER_KEYS:
        fanout_keys(router, request, session_wire_bytes(request, command));
        break;
    case HANDLER_RANDOMKEY:
        fanout_randomkey(router, request, session_wire_bytes(request, command));
        break;
    case HANDLER_FLUSH:
        fanout_flush(router, request, command);
        break;
    case HANDLER_WAIT:
        client->blocked = request;
        wait_dispatch(router, request, command);
        break;
    case HANDLER_SCAN:
        scan_dispatch(router, request, command);
        break;
    case HANDLER_SCRIPT:
        script(client, request, command);
        break;
    case HANDLER_SCRIPT_LOAD:
    case HANDLER_SCRIPT_FLUSH:
        client->blocked = request; /* what comes behind sees all of it */
        script_admin_dispatch(router, request, command);
        break;
    case HANDLER_SCRIPT_EXISTS:
        script_admin_dispatch(router, request, command);
        break;
    case HANDLER_SCRIPT_KILL:
        client->blocked = request; /* it takes connections: one at a time */
        script_kill_dispatch(router, request, session_wire_bytes(request, command));
        break;
    case HANDLER_BLOCK:
        block(client, request, command);
        break;
    case HANDLER_PUBLISH:
        publish(client, request, command);
        break;
    default:
        dispatch_of_client(client, request, command);
        break;
    }
}

static bool ends_transaction(enum command_handler handler)
{
    return handler == HANDLER_WATCH || handler == HANDLER_MULTI || handler == HANDLER_EXEC ||
           handler == HANDLER_DISCARD || handler == HANDLER_RESET || handler == HANDLER_QUIT;
}

/* What goes on a connection of the client's own, or to other clients, would overtake what is under
 * way on others; and so would what follows a change of protocol: each has its connection. */
static bool must_come_alone(const struct client *client, const struct command_info *info,
                            const struct command *command)
{
    if (info->handler == HANDLER_HELLO || info->handler == HANDLER_RESET) {
        return true;
    }
    if (client->transaction != NULL) {
        return info->handler == HANDLER_EXEC &&
               (client->is_watching || transaction_subscribes(client));
    }
    return info->handler == HANDLER_WATCH || info->handler == HANDLER_CLIENTS ||
           info->handler == HANDLER_USERS || info->handler == HANDLER_WAIT ||
           info->handler == HANDLER_SCRIPT_FLUSH ||
           (info->handler == HANDLER_BLOCK && command_blocks(info, command->argv, command->argc));
}

static bool may_write(const struct client *client, const struct command_info *info)
{
    bool is_written = (info->flags & COMMAND_WRITE) != 0 ||
                      (info->handler == HANDLER_EXEC && transaction_writes(client));
    for (unsigned i = 0; i < info->nspecs && !is_written; i++) {
        is_written = info->specs[i].is_written; /* EVAL and its kin have no flag */
    }
    return is_written;
}

/* Not so what an operator may need to end it; Redis lets even CLIENT UNPAUSE wait. */
bool session_waits_for_pause(const struct client *client, const struct command_info *info)
{
    const struct client_pause *pause = &client->host->pause;
    if (pause->until_us == 0 || loop_now_us(client->host->loop) >= pause->until_us) {
        return false;
    }
    return info == NULL ? !pause->is_of_writes
                        : info->handler != HANDLER_CLIENTS &&
                              (!pause->is_of_writes || may_write(client, info));
}

/* A subcommand that we do not know may be one of a newer server; but not in subscribed mode, which
 * is our own. */
static enum command_check check_command(const struct client *client,
                                        const struct command_info *info,
                                        const struct command *command)
{
    bool has_unknown_part = info != NULL && info->nsubcommands > 0 && command->argc > 1;
    return has_unknown_part && subscription_forbids(client, info)
               ? COMMAND_UNKNOWN_SUBCOMMAND
               : command_check(info, command->argv, command->argc);
}

/* Redis looks first whether the command exists and its arguments are as many as it takes. */
static bool is_well_formed(enum command_check check)
{
    return check == COMMAND_ADMITTED || check == COMMAND_REFUSED || check == COMMAND_REFUSED_FORM;
}

static bool is_forbidden(const struct client *client, const struct command_info *info,
                         enum command_check check)
{
    return is_well_formed(check) && subscription_forbids(client, info);
}

/* True when the command goes no further: its error is written. */
static bool is_turned_down(struct client *client, struct request *request,
                           const struct command *command)
{
    const struct command_info *info = request->command;
    enum command_check check = check_command(client, info, command);
    if (client->is_guarded && is_well_formed(check) && users_deny(client, request, command)) {
        request->is_error = true; /* it is written */
    } else if (is_forbidden(client, info, check)) {
        bool is_written = command_error_subscribed(request_answer(request), info);
        ASSERT(is_written);
    } else if (check != COMMAND_ADMITTED) {
        bool is_written =
            command_error(request_answer(request), check, info, command->argv, command->argc);
        ASSERT(is_written);
    } else {
        return false;
    }
    transaction_spoil(client);
    if (info != NULL && info->handler == HANDLER_EXEC) {
        transaction_forget(client);
        transaction_unwatch(client);
    }
    session_refuse(client, request);
    return true;
}

/* Neither the command nor its client needs to be looked at. */
static inline bool is_plain(const struct client *client, const struct command_info *info,
                            const struct command *command)
{
    return info != NULL && info->is_plain && command_arity_fits(info, command->argc) &&
           !client->is_guarded && client->subscriptions == NULL && client->transaction == NULL &&
           client->host->pause.until_us == 0;
}

static void handle_plain(struct client *client, const struct command_info *info,
                         const struct command *command)
{
    client->last_command = info;
    counters_command(client->host->counters, info->id);
    route_single(client, client_begin(client, info, command), command,
                 command->argv[info->single_key]);
}

bool session_handle(struct client *client, const struct command *command)
{
    const struct command_info *info =
        command_find(client->host->table, command->argv, command->argc);
    if (is_plain(client, info, command)) {
        handle_plain(client, info, command);
        return true;
    }
    bool is_routed = info == NULL || info->handler == HANDLER_ROUTE;
    bool must_wait = client->first != NULL && !is_routed &&
                     (must_come_alone(client, info, command) || subscription_delays(client, info));
    if (must_wait || session_waits_for_pause(client, info)) {
        return false;
    }
    client->last_command = info != NULL ? info : client->last_command;
    struct request *request = client_begin(client, info, command);
    if (is_turned_down(client, request, command)) {
        return true;
    }
    counters_command(client->host->counters, info->id);
    if (client->transaction != NULL && !ends_transaction(info->handler)) {
        transaction_queue(client, request, command);
    } else {
        dispatch(client, request, command);
    }
    return true;
}

/* An option that is still to come decides what the user must be allowed: SET ... GET. */
static bool may_need_more_rights(const struct client *client, const struct command *command,
                                 const struct key_spec *spec)
{
    bool is_last = command->argv[command->argc - 2].data != NULL;
    return client->is_guarded && spec->has_variable_needs && !is_last;
}

/* What can be passed on before it is whole: one key, which is there, and nothing else that anybody
 * but the shard has to know. */
static bool may_pass(const struct client *client, const struct command_info *info,
                     const struct command *command)
{
    struct router *router = client->host->router;
    bool is_simple = info != NULL && info->is_plain && info->single_key < command->argc &&
                     client->transaction == NULL && !client->is_watching &&
                     client->subscriptions == NULL;
    if (!is_simple || command->argv[info->single_key].data == NULL ||
        may_need_more_rights(client, command, info->specs)) {
        return false;
    }
    struct slice key = command->argv[info->single_key];
    return upload_may_begin(router, slot_of_key(key, router_snapshot(router)->slot_mask + 1));
}

enum begun session_handle_begun(struct client *client, const struct command *command)
{
    const struct command_info *info =
        command_find(client->host->table, command->argv, command->argc);
    if (!may_pass(client, info, command)) {
        return BEGUN_IS_KEPT;
    }
    if (client->first != NULL || session_waits_for_pause(client, info)) {
        return BEGUN_WAITS;
    }
    client->last_command = info;
    struct request *request = client_begin(client, info, command);
    large_request_begin(client, request, command->raw.len);
    if (is_turned_down(client, request, command)) {
        return BEGUN_PASSES; /* to nobody */
    }
    counters_command(client->host->counters, info->id);
    if (session_find_slot(client, request, command)) {
        upload_begin(client->host->router, request, command->raw);
    }
    return BEGUN_PASSES;
}

void session_protocol_error(struct client *client, const char *error)
{
    char text[128];
    struct request *request = client_begin(client, NULL, NULL);
    counter_add(&client->host->counters->errors_protocol, 1);
    (void)snprintf(text, sizeof(text), "ERR Protocol error: %s", error);
    client_drain(client);
    router_answer_error(request, text);
}
