#include "lib/base/options.h"

#include <errno.h>
#include <string.h>

#include <ini.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"

static const struct option_spec *find_spec(const struct option_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->specs[i].name, name) == 0) {
            return &table->specs[i];
        }
    }
    return NULL;
}

static bool parse_number(const struct option_spec *spec, struct slice text, uint64_t *value)
{
    switch (spec->type) {
    case OPTION_NUMBER:
        return number_parse_u64(text, value);
    case OPTION_DURATION:
        return number_parse_duration_ms(text, value);
    case OPTION_SIZE:
        return number_parse_size(text, value);
    case OPTION_TEXT:
    case OPTION_SECRET:
    case OPTION_FLAG:
    case OPTION_WORD:
        break;
    }
    return false;
}

/* 60000 of a duration is "1m", 1048576 of a size "1mb": as it would be written. */
static void format_number(enum option_type type, uint64_t value, char text[32])
{
    static const struct {
        enum option_type type;
        uint64_t factor;
        const char *unit;
    } units[] = {{OPTION_DURATION, 3600000, "h"},
                 {OPTION_DURATION, 60000, "m"},
                 {OPTION_DURATION, 1000, "s"},
                 {OPTION_DURATION, 1, "ms"},
                 {OPTION_SIZE, UINT64_C(1) << 30, "gb"},
                 {OPTION_SIZE, UINT64_C(1) << 20, "mb"},
                 {OPTION_SIZE, UINT64_C(1) << 10, "kb"},
                 {OPTION_SIZE, 1, ""},
                 {OPTION_NUMBER, 1, ""}};

    size_t i = 0;
    while (units[i].type != type || value % units[i].factor != 0 ||
           (value == 0 && units[i].factor != 1)) {
        i++;
    }
    (void)snprintf(text, 32, "%llu%s", (unsigned long long)(value / units[i].factor),
                   units[i].unit);
}

static bool refuse_number(const struct option_spec *spec, const char *text, struct error *err)
{
    const char *kind = spec->type == OPTION_DURATION ? "a duration like 250ms, 10s or 5m"
                       : spec->type == OPTION_SIZE   ? "a size like 64kb or 1mb"
                                                     : "a number";
    char low[32], high[32], range[80] = "";
    format_number(spec->type, spec->min, low);
    format_number(spec->type, spec->max, high);
    if (spec->max > 0) {
        (void)snprintf(range, sizeof(range), ", %s to %s", low, high);
    }
    return error_set(err, "\"%s\" must be %s%s, not \"%s\"", spec->name, kind, range, text);
}

static bool set_number(const struct option_spec *spec, void *field, const char *text,
                       struct error *err)
{
    uint64_t value;
    if (!parse_number(spec, slice_of(text), &value) ||
        (spec->max > 0 && (value < spec->min || value > spec->max))) {
        return refuse_number(spec, text, err);
    }
    *(uint64_t *)field = value;
    return true;
}

/* "a|b|c" as "a, b or c". */
static void format_words(const char *words, char *text, size_t size)
{
    size_t used = 0;
    const char *last = strrchr(words, '|');
    for (const char *at = words; *at != '\0' && used + 5 < size; at++) {
        const char *piece = at == last ? " or " : *at == '|' ? ", " : NULL;
        used += piece != NULL ? (size_t)snprintf(text + used, size - used, "%s", piece)
                              : (size_t)snprintf(text + used, size - used, "%c", *at);
    }
}

static bool check_word(const struct option_spec *spec, const char *text, struct error *err)
{
    size_t length = strlen(text);
    for (const char *word = spec->value; word != NULL; word = strchr(word, '|')) {
        word += *word == '|';
        if (length > 0 && strcspn(word, "|") == length && memcmp(word, text, length) == 0) {
            return true;
        }
    }
    char words[200] = "";
    format_words(spec->value, words, sizeof(words));
    return error_set(err, "\"%s\" must be %s, not \"%s\"", spec->name, words, text);
}

static bool set_flag(const struct option_spec *spec, bool *field, const char *text,
                     struct error *err)
{
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0) {
        return error_set(err, "\"%s\" must be yes or no, not \"%s\"", spec->name, text);
    }
    *field = strcmp(text, "yes") == 0;
    return true;
}

static bool is_text(enum option_type type)
{
    return type == OPTION_TEXT || type == OPTION_SECRET || type == OPTION_WORD;
}

