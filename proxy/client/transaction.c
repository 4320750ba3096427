/* MULTI, EXEC, DISCARD: the commands of a transaction are kept here until EXEC and then go to their
 * shard as one unit (proxy/routing/dual_write.c), with the marks of all keys they write before them
 * where the slot has a copy. A transaction left open by its client thus holds nothing on a shard.
 * All its keys are in one slot. What the proxy answers itself (CLIENT, INFO, ...) waits here until
 * the shard has answered the unit, and gets its place in EXEC's array. */
#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/command/errors.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"
#include "proxy/client/local_queue.h"
#include "proxy/pubsub/keyspace_event.h"
#include "proxy/routing/private_lane.h"
#include "proxy/routing/reply_cursor.h"
#include "proxy/routing/script_call.h"

#define CROSSSLOT             "CROSSSLOT Keys in request don't hash to the same slot"
#define TOO_LARGE             "ERR the transaction is too large"
#define TRANSACTION_BYTES_MAX ((size_t)64 << 20)

struct transaction {
    struct unit *unit;
    struct buffer bytes;
    struct local_queue *locals; /* null: all goes to the shard */
    unsigned slot;              /* SLOT_NONE until a command has a key */
    unsigned publish_slot; /* of the first channel published to: where it goes if none has a key */
    bool has_written_keys;
    bool subscribes; /* or unsubscribes */
    bool is_spoilt;
};

void transaction_forget(struct client *client)
{
    struct transaction *transaction = client->transaction;
    if (transaction == NULL) {
        return;
    }
    client->transaction = NULL;
    unit_free(transaction->unit);
    local_queue_free(transaction->locals);
    buffer_fini(&transaction->bytes);
    mem_free(transaction);
}

static unsigned count_all(const struct transaction *transaction)
{
    return transaction->unit->count + local_queue_count(transaction->locals);
}

int transaction_length(const struct client *client)
{
    return client->transaction != NULL ? (int)count_all(client->transaction) : -1;
}

bool transaction_writes(const struct client *client)
{
    return client->transaction != NULL && client->transaction->has_written_keys;
}

bool transaction_subscribes(const struct client *client)
{
    return client->transaction != NULL && client->transaction->subscribes;
}

void transaction_begin(struct client *client, struct request *request)
{
    if (client->transaction != NULL) {
        router_answer_error(request, "ERR MULTI calls can not be nested");
        return;
    }
    struct transaction *transaction = mem_zalloc(sizeof(*transaction));
    transaction->unit = mem_zalloc(sizeof(*transaction->unit));
    transaction->slot = transaction->publish_slot = SLOT_NONE;
    buffer_init(&transaction->bytes, TRANSACTION_BYTES_MAX);
    client->transaction = transaction;
    write_status(request_answer(request), "OK");
    router_answer(request);
}

void transaction_spoil(struct client *client)
{
    if (client->transaction != NULL) {
        client->transaction->is_spoilt = true;
    }
}

static void refuse(struct client *client, struct request *request, const char *error)
{
    transaction_spoil(client);
    write_error(request_answer(request), error);
    session_refuse(client, request);
}

/* --- WATCH --------------------------------------------------------------------------------- */

void transaction_unwatch(struct client *client)
{
    struct private_lane *lane = client->lane;
    client->lane = NULL;
    client->is_watching = false;
    if (lane != NULL) {
        private_lane_close(lane);
    }
}

static void on_watched(struct request *request)
{
    if (request->outcome == OUTCOME_REPLY) {
        request->done(request);
    } else if (private_lane_is_stale(request->private_lane)) {
        /* The slot has changed meanwhile: EXEC will answer nil, whatever is watched. */
        write_status(request_answer(request), "OK");
        router_answer(request);
    } else {
        router_answer_error(
            request, "UNAVAILABLE the shard cannot be used now; not executed, safe to retry");
    }
}

/* The lane that watches, made when there is none or when it is of no use and watches nothing. */
static struct private_lane *take_lane(struct client *client, unsigned slot)
{
    if (!client->is_watching && client->lane != NULL &&
        !private_lane_is_usable(client->lane, slot, client->protocol)) {
        transaction_unwatch(client);
    }
    if (client->lane == NULL) {
        client->lane = private_lane_open(client->host->router, slot, client->protocol,
                                         PRIVATE_LANE_WATCHES, &(struct private_lane_events){0});
    }
    client->is_watching = true;
    client->watched_slot = slot;
    return client->lane;
}

/* Watched keys live on a connection of the client's own. If their slot or the client's protocol has
 * changed meanwhile, the EXEC that comes will answer nil whatever is watched now. */
