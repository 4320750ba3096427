#include "proxy/routing/split.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "proxy/routing/aggregate.h"
#include "proxy/routing/reply_cursor.h"
#include "proxy/routing/router_internal.h"

/* Keys that go together. */
struct part {
    uint32_t id; /* shard index, or SLOT_BIT | slot while the slot is being moved */
    unsigned slot;
    unsigned count;
    unsigned first_key, last_key; /* a chain through split->next_key, in the order of the command */
    struct request *request;      /* given back when the whole is answered */
    struct slice rest;            /* merging: what of the part's values is not used yet */
};

#define SLOT_BIT    0x80000000u
#define FEW_KEYS    64u /* up to here the parts are searched one by one */
#define KEPT_SPLITS 256u

struct key_place {
    unsigned part;
    unsigned next; /* key of the same part */
};

/* Recycled with its arrays, so that commands of a few keys allocate nothing. */
struct split {
    struct split *next; /* in router->splits */
    struct router *router;
    struct request *request; /* the client's */
    unsigned nparts, pending;
    struct part *parts;
    size_t parts_capacity;
    unsigned first,
        step; /* where the groups of a key and what belongs to it stand in the command */
    unsigned nkeys;
    struct key_place *keys;
    size_t keys_capacity;
    struct shard_answer *answers; /* when all parts are answered: of each */
    size_t answers_capacity;
};

static struct split *split_take(struct router *router)
{
    struct split *split = router->splits;
    if (split == NULL) {
        split = mem_zalloc(sizeof(*split));
    } else {
        router->splits = split->next;
        router->nsplits--;
    }
    split->router = router;
    split->nparts = 0;
    return split;
}

static void split_free(struct split *split)
{
    mem_free(split->parts);
    mem_free(split->keys);
    mem_free(split->answers);
    mem_free(split);
}

static void split_give(struct split *split)
{
    struct router *router = split->router;
    for (unsigned i = 0; i < split->nparts; i++) {
        if (split->parts[i].request != NULL) {
            request_give(router_pool(router), split->parts[i].request);
        }
    }
    if (split->keys_capacity > FEW_KEYS || router->nsplits >= KEPT_SPLITS) {
        split_free(split);
        return;
    }
    split->next = router->splits;
    router->splits = split;
    router->nsplits++;
}

void splits_fini(struct router *router)
{
    while (router->splits != NULL) {
        struct split *split = router->splits;
        router->splits = split->next;
        split_free(split);
    }
}

/* --- merging --------------------------------------------------------------------------------- */

static struct slice reply_of(const struct part *part)
{
    return buffer_slice(&part->request->reply);
}

static void merge_values(struct split *split, struct buffer *out)
{
    for (unsigned i = 0; i < split->nparts; i++) {
        struct part *part = &split->parts[i];
        if (reply_array(reply_of(part), &part->rest) != (int64_t)part->count) {
            write_error(out, "ERR a shard answered with something else than one value a key");
            return;
        }
    }
    write_array(out, split->nkeys);
    for (unsigned i = 0; i < split->nkeys; i++) {
        struct slice value;
        bool has_value = reply_next(&split->parts[split->keys[i].part].rest, &value);
        ASSERT(has_value); /* the framer has counted them */
        buffer_add(out, value.data, value.len);
    }
}

static void collect_answers(struct split *split)
{
    if (split->nparts > split->answers_capacity) {
        split->answers_capacity = split->parts_capacity;
        split->answers =
            mem_realloc(split->answers, split->answers_capacity * sizeof(*split->answers));
    }
    for (unsigned i = 0; i < split->nparts; i++) {
        const struct part *part = &split->parts[i];
        split->answers[i] = (struct shard_answer){reply_of(part), part->request->is_error};
    }
}

