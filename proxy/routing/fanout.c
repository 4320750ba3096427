#include "proxy/routing/fanout.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "lib/shard/metadata.h"
#include "proxy/routing/reply_cursor.h"

struct fanout {
    struct router *router;
    struct request *request; /* the client's */
    struct request **parts;  /* one a shard */
    unsigned nparts, pending;
    uint64_t owner_epoch; /* when it was sent */
    void (*merge)(struct fanout *fanout, struct buffer *out);
};

/* --- what clients may see -------------------------------------------------------------------- */

/* Sluice's own keys are hidden, and so are copies: keys on a shard that is not their authority. */
static bool is_visible(const struct snapshot *snapshot, unsigned shard, struct slice key)
{
    unsigned slot = slot_of_key(key, snapshot->slot_mask + 1);
    return !metadata_is_name(key) && snapshot_entry(snapshot, slot)->authority == shard;
}

/* Appends the visible keys of an array reply as bulk strings; returns how many. */
static uint64_t add_visible(const struct snapshot *snapshot, unsigned shard, struct slice elements,
                            struct buffer *out)
{
    struct slice value, key;
    uint64_t count = 0;
    while (reply_next(&elements, &value)) {
        if (reply_bulk(value, &key) && is_visible(snapshot, shard, key)) {
            buffer_add(out, value.data, value.len);
            count++;
        }
    }
    return count;
}

/* --- all shards ------------------------------------------------------------------------------ */

static void fanout_free(struct fanout *fanout)
{
    for (unsigned i = 0; i < fanout->nparts; i++) {
        request_give(router_pool(fanout->router), fanout->parts[i]);
    }
    mem_free(fanout->parts);
    mem_free(fanout);
}

static void dispatch_all(struct router *router, struct request *request, struct slice bytes,
                         void (*merge_parts)(struct fanout *, struct buffer *));

/* Owners, or the list of shards, changed meanwhile: what one shard had before and what another has
 * now do not fit together. Asked again; each time needs another change. */
static bool has_begun_anew(struct fanout *fanout)
{
    struct router *router = fanout->router;
    if (router_snapshot(router)->topology->owner_epoch == fanout->owner_epoch) {
        return false;
    }
    struct buffer bytes = fanout->parts[0]->bytes;
    buffer_init(&fanout->parts[0]->bytes, SIZE_MAX);
    struct request *request = fanout->request;
    void (*merge_parts)(struct fanout *, struct buffer *) = fanout->merge;
    request->work = NULL;
    fanout_free(fanout);
    dispatch_all(router, request, buffer_slice(&bytes), merge_parts);
    buffer_fini(&bytes);
    return true;
}

static void merge(struct fanout *fanout)
{
    if (has_begun_anew(fanout)) {
        return;
    }
    struct request *request = fanout->request;
    struct buffer *out = request_answer(request);
    const struct request *failed = NULL;
    for (unsigned i = 0; i < fanout->nparts; i++) {
        failed = fanout->parts[i]->is_error && failed == NULL ? fanout->parts[i] : failed;
    }
    if (failed != NULL) {
        struct slice error = buffer_slice(&failed->reply);
        request->is_error = true;
        buffer_add(out, error.data, error.len);
    } else {
        fanout->merge(fanout, out);
    }
    request->work = NULL;
    fanout_free(fanout);
    router_answer(request);
}

static void on_part_done(struct request *part)
{
    struct fanout *fanout = part->owner;
    ASSERT(fanout->pending > 0);
    fanout->pending--;
    if (fanout->pending == 0) {
        merge(fanout);
    }
}

static void merge_sum(struct fanout *fanout, struct buffer *out)
{
    int64_t sum = 0, number;
    for (unsigned i = 0; i < fanout->nparts; i++) {
        if (reply_integer(buffer_slice(&fanout->parts[i]->reply), &number) && number > 0) {
            sum += number - 1; /* the fence is no key of anybody's */
        }
    }
    write_integer(out, sum);
}