static bool set_value(const struct option_spec *spec, void *settings, const char *text,
                      struct error *err)
{
    void *field = (char *)settings + spec->offset;
    if (spec->type == OPTION_WORD && !check_word(spec, text, err)) {
        return false;
    }
    if (is_text(spec->type)) {
        char **owned = field;
        mem_free(*owned);
        *owned = mem_strdup(text);
        return true;
    }
    return spec->type == OPTION_FLAG ? set_flag(spec, field, text, err)
                                     : set_number(spec, field, text, err);
}

static bool set_defaults(const struct option_table *table, void *settings, struct error *err)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option_spec *spec = &table->specs[i];
        if (spec->default_value != NULL && !set_value(spec, settings, spec->default_value, err)) {
            return false;
        }
    }
    return true;
}

struct file_reading {
    const struct option_table *table;
    void *settings;
    FILE *file;
    int line;         /* the one that was read last; 1 is the first */
    int refused_line; /* the first that was refused, 0: none */
    struct error why; /* it was refused */
};

/* inih goes on after an error: only the first reason is kept. */
static void refuse_line(struct file_reading *reading, const struct error *why)
{
    if (reading->refused_line == 0) {
        reading->refused_line = reading->line;
        reading->why = *why;
    }
}

/* Reads a line for inih, in the manner of fgets. Takes the spaces off its front, since inih would
 * take an indented line for more of the value before; refuses a line that is longer than inih's
 * room, since inih would read its rest as a line of its own. */
static char *read_line(char *text, int size, void *user)
{
    struct file_reading *reading = user;
    if (fgets(text, size, reading->file) == NULL) {
        return NULL;
    }
    reading->line++;
    size_t length = strlen(text);
    if (length + 1 == (size_t)size && text[length - 1] != '\n') {
        struct error why;
        (void)error_set(&why, "longer than %d bytes", size - 2);
        refuse_line(reading, &why);
        for (int c = 0; c != '\n' && c != EOF;) {
            c = fgetc(reading->file);
        }
        length = 0;
    }
    size_t spaces = strspn(text, " \t");
    spaces = spaces < length ? spaces : length;
    memmove(text, text + spaces, length - spaces);
    text[length - spaces] = '\0';
    return text;
}

static int on_file_value(void *user, const char *section, const char *name, const char *value)
{
    struct file_reading *reading = user;
    const struct option_spec *spec = find_spec(reading->table, name);
    struct error why;
    bool ok;
    if (section[0] != '\0') {
        ok = error_set(&why, "sections like [%s] are not used here", section);
    } else if (spec == NULL || spec->scope == OPTION_ON_COMMAND_LINE) {
        ok = error_set(&why, "\"%s\" is not an option of %s's file; see %s --help", name,
                       reading->table->program, reading->table->program);
    } else {
        ok = set_value(spec, reading->settings, value, &why);
    }
    if (!ok) {
        refuse_line(reading, &why);
    }
    return ok;
}

static bool parse_file(struct file_reading *reading, const char *path, struct error *err)
{
    int line = ini_parse_stream(read_line, reading, on_file_value, reading);
    if (ferror(reading->file) != 0) {
        return error_set(err, "cannot read \"%s\": %s", path, strerror(errno));
    }
    int refused = reading->refused_line;
    if (refused != 0 && (line <= 0 || refused <= line)) {
        return error_set(err, "cannot read \"%s\", line %d: %s", path, refused, reading->why.text);
    }
    return line == 0 ? true
                     : error_set(err, "cannot read \"%s\", line %d: not of the form name = value",
                                 path, line);
}

static bool load_file(const struct option_table *table, void *settings, const char *path,
                      struct error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return error_set(err, "cannot read \"%s\": %s", path, strerror(errno));
    }
    struct file_reading reading = {.table = table, .settings = settings, .file = file};
    bool ok = parse_file(&reading, path, err);
    (void)fclose(file);
    return ok;
}

struct command_line {
    int argc;
    char **argv;
    int next;
    bool is_config_pass; /* only --config acts; in the second pass all but --config do */
};

/* Splits "--name=value" or takes the next argument as the value. Null when there is none. */
static const char *value_of(struct command_line *line, const char *equals)
{
    if (equals != NULL) {
        return equals + 1;
    }
    return line->next < line->argc ? line->argv[line->next++] : NULL;
}

