/* Where a request's keys are, and which of them it writes. Mirrors what Redis does with the same
 * specs (https://redis.io/docs/reference/key-specs); the finders of our own follow how the command
 * itself reads its arguments. */
#include <ctype.h>

#include "lib/base/number.h"
#include "lib/command/command.h"

/* Keys in the order they are found, counted beyond the capacity too. */
struct key_list {
    struct command_key *keys;
    unsigned capacity;
    unsigned count;
};

static void add_key(struct key_list *list, struct command_key key)
{
    if (list->count < list->capacity) {
        list->keys[list->count] = key;
    }
    list->count++;
}

static struct command_key read_key(unsigned position)
{
    return (struct command_key){.position = position, .needs_read = true};
}

static struct command_key written_key(unsigned position)
{
    return (struct command_key){.position = position, .is_written = true, .needs_write = true};
}

static bool word_is(const struct slice *argv, unsigned position, const char *word)
{
    return slice_equal_nocase(argv[position], slice_of(word));
}

/* The argument behind the keyword, or 0: not there. A negative start counts from the end, and the
 * search goes backwards. Like Redis, it does not look at the last argument (nothing follows). */
static int find_keyword(const struct key_spec *spec, const struct slice *argv, int argc)
{
    bool is_forward = spec->index > 0;
    int start = is_forward ? spec->index : argc + spec->index;
    int stop = is_forward ? argc - 1 : 1;
    int step = is_forward ? 1 : -1;
    for (int i = start; i > 0 && i < argc && i != stop; i += step) {
        if (word_is(argv, (unsigned)i, spec->keyword)) {
            return i + 1;
        }
    }
    return 0;
}

struct key_run {
    int64_t first, last;
    int step;
};

static bool find_run(const struct key_spec *spec, int first, const struct slice *argv, int argc,
                     struct key_run *run)
{
    uint64_t number;
    if (spec->find == KEY_FIND_RANGE) {
        int64_t last = spec->last >= 0    ? (int64_t)first + spec->last
                       : spec->limit == 0 ? (int64_t)argc + spec->last
                                          : first + (argc - first) / spec->limit + spec->last;
        *run = (struct key_run){first, last, spec->step};
        /* A run that would begin right behind the last argument is empty: `PFMERGE d` names no
         * sources and is a valid command all the same. */
        return last >= first - 1 && last < argc;
    }
    if (spec->find == KEY_FIND_UNKNOWN || first + spec->keynum >= argc ||
        !number_parse_u64(argv[first + spec->keynum], &number) || number > (unsigned)argc) {
        return false;
    }
    run->first = (int64_t)first + spec->first;
    run->last = run->first + ((int64_t)number - 1) * spec->keynum_step;
    run->step = spec->keynum_step;
    return run->last < argc;
}

/* SET reads only with GET. */
static bool set_reads(const struct slice *argv, int argc)
{
    for (int i = 3; i < argc; i++) {
        if (word_is(argv, (unsigned)i, "GET")) {
            return true;
        }
    }
    return false;
}

/* BITFIELD writes but where all it does is GET; what cannot be read is taken for a write. */
static bool bitfield_writes(const struct slice *argv, int argc)
{
    for (int i = 2; i < argc;) {
        if (word_is(argv, (unsigned)i, "GET") && i + 2 < argc) {
            i += 3;
        } else if (word_is(argv, (unsigned)i, "OVERFLOW") && i + 1 < argc) {
            i += 2;
        } else {
            return true;
        }
    }
    return false;
}

/* For the commands whose needs the server calls variable; those it reports are the most there can
 * be, and stand where we know no better. */
static void settle_needs(const struct command_info *info, const struct slice *argv, int argc,
                         struct command_key *key)
{
    if (strcmp(info->name, "set") == 0) {
        key->needs_read = set_reads(argv, argc);
    } else if (strcmp(info->name, "bitfield") == 0) {
        key->needs_write = bitfield_writes(argv, argc);
    }
}

static bool add_keys_of_spec(const struct command_info *info, const struct key_spec *spec,
                             const struct slice *argv, int argc, struct key_list *list)
{
    struct key_run run;
    struct command_key key = {0, spec->is_written, spec->needs_read, spec->needs_write};
    int first = spec->begin == KEY_BEGIN_INDEX ? spec->index : 0;
    if (spec->begin == KEY_BEGIN_UNKNOWN) {
        return false;
    }
    if (spec->begin == KEY_BEGIN_KEYWORD) {
        first = find_keyword(spec, argv, argc);
        if (first == 0) {
            return true;
        }
    }
    if (!find_run(spec, first, argv, argc, &run)) {
        return false;
    }
    if (spec->has_variable_needs) {
        settle_needs(info, argv, argc, &key);
    }
    for (int64_t i = run.first; i <= run.last; i += run.step) {
        key.position = (unsigned)i;
        add_key(list, key);
    }
    return true;
}

