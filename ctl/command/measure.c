#include "ctl/command/measure.h"

#include <ctype.h>

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/shard/metadata.h"

#define SCAN_COUNT "1000"

struct walk {
    struct shard_link *link;
    struct measure *measures;
    unsigned count;
    uint64_t large_key_bytes;
    uint64_t stride; /* every stride-th key that counts is sized */
    uint64_t matched;
    uint64_t walked;
    unsigned nslots;
};

/* Which measure the key belongs to; null when to none. */
static struct measure *measure_of(const struct walk *walk, struct slice key)
{
    if (metadata_is_name(key)) {
        return NULL;
    }
    unsigned slot = slot_of_key(key, walk->nslots);
    for (unsigned i = 0; i < walk->count; i++) {
        if (slot_set_has(walk->measures[i].slots, slot)) {
            return &walk->measures[i];
        }
    }
    return NULL;
}

static void note_large(struct measure *measure, struct slice key, uint64_t bytes)
{
    if (measure->nlarge < MEASURE_LARGE_MAX) {
        struct large_key *large = &measure->large[measure->nlarge];
        size_t length = key.len < MEASURE_NAME_MAX ? key.len : MEASURE_NAME_MAX;
        for (size_t i = 0; i < length; i++) {
            large->name[i] = isprint((unsigned char)key.data[i]) ? key.data[i] : '?';
        }
        large->name[length] = '\0';
        large->bytes = bytes;
    }
    measure->nlarge++;
}

/* The keys of one SCAN reply that are to be sized, and where their sizes go. */
struct sizing {
    struct slice key;
    struct measure *measure;
};

static bool take_sizes(struct walk *walk, const struct sizing *sizings, unsigned count,
                       struct error *err)
{
    for (unsigned i = 0; i < count; i++) {
        struct shard_reply *reply = shard_take(walk->link, err);
        if (reply == NULL) {
            return false;
        }
        /* Nil: the key is gone meanwhile. */
        int64_t bytes = shard_reply_integer(reply);
        shard_reply_free(reply);
        if (bytes > 0) {
            sizings[i].measure->sized++;
            sizings[i].measure->sized_bytes += (uint64_t)bytes;
            if ((uint64_t)bytes > walk->large_key_bytes) {
                note_large(sizings[i].measure, sizings[i].key, (uint64_t)bytes);
            }
        }
    }
    return true;
}

static bool walk_keys(struct walk *walk, const struct shard_reply *keys, struct error *err)
{
    size_t total = shard_reply_count(keys);
    struct sizing *sizings = mem_alloc((total + 1) * sizeof(*sizings));
    unsigned count = 0;
    for (size_t i = 0; i < total; i++) {
        struct slice key = shard_reply_text(shard_reply_at(keys, i));
        struct measure *measure = measure_of(walk, key);
        walk->walked += metadata_is_name(key) ? 0 : 1;
        if (measure == NULL) {
            continue;
        }
        measure->keys++;
        if (walk->matched++ % walk->stride == 0) {
            const struct slice argv[] = {SLICE("MEMORY"), SLICE("USAGE"), key};
            shard_append(walk->link, argv, 3);
            sizings[count++] = (struct sizing){key, measure};
        }
    }
    bool ok = take_sizes(walk, sizings, count, err);
    mem_free(sizings);
    return ok;
}

/* One SCAN; *cursor moves on. */
static bool walk_step(struct walk *walk, uint64_t *cursor, struct error *err)
{
    struct shard_reply *reply =
        shard_commandf(walk->link, err, "SCAN %llu COUNT " SCAN_COUNT, (unsigned long long)*cursor);
    if (reply == NULL) {
        return false;
    }
    bool ok = shard_reply_count(reply) == 2 &&
              number_parse_u64(shard_reply_text(shard_reply_at(reply, 0)), cursor);
    if (!ok) {
        (void)error_set(err, "%s: SCAN gave an answer that makes no sense",
                        shard_address(walk->link));
    }
    ok = ok && walk_keys(walk, shard_reply_at(reply, 1), err);
    shard_reply_free(reply);
    return ok;
}

static uint64_t scaled(uint64_t part, uint64_t whole, uint64_t sample)
{
    return sample == 0 ? 0 : (uint64_t)((double)part * (double)whole / (double)sample);
}

static void finish(const struct walk *walk, bool is_exact, uint64_t expected)
{
    for (unsigned i = 0; i < walk->count; i++) {
        struct measure *measure = &walk->measures[i];
        measure->is_exact = is_exact;
        if (!is_exact) {
            measure->keys = scaled(measure->keys, expected, walk->walked);
        }
        measure->bytes = scaled(measure->sized_bytes, measure->keys, measure->sized);
    }
}

bool measure_shard(struct shard_link *link, uint64_t expected, uint64_t large_key_bytes,
                   struct measure *measures, unsigned count, struct error *err)
{
    if (count == 0) {
        return true;
    }
    struct walk walk = {.link = link,
                        .measures = measures,
                        .count = count,
                        .large_key_bytes = large_key_bytes,
                        .nslots = measures[0].slots->nslots};
    uint64_t limit = expected < MEASURE_EXACT_KEYS ? UINT64_MAX : MEASURE_SAMPLE_KEYS;
    uint64_t walking = limit == UINT64_MAX ? expected : limit;
    walk.stride = walking / MEASURE_SIZES + 1;
    uint64_t cursor = 0;
    do {
        if (!walk_step(&walk, &cursor, err)) {
            return false;
        }
    } while (cursor != 0 && walk.walked < limit);
    finish(&walk, cursor == 0, expected);
    return true;
}
