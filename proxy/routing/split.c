#include "proxy/routing/split.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "proxy/routing/reply_cursor.h"

/* Keys that go together. */
struct part {
    uint32_t id; /* shard index, or SLOT_BIT | slot while the slot is being moved */
    unsigned slot;
    unsigned count;
    unsigned first_key, last_key; /* a chain through split->next_key, in the order of the command */
    struct request *request;      /* given back when the whole is answered */
    struct slice rest;            /* merging: what of an MGET's part is not used yet */
};

#define SLOT_BIT 0x80000000u
#define FEW_KEYS 64u /* up to here the parts are searched one by one */

struct split {
    struct router *router;
    struct request *request; /* the client's */
    unsigned nparts, pending;
    struct part *parts;
    unsigned nkeys;
    unsigned *part_of;  /* [nkeys] */
    unsigned *next_key; /* [nkeys] */
};

static void split_free(struct split *split)
{
    for (unsigned i = 0; i < split->nparts; i++) {
        if (split->parts[i].request != NULL) {
            request_give(router_pool(split->router), split->parts[i].request);
        }
    }
    mem_free(split->parts);
    mem_free(split->part_of);
    mem_free(split->next_key);
    mem_free(split);
}

/* --- merging --------------------------------------------------------------------------------- */

static struct slice reply_of(const struct part *part)
{
    return buffer_slice(&part->request->reply);
}

static void merge_sum(const struct split *split, struct buffer *out)
{
    int64_t sum = 0, number = 0;
    for (unsigned i = 0; i < split->nparts; i++) {
        sum += reply_integer(reply_of(&split->parts[i]), &number) ? number : 0;
    }
    write_integer(out, sum);
}

static void merge_values(struct split *split, struct buffer *out)
{
    for (unsigned i = 0; i < split->nparts; i++) {
        struct part *part = &split->parts[i];
        if (reply_array(reply_of(part), &part->rest) != (int64_t)part->count) {
            write_error(out, "ERR a shard answered MGET with something else");
            return;
        }
    }
    write_array(out, split->nkeys);
    for (unsigned i = 0; i < split->nkeys; i++) {
        struct slice value;
        bool has_value = reply_next(&split->parts[split->part_of[i]].rest, &value);
        ASSERT(has_value); /* the framer has counted them */
        buffer_add(out, value.data, value.len);
    }
}

static bool begins_with(const struct part *part, struct slice word)
{
    return part->request->is_error && slice_starts_with(reply_of(part), word);
}

/* The first error, but a part of unknown outcome comes before all others. */
static const struct part *failed_part(const struct split *split)
{
    const struct part *failed = NULL;
    for (unsigned i = 0; i < split->nparts; i++) {
        const struct part *part = &split->parts[i];
        if (begins_with(part, SLICE("-UNKNOWN"))) {
            return part;
        }
        failed = failed == NULL && part->request->is_error ? part : failed;
    }
    return failed;
}

/* "-UNAVAILABLE" promises that nothing was executed: not true of a write whose other part was. */
static bool is_half_done(const struct split *split, const struct part *failed)
{
    bool is_any_done = false;
    for (unsigned i = 0; i < split->nparts; i++) {
        is_any_done = is_any_done || !split->parts[i].request->is_error;
    }
    return is_any_done && split->request->has_written_keys &&
           begins_with(failed, SLICE("-UNAVAILABLE"));
}

static void merge_error(const struct split *split, const struct part *failed, struct buffer *out)
{
    struct slice error = reply_of(failed);
    if (is_half_done(split, failed)) {
        counter_add(&router_counters(split->router)->errors_unknown, 1);
        write_error(out, "UNKNOWN a shard could not be reached: some keys of the command were "
                         "written, others not");
    } else {
        buffer_add(out, error.data, error.len);
    }
}

static void merge(struct split *split)
{
    struct request *request = split->request;
    struct buffer *out = request_answer(request);
    const struct part *failed = failed_part(split);
    if (failed != NULL) {
        request->is_error = true;
        merge_error(split, failed, out);
    } else if (request->command->handler == HANDLER_MGET) {
        merge_values(split, out);
    } else if (request->command->handler == HANDLER_MSET) {
        write_status(out, "OK");
    } else {
        merge_sum(split, out);
    }
    request->work = NULL;
    split_free(split);
    router_answer(request);
}

static void on_part_done(struct request *part)
{
    struct split *split = part->owner;
    ASSERT(split->pending > 0);
    split->pending--;
    if (split->pending == 0) {
        merge(split);
    }
}

/* --- cutting --------------------------------------------------------------------------------- */

static uint32_t id_of(const struct router *router, unsigned slot)
{
    const struct slot_entry *entry = snapshot_entry(router_snapshot(router), slot);
    return entry->migration != NULL ? SLOT_BIT | slot : entry->authority;
}

/* Where the parts are found while the command is cut. */
struct cutting {
    struct split *split;
    unsigned capacity;      /* of split->parts */
    unsigned *part_of_slot; /* for many keys: part + 1 by slot, 0: not known yet; else null */
};

