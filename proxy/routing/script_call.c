#include "proxy/routing/script_call.h"

#include <ctype.h>
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/routing/router_internal.h"
#include "proxy/routing/script_memory.h"
#include "proxy/routing/script_supply.h"

static const char no_script[] = "-NOSCRIPT No matching script. Please use EVAL.\r\n";
static const char no_function[] = "-ERR Function not found\r\n";

/* A request whose scripts are seen to, one command of it after the other, before it is sent. */
struct script_call {
    struct router *router;
    struct request *request; /* the client's; its bytes are what goes to the shard */
    unsigned next;           /* command of a unit; 0 for a plain one */
    size_t offset;           /* of that in the bytes */
    bool is_healed;          /* it was sent before, and did not run */
    bool is_ordering; /* an order answered meanwhile is only noted: a long unit is no recursion */
    bool is_answered;
    enum supply_result result; /* then */
    char sha[SHA1_HEX_LENGTH + 1];
};

enum script_kind {
    KIND_OTHER,
    KIND_BODY,
    KIND_SHA,
    KIND_LOAD, /* SCRIPT LOAD in a transaction */
    KIND_FUNCTION
};

static enum script_kind kind_of(const struct command_info *info)
{
    if (info->handler != HANDLER_SCRIPT) {
        return info->handler == HANDLER_SCRIPT_LOAD ? KIND_LOAD : KIND_OTHER;
    }
    if (strncmp(info->name, "evalsha", 7) == 0) {
        return KIND_SHA;
    }
    return info->name[0] == 'f' ? KIND_FUNCTION : KIND_BODY;
}

/* --- sending --------------------------------------------------------------------------------- */

void script_write(struct buffer *out, const struct command_info *info,
                  const struct command *command, bool has_keys)
{
    char name[sizeof(info->name) + 4];
    bool is_read_only = strstr(info->name, "_ro") != NULL;
    (void)snprintf(name, sizeof(name), "%s%s", info->name, is_read_only || has_keys ? "" : "_ro");
    write_array(out, command->argc);
    write_bulk(out, slice_of(name));
    for (unsigned i = 1; i < command->argc; i++) {
        write_bulk(out, command->argv[i]);
    }
}

static void call_free(struct script_call *call)
{
    mem_free(call);
}

static void prepare(struct script_call *call);

/* What the client is told is what its part was told. */
static void answer(struct script_call *call, struct request *part)
{
    struct router *router = call->router;
    struct request *request = call->request;
    struct slice reply = buffer_slice(&part->reply);
    call_free(call);
    request->work = NULL;
    if (part->is_error && request->has_begun) {
        /* Half of the reply is with the client already. */
        request_give(router_pool(router), part);
        router_answer_unknown(router, request);
        return;
    }
    request->is_error = part->is_error;
    buffer_add(request_answer(request), reply.data, reply.len);
    request_give(router_pool(router), part);
    router_answer(request);
}

/* A script may answer with the very words of the error; where it might, it is not run twice. */
static bool can_be_healed(const struct script_call *call, const struct request *part)
{
    struct slice reply = buffer_slice(&part->reply), bytes = buffer_slice(&call->request->bytes);
    enum script_kind kind = kind_of(call->request->command);
    struct slice error = kind == KIND_SHA ? SLICE(no_script) : SLICE(no_function);
    return part->is_error && !call->is_healed && !request_has_followers(call->request) &&
           slice_equal(reply, error) && memmem(bytes.data, bytes.len, "NOSCRIPT", 8) == NULL &&
           memmem(bytes.data, bytes.len, "Function not found", 18) == NULL;
}

static void on_part_done(struct request *part)
{
    struct script_call *call = part->owner;
    if (!can_be_healed(call, part)) {
        answer(call, part);
        return;
    }
    /* Somebody has flushed what the shard had. */
    request_give(router_pool(call->router), part);
    script_forget_all(call->router);
    call->is_healed = true;
    call->next = 0;
    call->offset = 0;
    prepare(call);
}

/* A large reply flows on as it comes. */
static void on_part_progress(struct request *part)
{
    const struct script_call *call = part->owner;
    struct request *request = call->request;
    struct slice reply = buffer_slice(&part->reply);
    if (part->is_error) {
        return; /* it must be whole to be looked at */
    }
    if (request->sink != NULL) {
        buffer_add(request->sink, reply.data, reply.len);
        request->has_begun = true;
    }
    buffer_clear(&part->reply);
    if (request->progress != NULL) {
        request->progress(request);
    }
}

static void send_part(struct script_call *call)
{
    struct request *request = call->request;
    struct request *part = request_take(router_pool(call->router));
    part->owner = call;
    part->done = on_part_done;
    part->progress = on_part_progress;
    part->command = request->command;
    part->protocol = request->protocol;
    part->slot = request->slot;
    part->shard = request->shard;
    part->has_written_keys = request->has_written_keys;
    part->origin = request;
    part->arrived_us = request->arrived_us;
    request->work = call;
    router_dispatch(call->router, part, buffer_slice(&request->bytes));
}

/* All is there, as far as we know. */
static void send_call(struct script_call *call)
{
    struct request *request = call->request;
    if (request->unit == NULL && kind_of(request->command) != KIND_BODY) {
        send_part(call);
        return;
    }
    struct router *router = call->router;
    call_free(call);
    request->work = NULL;
    router_dispatch(router, request, buffer_slice(&request->bytes));
}

/* --- seeing to it ---------------------------------------------------------------------------- */

