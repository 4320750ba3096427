/* A write to a slot that has a copy (DESIGN.md section 6, "Dual write"):
 *
 *   unit    authority: MULTI, per key HINCRBY seq and SADD dirty, the command, EXEC
 *             | nothing ran for lack of memory: marked_write, a script that may free some
 *             v
 *   read    authority: MULTI, per key HGET seq, DUMP, PEXPIRETIME, EXEC
 *             | (part of the unit for commands whose result is small: COMMAND_SMALL_RESULT)
 *             v
 *   mirror  copy: the script apply; the client is answered when it has, or after mirror_timeout
 *
 * The marks stand before the command in the unit and are plain commands: EXEC does not roll back,
 * and a script that fails in it would leave the command executed and unmarked. From the unit's
 * reply on, nothing that fails here fails the client: the mark is durable and the migrator repairs.
 * A key whose value is large is left to the migrator altogether. */
#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "proxy/routing/reply_cursor.h"
#include "proxy/routing/router_internal.h"

#define KEYS_MAX      1024u /* keys of one command that are mirrored; more are left to the migrator */
#define BREAKER_US    1000000u
#define NEVER_EXPIRES "-1"

struct dual_key {
    struct slice key; /* in the request's bytes, or in dual->keys_text after the answer */
    uint64_t seq;
    struct slice payload;    /* in the exchange's reply; empty: the key is absent */
    struct slice expires_at; /* digits */
    bool is_large;
};

struct dual_write {
    struct router *router;
    struct request *request;  /* the client's; null once it is answered */
    struct request *exchange; /* the one that is with a backend */
    struct snapshot *snapshot;
    const struct slot_entry *entry;
    struct metadata_names names;
    bool is_small; /* the unit reads the state as well */
    unsigned nkeys;
    struct dual_key *keys;
    struct buffer reply; /* the command's own */
    bool is_error;
    uint64_t deadline_us;
    struct dual_write *next; /* among those whose clients wait for the mirror */
    bool is_waiting;
};

/* --- life ------------------------------------------------------------------------------------ */