static void merge_keys(struct fanout *fanout, struct buffer *out)
{
    struct buffer keys;
    struct slice elements;
    uint64_t count = 0;
    buffer_init(&keys, SIZE_MAX);
    for (unsigned i = 0; i < fanout->nparts; i++) {
        if (reply_array(buffer_slice(&fanout->parts[i]->reply), &elements) > 0) {
            count += add_visible(router_snapshot(fanout->router), i, elements, &keys);
        }
    }
    write_array(out, count);
    buffer_add(out, buffer_slice(&keys).data, buffer_length(&keys));
    buffer_fini(&keys);
}

static void dispatch_all(struct router *router, struct request *request, struct slice bytes,
                         void (*merge_parts)(struct fanout *, struct buffer *))
{
    struct fanout *fanout = mem_zalloc(sizeof(*fanout));
    unsigned nparts = router_snapshot(router)->topology->nshards;
    fanout->router = router;
    fanout->owner_epoch = router_snapshot(router)->topology->owner_epoch;
    fanout->request = request;
    fanout->merge = merge_parts;
    fanout->nparts = fanout->pending = nparts;
    fanout->parts = mem_alloc(nparts * sizeof(struct request *));
    request->work = fanout;
    for (unsigned i = 0; i < nparts; i++) {
        struct request *part = request_take(router_pool(router));
        fanout->parts[i] = part;
        part->owner = fanout;
        part->done = on_part_done;
        part->command = request->command;
        part->protocol = request->protocol;
        part->slot = SLOT_NONE;
        part->shard = i;
        part->arrived_us = request->arrived_us;
        buffer_add(&part->bytes, bytes.data, bytes.len);
    }
    /* The last answer frees the fanout, perhaps before this returns. */
    struct request **parts = mem_dup(fanout->parts, nparts * sizeof(struct request *));
    for (unsigned i = 0; i < nparts; i++) {
        router_dispatch(router, parts[i], buffer_slice(&parts[i]->bytes));
    }
    mem_free(parts);
}

void fanout_sum(struct router *router, struct request *request, struct slice bytes)
{
    dispatch_all(router, request, bytes, merge_sum);
}

void fanout_keys(struct router *router, struct request *request, struct slice bytes)
{
    dispatch_all(router, request, bytes, merge_keys);
}

void fanout_any_shard(struct router *router, struct request *request, struct slice bytes)
{
    request->slot = SLOT_NONE;
    request->shard = router_usable_shard(router);
    router_dispatch(router, request, bytes);
}

/* --- SCAN ------------------------------------------------------------------------------------ */

/* A cursor is owner_epoch (16 bits) | shard (10) | the shard's own cursor (38). 0 begins and ends.
 */
#define SHARD_CURSOR_BITS 38
#define SHARD_INDEX_BITS  10
#define SHARD_CURSOR_MASK (((uint64_t)1 << SHARD_CURSOR_BITS) - 1)

_Static_assert(TOPOLOGY_SHARDS_MAX <= 1u << SHARD_INDEX_BITS, "a cursor has room for every shard");

struct scan {
    struct router *router;
    uint16_t epoch; /* owner_epoch when it began, modulo 2^16 */
    struct request *part;
};

static uint64_t make_cursor(uint16_t epoch, unsigned shard, uint64_t shard_cursor)
{
    return (uint64_t)epoch << (SHARD_CURSOR_BITS + SHARD_INDEX_BITS) |
           (uint64_t)shard << SHARD_CURSOR_BITS | shard_cursor;
}

/* A scan that began before a slot last changed its owner starts over: a key may show twice, none is
 * missed. The cursor carries the epoch of the last such change before it began. */
static bool is_outdated(const struct topology *topology, uint16_t began)
{
    return began != (uint16_t)topology->owner_epoch;
}

static void write_scan_reply(struct buffer *out, uint64_t cursor, uint64_t count, struct slice keys)
{
    char digits[20];
    write_array(out, 2);
    write_bulk(out, (struct slice){digits, number_format_u64(digits, cursor)});
    write_array(out, count);
    buffer_add(out, keys.data, keys.len);
}

