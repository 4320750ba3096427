#include "tests/support/differential/command.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/base/sha1.h"
#include "tests/support/differential/templates.h"
#include "tests/support/raw.h"

#define KEYS          40
#define VALUE_MAX     3000
#define HUGE_MAX      300000
#define FAR_FUTURE_MS 4000000000000
#define PAYLOADS_MAX  32
#define MARKS         "*~?^!-="

struct generator {
    struct random random;
    char keys[KEYS][64];
    char *payloads[PAYLOADS_MAX];
    size_t payload_sizes[PAYLOADS_MAX];
    size_t npayloads;
    bool has_no_layout;
    char **memory; /* of the batch's arguments */
    size_t nmemory, capacity;
};

/* What stands before a template's name. */
struct marks {
    unsigned comparison;
    bool tells_layout, stands_alone, is_slow, is_exact;
    const char *words;
};

/* Where a command is made: alone, or among others of one slot. */
struct place {
    unsigned tag;
    bool is_in_transaction;
};

struct generator *generator_new(uint64_t seed)
{
    static const char *const names[] = {"plain", "\r\nbinary\x01\xff", "with space", "x}y{"};
    struct generator *generator = mem_zalloc(sizeof(*generator));
    random_seed(&generator->random, seed);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(generator->keys[i], sizeof(generator->keys[i]), "{t%d}%s", i / 4,
                       names[i % 4]);
    }
    return generator;
}

void generator_end_batch(struct generator *generator)
{
    while (generator->nmemory > 0) {
        mem_free(generator->memory[--generator->nmemory]);
    }
}

void generator_free(struct generator *generator)
{
    if (generator == NULL) {
        return;
    }
    generator_end_batch(generator);
    mem_free(generator->memory);
    for (size_t i = 0; i < generator->npayloads; i++) {
        mem_free(generator->payloads[i]);
    }
    mem_free(generator);
}

void generator_add_payload(struct generator *generator, struct slice payload)
{
    ASSERT(generator->npayloads < PAYLOADS_MAX);
    generator->payloads[generator->npayloads] = mem_dup(payload.data, payload.len);
    generator->payload_sizes[generator->npayloads++] = payload.len;
}

void generator_forbid_layout(struct generator *generator)
{
    generator->has_no_layout = true;
}

uint64_t generator_below(struct generator *generator, uint64_t bound)
{
    return random_below(&generator->random, bound);
}

/* --- arguments ------------------------------------------------------------------------------- */

/* Memory that lives as long as the batch. */
static char *batch_memory(struct generator *generator, size_t size)
{
    char *memory = mem_alloc(size + 1);
    MEM_GROW(generator->memory, generator->nmemory, generator->capacity);
    generator->memory[generator->nmemory++] = memory;
    return memory;
}

static struct slice batch_text(struct generator *generator, const char *prefix, long long number,
                               const char *suffix)
{
    char *text = batch_memory(generator, 60);
    int length = snprintf(text, 60, "%s%lld%s", prefix, number, suffix);
    return (struct slice){text, (size_t)length};
}

static long long number_below(struct generator *generator, uint64_t bound)
{
    return (long long)generator_below(generator, bound);
}

static struct slice random_bytes(struct generator *generator, size_t length)
{
    char *bytes = batch_memory(generator, length);
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (char)(random_next(&generator->random) >> 7);
    }
    return (struct slice){bytes, length};
}

static struct slice random_value(struct generator *generator)
{
    if (generator_below(generator, 400) == 0) {
        return random_bytes(generator, generator_below(generator, HUGE_MAX));
    }
    switch (generator_below(generator, 8)) {
    case 0:
        return SLICE("");
    case 1:
        return random_bytes(generator, 1 + generator_below(generator, 30));
    case 2:
        return random_bytes(generator, generator_below(generator, VALUE_MAX));
    case 3:
        return SLICE("$5\r\nhello\r\n");
    case 4:
        return batch_text(generator, "", number_below(generator, 100000), "");
    default:
        return batch_text(generator, "value-", number_below(generator, 50), "");
    }
}

