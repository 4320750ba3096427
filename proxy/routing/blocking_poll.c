/* Waiting while the slot has a copy: nothing may wait on the shard there, since what it would take
 * would have no mark.
 *
 *   look   what do the keys hold, for which this waiter is the first? No mark is made by that
 *   try    the command as a unit, for one key that has something: in MULTI it does not wait
 *
 * XREAD takes nothing away and is simply asked again without BLOCK. */
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/routing/blocking_internal.h"
#include "proxy/routing/reply_cursor.h"

/* --- trying ----------------------------------------------------------------------------------- */

/* Of a unit: the command's own reply, or what was said instead of all of them. */
static struct slice reply_of(const struct request *attempt)
{
    struct slice reply = buffer_slice(&attempt->reply), elements = reply, element;
    bool is_unit = attempt->unit != NULL;
    return is_unit && reply_array(reply, &elements) == 1 && reply_next(&elements, &element)
               ? element
               : reply;
}

static void on_tried(struct request *attempt)
{
    struct blocking *blocking = attempt->owner;
    struct slice reply = reply_of(attempt);
    blocking_end_exchange(blocking);
    blocking->has_looked = true;
    if (blocking->request == NULL) {
        blocking_free(blocking);
    } else if (!reply_is_null(reply)) {
        blocking_answer(blocking, reply);
    } else {
        blocking_settle(blocking);
    }
    request_give(router_pool(attempt->sender), attempt);
}

static void try_key(struct blocking *blocking, unsigned key)
{
    struct request *attempt = blocking_take_exchange(blocking, BLOCKING_TRYING);
    bool is_unit = !blocking_only_reads(blocking) || !blocking->has_timeout;
    const struct wait_variant variant = {
        .key = key, .timeout_us = WAIT_FOR_EVER, .is_without_wait = !is_unit};
    attempt->done = on_tried;
    attempt->protocol = blocking->protocol;
    attempt->has_written_keys = blocking->has_written_keys;
    if (is_unit) {
        attempt->unit = unit_new(1, blocking->command);
    }
    wait_command_write(&blocking->form, blocking->argv, blocking->argc, &variant, &attempt->bytes);
    blocking->has_run = blocking->has_run || key == ALL_KEYS;
    router_dispatch(blocking->router, attempt, buffer_slice(&attempt->bytes));
}

void blocking_try(struct blocking *blocking)
{
    try_key(blocking, ALL_KEYS);
}

/* --- looking ---------------------------------------------------------------------------------- */

static bool is_first(const struct blocking *blocking, unsigned key)
{
    return waiter_is_first(&blocking->places[key]);
}

/* Whose turn it is not does not look: but once, before its first wait, for keys of a wrong type. */
static bool is_looked_at(const struct blocking *blocking, unsigned key)
{
    return is_first(blocking, key) || !blocking->has_run;
}

enum find {
    FIND_NOTHING,
    FIND_ELEMENT,
    FIND_ERROR /* which the command itself will say */
};

/* TYPE key */
static enum find find_type(struct slice *elements, struct slice wanted)
{
    struct slice value;
    if (!reply_next(elements, &value) || slice_equal(value, SLICE("+none\r\n"))) {
        return FIND_NOTHING;
    }
    return slice_equal(value, wanted) ? FIND_ELEMENT : FIND_ERROR;
}

/* Null bytes: XINFO GROUPS knows no such group. */
static struct slice last_delivered(struct slice groups, struct slice name)
{
    struct slice rest = groups, group, value, text;
    int64_t count = reply_array(groups, &rest);
    for (int64_t i = 0; i < count && reply_next(&rest, &group); i++) {
        if (reply_field(group, "name", &value) && reply_bulk(value, &text) &&
            slice_equal(text, name) && reply_field(group, "last-delivered-id", &value) &&
            reply_bulk(value, &text)) {
            return text;
        }
    }
    return (struct slice){NULL, 0};
}

/* The id of the one entry that XREVRANGE ... COUNT 1 gave; empty: the stream is. */
static struct slice last_entry(struct slice range)
{
    struct slice entries = range, entry, parts, id;
    bool has_entry = reply_array(range, &entries) == 1 && reply_next(&entries, &entry) &&
                     reply_array(entry, &parts) == 2 && reply_next(&parts, &entry) &&
                     reply_bulk(entry, &id);
    return has_entry ? id : (struct slice){NULL, 0};
}

struct stream_id {
    uint64_t ms, sequence;
};

static struct stream_id parse_id(struct slice text)
{
    struct stream_id id = {0, 0};
    const char *dash = text.len > 0 ? memchr(text.data, '-', text.len) : NULL;
    size_t length = dash != NULL ? (size_t)(dash - text.data) : text.len;
    struct slice sequence = {text.data + length + 1, dash != NULL ? text.len - length - 1 : 0};
    bool is_id = number_parse_u64((struct slice){text.data, length}, &id.ms) &&
                 number_parse_u64(sequence, &id.sequence);
    return is_id ? id : (struct stream_id){0, 0};
}