void transaction_watch(struct client *client, struct request *request,
                       const struct command *command)
{
    if (client->transaction != NULL) {
        router_answer_error(request, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    if (!session_find_slot(client, request, command)) {
        return;
    }
    if (client->is_watching && client->watched_slot != request->slot) {
        refuse(client, request, CROSSSLOT);
        return;
    }
    struct private_lane *lane = take_lane(client, request->slot);
    if (!private_lane_is_usable(lane, request->slot, request->protocol)) {
        write_status(request_answer(request), "OK");
        router_answer(request);
        return;
    }
    client->blocked = request;
    request->sender = client->host->router;
    request->replies_left = 1;
    request->private_lane = lane;
    request->on_reply = on_watched;
    private_lane_send(lane, request, session_wire_bytes(request, command));
}

/* --- queueing ------------------------------------------------------------------------------ */

/* What a shard can execute between MULTI and EXEC. */
static bool can_be_queued(const struct command_info *info)
{
    switch (info->handler) {
    case HANDLER_ROUTE:
    case HANDLER_SPLIT:
    case HANDLER_SCRIPT:
    case HANDLER_SCRIPT_LOAD: /* on the others before: see script_call.h */
    case HANDLER_ANY_SHARD:
    case HANDLER_PING:
    case HANDLER_ECHO:
    case HANDLER_TIME:
    case HANDLER_PUBLISH: /* on whichever shard: all listen to all */
    case HANDLER_UNWATCH: /* of no effect there */
    case HANDLER_BLOCK:   /* does not block there */
        return true;
    default:
        return false;
    }
}

static bool joins_slot(const struct client *client, const struct request *request)
{
    const struct transaction *transaction = client->transaction;
    if (client->is_watching && request->slot != SLOT_NONE &&
        request->slot != client->watched_slot) {
        return false;
    }
    return request->slot == SLOT_NONE || transaction->slot == SLOT_NONE ||
           request->slot == transaction->slot;
}

/* A shard without slots is not yet one that all subscribers listen to. */
static void note_publish(const struct client *client, const struct request *request,
                         const struct command *command)
{
    struct transaction *transaction = client->transaction;
    unsigned nslots = router_snapshot(client->host->router)->slot_mask + 1;
    if (request->command->handler == HANDLER_PUBLISH && transaction->publish_slot == SLOT_NONE) {
        transaction->publish_slot = channel_slot(command->argv[1], command->argv[2], nslots);
    }
}

static bool keep(struct transaction *transaction, const struct command_info *info,
                 const struct command *command, bool has_keys)
{
    struct unit *unit = transaction->unit;
    if (command->raw.len > TRANSACTION_BYTES_MAX / 2 ||
        buffer_length(&transaction->bytes) > TRANSACTION_BYTES_MAX / 2) {
        return false;
    }
    if (unit->count == unit->capacity) {
        unit->capacity = unit->capacity == 0 ? 8 : unit->capacity * 2;
        unit->commands =
            mem_realloc(unit->commands, unit->capacity * sizeof(struct command_info *));
    }
    unit->commands[unit->count++] = info;
    if (info->handler == HANDLER_SCRIPT) {
        script_write(&transaction->bytes, info, command, has_keys);
    } else if (command->is_inline) {
        write_command(&transaction->bytes, command->argv, command->argc);
    } else {
        buffer_add(&transaction->bytes, command->raw.data, command->raw.len);
    }
    return true;
}

static void answer_queued(struct request *request)
{
    write_status(request_answer(request), "QUEUED");
    router_answer(request);
}

static void queue_local(struct client *client, struct request *request,
                        const struct command *command)
{
    struct transaction *transaction = client->transaction;
    if (transaction->locals == NULL) {
        transaction->locals = local_queue_new();
    }
    if (!local_queue_add(transaction->locals, count_all(transaction), request->command, command)) {
        refuse(client, request, TOO_LARGE);
        return;
    }
    enum command_handler handler = request->command->handler;
    transaction->subscribes =
        transaction->subscribes || handler == HANDLER_SUBSCRIBE || handler == HANDLER_UNSUBSCRIBE;
    answer_queued(request);
}

void transaction_queue(struct client *client, struct request *request,
                       const struct command *command)
{
    struct transaction *transaction = client->transaction;
    if (request->command->nsubcommands > 0 && command->argc > 1) {
        bool is_written = command_error_unknown_subcommand(request_answer(request), command->argv);
        ASSERT(is_written);
        transaction_spoil(client);
        session_refuse(client, request);
        return;
    }
    if (local_queue_takes(client, request->command, command)) {
        queue_local(client, request, command);
        return;
    }
    if (!can_be_queued(request->command)) {
        refuse(client, request, "ERR this command is not supported by Sluice inside MULTI");
        return;
    }
    if (!session_find_slot(client, request, command)) {
        transaction_spoil(client);
        return;
    }
    if (!joins_slot(client, request)) {
        refuse(client, request, CROSSSLOT);
        return;
    }
    if (!keep(transaction, request->command, command, request->slot != SLOT_NONE)) {
        refuse(client, request, TOO_LARGE);
        return;
    }
    note_publish(client, request, command);
    transaction->slot = request->slot != SLOT_NONE ? request->slot : transaction->slot;
    transaction->has_written_keys = transaction->has_written_keys || request->has_written_keys;
    answer_queued(request);
}

/* --- with commands of the proxy's own --------------------------------------------------------- */

/* The unit goes to the shard in a part of the client's request: EXEC's array is put together when
 * the part is answered. */
struct mixed_exec {
    struct router *router;
    struct request *request; /* the client's; null: it is gone */
    struct local_queue *locals;
    bool subscribes;
};

/* `replies`: what the shard said to the others. */
static void run_locals(struct request *request, const struct local_queue *locals,
                       struct slice replies, uint64_t count, bool subscribes)
{
    struct client *client = request->owner;
    struct buffer *out = subscribes ? &request->bytes : request_answer(request);
    local_queue_run(locals, client, replies, count, out);
    if (subscribes) {
        subscription_confirm(client, request);
    } else {
        router_answer(request);
    }
}

static void on_client_gone(struct request *request)
{
    struct mixed_exec *exec = request->work;
    exec->request = NULL;
    request->work = NULL;
    router_answer(request);
}

/* An error and null (WATCH) stand for the whole: then nothing was executed. */
static void answer_mixed(struct mixed_exec *exec, const struct request *part)
{
    struct request *request = exec->request;
    struct slice reply = buffer_slice(&part->reply), elements;
    int64_t count = part->is_error ? -1 : reply_array(reply, &elements);
    request->work = NULL;
    request->cancel = NULL;
    request->is_error = part->is_error;
    if (count < 0) {
        buffer_add(request_answer(request), reply.data, reply.len);
        router_answer(request);
    } else {
        run_locals(request, exec->locals, elements, (uint64_t)count, exec->subscribes);
    }
}

static void on_part_done(struct request *part)
{
    struct mixed_exec *exec = part->owner;
    struct router *router = exec->router;
    if (exec->request != NULL) {
        answer_mixed(exec, part);
    }
    local_queue_free(exec->locals);
    mem_free(exec);
    request_give(router_pool(router), part);
}

/* What carries the unit in the client's place. Nothing of the client overtakes it. */
static struct request *take_part(struct client *client, struct request *request)
{
    struct router *router = client->host->router;
    struct mixed_exec *exec = mem_alloc(sizeof(*exec));
    struct request *part = request_take(router_pool(router));
    struct transaction *transaction = client->transaction;
    *exec = (struct mixed_exec){router, request, transaction->locals, transaction->subscribes};
    transaction->locals = NULL;
    part->owner = exec;
    part->done = on_part_done;
    part->command = request->command;
    part->protocol = request->protocol;
    part->origin = request;
    part->arrived_us = request->arrived_us;
    request->work = exec;
    request->cancel = on_client_gone;
    request->is_barrier = true;
    return part;
}

static void exec_locals(struct client *client, struct request *request)
{
    struct local_queue *locals = client->transaction->locals;
    bool subscribes = client->transaction->subscribes;
    client->transaction->locals = NULL;
    transaction_forget(client); /* CLIENT INFO shows it as over */
    run_locals(request, locals, (struct slice){NULL, 0}, 0, subscribes);
    local_queue_free(locals);
}

/* --- EXEC and DISCARD ------------------------------------------------------------------------- */

/* The request takes over what was queued. */
static void dispatch(struct client *client, struct request *request)
{
    struct transaction *transaction = client->transaction;
    struct router *router = client->host->router;
    request->unit = transaction->unit;
    transaction->unit = NULL;
    buffer_fini(&request->bytes);
    request->bytes = transaction->bytes;
    buffer_init(&transaction->bytes, 0);
    request->bytes.limit = SIZE_MAX;
    request->slot = transaction->slot != SLOT_NONE ? transaction->slot : transaction->publish_slot;
    request->shard = router_usable_shard(router);
    request->has_written_keys = transaction->has_written_keys;
    if (client->is_watching) {
        request->private_lane = client->lane;
        request->slot = client->watched_slot;
        client->is_watching = false;
    }
    transaction_forget(client);
    script_dispatch_unit(router, request);
}

void transaction_exec(struct client *client, struct request *request)
{
    const struct transaction *transaction = client->transaction;
    if (transaction == NULL) {
        router_answer_error(request, "ERR EXEC without MULTI");
    } else if (transaction->is_spoilt) {
        transaction_forget(client);
        transaction_unwatch(client);
        router_answer_error(request, "EXECABORT Transaction discarded because of previous errors.");
    } else if (count_all(transaction) == 0 && !client->is_watching) {
        transaction_forget(client);
        write_array(request_answer(request), 0);
        router_answer(request);
    } else if (transaction->unit->count == 0 && !client->is_watching) {
        exec_locals(client, request);
    } else {
        /* Nothing behind a watch's EXEC may overtake it on another connection. */
        client->blocked = client->is_watching ? request : client->blocked;
        dispatch(client, transaction->locals != NULL ? take_part(client, request) : request);
    }
}

void transaction_discard(struct client *client, struct request *request)
{
    if (client->transaction == NULL) {
        router_answer_error(request, "ERR DISCARD without MULTI");
        return;
    }
    transaction_forget(client);
    transaction_unwatch(client);
    write_status(request_answer(request), "OK");
    router_answer(request);
}