/* Every four keys share a tag: keys 0-3 have tag t0, keys 4-7 tag t1, ... */
static struct slice key_with_tag(struct generator *generator, unsigned tag)
{
    return slice_of(generator->keys[tag * 4 + generator_below(generator, 4)]);
}

static struct slice random_payload(struct generator *generator)
{
    if (generator->npayloads == 0) {
        return SLICE("none");
    }
    size_t i = generator_below(generator, generator->npayloads);
    return (struct slice){generator->payloads[i], generator->payload_sizes[i]};
}

static struct slice sha_of(struct generator *generator, const char *script)
{
    char *sha = batch_memory(generator, SHA1_HEX_LENGTH);
    sha1_hex(slice_of(script), sha);
    return (struct slice){sha, SHA1_HEX_LENGTH};
}

static struct slice fill(struct generator *generator, const char *word, unsigned tag)
{
    switch (word[1]) {
    case 'k':
    case 'K':
        return key_with_tag(generator, tag);
    case 'v':
        return random_value(generator);
    case 'm':
        return batch_text(generator, "m", number_below(generator, 6), "");
    case 'n':
        return batch_text(generator, "", number_below(generator, 24) - 6, "");
    case 'f':
        return batch_text(generator, "", number_below(generator, 9) - 4, ".25");
    case 't':
        return batch_text(generator, "", FAR_FUTURE_MS + number_below(generator, 1000), "");
    case 'i':
        return batch_text(generator, "", number_below(generator, 200), "-1");
    case 'd':
        return random_payload(generator);
    case 'e':
        return SLICE("");
    case 'h':
        return sha_of(generator, differential_scripts[word[2] - '1']);
    case 'l':
        return slice_of(differential_library);
    default:
        return slice_of(differential_scripts[word[2] - '1']);
    }
}

/* --- commands -------------------------------------------------------------------------------- */

static struct marks read_marks(const char *template)
{
    struct marks marks = {.words = template + strspn(template, MARKS)};
    for (; template <marks.words; template ++) {
        marks.comparison |= *template == '*'   ? COMPARE_UNORDERED
                            : *template == '~' ? COMPARE_NEAR
                            : *template == '?' ? COMPARE_KIND
                                               : 0u;
        marks.tells_layout = marks.tells_layout || *template == '^';
        marks.stands_alone = marks.stands_alone || *template == '!' || *template == '?';
        marks.is_exact = marks.is_exact || *template == '=';
        marks.is_slow = marks.is_slow || *template == '-';
    }
    return marks;
}

static bool fits(struct generator *generator, const struct marks *marks, const struct place *place)
{
    return !(marks->tells_layout && generator->has_no_layout) &&
           !(marks->stands_alone && place->is_in_transaction) &&
           !(marks->is_slow && generator_below(generator, 8) != 0);
}

/* A mistake now and then: an argument too many or too few. */
static void spoil_arguments(struct generator *generator, struct made_command *command, unsigned tag)
{
    if (generator_below(generator, 40) == 0 && command->argc > 1) {
        command->argc--;
    } else if (generator_below(generator, 40) == 0) {
        /* It may be taken for a key, so it has the others' tag. */
        command->argv[command->argc++] = batch_text(generator, "{t", tag, "}extra");
    }
}

static void change_case(struct generator *generator, struct made_command *command)
{
    if (generator_below(generator, 4) == 0) {
        struct slice name = command->argv[0];
        char *lower = batch_memory(generator, name.len);
        for (size_t i = 0; i < name.len; i++) {
            bool is_lowered = name.data[i] >= 'A' && generator_below(generator, 2) == 0;
            lower[i] = (char)(name.data[i] | (is_lowered ? 0x20 : 0));
        }
        command->argv[0] = (struct slice){lower, name.len};
    }
}

static bool fits_in_a_line(const struct made_command *command)
{
    for (int i = 0; i < command->argc; i++) {
        struct slice word = command->argv[i];
        if (word.len == 0 || word.len > 1000) {
            return false;
        }
        for (size_t j = 0; j < word.len; j++) {
            if (word.data[j] <= ' ' || word.data[j] > '~' ||
                strchr("\"'\\", word.data[j]) != NULL) {
                return false;
            }
        }
    }
    return command->argv[0].data[0] != '*' && command->argv[0].data[0] != '$';
}

