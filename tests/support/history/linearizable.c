#include "tests/support/history/linearizable.h"

#include <stdbool.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "tests/support/history/model.h"

#define SHOWN_BEFORE 12

/* A set of 128-bit fingerprints; a collision would need some 2^64 configurations. */
struct seen {
    XXH128_hash_t *table;
    size_t count, capacity; /* capacity is a power of two */
};

struct states {
    char **text;
    size_t count, capacity;
};

struct step {
    size_t operation;
    size_t state_before;
};

struct search {
    struct operation *all; /* known ones first, each part sorted by called_us */
    size_t count, nknown;
    bool *is_put;
    XXH128_hash_t *mark; /* of an operation; those that are put are xor-ed together */
    XXH128_hash_t put;
    size_t first; /* the first known one that is not put */
    size_t known_left;
    struct states states;
    size_t state;
    struct seen seen;
    struct step *path;
    size_t depth;
    struct step *best;
    size_t best_depth, best_state;
    struct buffer next, result;
};

/* --- sets ------------------------------------------------------------------------------------ */

static bool is_zero(XXH128_hash_t hash)
{
    return hash.low64 == 0 && hash.high64 == 0;
}

static bool seen_place(struct seen *seen, XXH128_hash_t hash)
{
    size_t at = (size_t)hash.low64 & (seen->capacity - 1);
    while (!is_zero(seen->table[at])) {
        if (XXH128_isEqual(seen->table[at], hash)) {
            return false;
        }
        at = (at + 1) & (seen->capacity - 1);
    }
    seen->table[at] = hash;
    return true;
}

static void seen_grow(struct seen *seen)
{
    struct seen larger = {.capacity = seen->capacity > 0 ? seen->capacity * 2 : 1024};
    larger.table = mem_zalloc(larger.capacity * sizeof(*larger.table));
    for (size_t i = 0; i < seen->capacity; i++) {
        if (!is_zero(seen->table[i])) {
            (void)seen_place(&larger, seen->table[i]);
        }
    }
    larger.count = seen->count;
    mem_free(seen->table);
    *seen = larger;
}

/* False when it was there. */
static bool seen_add(struct seen *seen, XXH128_hash_t hash)
{
    if (seen->count * 2 >= seen->capacity) {
        seen_grow(seen);
    }
    bool is_new = seen_place(seen, hash);
    seen->count += is_new;
    return is_new;
}

/* Few states differ among the newest, so they are looked for from the end. */
static size_t intern(struct states *states, const char *text)
{
    for (size_t i = states->count; i > 0; i--) {
        if (strcmp(states->text[i - 1], text) == 0) {
            return i - 1;
        }
    }
    MEM_GROW(states->text, states->count, states->capacity);
    states->text[states->count] = mem_strdup(text);
    return states->count++;
}

/* --- the search ------------------------------------------------------------------------------ */

static int by_call(const void *left, const void *right)
{
    const struct operation *a = left, *b = right;
    bool a_is_unknown = a->result == NULL, b_is_unknown = b->result == NULL;
    if (a_is_unknown != b_is_unknown) {
        return a_is_unknown - b_is_unknown;
    }
    return (a->called_us > b->called_us) - (a->called_us < b->called_us);
}

/* Nothing called later than this may be put next. */
static uint64_t first_return(const struct search *search)
{
    uint64_t earliest = UINT64_MAX;
    for (size_t i = search->first; i < search->nknown; i++) {
        const struct operation *operation = &search->all[i];
        if (operation->called_us > earliest) {
            break;
        }
        if (!search->is_put[i] && operation->returned_us < earliest) {
            earliest = operation->returned_us;
        }
    }
    return earliest;
}

static void toggle(struct search *search, size_t i)
{
    search->is_put[i] = !search->is_put[i];
    search->put.low64 ^= search->mark[i].low64;
    search->put.high64 ^= search->mark[i].high64;
    if (i >= search->nknown) {
        return;
    }
    search->known_left += search->is_put[i] ? -1 : 1;
    if (i < search->first) {
        search->first = i;
    }
    while (search->first < search->nknown && search->is_put[search->first]) {
        search->first++;
    }
}

static bool is_new_configuration(struct search *search)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(&search->put, sizeof(search->put), search->state);
    return seen_add(&search->seen, hash);
}

static void note_best(struct search *search)
{
    if (search->depth >= search->best_depth) {
        memcpy(search->best, search->path, search->depth * sizeof(*search->path));
        search->best_depth = search->depth;
        search->best_state = search->state;
    }
}

