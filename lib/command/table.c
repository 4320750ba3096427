/* A table: commands by id, and by name through a hash with open addressing.
 *
 * It is made in three steps: rows (of table.def, or learnt) are merged over the rows of the
 * built-in table; each row gets our decisions; ids are given out and names hashed. */
#include <pthread.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/command/command.h"
#include "lib/command/table_internal.h"

#define ID_NONE   UINT32_MAX
#define NAME_SIZE sizeof(((struct command_info *)NULL)->name)

struct name_slot {
    uint64_t word;                   /* see word_of_name */
    const struct command_info *info; /* null: free */
    uint32_t length;
    bool is_word_enough; /* no other text of this length has this word, but for the case; and it has
                            no subcommands */
};

struct command_table {
    struct arena arena;
    struct command_info *rows; /* commands, not their subcommands */
    unsigned nrows;
    const struct command_info **by_id; /* both */
    unsigned count;
    struct name_slot *slots;
    unsigned mask;
};

/* table.def is a list of these. Specs and subcommands are compound literals: static, at file scope.
 */
#define COMMAND(name_, arity_, flags_, categories_, ...)                                \
    {                                                                                   \
        .name = name_, .arity = (arity_), .flags = (flags_), .categories = categories_, \
        __VA_ARGS__                                                                     \
    }
#define IN(category_) (UINT32_C(1) << CATEGORY_##category_)
#define NO_KEYS       .nspecs = 0
#define POLICY(request_, response_) \
    .request_policy = REQUEST_##request_, .response_policy = RESPONSE_##response_
#define KEYS(...)                                    \
    .specs = (const struct key_spec[]){__VA_ARGS__}, \
    .nspecs = sizeof((const struct key_spec[]){__VA_ARGS__}) / sizeof(struct key_spec)
#define SUBCOMMANDS(...)                                       \
    .subcommands = (const struct command_info[]){__VA_ARGS__}, \
    .nsubcommands =                                            \
        sizeof((const struct command_info[]){__VA_ARGS__}) / sizeof(struct command_info)
#define AT(index_, ...)                                          \
    {                                                            \
        .begin = KEY_BEGIN_INDEX, .index = (index_), __VA_ARGS__ \
    }
#define BEHIND(keyword_, from_, ...)                                                   \
    {                                                                                  \
        .begin = KEY_BEGIN_KEYWORD, .keyword = keyword_, .index = (from_), __VA_ARGS__ \
    }
#define SOMEWHERE(...)                          \
    {                                           \
        .begin = KEY_BEGIN_UNKNOWN, __VA_ARGS__ \
    }
#define RANGE(last_, step_, limit_) \
    .find = KEY_FIND_RANGE, .last = (last_), .step = (step_), .limit = (limit_)
#define KEYNUM(keynum_, first_, step_) \
    .find = KEY_FIND_KEYNUM, .keynum = (keynum_), .first = (first_), .keynum_step = (step_)
#define UNKNOWN    .find = KEY_FIND_UNKNOWN
#define READ       .is_written = false
#define WRITTEN    .is_written = true
#define INCOMPLETE .is_incomplete = true
#define MAY_READ   .needs_read = true
#define MAY_WRITE  .needs_write = true
#define VARIABLE   .has_variable_needs = true

static const struct command_info builtin_rows[] = {
#include "lib/command/table.def"
};

const char *const command_category_names[CATEGORY_COUNT] = {
#define X(symbol, word) [symbol] = (word),
    COMMAND_CATEGORIES(X)
#undef X
};

/* --- merging ---------------------------------------------------------------------------------- */