static bool is_action(const char *argument, enum options_action *action)
{
    static const struct {
        const char *name;
        enum options_action action;
    } actions[] = {{"--help", OPTIONS_HELP},
                   {"-h", OPTIONS_HELP},
                   {"--version", OPTIONS_VERSION},
                   {"-V", OPTIONS_VERSION},
                   {"--check-config", OPTIONS_CHECK}};

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(argument, actions[i].name) == 0) {
            *action = actions[i].action;
            return true;
        }
    }
    return false;
}

/* `argument` does not begin as an option does. */
static bool refuse_stray(const struct option_table *table, const struct command_line *line,
                         const char *argument, struct error *err)
{
    const char *before = line->argv[line->next - 2];
    const struct option_spec *flag =
        strncmp(before, "--", 2) == 0 ? find_spec(table, before + 2) : NULL;
    if (flag != NULL && flag->type == OPTION_FLAG) {
        return error_set(err, "a flag takes its value as --NAME=no: %s=%s, not %s %s", before,
                         argument, before, argument);
    }
    return error_set(err, "\"%s\" is not an option; see %s --help", argument, table->program);
}

static bool read_argument(const struct option_table *table, void *settings,
                          struct command_line *line, struct error *err)
{
    char *argument = line->argv[line->next++];
    if (strncmp(argument, "--", 2) != 0) {
        return refuse_stray(table, line, argument, err);
    }
    char name[64] = "";
    char *equals = strchr(argument, '=');
    size_t length = equals != NULL ? (size_t)(equals - argument) : strlen(argument);
    if (length - 2 < sizeof(name)) {
        memcpy(name, argument + 2, length - 2);
        name[length - 2] = '\0';
    }
    bool is_config = strcmp(name, "config") == 0;
    const struct option_spec *spec = find_spec(table, name);
    if (!is_config && spec == NULL) {
        return error_set(err, "there is no option %s; see %s --help", argument, table->program);
    }
    bool bare_flag = !is_config && spec->type == OPTION_FLAG && equals == NULL;
    const char *value = bare_flag ? "yes" : value_of(line, equals);
    if (value == NULL) {
        return error_set(err, "option %s needs a value", argument);
    }
    if (!is_config && spec->type == OPTION_SECRET) {
        return error_set(err,
                         "\"%s\" is a secret: give it in the file of --config, since everybody "
                         "on the machine can see the command line",
                         name);
    }
    if (is_config != line->is_config_pass) {
        return true;
    }
    return is_config ? load_file(table, settings, value, err)
                     : set_value(spec, settings, value, err);
}

static bool read_arguments(const struct option_table *table, void *settings,
                           struct command_line line, enum options_action *action, struct error *err)
{
    while (line.next < line.argc) {
        if (is_action(line.argv[line.next], action)) {
            line.next++;
        } else if (!read_argument(table, settings, &line, err)) {
            return false;
        }
    }
    return true;
}

bool options_load(const struct option_table *table, void *settings, int argc, char **argv,
                  enum options_action *action, struct error *err)
{
    *action = OPTIONS_RUN;
    struct command_line files = {.argc = argc, .argv = argv, .next = 1, .is_config_pass = true};
    struct command_line others = {.argc = argc, .argv = argv, .next = 1};
    return set_defaults(table, settings, err) &&
           read_arguments(table, settings, files, action, err) &&
           read_arguments(table, settings, others, action, err);
}

void options_free(const struct option_table *table, void *settings)
{
    for (size_t i = 0; i < table->count; i++) {
        if (is_text(table->specs[i].type)) {
            char **owned = (char **)(void *)((char *)settings + table->specs[i].offset);
            mem_free(*owned);
            *owned = NULL;
        }
    }
}

static bool is_same_value(enum option_type type, const void *a, const void *b)
{
    if (type == OPTION_FLAG) {
        return *(const bool *)a == *(const bool *)b;
    }
    if (!is_text(type)) {
        return *(const uint64_t *)a == *(const uint64_t *)b;
    }
    const char *const *left = a;
    const char *const *right = b;
    return *left == NULL || *right == NULL ? *left == *right : strcmp(*left, *right) == 0;
}

static void exchange_text(char **field, char **newer)
{
    char *older = *field;
    *field = *newer;
    *newer = older;
}