static void merge(struct split *split)
{
    struct request *request = split->request;
    struct buffer *out = request_answer(request);
    enum response_policy policy = request->command->response_policy;
    collect_answers(split);
    const struct shard_answer *failure = aggregate_failure(policy, split->answers, split->nparts);
    if (failure != NULL) {
        request->is_error = true;
        bool is_half_done =
            aggregate_error(failure, split->answers, split->nparts, request->has_written_keys, out);
        counter_add(&router_counters(split->router)->errors_unknown, is_half_done ? 1 : 0);
    } else if (policy == RESPONSE_DEFAULT) {
        merge_values(split, out);
    } else {
        aggregate(policy, split->answers, split->nparts, out);
    }
    request->work = NULL;
    split_give(split);
    router_answer(request);
}

static void end_one(struct split *split)
{
    ASSERT(split->pending > 0);
    split->pending--;
    if (split->pending == 0) {
        merge(split);
    }
}

static void on_part_done(struct request *part)
{
    end_one(part->owner);
}

/* --- cutting --------------------------------------------------------------------------------- */

static uint32_t id_of(const struct router *router, unsigned slot)
{
    const struct slot_entry *entry = snapshot_entry(router_snapshot(router), slot);
    return entry->migration != NULL ? SLOT_BIT | slot : entry->authority;
}

/* Part + 1 of each slot, 0: not known yet; null where there are few keys. */
typedef unsigned *slot_map;

static unsigned new_part(struct split *split, uint32_t id, unsigned slot)
{
    MEM_GROW(split->parts, split->nparts, split->parts_capacity);
    split->parts[split->nparts] = (struct part){.id = id, .slot = slot};
    return split->nparts++;
}

static unsigned search_part(struct split *split, slot_map map, unsigned slot)
{
    uint32_t id = id_of(split->router, slot);
    /* A slot that is moved has a part of its own: with a map, this is its first key. */
    bool is_new = map != NULL && (id & SLOT_BIT) != 0;
    for (unsigned i = 0; !is_new && i < split->nparts; i++) {
        if (split->parts[i].id == id) {
            return i;
        }
    }
    return new_part(split, id, slot);
}

static unsigned find_part(struct split *split, slot_map map, unsigned slot)
{
    if (map == NULL) {
        return search_part(split, NULL, slot);
    }
    if (map[slot] == 0) {
        map[slot] = search_part(split, map, slot) + 1;
    }
    return map[slot] - 1;
}

static void add_key(struct split *split, unsigned key, unsigned part_index)
{
    struct part *part = &split->parts[part_index];
    split->keys[key].part = part_index;
    if (part->count == 0) {
        part->first_key = key;
    } else {
        split->keys[part->last_key].next = key;
    }
    part->last_key = key;
    part->count++;
}

static void cut(struct split *split, const struct command *command)
{
    unsigned nslots = router_snapshot(split->router)->slot_mask + 1;
    slot_map map = split->nkeys > FEW_KEYS ? mem_zalloc(nslots * sizeof(*map)) : NULL;
    if (split->nkeys > split->keys_capacity) {
        split->keys_capacity = split->nkeys > FEW_KEYS ? split->nkeys : FEW_KEYS;
        split->keys = mem_realloc(split->keys, split->keys_capacity * sizeof(*split->keys));
    }
    for (unsigned i = 0; i < split->nkeys; i++) {
        unsigned slot = slot_of_key(command->argv[split->first + i * split->step], nslots);
        add_key(split, i, find_part(split, map, slot));
    }
    mem_free(map);
}

/* As they came, but for the first, and those of an inline command. */
static void write_words(struct buffer *out, const struct command *command, unsigned from,
                        unsigned end)
{
    if (from > 0 && from < end && !command->is_inline) {
        const struct slice *before = &command->argv[from - 1], *last = &command->argv[end - 1];
        const char *begin = before->data + before->len + 2; /* CRLF */
        buffer_add(out, begin, (size_t)(last->data - begin) + last->len + 2);
        return;
    }
    for (unsigned i = from; i < end; i++) {
        write_bulk(out, command->argv[i]);
    }
}