static bool is_earlier(struct slice left, struct slice right)
{
    struct stream_id a = parse_id(left), b = parse_id(right);
    return a.ms < b.ms || (a.ms == b.ms && a.sequence < b.sequence);
}

/* XINFO GROUPS key, XREVRANGE key + - COUNT 1 */
static enum find find_entry(struct slice *elements, struct slice group)
{
    struct slice groups, range;
    if (!reply_next(elements, &groups) || !reply_next(elements, &range) ||
        reply_error(range).len > 0 || reply_error(groups).len > 0) {
        return FIND_NOTHING;
    }
    struct slice delivered = last_delivered(groups, group);
    struct slice last = last_entry(range);
    if (delivered.data == NULL) {
        return FIND_ERROR;
    }
    return last.len > 0 && is_earlier(delivered, last) ? FIND_ELEMENT : FIND_NOTHING;
}

static enum find find_in(const struct blocking *blocking, struct slice *elements)
{
    switch (blocking->form.awaited) {
    case AWAITED_LIST:
        return find_type(elements, SLICE("+list\r\n"));
    case AWAITED_SORTED_SET:
        return find_type(elements, SLICE("+zset\r\n"));
    case AWAITED_GROUP:
        return find_entry(elements, blocking->argv[blocking->form.group]);
    case AWAITED_STREAM:
        break;
    }
    return FIND_NOTHING;
}

/* Which of its keys it is to try; ALL_KEYS: none. A wrong type is an error for who comes, and
 * nothing for who waits already. */
static unsigned choose_key(const struct blocking *blocking, struct slice elements)
{
    for (unsigned key = 0; key < blocking->form.nkeys; key++) {
        if (!is_looked_at(blocking, key)) {
            continue;
        }
        enum find found = find_in(blocking, &elements);
        bool says_error = !blocking->has_run || blocking->form.awaited == AWAITED_GROUP;
        if ((found == FIND_ELEMENT && is_first(blocking, key)) ||
            (found == FIND_ERROR && says_error)) {
            return key;
        }
    }
    return ALL_KEYS;
}

static void on_looked(struct request *look)
{
    struct blocking *blocking = look->owner;
    struct slice elements;
    blocking_end_exchange(blocking);
    bool has_all = reply_array(buffer_slice(&look->reply), &elements) == (int64_t)look->unit->count;
    unsigned key = has_all && blocking->request != NULL ? choose_key(blocking, elements) : ALL_KEYS;
    request_give(router_pool(look->sender), look);
    if (blocking->request == NULL) {
        blocking_free(blocking);
        return;
    }
    blocking->has_run = blocking->has_run || has_all;
    blocking->has_looked = blocking->has_looked || key == ALL_KEYS;
    /* In a hold it would wait to take something, perhaps for a client that has gone meanwhile. */
    if (key != ALL_KEYS && !snapshot_entry(blocking->router->snapshot, blocking->slot)->is_held) {
        try_key(blocking, key);
    } else {
        blocking_settle(blocking);
    }
}

static unsigned write_look(const struct blocking *blocking, struct slice key, struct buffer *out)
{
    const struct slice type[] = {SLICE("TYPE"), key};
    const struct slice groups[] = {SLICE("XINFO"), SLICE("GROUPS"), key};
    const struct slice last[] = {SLICE("XREVRANGE"), key,       SLICE("+"), SLICE("-"),
                                 SLICE("COUNT"),     SLICE("1")};
    if (blocking->form.awaited != AWAITED_GROUP) {
        write_command(out, type, 2);
        return 1;
    }
    write_command(out, groups, 3);
    write_command(out, last, 6);
    return 2;
}

static void look(struct blocking *blocking)
{
    struct buffer bytes;
    unsigned count = 0;
    buffer_init(&bytes, SIZE_MAX);
    for (unsigned key = 0; key < blocking->form.nkeys; key++) {
        if (is_looked_at(blocking, key)) {
            count += write_look(blocking, blocking->argv[blocking->form.first_key + key], &bytes);
        }
    }
    if (count > 0) {
        struct request *look = blocking_take_exchange(blocking, BLOCKING_LOOKING);
        look->done = on_looked;
        look->unit = unit_new(count, NULL);
        buffer_add(&look->bytes, buffer_slice(&bytes).data, buffer_length(&bytes));
        router_dispatch(blocking->router, look, buffer_slice(&look->bytes));
    }
    buffer_fini(&bytes);
}

bool blocking_is_first(const struct blocking *blocking)
{
    for (unsigned key = 0; blocking->places != NULL && key < blocking->form.nkeys; key++) {
        if (!is_first(blocking, key)) {
            return false;
        }
    }
    return true;
}

void blocking_poll(struct blocking *blocking)
{
    bool makes_consumer = blocking->form.awaited == AWAITED_GROUP && !blocking->has_run;
    if (blocking->places == NULL) {
        blocking_try(blocking);
    } else if (!makes_consumer) {
        look(blocking);
    } else if (blocking_is_first(blocking)) {
        blocking_try(blocking);
    }
}
