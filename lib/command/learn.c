/* Reads a server's reply to COMMAND: an array of commands, each
 *   name, arity, [flags], first key, last key, step, [acl], [tips], [key specs], [subcommands]
 * (https://redis.io/commands/command). The last three came with Redis 7, which we need for more
 * than this. The bytes are not trusted: what does not fit is an error with the command's name,
 * never a guess. */
#include "lib/base/memory.h"
#include "lib/command/table_internal.h"
#include "lib/resp/value.h"

#define FIELD_CATEGORIES 6
#define FIELD_TIPS       7
#define FIELD_SPECS      8
#define FIELD_SUBS       9
#define FIELDS           10
#define NUMBER_MAX       (1 << 20) /* the most arguments a request may have */

struct word_bit {
    const char *word;
    uint32_t bit;
};

static bool fail(struct error *err, struct slice name, const char *why)
{
    (void)error_set(err, "cannot read the server's COMMAND reply: command \"%.*s\": %s",
                    (int)(name.len < 64 ? name.len : 64), name.data == NULL ? "" : name.data, why);
    return false;
}

static bool read_int(const struct resp_value *value, int *number)
{
    if (value->type != RESP_INTEGER || value->integer < -NUMBER_MAX ||
        value->integer > NUMBER_MAX) {
        return false;
    }
    *number = (int)value->integer;
    return true;
}

/* The value of a key in a map, which RESP2 sends as an array; null when it is not there. */
static const struct resp_value *map_get(const struct resp_value *map, struct slice key)
{
    for (size_t i = 0; i + 1 < map->count; i += 2) {
        if (slice_equal(map->elements[i].text, key)) {
            return &map->elements[i + 1];
        }
    }
    return NULL;
}

static bool map_int(const struct resp_value *map, struct slice key, int *number)
{
    const struct resp_value *value = map_get(map, key);
    return value != NULL && read_int(value, number);
}

/* Flags are statuses in a set; unknown words are of no concern to us. */
static uint32_t read_words(const struct resp_value *set, const struct word_bit *words)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < set->count; i++) {
        for (const struct word_bit *word = words; word->word != NULL; word++) {
            bits |= slice_equal(set->elements[i].text, slice_of(word->word)) ? word->bit : 0;
        }
    }
    return bits;
}

static bool read_begin(const struct resp_value *begin, struct arena *arena, struct key_spec *spec)
{
    const struct resp_value *type = map_get(begin, SLICE("type"));
    const struct resp_value *details = map_get(begin, SLICE("spec"));
    spec->begin = KEY_BEGIN_UNKNOWN;
    if (type == NULL || details == NULL) {
        return false;
    }
    if (slice_equal(type->text, SLICE("index"))) {
        spec->begin = KEY_BEGIN_INDEX;
        return map_int(details, SLICE("index"), &spec->index) && spec->index > 0;
    }
    if (slice_equal(type->text, SLICE("keyword"))) {
        const struct resp_value *keyword = map_get(details, SLICE("keyword"));
        spec->begin = KEY_BEGIN_KEYWORD;
        spec->keyword = keyword == NULL ? NULL : arena_text(arena, keyword->text);
        return spec->keyword != NULL && keyword->text.len > 0 &&
               map_int(details, SLICE("startfrom"), &spec->index) && spec->index != 0;
    }
    return true;
}

static bool read_find(const struct resp_value *find, struct key_spec *spec)
{
    const struct resp_value *type = map_get(find, SLICE("type"));
    const struct resp_value *details = map_get(find, SLICE("spec"));
    spec->find = KEY_FIND_UNKNOWN;
    if (type == NULL || details == NULL) {
        return false;
    }
    if (slice_equal(type->text, SLICE("range"))) {
        spec->find = KEY_FIND_RANGE;
        return map_int(details, SLICE("lastkey"), &spec->last) &&
               map_int(details, SLICE("keystep"), &spec->step) && spec->step > 0 &&
               map_int(details, SLICE("limit"), &spec->limit) && spec->limit >= 0;
    }
    if (slice_equal(type->text, SLICE("keynum"))) {
        spec->find = KEY_FIND_KEYNUM;
        return map_int(details, SLICE("keynumidx"), &spec->keynum) && spec->keynum >= 0 &&
               map_int(details, SLICE("firstkey"), &spec->first) && spec->first >= 0 &&
               map_int(details, SLICE("keystep"), &spec->keynum_step) && spec->keynum_step > 0;
    }
    return true;
}