/* Further %k go anywhere when the command stands alone: it is split, or refused. */
static unsigned tag_of_word(struct generator *generator, const char *word, bool is_first,
                            const struct place *place)
{
    bool strays = word[1] == 'k' && !is_first && !place->is_in_transaction;
    return strays ? (unsigned)generator_below(generator, KEYS / 4) : place->tag;
}

static void fill_words(struct generator *generator, struct made_command *command, const char *words,
                       const struct place *place)
{
    bool is_first = true;
    while (*words != '\0') {
        size_t length = strcspn(words, " ");
        struct slice word = {words, length};
        ASSERT(command->argc + 1 < MADE_ARGUMENTS_MAX);
        if (*words == '%') {
            word = fill(generator, words, tag_of_word(generator, words, is_first, place));
            is_first = is_first && words[1] != 'k';
        }
        command->argv[command->argc++] = word;
        words += length + (words[length] == ' ');
    }
}

static void make_one(struct generator *generator, struct made_command *command,
                     const struct place *place)
{
    struct marks marks;
    const char *template;
    do {
        template = differential_templates[generator_below(generator, differential_template_count)];
        marks = read_marks(template);
    } while (!fits(generator, &marks, place));
    *command = (struct made_command){.template = template, .comparison = marks.comparison};
    fill_words(generator, command, marks.words, place);
    if (!marks.is_exact) {
        spoil_arguments(generator, command, place->tag);
    }
    change_case(generator, command);
    command->is_inline = generator_below(generator, 20) == 0 && fits_in_a_line(command);
}

static void make_word(struct made_command *command, const char *word)
{
    *command = (struct made_command){.template = word, .argc = 1, .argv = {slice_of(word)}};
}

/* WATCH, and perhaps a command that writes what is watched. Not while slots move: a slot that
 * changes its owner makes EXEC answer null. */
static size_t make_watch(struct generator *generator, struct made_command *commands,
                         const struct place *place)
{
    if (generator->has_no_layout || generator_below(generator, 3) != 0) {
        return 0;
    }
    commands[0] = (struct made_command){.template = "WATCH"};
    fill_words(generator, &commands[0], "WATCH %K %K", place);
    if (generator_below(generator, 2) == 0) {
        return 1;
    }
    make_one(generator, &commands[1], place);
    return 2;
}

/* Its commands are compared where they are answered: in the reply to EXEC. */
static size_t make_transaction(struct generator *generator, struct made_command *commands)
{
    struct place place = {(unsigned)generator_below(generator, KEYS / 4), true};
    size_t count = make_watch(generator, commands, &place);
    size_t inner = generator_below(generator, MADE_COMMANDS_MAX - 1 - count);
    unsigned comparison = 0;
    make_word(&commands[count++], "MULTI");
    for (; inner > 0; inner--, count++) {
        make_one(generator, &commands[count], &place);
        comparison |= commands[count].comparison;
        commands[count].comparison = COMPARE_BYTES;
    }
    make_word(&commands[count], generator_below(generator, 6) == 0 ? "DISCARD" : "EXEC");
    commands[count].comparison = comparison;
    return count + 1;
}

size_t generator_make(struct generator *generator, struct made_command *commands)
{
    if (generator_below(generator, 40) == 0) {
        return make_transaction(generator, commands);
    }
    struct place place = {(unsigned)generator_below(generator, KEYS / 4), false};
    make_one(generator, &commands[0], &place);
    return 1;
}

void generator_write(struct generator *generator, const struct made_command *command,
                     struct buffer *bytes)
{
    if (!command->is_inline) {
        raw_add_command(bytes, command->argc, command->argv);
        return;
    }
    for (int i = 0; i < command->argc; i++) {
        buffer_add_text(bytes, i > 0 ? " " : "");
        buffer_add(bytes, command->argv[i].data, command->argv[i].len);
    }
    buffer_add_text(bytes, generator_below(generator, 2) == 0 ? "\r\n" : "\n");
}
