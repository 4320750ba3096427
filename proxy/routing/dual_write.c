/* A write to a slot that has a copy (DESIGN.md section 6, "Dual write"), and a client's
 * transaction, which is a unit in the same way; where its slot has no copy it has no marks and no
 * mirror:
 *
 *   unit    authority: MULTI, per key HINCRBY seq and SADD dirty, the command, EXEC
 *             | nothing ran for lack of memory: marked_write, a script that may free some
 *             v
 *   read    authority: MULTI, per key HGET seq, DUMP, PEXPIRETIME, EXEC
 *             | (for commands that leave a small string, COMMAND_SMALL_RESULT: GET and PEXPIRETIME
 *             |  in the unit, and what the request says of the state is not read: known_state.c)
 *             v
 *   mirror  copy: the script apply; the client is answered when it has, or after mirror_timeout
 *
 * The marks stand before the command in the unit and are plain commands: EXEC does not roll back,
 * and a script that fails in it would leave the command executed and unmarked. From the unit's
 * reply on, nothing that fails here fails the client: the mark is durable and the migrator repairs.
 * A key whose value is large is left to the migrator altogether, and so is what a script writes
 * beside its declared keys (marked_script.c). */
#include "lib/base/assert.h"
#include "lib/base/fail_point.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/routing/dual_internal.h"
#include "proxy/routing/reply_cursor.h"

#define MEMORY_SHORT_US 1000000u

/* --- life ------------------------------------------------------------------------------------ */

struct lane *dual_lane(const struct dual_write *dual, unsigned shard)
{
    /* The lanes are those of the newest snapshot: by then the shard may be gone. */
    return lane_find(dual->router, dual->snapshot->topology->shards[shard].name);
}

static void unlink_waiting(struct dual_write *dual)
{
    struct router *router = dual->router;
    struct dual_write **link = &router->mirrors_first;
    if (!dual->is_waiting) {
        return;
    }
    while (*link != dual) {
        link = &(*link)->next;
    }
    *link = dual->next;
    if (router->mirrors_last == &dual->next) {
        router->mirrors_last = link;
    }
    dual->is_waiting = false;
}

static void dual_free(struct dual_write *dual)
{
    ASSERT(dual->request == NULL);
    unlink_waiting(dual);
    request_give(router_pool(dual->router), dual->exchange);
    snapshot_unref(dual->snapshot);
    buffer_fini(&dual->reply);
    mem_free(dual->keys);
    mem_free(dual);
}

/* The client gets its reply; the exchange with the copy may still be on its way. */
void dual_answer(struct dual_write *dual)
{
    struct request *request = dual->request;
    if (request == NULL) {
        return;
    }
    dual->request = NULL;
    unlink_waiting(dual);
    struct slice reply = buffer_slice(&dual->reply);
    buffer_add(request_answer(request), reply.data, reply.len);
    request->is_error = dual->is_error;
    router_answer(request);
}

void dual_finish(struct dual_write *dual)
{
    dual_answer(dual);
    dual_free(dual);
}

/* The command was not answered by its shard: it is dispatched anew where that is safe. */
static void give_back(struct dual_write *dual, bool is_safe)
{
    struct request *request = dual->request;
    struct router *router = dual->router;
    dual->request = NULL;
    request->is_outdated = dual->exchange->is_outdated;
    dual_free(dual);
    if (is_safe) {
        router_redispatch(router, request);
    } else {
        router_answer_unknown(router, request);
    }
}

void dual_mirror_failed(struct dual_write *dual)
{
    counter_add(&router_counters(dual->router)->mirrors_failed, 1);
    dual_finish(dual);
}

/* The array that EXEC answered, behind +OK and `queued` times +QUEUED. */
bool dual_exec_array(struct slice reply, unsigned queued, struct slice *elements)
{
    struct slice value;
    for (unsigned i = 0; i < queued + 1; i++) {
        if (!reply_next(&reply, &value)) {
            return false;
        }
    }
    return reply_next(&reply, &value) && reply_array(value, elements) == (int64_t)queued;
}