enum spec_flag {
    SPEC_READONLY = 1,
    SPEC_INCOMPLETE = 2,
    SPEC_NOT_KEY = 4,
    SPEC_ACCESS = 8,
    SPEC_CHANGE = 16, /* of whatever kind */
    SPEC_VARIABLE = 32
};

static bool read_spec(const struct resp_value *value, struct arena *arena, struct key_spec *spec,
                      uint32_t *flags)
{
    static const struct word_bit words[] = {
        {"RO", SPEC_READONLY},   {"incomplete", SPEC_INCOMPLETE},   {"not_key", SPEC_NOT_KEY},
        {"access", SPEC_ACCESS}, {"insert", SPEC_CHANGE},           {"update", SPEC_CHANGE},
        {"delete", SPEC_CHANGE}, {"variable_flags", SPEC_VARIABLE}, {NULL, 0}};
    const struct resp_value *set = map_get(value, SLICE("flags"));
    const struct resp_value *begin = map_get(value, SLICE("begin_search"));
    const struct resp_value *find = map_get(value, SLICE("find_keys"));
    if (set == NULL || begin == NULL || find == NULL) {
        return false;
    }
    *flags = read_words(set, words);
    *spec = (struct key_spec){.is_written = (*flags & SPEC_READONLY) == 0,
                              .is_incomplete = (*flags & SPEC_INCOMPLETE) != 0,
                              .needs_read = (*flags & SPEC_ACCESS) != 0,
                              .needs_write = (*flags & SPEC_CHANGE) != 0,
                              .has_variable_needs = (*flags & SPEC_VARIABLE) != 0};
    return read_begin(begin, arena, spec) && read_find(find, spec);
}

/* What is not a key (a channel of sharded pub/sub) is no key to us. */
static bool read_specs(const struct resp_value *list, struct arena *arena, struct command_info *row)
{
    if (!resp_value_has_elements(list) || list->count > COMMAND_SPECS_MAX) {
        return false;
    }
    struct key_spec *specs = arena_alloc(arena, list->count * sizeof(*specs));
    for (size_t i = 0; i < list->count; i++) {
        uint32_t flags;
        if (!read_spec(&list->elements[i], arena, &specs[row->nspecs], &flags)) {
            return false;
        }
        row->nspecs += (flags & SPEC_NOT_KEY) == 0 ? 1 : 0;
    }
    row->specs = row->nspecs > 0 ? specs : NULL;
    return true;
}

static bool read_name(const struct resp_value *value, struct command_info *row)
{
    for (size_t i = 0; i < value->text.len; i++) {
        char c = value->text.data[i];
        if (c <= ' ' || c > '~') {
            return false;
        }
        row->name[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    return value->text.len > 0;
}

/* "@read" in a set. Those that we do not know cannot be named in our rules either. */
static uint32_t read_categories(const struct resp_value *set)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct slice word = set->elements[i].text;
        for (unsigned category = 0; category < CATEGORY_COUNT; category++) {
            struct slice name = slice_of(command_category_names[category]);
            bool is_it = word.len == name.len + 1 && word.data[0] == '@' &&
                         memcmp(word.data + 1, name.data, name.len) == 0;
            bits |= is_it ? (uint32_t)1 << category : 0;
        }
    }
    return bits;
}

/* The value of the first tip that begins with `prefix` ("request_policy:"); empty: there is none.
 */
static struct slice tip_value(const struct resp_value *tips, struct slice prefix)
{
    for (size_t i = 0; i < tips->count; i++) {
        struct slice tip = tips->elements[i].text;
        if (slice_starts_with(tip, prefix)) {
            return (struct slice){tip.data + prefix.len, tip.len - prefix.len};
        }
    }
    return SLICE("");
}

/* A policy of a newer server is the default one to us. */
static unsigned policy_of(struct slice word, const char *const *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (slice_equal(word, slice_of(words[i]))) {
            return i;
        }
    }
    return 0;
}

static void read_policies(const struct resp_value *tips, struct command_info *row)
{
#define X(symbol, word) word,
    static const char *const requests[] = {REQUEST_POLICIES(X)};
    static const char *const responses[] = {RESPONSE_POLICIES(X)};
#undef X
    row->request_policy =
        (enum request_policy)policy_of(tip_value(tips, SLICE("request_policy:")), requests,
                                       sizeof(requests) / sizeof(requests[0]));
    row->response_policy =
        (enum response_policy)policy_of(tip_value(tips, SLICE("response_policy:")), responses,
                                        sizeof(responses) / sizeof(responses[0]));
}