static struct lane *lane_of(const struct dual_write *dual, unsigned shard)
{
    /* The lanes are those of the newest snapshot: by then the shard may be gone. */
    const char *name = dual->snapshot->topology->shards[shard].name;
    for (unsigned i = 0; i < dual->router->nlanes; i++) {
        if (strcmp(backend_name(dual->router->lanes[i]->backend), name) == 0) {
            return dual->router->lanes[i];
        }
    }
    return NULL;
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
static void answer(struct dual_write *dual)
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

static void finish(struct dual_write *dual)
{
    answer(dual);
    dual_free(dual);
}

/* The command was not answered by its shard: it is dispatched anew where that is safe. */
static void give_back(struct dual_write *dual, bool is_safe)
{
    struct request *request = dual->request;
    struct router *router = dual->router;
    dual->request = NULL;
    dual_free(dual);
    if (is_safe) {
        router_redispatch(router, request);
    } else {
        router_answer_unknown(router, request);
    }
}

static void mirror_failed(struct dual_write *dual)
{
    counter_add(&router_counters(dual->router)->mirrors_failed, 1);
    finish(dual);
}

/* --- the mirror ------------------------------------------------------------------------------ */

static void on_loaded(struct request *request)
{
    request_give(router_pool(request->sender), request);
}

/* Somebody flushed the shard's scripts: NOSCRIPT is the proof that nothing ran. */
static bool reload_after_noscript(struct dual_write *dual, unsigned shard, enum shard_script script)
{
    struct lane *lane = lane_of(dual, shard);
    struct slice reply = buffer_slice(&dual->exchange->reply);
    const struct slice argv[] = {SLICE("SCRIPT"), SLICE("LOAD"), script_text(script)};
    if (dual->exchange->outcome != OUTCOME_REPLY || !slice_starts_with(reply, SLICE("-NOSCRIPT")) ||
        lane == NULL || backend_state(lane->backend) != BACKEND_READY) {
        return false;
    }
    struct request *load = request_take(router_pool(dual->router));
    load->sink = NULL;
    load->sender = dual->router;
    load->on_reply = on_loaded;
    write_command(backend_begin(lane->backend), argv, 3);
    backend_commit(lane->backend, load, 1);
    return true;
}

static void on_apply(struct request *exchange)
{
    struct dual_write *dual = exchange->owner;
    bool has_failed = exchange->outcome != OUTCOME_REPLY || exchange->is_error;
    if (has_failed) {
        (void)reload_after_noscript(dual, dual->entry->copy, SCRIPT_APPLY);
        mirror_failed(dual);
    } else {
        finish(dual);
    }
}

static void append_claim(struct buffer *out, const struct dual_write *dual, unsigned shard)
{
    const struct shard_identity *process = &dual->snapshot->topology->shards[shard].identity;
    char digits[20];
    write_bulk(out, slice_of(process->run_id));
    write_bulk(out, slice_of(process->replid));
    write_bulk(out, (struct slice){digits, number_format_u64(digits, dual->entry->migration->id)});
    write_bulk(
        out, (struct slice){digits, number_format_u64(digits, dual->entry->migration->generation)});
}

static unsigned count_mirrored(const struct dual_write *dual)
{
    unsigned count = 0;
    for (unsigned i = 0; i < dual->nkeys; i++) {
        count += dual->keys[i].is_large ? 0 : 1;
    }
    return count;
}

/* EVALSHA apply: KEYS fence, ver, k...; ARGV run_id, replid, migration, generation, then per key
 * seq, pexpiretime, payload. */
static void write_apply(struct buffer *out, const struct dual_write *dual, unsigned count)
{
    char digits[20];
    write_array(out, 3 + 2 + count + 4 + 3 * (uint64_t)count);
    write_bulk(out, SLICE("EVALSHA"));
    write_bulk(out, script_sha(SCRIPT_APPLY));
    write_bulk(out, (struct slice){digits, number_format_u64(digits, 2 + count)});
    write_bulk(out, SLICE(METADATA_FENCE));
    write_bulk(out, slice_of(dual->names.ver));
    for (unsigned i = 0; i < dual->nkeys; i++) {
        if (!dual->keys[i].is_large) {
            write_bulk(out, dual->keys[i].key);
        }
    }
    append_claim(out, dual, dual->entry->copy);
    for (unsigned i = 0; i < dual->nkeys; i++) {
        const struct dual_key *key = &dual->keys[i];
        if (!key->is_large) {
            write_bulk(out, (struct slice){digits, number_format_u64(digits, key->seq)});
            write_bulk(out, key->expires_at);
            write_bulk(out, key->payload);
        }
    }
}

static void wait_for_mirror(struct dual_write *dual)
{
    struct router *router = dual->router;
    bool is_open = router_now_us(router) >= router->breaker_until_us;
    if (router->settings.ack == ACK_SOURCE || !is_open) {
        answer(dual);
        return;
    }
    dual->deadline_us = router_now_us(router) + router->settings.mirror_timeout_us;
    dual->is_waiting = true;
    dual->next = NULL;
    *router->mirrors_last = dual;
    router->mirrors_last = &dual->next;
}

static void send_mirror(struct dual_write *dual)
{
    unsigned count = count_mirrored(dual);
    struct lane *copy = lane_of(dual, dual->entry->copy);
    if (count == 0) {
        finish(dual); /* only large keys: the migrator moves them */
        return;
    }
    if (copy == NULL || backend_state(copy->backend) != BACKEND_READY) {
        mirror_failed(dual);
        return;
    }
    struct request *exchange = dual->exchange;
    write_apply(backend_begin(copy->backend), dual, count);
    /* Keys and payloads are written: their bytes may go. */
    buffer_clear(&exchange->reply);
    buffer_clear(&exchange->bytes);
    exchange->on_reply = on_apply;
    backend_commit(copy->backend, exchange, 1);
    wait_for_mirror(dual);
}

void dual_write_tick(struct router *router)
{
    uint64_t now = router_now_us(router);
    while (router->mirrors_first != NULL && router->mirrors_first->deadline_us <= now) {
        /* The copy is slow: for a while nobody waits for it. */
        router->breaker_until_us = now + BREAKER_US;
        counter_add(&router_counters(router)->mirrors_late, 1);
        answer(router->mirrors_first);
    }
}

void dual_write_forget_all(struct router *router)
{
    /* Every exchange was told its outcome when the backends were closed. */
    ASSERT(router->mirrors_first == NULL);
}

/* --- reading the state ----------------------------------------------------------------------- */

/* DUMP and PEXPIRETIME, which stand one behind the other. */
static bool take_state(struct slice *elements, struct dual_key *key)
{
    struct slice dump, expires;
    int64_t at_ms;
    if (!reply_next(elements, &dump) || !reply_next(elements, &expires) ||
        !reply_integer(expires, &at_ms) || reply_error(dump).len > 0) {
        return false;
    }
    key->payload = (struct slice){dump.data, 0};
    key->expires_at = SLICE(NEVER_EXPIRES);
    if (reply_bulk(dump, &key->payload)) {
        key->expires_at = (struct slice){expires.data + 1, expires.len - 3};
    }
    return true;
}

/* The array that EXEC answered, behind +OK and `queued` times +QUEUED. */
static bool exec_array(struct slice reply, unsigned queued, struct slice *elements)
{
    struct slice value;
    for (unsigned i = 0; i < queued + 1; i++) {
        if (!reply_next(&reply, &value)) {
            return false;
        }
    }
    return reply_next(&reply, &value) && reply_array(value, elements) == (int64_t)queued;
}

static bool take_read(struct dual_write *dual)
{
    struct slice elements, value, digits;
    unsigned count = count_mirrored(dual);
    if (!exec_array(buffer_slice(&dual->exchange->reply), 3 * count, &elements)) {
        return false;
    }
    for (unsigned i = 0; i < dual->nkeys; i++) {
        struct dual_key *key = &dual->keys[i];
        if (key->is_large) {
            continue;
        }
        /* No number: the metadata are gone, or the base is over; the mirror would be refused. */
        if (!reply_next(&elements, &value) || !reply_bulk(value, &digits) ||
            !number_parse_u64(digits, &key->seq) || !take_state(&elements, key)) {
            return false;
        }
    }
    return true;
}

static void on_read(struct request *exchange)
{
    struct dual_write *dual = exchange->owner;
    if (exchange->outcome == OUTCOME_REPLY && take_read(dual)) {
        send_mirror(dual);
    } else {
        mirror_failed(dual);
    }
}

static void send_read(struct dual_write *dual)
{
    struct lane *authority = lane_of(dual, dual->entry->authority);
    unsigned count = count_mirrored(dual);
    if (count == 0 || authority == NULL || backend_state(authority->backend) != BACKEND_READY) {
        finish(dual);
        return;
    }
    struct buffer *out = backend_begin(authority->backend);
    buffer_add_text(out, "*1\r\n$5\r\nMULTI\r\n");
    for (unsigned i = 0; i < dual->nkeys; i++) {
        const struct dual_key *key = &dual->keys[i];
        if (!key->is_large) {
            const struct slice hget[] = {SLICE("HGET"), slice_of(dual->names.seq), key->key};
            const struct slice dump[] = {SLICE("DUMP"), key->key};
            const struct slice expires[] = {SLICE("PEXPIRETIME"), key->key};
            write_command(out, hget, 3);
            write_command(out, dump, 2);
            write_command(out, expires, 2);
        }
    }
    buffer_add_text(out, "*1\r\n$4\r\nEXEC\r\n");
    buffer_clear(&dual->exchange->reply);
    dual->exchange->on_reply = on_read;
    backend_commit(authority->backend, dual->exchange, 3 * count + 2);
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
    bool was_missing = reload_after_noscript(dual, dual->entry->authority, SCRIPT_MARKED_WRITE);
    if (exchange->outcome == OUTCOME_REPLY && !was_missing) {
        struct slice reply = buffer_slice(&exchange->reply);
        buffer_add(&dual->reply, reply.data, reply.len);
        dual->is_error = exchange->is_error;
        mirror_failed(dual); /* the state was not read: the migrator repairs */
        return;
    }
    give_back(dual, was_missing || exchange->outcome == OUTCOME_NOT_SENT);
}

static void write_marked_write(struct buffer *out, const struct dual_write *dual,
                               const struct command *command)
{
    char digits[20];
    write_array(out, 3 + 3 + dual->nkeys + 3 + (uint64_t)command->argc);
    write_bulk(out, SLICE("EVALSHA"));
    write_bulk(out, script_sha(SCRIPT_MARKED_WRITE));
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
    for (unsigned i = 0; i < command->argc; i++) {
        write_bulk(out, command->argv[i]);
    }
}

/* Under maxmemory MULTI refuses even DEL. The abort has proven that nothing ran, so this is no
 * resend; but the world may have moved on meanwhile: then the request is dispatched anew. */
static void retry_without_memory(struct dual_write *dual)
{
    struct router *router = dual->router;
    struct lane *authority = lane_of(dual, dual->entry->authority);
    bool is_current = dual->snapshot == router->snapshot && authority != NULL &&
                      backend_state(authority->backend) == BACKEND_READY;
    if (!is_current) {
        give_back(dual, true);
        return;
    }
    struct command command;
    struct slice bytes = buffer_slice(&dual->request->bytes);
    enum parse_status status = command_parse(&router->parser, bytes.data, bytes.len, &command);
    ASSERT(status == PARSE_OK);
    write_marked_write(backend_begin(authority->backend), dual, &command);
    buffer_clear(&dual->exchange->reply);
    dual->exchange->on_reply = on_marked_write;
    backend_commit(authority->backend, dual->exchange, 1);
}

static void unit_aborted(struct dual_write *dual, unsigned queued, unsigned position)
{
    struct slice error = abort_error(buffer_slice(&dual->exchange->reply), queued, position);
    bool for_memory = slice_starts_with(error, SLICE("-OOM"));
    if (for_memory && (dual->request->command->flags & COMMAND_DENYOOM) == 0) {
        retry_without_memory(dual);
        return;
    }
    if (error.len == 0) {
        buffer_add_text(&dual->reply, "-ERR the shard did not accept the transaction\r\n");
    }
    buffer_add(&dual->reply, error.data, error.len);
    dual->is_error = true;
    finish(dual);
}

/* The numbers of the marks, the command's own reply, and the state or its size. */
static bool take_unit(struct dual_write *dual, struct slice elements)
{
    struct slice value;
    int64_t number;
    for (unsigned i = 0; i < dual->nkeys; i++) {
        bool is_marked = reply_next(&elements, &value) && reply_integer(value, &number);
        dual->keys[i].seq = is_marked ? (uint64_t)number : 0;
        dual->keys[i].is_large = !is_marked; /* not to be mirrored without its number */
        if (!reply_next(&elements, &value)) {
            return false;
        }
    }
    if (!reply_next(&elements, &value)) {
        return false;
    }
    buffer_add(&dual->reply, value.data, value.len);
    dual->is_error = value.data[0] == '-';
    for (unsigned i = 0; i < dual->nkeys; i++) {
        struct dual_key *key = &dual->keys[i];
        if (dual->is_small) {
            key->is_large = !take_state(&elements, key) || key->is_large;
        } else if (!reply_next(&elements, &value)) {
            return false;
        } else if (reply_integer(value, &number)) {
            key->is_large =
                key->is_large || (uint64_t)number > dual->entry->migration->options.large_key_bytes;
        }
    }
    return true;
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
    unsigned marks = 2 * dual->nkeys;
    unsigned queued = marks + 1 + (dual->is_small ? 2 : 1) * dual->nkeys;
    struct slice elements;
    if (!exec_array(buffer_slice(&exchange->reply), queued, &elements)) {
        unit_aborted(dual, queued, marks);
    } else if (!take_unit(dual, elements)) {
        mirror_failed(dual);
    } else if (dual->is_small) {
        send_mirror(dual);
    } else {
        send_read(dual);
    }
    router_reply_seen(router);
}

static void write_unit(struct buffer *out, const struct dual_write *dual, struct slice bytes)
{
    buffer_add_text(out, "*1\r\n$5\r\nMULTI\r\n");
    for (unsigned i = 0; i < dual->nkeys; i++) {
        const struct slice number[] = {SLICE("HINCRBY"), slice_of(dual->names.seq),
                                       dual->keys[i].key, SLICE("1")};
        const struct slice mark[] = {SLICE("SADD"), slice_of(dual->names.dirty), dual->keys[i].key};
        write_command(out, number, 4);
        write_command(out, mark, 3);
    }
    buffer_add(out, bytes.data, bytes.len);
    for (unsigned i = 0; i < dual->nkeys; i++) {
        const struct slice dump[] = {SLICE("DUMP"), dual->keys[i].key};
        const struct slice expires[] = {SLICE("PEXPIRETIME"), dual->keys[i].key};
        const struct slice usage[] = {SLICE("MEMORY"), SLICE("USAGE"), dual->keys[i].key};
        if (dual->is_small) {
            write_command(out, dump, 2);
            write_command(out, expires, 2);
        } else {
            write_command(out, usage, 3);
        }
    }
    buffer_add_text(out, "*1\r\n$4\r\nEXEC\r\n");
}

/* Fills dual->keys with the written keys of the request's bytes. */
static void find_keys(struct dual_write *dual)
{
    struct router *router = dual->router;
    struct command command;
    struct slice bytes = buffer_slice(&dual->request->bytes);
    enum parse_status status = command_parse(&router->parser, bytes.data, bytes.len, &command);
    ASSERT(status == PARSE_OK);
    int count = command_keys(dual->request->command, command.argv, command.argc, NULL, 0);
    ASSERT(count > 0);
    struct command_key *found = mem_alloc((size_t)count * sizeof(*found));
    (void)command_keys(dual->request->command, command.argv, command.argc, found, (unsigned)count);
    dual->keys = mem_zalloc((size_t)count * sizeof(*dual->keys));
    for (int i = 0; i < count; i++) {
        if (found[i].is_written) {
            dual->keys[dual->nkeys++].key = command.argv[found[i].position];
        }
    }
    mem_free(found);
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

void dual_write_start(struct router *router, struct request *request,
                      const struct slot_entry *entry, struct slice bytes)
{
    struct lane *authority = router->lanes[entry->authority];
    if (!backend_has_multi(authority->backend)) {
        router_answer_unavailable(router, request, "its shard refuses MULTI while it is moved");
        return;
    }
    router_keep_bytes(request, bytes);
    struct dual_write *dual = mem_zalloc(sizeof(*dual));
    dual->router = router;
    dual->request = request;
    dual->snapshot = snapshot_ref(router->snapshot);
    dual->entry = entry;
    buffer_init(&dual->reply, SIZE_MAX);
    dual->names = *names_of(router, entry->migration);
    find_keys(dual);
    dual->is_small = (request->command->flags & COMMAND_SMALL_RESULT) != 0;
    dual->exchange = request_take(router_pool(router));
    dual->exchange->owner = dual;
    dual->exchange->sender = router;
    dual->exchange->on_reply = on_unit;
    counter_add(&router_counters(router)->dual_writes, 1);
    unsigned queued = 2 * dual->nkeys + 1 + (dual->is_small ? 2 : 1) * dual->nkeys;
    write_unit(backend_begin(authority->backend), dual, buffer_slice(&request->bytes));
    backend_commit(authority->backend, dual->exchange, queued + 2);
}