/* --- the unit -------------------------------------------------------------------------------- */

/* Nothing ran, and this is what the client is told: the command's own error at queue time, or the
 * first one (a refused mark), never EXECABORT. */
static struct slice abort_error(struct slice reply, unsigned queued, unsigned position)
{
    struct slice value, first = {NULL, 0}, own = {NULL, 0};
    for (unsigned i = 0; i < queued + 2 && reply_next(&reply, &value); i++) {
        struct slice error = reply_error(value);
        if (error.len > 0 && first.len == 0) {
            first = value;
        }
        if (error.len > 0 && i == position + 1) {
            own = value;
        }
    }
    return own.len > 0 ? own : first;
}

static void on_marked_write(struct request *exchange)
{
    struct dual_write *dual = exchange->owner;
    struct router *router = dual->router;
    if (exchange->outcome == OUTCOME_REPLY) {
        struct slice reply = buffer_slice(&exchange->reply);
        buffer_add(&dual->reply, reply.data, reply.len);
        dual->is_error = exchange->is_error;
        dual_mirror_failed(dual); /* the state was not read: the migrator repairs */
    } else {
        give_back(dual, exchange->outcome == OUTCOME_NOT_SENT);
    }
    router_reply_seen(router);
}

/* Its text goes along: after NOSCRIPT it would have to be sent again, behind what its client sent
 * meanwhile. */
static void write_marked_write(struct buffer *out, const struct dual_write *dual,
                               const struct command *command)
{
    char digits[20];
    write_array(out, 3 + 3 + dual->nkeys + 4 + (uint64_t)command->argc);
    write_bulk(out, SLICE("EVAL"));
    write_bulk(out, script_text(SCRIPT_MARKED_WRITE));
    write_bulk(out, (struct slice){digits, number_format_u64(digits, 3 + dual->nkeys)});
    write_bulk(out, SLICE(METADATA_FENCE));
    write_bulk(out, slice_of(dual->names.seq));
    write_bulk(out, slice_of(dual->names.dirty));
    for (unsigned i = 0; i < dual->nkeys; i++) {
        write_bulk(out, dual->keys[i].key);
    }
    const struct shard_identity *process =
        &dual->snapshot->topology->shards[dual->entry->authority].identity;
    write_bulk(out, slice_of(process->run_id));
    write_bulk(out, slice_of(process->replid));
    write_bulk(out, (struct slice){digits, number_format_u64(digits, dual->nkeys)});
    write_bulk(out, dual->request->protocol == 3 ? SLICE("3") : SLICE("2"));
    for (unsigned i = 0; i < command->argc; i++) {
        write_bulk(out, command->argv[i]);
    }
}

static void send_marked_write(struct dual_write *dual, struct backend *authority)
{
    struct command command;
    struct slice bytes = buffer_slice(&dual->request->bytes);
    enum parse_status status =
        command_parse(&dual->router->parser, bytes.data, bytes.len, &command);
    ASSERT(status == PARSE_OK);
    write_marked_write(backend_begin(authority), dual, &command);
    buffer_clear(&dual->exchange->reply);
    dual->exchange->on_reply = on_marked_write;
    backend_commit(authority, dual->exchange, 1);
}

/* Runs without memory to spare, and can run in a script. */
static bool frees_memory(const struct request *request)
{
    return request->unit == NULL &&
           (request->command->flags & (COMMAND_DENYOOM | COMMAND_NOSCRIPT)) == 0;
}

/* Under maxmemory MULTI refuses even DEL. The abort has proven that nothing ran, so this is no
 * resend, and nothing is behind it that it could run after; but the world may have moved on
 * meanwhile: then the request is dispatched anew. Model: OOMSTALE. */