/* What stands before the keys and behind them goes with every part. */
static void write_part(const struct split *split, unsigned index, const struct command *command)
{
    const struct part *part = &split->parts[index];
    struct buffer *bytes = &part->request->bytes;
    unsigned end = split->first + split->nkeys * split->step;
    write_array(bytes, split->first + (uint64_t)part->count * split->step + (command->argc - end));
    write_words(bytes, command, 0, split->first);
    unsigned key = part->first_key;
    for (unsigned i = 0; i < part->count; i++) {
        unsigned from = split->first + key * split->step;
        write_words(bytes, command, from, from + split->step);
        key = i + 1 < part->count ? split->keys[key].next : key;
    }
    write_words(bytes, command, end, command->argc);
}

/* Keys of one slot stay together whatever happens. */
static uint64_t cut_epoch(const struct split *split, const struct part *part)
{
    bool is_one_slot = part->count == 1 || (part->id & SLOT_BIT) != 0;
    return is_one_slot ? 0 : router_snapshot(split->router)->topology->epoch;
}

static void prepare_part(struct split *split, unsigned index, const struct command *command)
{
    struct request *part = request_take(router_pool(split->router));
    split->parts[index].request = part;
    part->owner = split;
    part->done = on_part_done;
    part->command = split->request->command;
    part->slot = split->parts[index].slot;
    part->cut_epoch = cut_epoch(split, &split->parts[index]);
    part->has_written_keys = split->request->has_written_keys;
    part->may_lag = split->request->may_lag;
    part->origin = split->request;
    part->protocol = split->request->protocol;
    part->arrived_us = split->request->arrived_us;
    write_part(split, index, command);
}

/* The last part to be answered gives the split away, perhaps at once: so it waits for one more. */
static void dispatch_parts(struct split *split)
{
    split->pending = split->nparts + 1;
    for (unsigned i = 0; i < split->nparts; i++) {
        struct request *part = split->parts[i].request;
        router_dispatch(split->router, part, buffer_slice(&part->bytes));
    }
    end_one(split);
}

/* All keys with one shard: the command goes as it came. */
static void dispatch_whole(struct split *split, const struct command *command)
{
    struct router *router = split->router;
    struct request *request = split->request;
    request->slot = split->parts[0].slot;
    request->cut_epoch = cut_epoch(split, &split->parts[0]);
    split_give(split);
    router_dispatch(router, request, command->raw);
}

unsigned split_groups(const struct command_info *info, unsigned argc)
{
    const struct key_spec *spec = info->specs;
    unsigned first = (unsigned)spec->index, step = (unsigned)spec->step;
    unsigned behind = (unsigned)(-1 - spec->last); /* words after the last group */
    if (argc < first + step + behind || (argc - first - behind) % step != 0) {
        return 0;
    }
    return (argc - first - behind) / step;
}

void split_dispatch(struct router *router, struct request *request, const struct command *command)
{
    struct split *split = split_take(router);
    split->request = request;
    split->first = (unsigned)request->command->specs[0].index;
    split->step = (unsigned)request->command->specs[0].step;
    split->nkeys = split_groups(request->command, command->argc);
    cut(split, command);
    if (split->nparts == 1 && !command->is_inline) {
        dispatch_whole(split, command);
        return;
    }
    request->work = split;
    for (unsigned i = 0; i < split->nparts; i++) {
        prepare_part(split, i, command);
    }
    dispatch_parts(split);
}

void split_again(struct router *router, struct request *request)
{
    struct command_parser parser;
    struct command command;
    struct slice bytes = buffer_slice(&request->bytes);
    command_parser_init(&parser, UINT64_MAX);
    enum parse_status status = command_parse(&parser, bytes.data, bytes.len, &command);
    ASSERT(status == PARSE_OK);
    split_dispatch(router, request, &command);
    command_parser_fini(&parser);
}