static bool read_row(const struct resp_value *value, struct arena *arena, struct command_info *row,
                     struct error *err)
{
    static const struct word_bit words[] = {{"write", COMMAND_WRITE},
                                            {"readonly", COMMAND_READONLY},
                                            {"denyoom", COMMAND_DENYOOM},
                                            {"blocking", COMMAND_BLOCKING},
                                            {"movablekeys", COMMAND_MOVABLE_KEYS},
                                            {"noscript", COMMAND_NOSCRIPT},
                                            {"no_mandatory_keys", COMMAND_NO_MANDATORY_KEYS},
                                            {"no_auth", COMMAND_NO_AUTH},
                                            {NULL, 0}};
    const struct resp_value *fields = value->elements;
    struct slice name = fields[0].text;
    if (!read_name(&fields[0], row)) {
        return fail(err, name, "its name is empty or has strange letters");
    }
    if (!read_int(&fields[1], &row->arity) || row->arity == 0) {
        return fail(err, name, "its arity is no number");
    }
    row->flags = read_words(&fields[2], words);
    row->categories = read_categories(&fields[FIELD_CATEGORIES]);
    read_policies(&fields[FIELD_TIPS], row);
    if (!read_specs(&fields[FIELD_SPECS], arena, row)) {
        return fail(err, name, "its key specifications are not as Redis writes them");
    }
    return true;
}

static bool name_fits(const struct resp_value *value)
{
    return value->elements[0].text.len < sizeof(((struct command_info *)NULL)->name);
}

static bool read_rows(const struct resp_value *list, struct arena *arena, struct command_rows *rows,
                      struct error *err)
{
    if (list->count > COMMAND_ROWS_MAX) {
        (void)error_set(err, "cannot read the server's COMMAND reply: %zu commands, more than %d",
                        list->count, COMMAND_ROWS_MAX);
        return false;
    }
    *rows = (struct command_rows){arena_alloc(arena, list->count * sizeof(*rows->rows)), 0};
    for (size_t i = 0; i < list->count; i++) {
        const struct resp_value *value = &list->elements[i];
        struct command_info *row = &rows->rows[rows->count];
        if (!resp_value_has_elements(value) || value->count < FIELDS) {
            return fail(err, SLICE("?"), "it has no key specifications; is this Redis 7 or newer?");
        }
        if (!name_fits(value)) {
            continue;
        }
        if (!read_row(value, arena, row, err)) {
            return false;
        }
        rows->count++;
    }
    return true;
}

static bool read_subcommands(const struct resp_value *value, struct arena *arena,
                             struct command_info *row, struct error *err)
{
    struct command_rows rows;
    if (value->elements[FIELD_SUBS].count == 0) {
        return true;
    }
    if (!read_rows(&value->elements[FIELD_SUBS], arena, &rows, err)) {
        return error_prefix(err, "in \"%s\"", row->name);
    }
    size_t length = strlen(row->name);
    for (unsigned i = 0; i < rows.count; i++) {
        const char *name = rows.rows[i].name;
        if (strncmp(name, row->name, length) != 0 || name[length] != '|') {
            return fail(err, slice_of(name), "a subcommand that is not named after its command");
        }
    }
    row->subcommands = rows.rows;
    row->nsubcommands = rows.count;
    return true;
}

bool command_rows_learn(struct slice reply, struct arena *arena, struct command_rows *rows,
                        struct error *err)
{
    struct resp_value *root = resp_value_parse(reply, err);
    bool is_read = false;
    if (root == NULL) {
        return error_prefix(err, "COMMAND");
    }
    if (root->type != RESP_ARRAY || root->count == 0) {
        (void)error_set(err, "cannot read the server's COMMAND reply: it is not an array: %.*s",
                        (int)(root->text.len < 128 ? root->text.len : 128),
                        root->text.len > 0 ? root->text.data : "");
        goto out;
    }
    if (!read_rows(root, arena, rows, err)) {
        goto out;
    }
    is_read = true;
    for (unsigned i = 0, kept = 0; i < root->count && is_read; i++) {
        if (name_fits(&root->elements[i])) {
            is_read = read_subcommands(&root->elements[i], arena, &rows->rows[kept++], err);
        }
    }
out:
    resp_value_free(root);
    return is_read;
}