static void retry_without_memory(struct dual_write *dual)
{
    struct router *router = dual->router;
    struct lane *authority = dual_lane(dual, dual->entry->authority);
    if (authority != NULL && dual->request->protocol == 3) {
        authority = authority->resp3; /* the reply is the client's own */
    }
    bool is_current = dual->snapshot == router->snapshot && authority != NULL &&
                      backend_state(authority->backend) == BACKEND_READY;
    if (!is_current) {
        give_back(dual, true);
        return;
    }
    send_marked_write(dual, authority->backend);
}

/* The client was told QUEUED for each of its commands: what EXEC itself said is its answer. */
static void transaction_aborted(struct dual_write *dual)
{
    struct slice rest = buffer_slice(&dual->exchange->reply), value = rest;
    while (reply_next(&rest, &value)) {
    }
    buffer_add(&dual->reply, value.data, value.len);
    dual->is_error = reply_error(value).len > 0;
    dual_finish(dual);
}

static void unit_aborted(struct dual_write *dual, unsigned queued, unsigned position)
{
    if (dual->request->unit != NULL) {
        transaction_aborted(dual);
        return;
    }
    struct slice error = abort_error(buffer_slice(&dual->exchange->reply), queued, position);
    bool for_memory = slice_starts_with(error, SLICE("-OOM"));
    if (for_memory) {
        dual->router->memory_short_until_us = router_now_us(dual->router) + MEMORY_SHORT_US;
    }
    if (for_memory && frees_memory(dual->request) && !request_has_followers(dual->request)) {
        retry_without_memory(dual);
        return;
    }
    if (error.len == 0) {
        buffer_add_text(&dual->reply, "-ERR the shard did not accept the transaction\r\n");
    }
    buffer_add(&dual->reply, error.data, error.len);
    dual->is_error = true;
    dual_finish(dual);
}

/* What the unit read of one key, behind the client's commands. */
static bool take_reading(struct dual_write *dual, struct slice *elements, struct dual_key *key)
{
    struct slice value;
    int64_t number;
    switch (dual->reading) {
    case DUAL_READS_NOTHING:
        /* Not executed: what the request says is not what is there. */
        dual->reads_again = dual->is_error;
        return true;
    case DUAL_READS_EXPIRY:
        dual->reads_again =
            !mirror_take_expiry(elements, key) || dual->is_error || dual->reads_again;
        return true;
    case DUAL_READS_STRING:
        /* No string, as after SETNX of a list: read in a unit of its own, as what is not small. */
        dual->reads_again = !mirror_take_state(elements, true, key) || dual->reads_again;
        return true;
    case DUAL_READS_SIZE:
    default:
        if (!reply_next(elements, &value)) {
            return false;
        }
        if (reply_integer(value, &number)) {
            key->is_large =
                key->is_large || (uint64_t)number > dual->entry->migration->options.large_key_bytes;
        }
        return true;
    }
}

/* The numbers of the marks, the command's own reply, and the state or its size. */
static bool take_unit(struct dual_write *dual, struct slice elements)
{
    struct slice value;
    int64_t number;
    bool is_transaction = dual->request->unit != NULL;
    for (unsigned i = 0; i < dual->nkeys; i++) {
        bool is_marked = reply_next(&elements, &value) && reply_integer(value, &number);
        dual->keys[i].seq = is_marked ? (uint64_t)number : 0;
        dual->keys[i].is_large = !is_marked; /* not to be mirrored without its number */
        if (!reply_next(&elements, &value)) {
            return false;
        }
    }
    if (is_transaction) {
        write_array(&dual->reply, dual->ncommands);
    }
    for (unsigned i = 0; i < dual->ncommands; i++) {
        if (!reply_next(&elements, &value)) {
            return false;
        }
        buffer_add(&dual->reply, value.data, value.len);
        dual->is_error = !is_transaction && value.data[0] == '-';
    }
    for (unsigned i = 0; i < dual->nkeys; i++) {
        if (!take_reading(dual, &elements, &dual->keys[i])) {
            return false;
        }
    }
    return true;
}

