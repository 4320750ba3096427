/* micro: nanoseconds of the pure functions on the data path, the best of several rounds: the
 * framer, the command parser, routing of a key, a record in a histogram. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/command/command.h"
#include "lib/metrics/histogram.h"
#include "lib/resp/command_parser.h"
#include "lib/topology/slot.h"

#define ROUNDS 7
#define TIMES  200000u

struct bench {
    const char *name;
    unsigned (*run)(void *state); /* TIMES times; the result keeps the compiler honest */
    void *state;
};

struct bytes {
    struct slice text;
    size_t cut; /* comes in two parts, cut here; 0: whole */
    struct command_parser parser;
};

static unsigned frame(void *state)
{
    const struct bytes *bytes = state;
    struct framer framer = {.values_left = 0};
    unsigned sum = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        size_t used = 0;
        if (bytes->cut > 0) {
            sum += (unsigned)framer_feed(&framer, bytes->text.data, bytes->cut, &used);
        }
        sum += (unsigned)framer_feed(&framer, bytes->text.data + bytes->cut,
                                     bytes->text.len - bytes->cut, &used);
        sum += (unsigned)used;
    }
    return sum;
}

static unsigned parse(void *state)
{
    struct bytes *bytes = state;
    unsigned sum = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        struct command command = {.argc = 0};
        if (bytes->cut > 0) {
            sum += (unsigned)command_parse(&bytes->parser, bytes->text.data, bytes->cut, &command);
        }
        sum += (unsigned)command_parse(&bytes->parser, bytes->text.data, bytes->text.len, &command);
        sum += command.argc;
    }
    return sum;
}

static unsigned find(void *state)
{
    const struct command_table *table = command_table_builtin();
    unsigned sum = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        sum += command_find(table, state, 1)->id;
    }
    return sum;
}

static unsigned route(void *state)
{
    char *key = state;
    unsigned sum = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        key[4] = (char)('0' + i % 10);
        sum += slot_of_key(slice_of(key), SLOTS_DEFAULT);
    }
    return sum;
}

static unsigned record(void *state)
{
    for (unsigned i = 0; i < TIMES; i++) {
        histogram_record(state, i * 37);
    }
    return (unsigned)histogram_max_us(state);
}

static void measure(const struct bench *bench)
{
    uint64_t best_us = UINT64_MAX;
    unsigned sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begun_us = clock_now_us();
        sum += bench->run(bench->state);
        uint64_t us = clock_now_us() - begun_us;
        best_us = us < best_us ? us : best_us;
    }
    (void)printf("%-44s %8.1f ns   (%08x)\n", bench->name, (double)best_us * 1000 / TIMES, sum);
}

static char *large_array(void)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    buffer_add_text(&text, "*100\r\n");
    for (int i = 0; i < 100; i++) {
        buffer_add_text(&text, "$10\r\n0123456789\r\n");
    }
    buffer_add(&text, "", 1);
    return text.data;
}

int main(void)
{
    char *array = large_array();
    struct bytes bulk = {.text = SLICE("$16\r\n0123456789abcdef\r\n")};
    struct bytes cut_bulk = {.text = bulk.text, .cut = 7};
    struct bytes elements = {.text = slice_of(array)};
    struct bytes get = {.text = SLICE("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n")};
    struct bytes cut_get = {.text = get.text, .cut = 20};
    struct slice names[] = {SLICE("get"), SLICE("PEXPIREAT")};
    char key[] = "key:000000000001", tagged[] = "acct0{42}:balance";
    struct histogram *histogram = mem_zalloc(sizeof(*histogram));
    command_parser_init(&get.parser, COMMAND_BULK_MAX);
    command_parser_init(&cut_get.parser, COMMAND_BULK_MAX);
    const struct bench benches[] = {
        {"framer: bulk of 16 bytes", frame, &bulk},
        {"framer: bulk of 16 bytes, cut in two", frame, &cut_bulk},
        {"framer: array of 100 bulks", frame, &elements},
        {"command parser: GET", parse, &get},
        {"command parser: GET, cut in two", parse, &cut_get},
        {"command table: get", find, &names[0]},
        {"command table: PEXPIREAT", find, &names[1]},
        {"slot of a key of 16 bytes", route, key},
        {"slot of a key with a tag", route, tagged},
        {"histogram record", record, histogram},
    };
    for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {
        measure(&benches[i]);
    }
    command_parser_fini(&get.parser);
    command_parser_fini(&cut_get.parser);
    mem_free(histogram);
    mem_free(array);
    return 0;
}