static void exchange(enum option_type type, void *field, void *newer)
{
    if (is_text(type)) {
        exchange_text(field, newer);
    } else if (type == OPTION_FLAG) {
        __atomic_store_n((bool *)field, *(const bool *)newer, __ATOMIC_RELAXED);
    } else {
        __atomic_store_n((uint64_t *)field, *(const uint64_t *)newer, __ATOMIC_RELAXED);
    }
}

static void name_also(struct error *err, const char *name, bool is_first)
{
    size_t used = is_first ? 0 : strlen(err->text);
    (void)snprintf(err->text + used, sizeof(err->text) - used, "%s%s", is_first ? "" : ", ", name);
}

bool options_adopt(const struct option_table *table, void *settings, void *fresh, struct error *err)
{
    bool is_whole = true;
    for (size_t i = 0; i < table->count; i++) {
        const struct option_spec *spec = &table->specs[i];
        void *field = (char *)settings + spec->offset;
        void *newer = (char *)fresh + spec->offset;
        if (spec->scope == OPTION_RELOADABLE) {
            exchange(spec->type, field, newer);
        } else if (!is_same_value(spec->type, field, newer)) {
            name_also(err, spec->name, is_whole);
            is_whole = false;
        }
    }
    return is_whole;
}

#define HELP_COLUMN 34

/* What is too long for its column has a line of its own. */
static void print_row(const char *left, const char *text, FILE *out)
{
    bool fits = strlen(left) < HELP_COLUMN;
    (void)fprintf(out, "  %-*s%s%*s%s", HELP_COLUMN, left, fits ? "" : "\n",
                  fits ? 0 : HELP_COLUMN + 2, "", text);
}

static void print_spec(const struct option_spec *spec, FILE *out)
{
    static const char *const values[] = {"TEXT", "", "N", "TIME", "SIZE", "", ""};
    const char *value = spec->value != NULL ? spec->value : values[spec->type];
    char left[128];
    (void)snprintf(left, sizeof(left), "%s%s%s%s", spec->type == OPTION_SECRET ? "" : "--",
                   spec->name, value[0] != '\0' ? " " : "", value);
    print_row(left, spec->text, out);
    if (spec->default_value != NULL) {
        (void)fprintf(out, " (default %s)", spec->default_value);
    }
    (void)fputc('\n', out);
}

static void print_secrets(const struct option_table *table, FILE *out)
{
    bool is_first = true;
    for (size_t i = 0; i < table->count; i++) {
        if (table->specs[i].type == OPTION_SECRET) {
            (void)fputs(is_first ? "\nsecrets, in the file of --config only:\n" : "", out);
            print_spec(&table->specs[i], out);
            is_first = false;
        }
    }
}

void options_print_help(const struct option_table *table, FILE *out)
{
    (void)fprintf(out, "usage: %s %s\n\n%s\n\noptions:\n", table->program, table->usage,
                  table->about);
    for (size_t i = 0; i < table->count; i++) {
        if (table->specs[i].type != OPTION_SECRET) {
            print_spec(&table->specs[i], out);
        }
    }
    print_row("--config FILE", "read options from a file first\n", out);
    print_row("--check-config", "check the options, then exit\n", out);
    print_row("--version", "print the version, then exit\n", out);
    print_row("--help", "print this, then exit\n", out);
    print_secrets(table, out);
}

void options_print_sample(const struct option_table *table, FILE *out)
{
    (void)fprintf(
        out,
        "; %s: every option at its default. Read with --config FILE.\n"
        "; A change of what is marked [reload] is taken on SIGHUP; others need a restart.\n",
        table->program);
    for (size_t i = 0; i < table->count; i++) {
        const struct option_spec *spec = &table->specs[i];
        if (spec->scope == OPTION_ON_COMMAND_LINE) {
            continue;
        }
        const char *unset = spec->type == OPTION_FLAG ? " no" : "";
        const char *value = spec->default_value;
        char words[200] = "";
        if (spec->type == OPTION_WORD) {
            format_words(spec->value, words, sizeof(words));
        }
        (void)fprintf(out, "\n; %s%s%s%s\n;%s =%s%s\n", spec->text, words[0] != '\0' ? ": " : "",
                      words, spec->scope == OPTION_RELOADABLE ? " [reload]" : "", spec->name,
                      value != NULL ? " " : unset, value != NULL ? value : "");
    }
}