/* Specs mostly come in argument order already. */
static void sort_keys(struct key_list *list)
{
    unsigned count = list->count < list->capacity ? list->count : list->capacity;
    for (unsigned i = 1; i < count; i++) {
        struct command_key key = list->keys[i];
        unsigned at = i;
        for (; at > 0 && list->keys[at - 1].position > key.position; at--) {
            list->keys[at] = list->keys[at - 1];
        }
        list->keys[at] = key;
    }
}

static int keys_of_specs(const struct command_info *info, const struct slice *argv, unsigned argc,
                         struct key_list *list)
{
    for (unsigned i = 0; i < info->nspecs; i++) {
        if (!add_keys_of_spec(info, &info->specs[i], argv, (int)argc, list)) {
            return -1;
        }
    }
    if (info->nspecs > 1) {
        sort_keys(list);
    }
    return (int)list->count;
}

/* --- our own finders -------------------------------------------------------------------------- */

/* How many values follow the option of SORT at `position`. */
static unsigned sort_option_values(const struct slice *argv, unsigned position)
{
    if (word_is(argv, position, "LIMIT")) {
        return 2;
    }
    bool has_value = word_is(argv, position, "STORE") || word_is(argv, position, "BY") ||
                     word_is(argv, position, "GET");
    return has_value ? 1 : 0;
}

/* SORT key [options]: of several STORE the last one counts. SORT_RO has no STORE. */
static int keys_of_sort(const struct command_info *info, const struct slice *argv, unsigned argc,
                        struct key_list *list)
{
    unsigned stored = 0;
    add_key(list, read_key(1));
    for (unsigned i = 2; i + 1 < argc; i += 1 + sort_option_values(argv, i)) {
        if (word_is(argv, i, "STORE")) {
            stored = i + 1;
        }
    }
    if (stored > 0 && (info->flags & COMMAND_WRITE) != 0) {
        add_key(list, written_key(stored));
    }
    return (int)list->count;
}

/* GEORADIUS key x y radius unit [options], GEORADIUSBYMEMBER key member radius unit [options]. All
 * STOREs are keys: only the last one is written, but nobody is harmed by more. */
static int keys_of_georadius(const struct command_info *info, const struct slice *argv,
                             unsigned argc, struct key_list *list)
{
    add_key(list, read_key(1));
    for (unsigned i = (unsigned)-info->arity; i + 1 < argc; i++) {
        if (word_is(argv, i, "STORE") || word_is(argv, i, "STOREDIST")) {
            add_key(list, written_key(++i));
        }
    }
    return (int)list->count;
}

struct xread_options command_xread_options(const struct slice *argv, unsigned argc)
{
    struct xread_options found = {argc, argc, argc};
    unsigned i = 1;
    while (i < argc) {
        if (word_is(argv, i, "STREAMS")) {
            found.streams = i;
            break;
        }
        if (word_is(argv, i, "BLOCK")) {
            found.block = i;
        }
        if (word_is(argv, i, "GROUP")) {
            found.group = i;
        }
        unsigned values = word_is(argv, i, "NOACK") ? 0 : word_is(argv, i, "GROUP") ? 2 : 1;
        i += 1 + values;
    }
    return found;
}

/* XREAD ... STREAMS key... id...; an odd number of them is the server's to refuse. */
static int keys_of_xread(const struct command_info *info, const struct slice *argv, unsigned argc,
                         struct key_list *list)
{
    unsigned streams = command_xread_options(argv, argc).streams;
    unsigned count = streams < argc ? (argc - streams - 1) / 2 : 0;
    bool is_written = info->nspecs > 0 && info->specs[0].is_written;
    for (unsigned i = 0; i < count; i++) {
        struct command_key key = read_key(streams + 1 + i);
        key.is_written = is_written;
        add_key(list, key);
    }
    return (int)count;
}

int command_keys(const struct command_info *info, const struct slice *argv, unsigned argc,
                 struct command_key *keys, unsigned capacity)
{
    struct key_list list = {keys, capacity, 0};
    if (argc < 2) {
        return 0;
    }
    switch (info->finder) {
    case FINDER_SORT:
        return keys_of_sort(info, argv, argc, &list);
    case FINDER_GEORADIUS:
        return keys_of_georadius(info, argv, argc, &list);
    case FINDER_XREAD:
        return keys_of_xread(info, argv, argc, &list);
    case FINDER_SPECS:
        break;
    }
    return keys_of_specs(info, argv, argc, &list);
}

