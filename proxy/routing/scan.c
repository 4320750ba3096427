#include "proxy/routing/scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/routing/reply_cursor.h"
#include "proxy/routing/visible.h"

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
    count = add_visible_keys(snapshot, scan->part->shard, elements, &keys);
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

/* What Redis takes for a cursor: as strtoul reads it, but for space in front; so "", "+1" and "-1",
 * which are none of ours and begin a scan anew. */
static bool parse_cursor(struct slice text, uint64_t *cursor)
{
    char digits[32], *end;
    if (text.len >= sizeof(digits) || (text.len > 0 && isspace((unsigned char)text.data[0]))) {
        return false;
    }
    memcpy(digits, text.data, text.len);
    digits[text.len] = '\0';
    errno = 0;
    *cursor = strtoul(digits, &end, 10);
    return *end == '\0' && errno != ERANGE;
}

void scan_dispatch(struct router *router, struct request *request, const struct command *command)
{
    const struct topology *topology = router_snapshot(router)->topology;
    uint64_t cursor;
    if (!parse_cursor(command->argv[1], &cursor)) {
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
