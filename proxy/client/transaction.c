/* MULTI, EXEC, DISCARD: the commands of a transaction are kept here until EXEC and then go to their
 * shard as one unit (proxy/routing/dual_write.c), with the marks of all keys they write before them
 * where the slot has a copy. A transaction left open by its client thus holds nothing on a shard.
 * All its keys are in one slot. */
#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"

#define TRANSACTION_BYTES_MAX ((size_t)64 << 20)

struct transaction {
    struct unit *unit;
    struct buffer bytes;
    unsigned slot; /* SLOT_NONE until a command has a key */
    bool has_written_keys;
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
    buffer_fini(&transaction->bytes);
    mem_free(transaction);
}

void transaction_begin(struct client *client, struct request *request)
{
    if (client->transaction != NULL) {
        router_answer_error(request, "ERR MULTI calls can not be nested");
        return;
    }
    struct transaction *transaction = mem_zalloc(sizeof(*transaction));
    transaction->unit = mem_zalloc(sizeof(*transaction->unit));
    transaction->slot = SLOT_NONE;
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

/* What a shard can execute between MULTI and EXEC. */
static bool can_be_queued(const struct command_info *info)
{
    switch (info->handler) {
    case HANDLER_ROUTE:
    case HANDLER_MGET:
    case HANDLER_MSET:
    case HANDLER_SUM_KEYS:
    case HANDLER_ANY_SHARD:
    case HANDLER_PING:
    case HANDLER_ECHO:
    case HANDLER_TIME:
        return true;
    default:
        return false;
    }
}

static void refuse(struct client *client, struct request *request, const char *error)
{
    transaction_spoil(client);
    write_error(request_answer(request), error);
    session_refuse(client, request);
}

static bool joins_slot(const struct transaction *transaction, const struct request *request)
{
    return request->slot == SLOT_NONE || transaction->slot == SLOT_NONE ||
           request->slot == transaction->slot;
}

static bool keep(struct transaction *transaction, const struct command_info *info,
                 const struct command *command)
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
    if (command->is_inline) {
        write_command(&transaction->bytes, command->argv, command->argc);
    } else {
        buffer_add(&transaction->bytes, command->raw.data, command->raw.len);
    }
    return true;
}

void transaction_queue(struct client *client, struct request *request,
                       const struct command *command)
{
    struct transaction *transaction = client->transaction;
    if (!can_be_queued(request->command)) {
        refuse(client, request, "ERR this command is not supported by Sluice inside MULTI");
        return;
    }
    if (!session_find_slot(client, request, command)) {
        transaction_spoil(client);
        return;
    }
    if (!joins_slot(transaction, request)) {
        refuse(client, request, "CROSSSLOT Keys in request don't hash to the same slot");
        return;
    }
    if (!keep(transaction, request->command, command)) {
        refuse(client, request, "ERR the transaction is too large");
        return;
    }
    transaction->slot = request->slot != SLOT_NONE ? request->slot : transaction->slot;
    transaction->has_written_keys = transaction->has_written_keys || request->has_written_keys;
    write_status(request_answer(request), "QUEUED");
    router_answer(request);
}

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
    request->slot = transaction->slot;
    request->shard = router_usable_shard(router);
    request->has_written_keys = transaction->has_written_keys;
    transaction_forget(client);
    router_dispatch(router, request, buffer_slice(&request->bytes));
}

void transaction_exec(struct client *client, struct request *request)
{
    const struct transaction *transaction = client->transaction;
    if (transaction == NULL) {
        router_answer_error(request, "ERR EXEC without MULTI");
    } else if (transaction->is_spoilt) {
        transaction_forget(client);
        router_answer_error(request, "EXECABORT Transaction discarded because of previous errors.");
    } else if (transaction->unit->count == 0) {
        transaction_forget(client);
        write_array(request_answer(request), 0);
        router_answer(request);
    } else {
        dispatch(client, request);
    }
}

void transaction_discard(struct client *client, struct request *request)
{
    if (client->transaction == NULL) {
        router_answer_error(request, "ERR DISCARD without MULTI");
        return;
    }
    transaction_forget(client);
    write_status(request_answer(request), "OK");
    router_answer(request);
}