/* Between MULTI and EXEC: two marks a key, the client's commands, the state or the size a key. */
static unsigned queued_commands(const struct dual_write *dual)
{
    static const unsigned read_by[] = {[DUAL_READS_SIZE] = 1,
                                       [DUAL_READS_STRING] = 2,
                                       [DUAL_READS_EXPIRY] = 1,
                                       [DUAL_READS_NOTHING] = 0};
    return dual->ncommands + (2 + read_by[dual->reading]) * dual->nkeys;
}

static void on_unit(struct request *exchange)
{
    struct dual_write *dual = exchange->owner;
    struct router *router = dual->router;
    if (exchange->outcome != OUTCOME_REPLY) {
        give_back(dual, exchange->outcome == OUTCOME_NOT_SENT);
        router_reply_seen(router);
        return;
    }
    struct slice elements;
    if (!dual_exec_array(buffer_slice(&exchange->reply), queued_commands(dual), &elements)) {
        unit_aborted(dual, queued_commands(dual), 2 * dual->nkeys);
    } else if (!take_unit(dual, elements)) {
        dual_mirror_failed(dual);
    } else if (dual->nkeys == 0) {
        dual_finish(dual); /* no marks, no mirror; a unit without keys has no entry either */
    } else if (dual->reading == DUAL_READS_SIZE || dual->reads_again) {
        mirror_read_and_send(dual);
    } else {
        mirror_send(dual);
    }
    router_reply_seen(router);
}

static void write_reading(struct buffer *out, const struct dual_write *dual, struct slice key)
{
    const struct slice get[] = {SLICE("GET"), key};
    const struct slice expires[] = {SLICE("PEXPIRETIME"), key};
    const struct slice usage[] = {SLICE("MEMORY"), SLICE("USAGE"), key};
    if (dual->reading == DUAL_READS_STRING) {
        write_command(out, get, 2);
        write_command(out, expires, 2);
    } else if (dual->reading == DUAL_READS_EXPIRY) {
        write_command(out, expires, 2);
    } else if (dual->reading == DUAL_READS_SIZE) {
        write_command(out, usage, 3);
    }
}

static void write_commands(struct buffer *out, const struct dual_write *dual)
{
    struct slice rest = buffer_slice(&dual->request->bytes);
    if (dual->nkeys == 0) {
        buffer_add(out, rest.data, rest.len); /* nothing to mark, and no metadata to mark it in */
        return;
    }
    for (unsigned i = 0; i < dual->ncommands; i++) {
        struct command command;
        enum parse_status status =
            command_parse(&dual->router->parser, rest.data, rest.len, &command);
        ASSERT(status == PARSE_OK);
        write_guarded(out, dual, &command);
        rest = (struct slice){rest.data + command.raw.len, rest.len - command.raw.len};
    }
}

/* Marks before the command. Model: NOMARK. */
static void write_unit(struct buffer *out, const struct dual_write *dual)
{
    /* A test of the tests: without the mark a mirror that fails is a write that the copy lacks. */
    bool is_unmarked = FAIL_POINT("rule.no-marks");
    buffer_add_text(out, "*1\r\n$5\r\nMULTI\r\n");
    for (unsigned i = 0; i < dual->nkeys; i++) {
        const struct slice number[] = {SLICE("HINCRBY"), slice_of(dual->names.seq),
                                       dual->keys[i].key, SLICE("1")};
        const struct slice mark[] = {SLICE("SADD"), slice_of(dual->names.dirty),
                                     is_unmarked ? SLICE(METADATA_SENTINEL) : dual->keys[i].key};
        write_command(out, number, 4);
        write_command(out, mark, 3);
    }
    write_commands(out, dual);
    for (unsigned i = 0; i < dual->nkeys; i++) {
        write_reading(out, dual, dual->keys[i].key);
    }
    buffer_add_text(out, "*1\r\n$4\r\nEXEC\r\n");
}