static unsigned new_part(struct cutting *cutting, uint32_t id, unsigned slot)
{
    struct split *split = cutting->split;
    if (split->nparts == cutting->capacity) {
        cutting->capacity = cutting->capacity == 0 ? 4 : cutting->capacity * 2;
        split->parts = mem_realloc(split->parts, cutting->capacity * sizeof(*split->parts));
    }
    split->parts[split->nparts] = (struct part){.id = id, .slot = slot};
    return split->nparts++;
}

static unsigned search_part(struct cutting *cutting, unsigned slot)
{
    uint32_t id = id_of(cutting->split->router, slot);
    /* A slot that is moved has a part of its own: with a map, this is its first key. */
    bool is_new = cutting->part_of_slot != NULL && (id & SLOT_BIT) != 0;
    for (unsigned i = 0; !is_new && i < cutting->split->nparts; i++) {
        if (cutting->split->parts[i].id == id) {
            return i;
        }
    }
    return new_part(cutting, id, slot);
}

static unsigned find_part(struct cutting *cutting, unsigned slot)
{
    if (cutting->part_of_slot == NULL) {
        return search_part(cutting, slot);
    }
    if (cutting->part_of_slot[slot] == 0) {
        cutting->part_of_slot[slot] = search_part(cutting, slot) + 1;
    }
    return cutting->part_of_slot[slot] - 1;
}

static void add_key(struct split *split, unsigned key, unsigned part_index)
{
    struct part *part = &split->parts[part_index];
    split->part_of[key] = part_index;
    if (part->count == 0) {
        part->first_key = key;
    } else {
        split->next_key[part->last_key] = key;
    }
    part->last_key = key;
    part->count++;
}

static void cut(struct split *split, const struct command *command, unsigned step)
{
    unsigned nslots = router_snapshot(split->router)->slot_mask + 1;
    struct cutting cutting = {.split = split};
    split->nkeys = (command->argc - 1) / step;
    split->part_of = mem_alloc(split->nkeys * sizeof(*split->part_of));
    split->next_key = mem_alloc(split->nkeys * sizeof(*split->next_key));
    if (split->nkeys > FEW_KEYS) {
        cutting.part_of_slot = mem_zalloc(nslots * sizeof(*cutting.part_of_slot));
    }
    for (unsigned i = 0; i < split->nkeys; i++) {
        unsigned slot = slot_of_key(command->argv[1 + i * step], nslots);
        add_key(split, i, find_part(&cutting, slot));
    }
    mem_free(cutting.part_of_slot);
}

static void write_part(const struct split *split, unsigned index, const struct command *command,
                       unsigned step)
{
    const struct part *part = &split->parts[index];
    struct buffer *bytes = &part->request->bytes;
    write_array(bytes, 1 + (uint64_t)part->count * step);
    write_bulk(bytes, command->argv[0]);
    unsigned key = part->first_key;
    for (unsigned i = 0; i < part->count; i++) {
        for (unsigned j = 0; j < step; j++) {
            write_bulk(bytes, command->argv[1 + key * step + j]);
        }
        key = i + 1 < part->count ? split->next_key[key] : key;
    }
}

/* Keys of one slot stay together whatever happens. */
static uint64_t cut_epoch(const struct split *split, const struct part *part)
{
    bool is_one_slot = part->count == 1 || (part->id & SLOT_BIT) != 0;
    return is_one_slot ? 0 : router_snapshot(split->router)->topology->epoch;
}

static void prepare_part(struct split *split, unsigned index, const struct command *command,
                         unsigned step)
{
    struct request *part = request_take(router_pool(split->router));
    split->parts[index].request = part;
    part->owner = split;
    part->done = on_part_done;
    part->command = split->request->command;
    part->slot = split->parts[index].slot;
    part->cut_epoch = cut_epoch(split, &split->parts[index]);
    part->has_written_keys = split->request->has_written_keys;
    part->origin = split->request;
    part->protocol = split->request->protocol;
    part->arrived_us = split->request->arrived_us;
    write_part(split, index, command, step);
}

static void dispatch_parts(struct split *split)
{
    /* The last part to be answered frees the split, perhaps before this returns. */
    unsigned nparts = split->nparts;
    struct router *router = split->router;
    struct request **requests = mem_alloc(nparts * sizeof(struct request *));
    for (unsigned i = 0; i < nparts; i++) {
        requests[i] = split->parts[i].request;
    }
    for (unsigned i = 0; i < nparts; i++) {
        router_dispatch(router, requests[i], buffer_slice(&requests[i]->bytes));
    }
    mem_free(requests);
}

/* All keys with one shard: the command goes as it came. */
static void dispatch_whole(struct split *split, const struct command *command)
{
    struct router *router = split->router;
    struct request *request = split->request;
    request->slot = split->parts[0].slot;
    request->cut_epoch = cut_epoch(split, &split->parts[0]);
    split_free(split);
    router_dispatch(router, request, command->raw);
}

void split_dispatch(struct router *router, struct request *request, const struct command *command)
{
    unsigned step = request->command->handler == HANDLER_MSET ? 2 : 1;
    struct split *split = mem_zalloc(sizeof(*split));
    split->router = router;
    split->request = request;
    cut(split, command, step);
    if (split->nparts == 1 && !command->is_inline) {
        dispatch_whole(split, command);
        return;
    }
    request->work = split;
    split->pending = split->nparts;
    for (unsigned i = 0; i < split->nparts; i++) {
        prepare_part(split, i, command, step);
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
