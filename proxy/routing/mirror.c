/* The second half of a dual write: the state of the written keys, with the numbers of their marks,
 * goes to the copy. What fails here fails nobody: see dual_write.c. */
#include "lib/base/assert.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/routing/dual_internal.h"
#include "proxy/routing/reply_cursor.h"

#define BREAKER_US 1000000u

/* --- the mirror ------------------------------------------------------------------------------ */

static void on_loaded(struct request *request)
{
    struct router *router = request->sender;
    request_give(router_pool(router), request);
    router_reply_seen(router);
}

/* Somebody flushed the copy's scripts: for the mirrors to come. */
static void load_apply(const struct dual_write *dual)
{
    struct lane *copy = dual_lane(dual, dual->entry->copy);
    const struct slice argv[] = {SLICE("SCRIPT"), SLICE("LOAD"), script_text(SCRIPT_APPLY)};
    if (copy == NULL || backend_state(copy->backend) != BACKEND_READY) {
        return;
    }
    struct request *load = request_take(router_pool(dual->router));
    load->sink = NULL;
    load->sender = dual->router;
    load->on_reply = on_loaded;
    write_command(backend_begin(copy->backend), argv, 3);
    backend_commit(copy->backend, load, 1);
}

static void on_apply(struct request *exchange)
{
    struct dual_write *dual = exchange->owner;
    struct router *router = dual->router;
    bool has_reply = exchange->outcome == OUTCOME_REPLY;
    if (has_reply && slice_starts_with(buffer_slice(&exchange->reply), SLICE("-NOSCRIPT"))) {
        load_apply(dual);
    }
    if (!has_reply || exchange->is_error) {
        dual_mirror_failed(dual);
    } else {
        dual_finish(dual);
    }
    router_reply_seen(router);
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

/* A string itself is told from a dumped value by an s before its expiry. */
static void write_expiry(struct buffer *out, const struct dual_key *key)
{
    char text[24] = "s";
    size_t length = key->expires_at.len;
    if (!key->is_string) {
        write_bulk(out, key->expires_at);
        return;
    }
    ASSERT(length < sizeof(text));
    memcpy(text + 1, key->expires_at.data, length);
    write_bulk(out, (struct slice){text, length + 1});
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
            write_expiry(out, key);
            write_bulk(out, key->payload);
        }
    }
}

static void wait_for_mirror(struct dual_write *dual)
{
    struct router *router = dual->router;
    bool is_open = router_now_us(router) >= router->breaker_until_us;
    if (router->settings.tuning.ack == ACK_SOURCE || !is_open) {
        dual_answer(dual);
        return;
    }
    dual->deadline_us = router_now_us(router) + router->settings.tuning.mirror_timeout_us;
    dual->is_waiting = true;
    dual->next = NULL;
    *router->mirrors_last = dual;
    router->mirrors_last = &dual->next;
}

void mirror_send(struct dual_write *dual)
{
    unsigned count = count_mirrored(dual);
    struct lane *copy = dual_lane(dual, dual->entry->copy);
    if (count == 0) {
        dual_finish(dual); /* only large keys: the migrator moves them */
        return;
    }
    if (copy == NULL || backend_state(copy->backend) != BACKEND_READY) {
        dual_mirror_failed(dual);
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
        dual_answer(router->mirrors_first);
    }
}

void dual_write_forget_all(struct router *router)
{
    /* Every exchange was told its outcome when the backends were closed. */
    ASSERT(router->mirrors_first == NULL);
}

/* --- reading the state ----------------------------------------------------------------------- */

bool mirror_take_expiry(struct slice *elements, struct dual_key *key)
{
    struct slice expires;
    int64_t at_ms;
    if (!reply_next(elements, &expires) || !reply_integer(expires, &at_ms)) {
        return false;
    }
    key->expires_at = SLICE(NEVER_EXPIRES);
    if (at_ms >= 0) {
        key->expires_at = (struct slice){expires.data + 1, expires.len - 3};
    }
    /* A key can expire behind the command, and between two readings: then it says -2. */
    if (at_ms < -1) {
        key->payload.len = 0;
        key->is_string = false;
    }
    return true;
}

bool mirror_take_state(struct slice *elements, bool is_string, struct dual_key *key)
{
    struct slice value;
    if (!reply_next(elements, &value)) {
        return false;
    }
    key->payload = (struct slice){value.data, 0};
    key->is_string = reply_bulk(value, &key->payload) && is_string;
    return mirror_take_expiry(elements, key) && reply_error(value).len == 0;
}

static bool take_read(struct dual_write *dual)
{
    struct slice elements, value, digits;
    unsigned count = count_mirrored(dual);
    if (!dual_exec_array(buffer_slice(&dual->exchange->reply), 3 * count, &elements)) {
        return false;
    }
    for (unsigned i = 0; i < dual->nkeys; i++) {
        struct dual_key *key = &dual->keys[i];
        if (key->is_large) {
            continue;
        }
        /* No number: the metadata are gone, or the base is over; the mirror would be refused. */
        if (!reply_next(&elements, &value) || !reply_bulk(value, &digits) ||
            !number_parse_u64(digits, &key->seq) || !mirror_take_state(&elements, false, key)) {
            return false;
        }
    }
    return true;
}

static void on_read(struct request *exchange)
{
    struct dual_write *dual = exchange->owner;
    struct router *router = dual->router;
    if (exchange->outcome == OUTCOME_REPLY && take_read(dual)) {
        mirror_send(dual);
    } else {
        dual_mirror_failed(dual);
    }
    router_reply_seen(router);
}

void mirror_read_and_send(struct dual_write *dual)
{
    struct lane *authority = dual_lane(dual, dual->entry->authority);
    unsigned count = count_mirrored(dual);
    if (count == 0 || authority == NULL || backend_state(authority->backend) != BACKEND_READY) {
        dual_finish(dual);
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