static unsigned target_of(const struct script_call *call)
{
    const struct request *request = call->request;
    return request->slot == SLOT_NONE
               ? request->shard
               : snapshot_entry(router_snapshot(call->router), request->slot)->authority;
}

static const struct command_info *info_at(const struct script_call *call)
{
    const struct request *request = call->request;
    return request->unit != NULL ? request->unit->commands[call->next] : request->command;
}

static void parse_at(const struct script_call *call, struct command *command)
{
    struct slice bytes = buffer_slice(&call->request->bytes);
    enum parse_status status = command_parse(&call->router->parser, bytes.data + call->offset,
                                             bytes.len - call->offset, command);
    ASSERT(status == PARSE_OK);
}

/* Nobody has it, or it cannot be told whether it ran: the error stands. */
static void let_error_stand(struct script_call *call)
{
    struct request *request = call->request;
    bool is_script = kind_of(request->command) == KIND_SHA;
    call_free(call);
    request->work = NULL;
    request->is_error = true;
    buffer_add_text(request_answer(request), is_script ? no_script : no_function);
    router_answer(request);
}

/* False when the call has ended. */
static bool go_past(struct script_call *call, enum supply_result result)
{
    struct command command;
    if (call->is_healed && result != SUPPLY_LOADED) {
        let_error_stand(call);
        return false;
    }
    parse_at(call, &command);
    call->offset += command.raw.len;
    call->next++;
    return true;
}

static void on_supplied(void *context, enum supply_result result)
{
    struct script_call *call = context;
    call->is_answered = true;
    call->result = result;
    if (!call->is_ordering && go_past(call, result)) {
        prepare(call);
    }
}

/* Else Redis refuses it before it looks at its script. */
static bool has_its_keys(const struct command *command)
{
    uint64_t nkeys;
    return number_parse_u64(command->argv[2], &nkeys) && nkeys <= command->argc - 3;
}

static bool order_sha(struct script_call *call, const struct supply_order *order, struct slice sha)
{
    if (sha.len != SHA1_HEX_LENGTH) {
        return false;
    }
    for (unsigned i = 0; i < SHA1_HEX_LENGTH; i++) {
        call->sha[i] = (char)tolower((unsigned char)sha.data[i]);
    }
    if (script_is_loaded(call->router, order->shard, slice_of(call->sha))) {
        return false;
    }
    call->request->is_barrier = true;
    supply_script(order, slice_of(call->sha));
    return true;
}

static bool order_body(struct script_call *call, const struct supply_order *order,
                       struct slice body)
{
    switch (script_keeping(call->router, body)) {
    case SCRIPT_UNKNOWN:
        call->request->is_barrier = true;
        supply_body(order, body);
        return true;
    case SCRIPT_KEPT_ONCE:
        supply_body_again(call->router, call->request, body);
        return false;
    case SCRIPT_KEPT:
        break;
    }
    return false;
}

/* True: an order was given, and on_supplied goes on. */
static bool order(struct script_call *call, const struct command *command)
{
    enum script_kind kind = kind_of(info_at(call));
    const struct supply_order order = {.router = call->router,
                                       .request = call->request,
                                       .shard = target_of(call),
                                       .is_wary = call->is_healed,
                                       .is_kept_always = kind == KIND_LOAD,
                                       .done = on_supplied,
                                       .context = call};
    switch (kind) {
    case KIND_SHA:
        return order_sha(call, &order, command->argv[1]);
    case KIND_BODY:
        return command->argv[1].len <= SCRIPT_KEPT_BYTES_MAX && has_its_keys(command) &&
               order_body(call, &order, command->argv[1]);
    case KIND_LOAD:
        return order_body(call, &order, command->argv[2]);
    case KIND_FUNCTION:
        if (!call->is_healed) {
            return false;
        }
        call->request->is_barrier = true;
        supply_function(&order, command->argv[1]);
        return true;
    case KIND_OTHER:
        break;
    }
    return false;
}

static bool is_at_end(const struct script_call *call)
{
    const struct request *request = call->request;
    return call->next >= (request->unit != NULL ? request->unit->count : 1);
}

/* The next command whose script is not known to be there; then, or when all are, the whole is sent.
 */
static void prepare(struct script_call *call)
{
    while (!is_at_end(call)) {
        struct command command;
        parse_at(call, &command);
        call->is_answered = false;
        call->is_ordering = true;
        bool was_ordered = order(call, &command);
        call->is_ordering = false;
        if (was_ordered && !call->is_answered) {
            return;
        }
        if (!go_past(call, was_ordered ? call->result : SUPPLY_LOADED)) {
            return;
        }
    }
    send_call(call);
}

static void start(struct router *router, struct request *request)
{
    struct script_call *call = mem_zalloc(sizeof(*call));
    call->router = router;
    call->request = request;
    request->work = call;
    prepare(call);
}

void script_dispatch(struct router *router, struct request *request, const struct command *command)
{
    buffer_clear(&request->bytes);
    script_write(&request->bytes, request->command, command, request->slot != SLOT_NONE);
    start(router, request);
}

static bool has_scripts(const struct unit *unit)
{
    for (unsigned i = 0; i < unit->count; i++) {
        if (kind_of(unit->commands[i]) != KIND_OTHER) {
            return true;
        }
    }
    return false;
}

void script_dispatch_unit(struct router *router, struct request *request)
{
    if (has_scripts(request->unit)) {
        start(router, request);
    } else {
        router_dispatch(router, request, buffer_slice(&request->bytes));
    }
}