/* Puts it next if the model allows that and nobody was here before. */
static bool put(struct search *search, size_t i)
{
    const struct operation *operation = &search->all[i];
    size_t before = search->state;
    bool is_known =
        model_step(search->states.text[before], operation->command, &search->next, &search->result);
    ASSERT(is_known);
    const char *result = buffer_slice(&search->result).data;
    if (operation->result != NULL && strcmp(operation->result, result) != 0) {
        return false;
    }
    search->state = intern(&search->states, buffer_slice(&search->next).data);
    if (operation->result == NULL && search->state == before) {
        search->state = before;
        return false; /* without an effect: as if it never happened */
    }
    toggle(search, i);
    if (!is_new_configuration(search)) {
        toggle(search, i);
        search->state = before;
        return false;
    }
    search->path[search->depth++] = (struct step){i, before};
    note_best(search);
    return true;
}

/* Puts the first that can be put at or behind position `from`. */
static bool put_some(struct search *search, size_t from)
{
    uint64_t limit = first_return(search);
    size_t i = from > search->first ? from : search->first;
    for (; i < search->nknown && search->all[i].called_us <= limit; i++) {
        if (!search->is_put[i] && put(search, i)) {
            return true;
        }
    }
    i = from > search->nknown ? from : search->nknown;
    for (; i < search->count && search->all[i].called_us <= limit; i++) {
        if (!search->is_put[i] && put(search, i)) {
            return true;
        }
    }
    return false;
}

static size_t take_back(struct search *search)
{
    struct step step = search->path[--search->depth];
    toggle(search, step.operation);
    search->state = step.state_before;
    return step.operation;
}

static enum verdict run(struct search *search, uint64_t steps_max)
{
    size_t from = 0;
    for (uint64_t steps = 0; search->known_left > 0; steps++) {
        if (steps > steps_max) {
            return VERDICT_UNDECIDED;
        }
        if (put_some(search, from)) {
            from = 0;
        } else if (search->depth == 0) {
            return VERDICT_BROKEN;
        } else {
            from = take_back(search) + 1;
        }
    }
    return VERDICT_LINEARIZABLE;
}

/* --- the report ------------------------------------------------------------------------------- */

static void describe(struct buffer *why, const char *mark, const struct operation *operation)
{
    const char *result = operation->result != NULL ? operation->result : "?";
    uint64_t returned_us = operation->result != NULL ? operation->returned_us : 0;
    buffer_printf(why, "  %s client %u %llu..%llu us: %.60s -> %.120s\n", mark, operation->client,
                  (unsigned long long)operation->called_us, (unsigned long long)returned_us,
                  operation->command, result);
}

static void explain(struct search *search, struct buffer *why)
{
    size_t from = search->best_depth > SHOWN_BEFORE ? search->best_depth - SHOWN_BEFORE : 0;
    buffer_printf(why, "the longest order that fits has %zu of %zu operations; its end:\n",
                  search->best_depth, search->count);
    for (size_t i = 0; i < search->best_depth; i++) {
        toggle(search, search->best[i].operation);
        if (i >= from) {
            describe(why, " ", &search->all[search->best[i].operation]);
        }
    }
    buffer_printf(why, "  then the key is \"%.400s\", and none of these can follow:\n",
                  search->states.text[search->best_state]);
    uint64_t limit = first_return(search);
    for (size_t i = 0; i < search->count; i++) {
        if (!search->is_put[i] && search->all[i].called_us <= limit) {
            describe(why, "!", &search->all[i]);
        }
    }
}

static void prepare(struct search *search, struct operation *operations, size_t count)
{
    qsort(operations, count, sizeof(*operations), by_call);
    search->all = operations;
    search->count = count;
    while (search->nknown < count && operations[search->nknown].result != NULL) {
        search->nknown++;
    }
    search->known_left = search->nknown;
    search->is_put = mem_zalloc(count * sizeof(*search->is_put) + 1);
    search->mark = mem_zalloc(count * sizeof(*search->mark) + 1);
    search->path = mem_zalloc(count * sizeof(*search->path) + 1);
    search->best = mem_zalloc(count * sizeof(*search->best) + 1);
    for (size_t i = 0; i < count; i++) {
        search->mark[i] = XXH3_128bits(&i, sizeof(i));
    }
    buffer_init(&search->next, SIZE_MAX);
    buffer_init(&search->result, SIZE_MAX);
    search->state = intern(&search->states, "");
}

static void end(struct search *search)
{
    for (size_t i = 0; i < search->states.count; i++) {
        mem_free(search->states.text[i]);
    }
    mem_free(search->states.text);
    mem_free(search->seen.table);
    mem_free(search->is_put);
    mem_free(search->mark);
    mem_free(search->path);
    mem_free(search->best);
    buffer_fini(&search->next);
    buffer_fini(&search->result);
}

enum verdict linearizable_check(struct operation *operations, size_t count, uint64_t steps_max,
                                struct buffer *why)
{
    struct search search = {.count = 0};
    prepare(&search, operations, count);
    enum verdict verdict = run(&search, steps_max);
    if (verdict != VERDICT_LINEARIZABLE && why != NULL) {
        while (search.depth > 0) {
            (void)take_back(&search);
        }
        explain(&search, why);
    }
    end(&search);
    return verdict;
}