static bool take_scan_reply(struct slice reply, uint64_t *cursor, struct slice *keys)
{
    struct slice parts, value, digits;
    return reply_array(reply, &parts) == 2 && reply_next(&parts, &value) &&
           reply_bulk(value, &digits) && number_parse_u64(digits, cursor) &&
           reply_next(&parts, &value) && reply_array(value, keys) >= 0;
}

static void answer_scan(const struct scan *scan, struct request *request)
{
    const struct snapshot *snapshot = router_snapshot(scan->router);
    struct slice reply = buffer_slice(&scan->part->reply), elements;
    struct buffer *out = request_answer(request);
    unsigned shard = scan->part->shard;
    uint64_t cursor, count;
    if (!take_scan_reply(reply, &cursor, &elements) || cursor > SHARD_CURSOR_MASK) {
        request->is_error = true;
        buffer_add(out, reply.data, reply.len); /* the shard's own error */
        return;
    }
    if (cursor == 0) {
        shard++;
    }
    uint64_t next =
        shard < snapshot->topology->nshards ? make_cursor(scan->epoch, shard, cursor) : 0;
    if (is_outdated(snapshot->topology, scan->epoch)) {
        /* The owner of a slot changed while the shard was asked: begin anew, though this may have
         * been the last step. */
        next = make_cursor(scan->epoch, 0, 1);
    }
    struct buffer keys;
    buffer_init(&keys, SIZE_MAX);
    count = add_visible(snapshot, scan->part->shard, elements, &keys);
    write_scan_reply(out, next, count, buffer_slice(&keys));
    buffer_fini(&keys);
}

static void on_scan_done(struct request *part)
{
    struct request *request = part->owner;
    struct scan *scan = request->work;
    request->work = NULL;
    if (part->is_error) {
        struct slice error = buffer_slice(&part->reply);
        request->is_error = true;
        buffer_add(request_answer(request), error.data, error.len);
    } else {
        answer_scan(scan, request);
    }
    request_give(router_pool(scan->router), part);
    mem_free(scan);
    router_answer(request);
}

/* The shard gets the client's command with its own cursor in the client's place. */
static void write_scan(struct buffer *out, const struct command *command, uint64_t shard_cursor)
{
    char digits[20];
    write_array(out, command->argc);
    write_bulk(out, command->argv[0]);
    write_bulk(out, (struct slice){digits, number_format_u64(digits, shard_cursor)});
    for (unsigned i = 2; i < command->argc; i++) {
        write_bulk(out, command->argv[i]);
    }
}

void fanout_scan(struct router *router, struct request *request, const struct command *command)
{
    const struct topology *topology = router_snapshot(router)->topology;
    uint64_t cursor;
    if (!number_parse_u64(command->argv[1], &cursor)) {
        router_answer_error(request, "ERR invalid cursor");
        return;
    }
    uint16_t epoch = (uint16_t)(cursor >> (SHARD_CURSOR_BITS + SHARD_INDEX_BITS));
    unsigned shard = (cursor >> SHARD_CURSOR_BITS) & ((1u << SHARD_INDEX_BITS) - 1);
    if (cursor == 0 || is_outdated(topology, epoch) || shard >= topology->nshards) {
        cursor = 0;
        shard = 0;
        epoch = (uint16_t)topology->owner_epoch;
    }
    struct scan *scan = mem_alloc(sizeof(*scan));
    struct request *part = request_take(router_pool(router));
    *scan = (struct scan){.router = router, .epoch = epoch, .part = part};
    request->work = scan;
    part->owner = request;
    part->done = on_scan_done;
    part->command = request->command;
    part->protocol = request->protocol;
    part->slot = SLOT_NONE;
    part->shard = shard;
    part->arrived_us = request->arrived_us;
    write_scan(&part->bytes, command, cursor & SHARD_CURSOR_MASK);
    router_dispatch(router, part, buffer_slice(&part->bytes));
}