static struct command_info *find_row(struct command_info *rows, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static void merge_rows(struct command_rows *old, const struct command_info *rows, unsigned count,
                       struct arena *arena);

/* `row` wins, but the id stays, and so do the subcommands that `row` does not have. */
static void merge_row(struct command_info *old, const struct command_info *row, struct arena *arena)
{
    struct command_rows merged = {NULL, old->nsubcommands};
    merged.rows = arena_dup(arena, old->subcommands, old->nsubcommands * sizeof(*old));
    merge_rows(&merged, row->subcommands, row->nsubcommands, arena);
    struct command_info known = *old;
    *old = *row;
    old->id = known.id;
    if (row->request_policy == REQUEST_DEFAULT && row->response_policy == RESPONSE_DEFAULT) {
        /* Not every server publishes tips. */
        old->request_policy = known.request_policy;
        old->response_policy = known.response_policy;
    }
    old->subcommands = merged.count > 0 ? merged.rows : NULL;
    old->nsubcommands = merged.count;
}

static void merge_rows(struct command_rows *old, const struct command_info *rows, unsigned count,
                       struct arena *arena)
{
    struct command_info *merged = arena_alloc(arena, (old->count + count) * sizeof(*merged));
    if (old->count > 0) {
        memcpy(merged, old->rows, old->count * sizeof(*merged));
    }
    for (unsigned i = 0; i < count; i++) {
        struct command_info *same = find_row(merged, old->count, rows[i].name);
        if (same == NULL) {
            same = &merged[old->count++];
            *same = (struct command_info){.id = ID_NONE};
        }
        merge_row(same, &rows[i], arena);
    }
    old->rows = merged;
}

/* --- names ------------------------------------------------------------------------------------ */

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* FNV-1a. A name is never as long as what holds it: so much of a longer text is enough. */
static uint64_t hash_of_name(const char *data, size_t length)
{
    uint64_t hash = 14695981039346656037U;
    for (size_t i = 0; i < length && i < NAME_SIZE; i++) {
        hash = (hash ^ lower(data[i])) * 1099511628211U;
    }
    return hash;
}

static inline bool is_short(size_t length)
{
    return length > 0 && length <= 8;
}

/* The bytes of a short name; the case does not count. */
static inline uint64_t word_of_short(const char *data, size_t length)
{
    if (length >= 4) {
        uint32_t front, back;
        memcpy(&front, data, 4);
        memcpy(&back, data + length - 4, 4);
        return ((uint64_t)back << 32 | front) | UINT64_C(0x2020202020202020);
    }
    return ((uint64_t)(unsigned char)data[0] | (uint64_t)(unsigned char)data[length / 2] << 8 |
            (uint64_t)(unsigned char)data[length - 1] << 16) |
           UINT64_C(0x202020);
}

/* The bytes of a short name, a hash of a longer one. */
static uint64_t word_of_name(const char *data, size_t length)
{
    return is_short(length) ? word_of_short(data, length) : hash_of_name(data, length);
}

static inline unsigned first_place(uint64_t word, unsigned mask)
{
    return (unsigned)(word * UINT64_C(0x9E3779B97F4A7C15) >> 40) & mask;
}

/* With other bytes than letters, setting the bit of the case could make two texts one. */
static bool is_word_enough(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (name[i] < 'a' || name[i] > 'z') {
            return false;
        }
    }
    return is_short(length);
}

/* `name` is in lower case and terminated. */
static bool name_equal(const char *name, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (name[i] == '\0' || lower(text.data[i]) != (unsigned char)name[i]) {
            return false;
        }
    }
    return name[text.len] == '\0';
}

static const struct command_info *find_command(const struct command_table *table, struct slice name)
{
    uint64_t word = word_of_name(name.data, name.len);
    for (unsigned i = first_place(word, table->mask);; i = (i + 1) & table->mask) {
        const struct name_slot *slot = &table->slots[i];
        if (slot->info == NULL) {
            return NULL;
        }
        if (slot->word == word && slot->length == name.len &&
            (slot->is_word_enough || name_equal(slot->info->name, name))) {
            return slot->info;
        }
    }
}

/* Or the container itself. */
static const struct command_info *find_subcommand(const struct command_info *container,
                                                  struct slice name)
{
    size_t prefix = strlen(container->name) + 1;
    for (unsigned i = 0; i < container->nsubcommands; i++) {
        if (name_equal(container->subcommands[i].name + prefix, name)) {
            return &container->subcommands[i];
        }
    }
    return container;
}

/* Out of the way of what nearly always comes. */
__attribute__((noinline)) static const struct command_info *
find_carefully(const struct command_table *table, const struct slice *argv, unsigned argc)
{
    const struct command_info *info = find_command(table, argv[0]);
    if (info == NULL || info->nsubcommands == 0 || argc < 2) {
        return info;
    }
    return find_subcommand(info, argv[1]);
}

const struct command_info *command_find(const struct command_table *table, const struct slice *argv,
                                        unsigned argc)
{
    struct slice name = argv[0];
    ASSERT(argc > 0);
    if (is_short(name.len)) {
        uint64_t word = word_of_short(name.data, name.len);
        const struct name_slot *slot = &table->slots[first_place(word, table->mask)];
        if (slot->word == word && slot->length == name.len && slot->is_word_enough) {
            return slot->info;
        }
    }
    return find_carefully(table, argv, argc);
}

static void hash_names(struct command_table *table)
{
    unsigned size = 16;
    while (size < table->nrows * 4) {
        size *= 2;
    }
    table->mask = size - 1;
    table->slots = arena_alloc(&table->arena, size * sizeof(*table->slots));
    for (unsigned row = 0; row < table->nrows; row++) {
        const struct command_info *info = &table->rows[row];
        size_t length = strlen(info->name);
        uint64_t word = word_of_name(info->name, length);
        unsigned i = first_place(word, table->mask);
        while (table->slots[i].info != NULL) {
            i = (i + 1) & table->mask;
        }
        table->slots[i] = (struct name_slot){.word = word,
                                             .info = info,
                                             .length = (uint32_t)length,
                                             .is_word_enough = info->nsubcommands == 0 &&
                                                               is_word_enough(info->name, length)};
    }
}

