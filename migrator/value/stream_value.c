/* nodes, each a first id and a listpack (stream_node.c); the number of entries; the last id; from
 * Redis 7 on the first id, the largest deleted id and the entries ever added; the groups.
 *
 * Left out of the digest, because clients cannot see it or it follows from the rest: deleted
 * entries that still lie in a node, the borders of nodes, the first id (it is that of the first
 * entry; an empty stream has one of two, by how it became empty).
 * Kept, because XINFO shows it and RESTORE carries it over: when a consumer was last seen. */
#include "migrator/value/stream_value.h"

#include "migrator/value/listpack.h"
#include "migrator/value/stream_node.h"

enum purpose {
    PURPOSE_COUNTERS = 0x73747201,
    PURPOSE_GROUP,
    PURPOSE_PENDING,
    PURPOSE_CONSUMER,
    PURPOSE_OWNED
};

#define ID_BYTES       16
#define ENTRIES_UNREAD UINT64_MAX /* what Redis 7 writes for "not known" */

static bool read_node(struct dump_reader *reader, struct value_fold *fold)
{
    struct element text;
    struct stream_id first;
    if (!dump_read_text(reader, &text)) {
        return false;
    }
    if (text.is_integer || text.text.len != ID_BYTES) {
        return dump_fail(reader, "a stream node has no id");
    }
    first = stream_id_at((const unsigned char *)text.text.data);
    struct element_source source;
    if (!dump_read_text(reader, &text)) {
        return false;
    }
    if (text.is_integer || !listpack_open(&source, text.text) ||
        !stream_node_fold(&source, first, fold)) {
        return dump_fail(reader, "a stream node is damaged");
    }
    return true;
}

static bool read_nodes(struct dump_reader *reader, struct value_fold *fold)
{
    uint64_t nodes;
    if (!dump_read_count(reader, ID_BYTES + 1, &nodes)) {
        return false;
    }
    for (; nodes > 0; nodes--) {
        if (!read_node(reader, fold)) {
            return false;
        }
    }
    uint64_t entries;
    if (!dump_read_length(reader, &entries)) {
        return false;
    }
    return entries == fold->elements || dump_fail(reader, "a stream has not the entries it claims");
}

static bool read_lengths(struct dump_reader *reader, uint64_t *numbers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!dump_read_length(reader, &numbers[i])) {
            return false;
        }
    }
    return true;
}

/* Bound to the sum: last id, largest deleted id, entries ever added. */
static bool read_counters(struct dump_reader *reader, enum stream_format format,
                          struct value_fold *fold)
{
    uint64_t counters[5] = {0, 0, 0, 0, fold->elements};
    uint64_t first_id[2];
    if (!read_lengths(reader, counters, 2)) {
        return false;
    }
    if (format != STREAM_FORMAT_5 &&
        (!read_lengths(reader, first_id, 2) || !read_lengths(reader, counters + 2, 3))) {
        return false;
    }
    fold->sum = digest_pair(fold->sum, digest_numbers(PURPOSE_COUNTERS, counters, 5));
    return true;
}

/* Ids that wait for an acknowledgement: with delivery time and count in a group, bare in a
 * consumer. */
static bool read_pending(struct dump_reader *reader, enum purpose purpose, struct value_digest *sum)
{
    bool is_group = purpose == PURPOSE_PENDING;
    uint64_t count;
    if (!dump_read_count(reader, is_group ? ID_BYTES + 9 : ID_BYTES, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        struct slice raw;
        uint64_t numbers[4] = {0};
        if (!dump_read_bytes(reader, ID_BYTES, &raw) ||
            (is_group &&
             (!dump_read_fixed(reader, &numbers[2]) || !dump_read_length(reader, &numbers[3])))) {
            return false;
        }
        struct stream_id id = stream_id_at((const unsigned char *)raw.data);
        numbers[0] = id.ms;
        numbers[1] = id.sequence;
        struct value_digest one = digest_numbers(purpose, numbers, 4);
        value_digest_add(sum, &one);
    }
    return true;
}

static bool read_name(struct dump_reader *reader, struct value_digest *name)
{
    struct element text;
    if (!dump_read_text(reader, &text)) {
        return false;
    }
    *name = digest_text(element_text(&text));
    return true;
}

/* Before 7.2 a consumer has one time, and RESTORE into 7.2 takes it for both. */
static bool read_consumer(struct dump_reader *reader, enum stream_format format,
                          struct value_digest *sum)
{
    struct value_digest name;
    struct value_digest owned = {0};
    uint64_t seen_ms;
    if (!read_name(reader, &name) || !dump_read_fixed(reader, &seen_ms)) {
        return false;
    }
    uint64_t active_ms = seen_ms;
    if (format == STREAM_FORMAT_7_2 && !dump_read_fixed(reader, &active_ms)) {
        return false;
    }
    if (!read_pending(reader, PURPOSE_OWNED, &owned)) {
        return false;
    }
    const uint64_t numbers[] = {name.low, name.high, seen_ms, active_ms, owned.low, owned.high};
    struct value_digest one = digest_numbers(PURPOSE_CONSUMER, numbers, 6);
    value_digest_add(sum, &one);
    return true;
}

static bool read_consumers(struct dump_reader *reader, enum stream_format format,
                           struct value_digest *sum)
{
    uint64_t count;
    if (!dump_read_count(reader, 1 + sizeof(uint64_t) + 1, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        if (!read_consumer(reader, format, sum)) {
            return false;
        }
    }
    return true;
}

/* Redis 5's format does not know how many entries a group has read. */
static bool read_group(struct dump_reader *reader, enum stream_format format,
                       struct value_digest *sum)
{
    struct value_digest name;
    struct value_digest pending = {0};
    struct value_digest consumers = {0};
    uint64_t position[3] = {0, 0, ENTRIES_UNREAD}; /* last delivered id, entries read */
    if (!read_name(reader, &name) ||
        !read_lengths(reader, position, format == STREAM_FORMAT_5 ? 2 : 3) ||
        !read_pending(reader, PURPOSE_PENDING, &pending) ||
        !read_consumers(reader, format, &consumers)) {
        return false;
    }
    const uint64_t numbers[] = {name.low, name.high, position[0], position[1], position[2]};
    struct value_digest one = digest_numbers(PURPOSE_GROUP, numbers, 5);
    one = digest_pair(digest_pair(one, pending), consumers);
    value_digest_add(sum, &one);
    return true;
}

static bool read_groups(struct dump_reader *reader, enum stream_format format,
                        struct value_fold *fold)
{
    struct value_digest groups = {0};
    uint64_t count;
    if (!dump_read_count(reader, 1, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        if (!read_group(reader, format, &groups)) {
            return false;
        }
    }
    fold->sum = digest_pair(fold->sum, groups);
    return true;
}

bool stream_value_read(struct dump_reader *reader, enum stream_format format,
                       struct value_fold *fold)
{
    return read_nodes(reader, fold) && read_counters(reader, format, fold) &&
           read_groups(reader, format, fold);
}