/* --- as an ACL sees them ---------------------------------------------------------------------- */

/* The options before STREAMS are those that there are, and as many things stand behind it as must.
 */
static bool xread_can_run(const struct command_info *info, const struct slice *argv, unsigned argc)
{
    struct xread_options options = command_xread_options(argv, argc);
    bool is_of_group = (info->flags & COMMAND_WRITE) != 0, has_group = options.group < argc;
    if (options.streams + 1 >= argc || (argc - options.streams) % 2 == 0 ||
        has_group != is_of_group) {
        return false;
    }
    for (unsigned i = 1; i < options.streams; i++) {
        int64_t number;
        bool is_counted = word_is(argv, i, "COUNT") || word_is(argv, i, "BLOCK");
        if (is_counted && number_parse_i64(argv[i + 1], &number)) {
            i++;
        } else if (word_is(argv, i, "GROUP")) {
            i += 2;
        } else if (!is_of_group || !word_is(argv, i, "NOACK")) {
            return false;
        }
    }
    return true;
}

/* ZUNIONSTORE d 0: it must have keys, and says that it has none. */
static bool lacks_keys(const struct command_info *info, const struct slice *argv, unsigned argc)
{
    for (unsigned i = 0; i < info->nspecs; i++) {
        const struct key_spec *spec = &info->specs[i];
        uint64_t number;
        if (spec->begin == KEY_BEGIN_INDEX && spec->find == KEY_FIND_KEYNUM &&
            (unsigned)(spec->index + spec->keynum) < argc &&
            number_parse_u64(argv[spec->index + spec->keynum], &number) && number == 0) {
            return (info->flags & COMMAND_NO_MANDATORY_KEYS) == 0;
        }
    }
    return false;
}

int command_acl_keys(const struct command_info *info, const struct slice *argv, unsigned argc,
                     struct command_key *keys, unsigned capacity)
{
    struct key_list list = {keys, capacity, 0};
    if (lacks_keys(info, argv, argc)) {
        return 0;
    }
    bool is_by_specs = info->finder == FINDER_XREAD && !xread_can_run(info, argv, argc);
    return is_by_specs ? keys_of_specs(info, argv, argc, &list)
                       : command_keys(info, argv, argc, keys, capacity);
}

/* --- forms ------------------------------------------------------------------------------------ */

bool command_blocks(const struct command_info *info, const struct slice *argv, unsigned argc)
{
    if ((info->flags & COMMAND_BLOCKING) == 0) {
        return false;
    }
    return info->finder != FINDER_XREAD || command_xread_options(argv, argc).block < argc;
}

/* What is no number at all gets Redis' error. */
static bool is_other_database(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '-' && !isdigit((unsigned char)text.data[i])) {
            return false;
        }
    }
    return text.len > 0 && !slice_equal(text, SLICE("0"));
}

/* COPY from to [DB n] [REPLACE] */
static bool copies_to_other_database(const struct slice *argv, unsigned argc)
{
    for (unsigned i = 3; i + 1 < argc; i++) {
        if (word_is(argv, i, "DB") && is_other_database(argv[i + 1])) {
            return true;
        }
    }
    return false;
}

/* BY nosort and GET # name no other keys, nor does any pattern without a star. */
static bool sort_reads_other_keys(const struct slice *argv, unsigned argc)
{
    for (unsigned i = 2; i + 1 < argc; i += 1 + sort_option_values(argv, i)) {
        struct slice pattern = argv[i + 1];
        if ((word_is(argv, i, "BY") || word_is(argv, i, "GET")) && pattern.len > 0 &&
            memchr(pattern.data, '*', pattern.len) != NULL) {
            return true;
        }
    }
    return false;
}

const char *command_refused_form_of(const struct command_info *info, const struct slice *argv,
                                    unsigned argc)
{
    switch (info->form) {
    case FORM_COPY:
        return copies_to_other_database(argv, argc)
                   ? "not supported by this Sluice: COPY to another DB; there is only database 0"
                   : NULL;
    case FORM_SORT:
        return sort_reads_other_keys(argv, argc)
                   ? "not supported by this Sluice: SORT with BY or GET of a pattern"
                   : NULL;
    case FORM_ANY:
        break;
    }
    return NULL;
}