/* --- finishing -------------------------------------------------------------------------------- */

/* Counts commands and subcommands; returns how many of them have their id already. */
static unsigned count_rows(struct command_table *table)
{
    unsigned known = 0;
    for (unsigned i = 0; i < table->nrows; i++) {
        const struct command_info *info = &table->rows[i];
        table->count += 1 + info->nsubcommands;
        known += info->id == ID_NONE ? 0 : 1;
        for (unsigned sub = 0; sub < info->nsubcommands; sub++) {
            known += info->subcommands[sub].id == ID_NONE ? 0 : 1;
        }
    }
    return known;
}

static unsigned single_key(const struct command_info *info)
{
    const struct key_spec *spec = info->specs;
    bool is_single = info->nspecs == 1 && info->finder == FINDER_SPECS &&
                     spec->begin == KEY_BEGIN_INDEX && spec->find == KEY_FIND_RANGE &&
                     spec->last == 0 && spec->index > 0;
    return is_single ? (unsigned)spec->index : 0;
}

/* The fewest arguments that the arity allows. */
static unsigned fewest(const struct command_info *info)
{
    return (unsigned)(info->arity >= 0 ? info->arity : -info->arity);
}

static bool is_plain(const struct command_info *info)
{
    return info->handler == HANDLER_ROUTE && info->form == FORM_ANY && info->nsubcommands == 0 &&
           info->single_key > 0 && info->single_key < fewest(info);
}

static void finish_row(struct command_table *table, struct command_info *info,
                       const struct command_info *container, unsigned *next_id)
{
    command_override(info, container, &table->arena);
    info->single_key = single_key(info);
    info->is_plain = is_plain(info);
    if (info->id == ID_NONE) {
        info->id = (*next_id)++;
    }
    ASSERT(info->id < table->count && table->by_id[info->id] == NULL);
    table->by_id[info->id] = info;
}

/* A row that was not learnt still points at the built-in table's subcommands: copy them first. */
static void finish_subcommands(struct command_table *table, struct command_info *container,
                               unsigned *next_id)
{
    unsigned count = container->nsubcommands;
    if (count == 0) {
        return;
    }
    struct command_info *rows =
        arena_dup(&table->arena, container->subcommands, count * sizeof(*rows));
    for (unsigned i = 0; i < count; i++) {
        finish_row(table, &rows[i], container, next_id);
    }
    container->subcommands = rows;
}

static void finish(struct command_table *table, struct command_rows rows)
{
    table->rows = rows.rows;
    table->nrows = rows.count;
    unsigned next_id = count_rows(table);
    table->by_id = arena_alloc(&table->arena, table->count * sizeof(struct command_info *));
    for (unsigned i = 0; i < table->nrows; i++) {
        finish_row(table, &table->rows[i], NULL, &next_id);
        finish_subcommands(table, &table->rows[i], &next_id);
    }
    hash_names(table);
}

/* The only mutable statics here, and written once: the decisions of overrides.def are joined to
 * table.def when the first caller asks, since the preprocessor cannot. */
static struct command_table builtin_table;
static pthread_once_t builtin_once = PTHREAD_ONCE_INIT;

static void make_builtin(void)
{
    struct command_rows rows = {NULL, 0};
    merge_rows(&rows, builtin_rows, sizeof(builtin_rows) / sizeof(builtin_rows[0]),
               &builtin_table.arena);
    finish(&builtin_table, rows);
}

const struct command_table *command_table_builtin(void)
{
    int failed = pthread_once(&builtin_once, make_builtin);
    ASSERT(failed == 0);
    return &builtin_table;
}

struct command_table *command_table_learn(struct slice reply, struct error *err)
{
    const struct command_table *builtin = command_table_builtin();
    struct command_table *table = mem_zalloc(sizeof(*table));
    struct command_rows learnt;
    if (!command_rows_learn(reply, &table->arena, &learnt, err)) {
        command_table_free(table);
        return NULL;
    }
    struct command_rows rows = {builtin->rows, builtin->nrows};
    merge_rows(&rows, learnt.rows, learnt.count, &table->arena);
    finish(table, rows);
    return table;
}

void command_table_free(struct command_table *table)
{
    ASSERT(table != &builtin_table);
    if (table != NULL) {
        arena_free(&table->arena);
        mem_free(table);
    }
}

unsigned command_table_count(const struct command_table *table)
{
    return table->count;
}

const struct command_info *command_table_at(const struct command_table *table, unsigned id)
{
    ASSERT(id < table->count);
    return table->by_id[id];
}