/* Adds the written keys of one command, which lies in the request's bytes. */
static void add_keys(struct dual_write *dual, const struct command_info *info,
                     const struct command *command)
{
    int count = command_keys(info, command->argv, command->argc, NULL, 0);
    if (count <= 0) {
        return;
    }
    struct command_key *found = mem_alloc((size_t)count * sizeof(*found));
    (void)command_keys(info, command->argv, command->argc, found, (unsigned)count);
    dual->keys = mem_realloc(dual->keys, (dual->nkeys + (size_t)count) * sizeof(*dual->keys));
    for (int i = 0; i < count; i++) {
        if (found[i].is_written) {
            dual->keys[dual->nkeys++] = (struct dual_key){.key = command->argv[found[i].position]};
        }
    }
    mem_free(found);
}

static void find_keys(struct dual_write *dual)
{
    const struct request *request = dual->request;
    struct slice rest = buffer_slice(&request->bytes);
    for (unsigned i = 0; i < dual->ncommands; i++) {
        struct command command;
        enum parse_status status =
            command_parse(&dual->router->parser, rest.data, rest.len, &command);
        ASSERT(status == PARSE_OK);
        add_keys(dual, request->unit != NULL ? request->unit->commands[i] : request->command,
                 &command);
        if (dual->reading == DUAL_READS_STRING) {
            dual_note_known_state(dual, &command);
        }
        rest = (struct slice){rest.data + command.raw.len, rest.len - command.raw.len};
    }
}

/* Formatted once for as long as the same migration is written to. */
static const struct metadata_names *names_of(struct router *router,
                                             const struct migration *migration)
{
    enum direction direction = phase_direction(migration->phase);
    struct named_base *last = &router->last_named;
    if (last->migration != migration->id || last->base != migration->base ||
        last->direction != direction) {
        metadata_names_of(migration->id, migration->base, direction, &last->names);
        last->migration = migration->id;
        last->base = migration->base;
        last->direction = direction;
    }
    return &last->names;
}

static void prepare_marks(struct dual_write *dual)
{
    dual->names = *names_of(dual->router, dual->entry->migration);
    /* What is bounded by a large request is large all the same. */
    bool is_small =
        dual->request->unit == NULL &&
        (dual->request->command->flags & COMMAND_SMALL_RESULT) != 0 &&
        buffer_length(&dual->request->bytes) <= dual->entry->migration->options.large_key_bytes;
    dual->reading = is_small ? DUAL_READS_STRING : DUAL_READS_SIZE;
    find_keys(dual);
    counter_add(&router_counters(dual->router)->dual_writes, 1);
}

void dual_write_start(struct router *router, struct backend *authority, struct request *request,
                      const struct slot_entry *entry, struct slice bytes)
{
    if (!backend_has_multi(authority)) {
        router_answer_unavailable(router, request, "its shard refuses MULTI");
        return;
    }
    router_keep_bytes(request, bytes);
    struct dual_write *dual = mem_zalloc(sizeof(*dual));
    dual->router = router;
    dual->request = request;
    dual->snapshot = snapshot_ref(router->snapshot);
    dual->entry = entry;
    dual->ncommands = request->unit != NULL ? request->unit->count : 1;
    buffer_init(&dual->reply, SIZE_MAX);
    if (entry != NULL && entry->is_dual && request->has_written_keys) {
        prepare_marks(dual);
    }
    dual->exchange = request_take(router_pool(router));
    dual->exchange->owner = dual;
    dual->exchange->sender = router;
    if (dual->nkeys > 0 && frees_memory(request) &&
        router_now_us(router) < router->memory_short_until_us) {
        /* The shard was short of memory a moment ago: at once the way that may work, in order. */
        send_marked_write(dual, authority);
        return;
    }
    dual->exchange->on_reply = on_unit;
    write_unit(backend_begin(authority), dual);
    backend_commit(authority, dual->exchange, queued_commands(dual) + 2);
}
