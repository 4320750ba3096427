/* The same random commands to Sluice over three shards and to one plain Redis: every reply must be
 * the same, byte for byte, in RESP2 and in RESP3, at rest and while slots move. SLUICE_SEED repeats
 * a run, SLUICE_COMMANDS sets how many commands. The commands are in
 * tests/support/differential/templates.c.
 *
 * Left out, each for a reason:
 *   - what draws lots and leaves something to draw: SPOP SRANDMEMBER HRANDFIELD ZRANDMEMBER of a
 *     few, RANDOMKEY;
 *   - what tells the time exactly: XADD *, TIME; where a reply has a time in it, it may differ a
 *     little;
 *   - what Sluice promises to do differently: keys of several slots in one command that cannot be
 *     split (-CROSSSLOT), SELECT 1, COPY to another DB, server administration;
 *   - commands that wait for another client, and pub/sub, which have tests of their own;
 *   - the order of sets and hashes: Redis hashes them with a random seed. SMEMBERS and its kin are
 *     compared as sets of elements, not as bytes;
 *   - while slots move, how a value is laid out (OBJECT ENCODING): RESTORE may choose another way;
 *     and WATCH: a slot that changes its owner makes EXEC answer null.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "tests/support/cluster.h"
#include "tests/support/differential/command.h"
#include "tests/support/differential/compare.h"
#include "tests/support/differential/templates.h"
#include "tests/support/migrations.h"
#include "tests/support/raw.h"
#include "tests/support/scratch.h"

#define COMMANDS      20000
#define BATCH_MAX     60
#define DIFFERENCES   10 /* printed before the test gives up */
#define SIDES         2  /* Sluice, plain Redis */
#define PROTOCOLS     2
#define FEW_BATCHES   10
#define PHASE_BATCHES (commands_wanted() / 200)

struct side {
    int fd;
    struct buffer pending;
    struct buffer reply;
};

struct fixture {
    struct generator *generator;
    struct cluster *cluster;
    struct redis_server *plain;
    struct side sides[PROTOCOLS][SIDES];
    const char *differing[DIFFERENCES]; /* templates, printed once each */
    unsigned differences;
};

static struct fixture fixture;

/* --- comparing replies ----------------------------------------------------------------------- */

static void print_bytes(const char *name, struct slice bytes)
{
    (void)fprintf(stderr, "    %s", name);
    for (size_t i = 0; i < bytes.len && i < 300; i++) {
        unsigned char byte = (unsigned char)bytes.data[i];
        (void)fprintf(stderr, byte >= ' ' && byte <= '~' ? "%c" : "\\x%02x", byte);
    }
    (void)fprintf(stderr, bytes.len > 300 ? "... (%zu bytes)\n" : "\n", bytes.len);
}

static void print_difference(const struct made_command *command, const struct side *sides)
{
    (void)fprintf(stderr, "replies differ%s:\n", command->is_inline ? " (sent inline)" : "");
    for (int i = 0; i < command->argc; i++) {
        print_bytes(i == 0 ? "command " : "        ", command->argv[i]);
    }
    print_bytes("sluice  ", buffer_slice(&sides[0].reply));
    print_bytes("redis   ", buffer_slice(&sides[1].reply));
}

static void note_difference(const struct made_command *command, const struct side *sides)
{
    for (unsigned i = 0; i < fixture.differences; i++) {
        if (fixture.differing[i] == command->template) {
            return;
        }
    }
    print_difference(command, sides);
    fixture.differing[fixture.differences++] = command->template;
    if (fixture.differences == DIFFERENCES) {
        fail_msg("too many differences; SLUICE_SEED is above");
    }
}

static void compare_one(const struct made_command *command, struct side *sides)
{
    for (int i = 0; i < SIDES; i++) {
        buffer_clear(&sides[i].reply);
        if (!raw_read_reply(sides[i].fd, &sides[i].pending, &sides[i].reply)) {
            print_difference(command, sides);
            fail_msg("%s closed the connection", i == 0 ? "Sluice" : "Redis");
        }
    }
    if (!replies_agree(buffer_slice(&sides[0].reply), buffer_slice(&sides[1].reply),
                       command->comparison)) {
        note_difference(command, sides);
    }
}

/* --- batches --------------------------------------------------------------------------------- */

static size_t run_batch(struct side *sides)
{
    static struct made_command commands[BATCH_MAX + MADE_COMMANDS_MAX];
    struct generator *generator = fixture.generator;
    struct buffer bytes;
    size_t count = 0;
    size_t wanted =
        generator_below(generator, 3) == 0 ? 1 : 1 + generator_below(generator, BATCH_MAX);
    buffer_init(&bytes, SIZE_MAX);
    while (count < wanted) {
        count += generator_make(generator, &commands[count]);
    }
    for (size_t i = 0; i < count; i++) {
        generator_write(generator, &commands[i], &bytes);
    }
    for (int i = 0; i < SIDES; i++) {
        assert_true(raw_send(sides[i].fd, buffer_slice(&bytes)));
    }
    for (size_t i = 0; i < count; i++) {
        compare_one(&commands[i], sides);
    }
    buffer_fini(&bytes);
    generator_end_batch(generator);
    return count;
}

static uint64_t commands_wanted(void)
{
    uint64_t commands = COMMANDS;
    const char *wanted = getenv("SLUICE_COMMANDS");
    if (wanted != NULL) {
        assert_true(number_parse_u64(slice_of(wanted), &commands));
    }
    return commands;
}

/* By turns in both protocols, on the same keys. */
static void run_some(size_t batches)
{
    for (size_t i = 0; i < batches; i++) {
        (void)run_batch(fixture.sides[generator_below(fixture.generator, PROTOCOLS)]);
    }
}

static void run_in(unsigned protocol)
{
    uint64_t wanted = commands_wanted();
    for (uint64_t sent = 0; sent < wanted;) {
        sent += run_batch(fixture.sides[protocol - 2]);
    }
    assert_int_equal(fixture.differences, 0);
}

static void the_same_commands_get_the_same_replies_in_resp2(void **state)
{
    (void)state;
    run_in(2);
}

static void the_same_commands_get_the_same_replies_in_resp3(void **state)
{
    (void)state;
    run_in(3);
}

/* --- while slots move ------------------------------------------------------------------------- */

static void run_until_phase(const char *id, const char *phase)
{
    while (!migration_is_in(fixture.cluster, id, phase)) {
        run_some(1 + generator_below(fixture.generator, FEW_BATCHES));
    }
}

/* Slots from one shard to another, and to the end or back again. */
static void move_once(const char *words, bool is_rolled_back)
{
    char *id = migration_open_by_ctl(fixture.cluster, words);
    run_until_phase(id, "dual-write");
    run_some(PHASE_BATCHES);
    while (!migration_is_verified(fixture.cluster, id)) {
        run_some(FEW_BATCHES);
    }
    cluster_tell(fixture.cluster, "switch %s", id);
    run_until_phase(id, "switched");
    run_some(PHASE_BATCHES);
    cluster_tell(fixture.cluster, "%s %s", is_rolled_back ? "rollback" : "finalize", id);
    run_until_phase(id, "closed");
    mem_free(id);
}

// field lesson: an early error put request and reply out of step
static void the_same_commands_get_the_same_replies_while_slots_move(void **state)
{
    (void)state;
    generator_forbid_layout(fixture.generator);
    run_some(FEW_BATCHES);
    move_once("split s1 --to s2 --share 0.8 --manual-switch", false);
    move_once("split s2 --to s3 --share 0.7 --manual-switch", true);
    move_once("split s2 --to s1 --share 0.6 --manual-switch", false);
    assert_int_equal(fixture.differences, 0);
    cluster_compare(fixture.cluster, "");
}

/* --- set-up ---------------------------------------------------------------------------------- */

static void ask_plain(const char *line, struct buffer *reply)
{
    struct side *plain = &fixture.sides[0][1];
    buffer_clear(reply);
    assert_true(raw_send(plain->fd, slice_of(line)));
    assert_true(raw_read_reply(plain->fd, &plain->pending, reply));
}

/* What RESTORE is given: values of all types as the plain server dumps them. */
static void make_payloads(void)
{
    static const char *const values[] = {
        "SET p 12345\r\n",
        "SET p a-string-that-is-longer-than-an-embedded-one-would-be-in-redis\r\n",
        "RPUSH p a b 3 4\r\n",
        "SADD p 1 2 3\r\n",
        "SADD p m1\r\n",
        "HSET p m1 v\r\n",
        "ZADD p 1 m1 2.5 m2 3 m3\r\n",
        "XADD p 3-1 m1 v\r\n",
        "PFADD p a b c\r\n",
        "GEOADD p 13.361389 38.115556 m1 15.087269 37.502669 m2\r\n",
    };
    struct buffer reply;
    buffer_init(&reply, SIZE_MAX);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        ask_plain("DEL p\r\n", &reply);
        ask_plain(values[i], &reply);
        ask_plain("DUMP p\r\n", &reply);
        struct slice dump = buffer_slice(&reply);
        const char *body = (const char *)memchr(dump.data, '\n', dump.len) + 1;
        generator_add_payload(
            fixture.generator,
            (struct slice){body, dump.len - (size_t)(body - dump.data) - strlen("\r\n")});
    }
    ask_plain("DEL p\r\n", &reply);
    buffer_fini(&reply);
}

/* All but the last, which does not compile. A script that only one side knew, from an EXEC that did
 * nothing or an EVAL that was refused, would be no difference worth telling. */
static void load_scripts(struct side *side)
{
    for (size_t i = 0; i + 1 < differential_script_count; i++) {
        const struct slice argv[] = {SLICE("SCRIPT"), SLICE("LOAD"),
                                     slice_of(differential_scripts[i])};
        struct buffer command;
        buffer_init(&command, SIZE_MAX);
        raw_add_command(&command, 3, argv);
        assert_true(raw_send(side->fd, buffer_slice(&command)));
        assert_true(raw_read_reply(side->fd, &side->pending, &side->reply));
        buffer_fini(&command);
    }
}

static void connect_side(struct side *side, unsigned protocol, uint16_t port)
{
    buffer_init(&side->pending, SIZE_MAX);
    buffer_init(&side->reply, SIZE_MAX);
    side->fd = raw_connect(port);
    assert_true(side->fd >= 0);
    assert_true(raw_send(side->fd, protocol == 3 ? SLICE("HELLO 3\r\n") : SLICE("HELLO 2\r\n")));
    assert_true(raw_read_reply(side->fd, &side->pending, &side->reply));
    assert_int_equal(buffer_slice(&side->reply).data[0], protocol == 3 ? '%' : '*');
}

static int start_over(const struct cluster_options *options)
{
    fixture = (struct fixture){.generator = generator_new(scratch_seed())};
    fixture.cluster = cluster_start(options);
    fixture.plain = redis_server_start(NULL);
    const uint16_t ports[SIDES] = {cluster_proxy_port(fixture.cluster, 0),
                                   redis_server_port(fixture.plain)};
    for (unsigned protocol = 2; protocol <= 3; protocol++) {
        for (int i = 0; i < SIDES; i++) {
            connect_side(&fixture.sides[protocol - 2][i], protocol, ports[i]);
        }
    }
    make_payloads();
    for (int i = 0; i < SIDES; i++) {
        load_scripts(&fixture.sides[0][i]);
    }
    return 0;
}

static int start(void **state)
{
    (void)state;
    const struct cluster_options options = {.shards = 3, .proxy_arguments = cluster_patient_proxy};
    return start_over(&options);
}

static int start_to_move(void **state)
{
    (void)state;
    const struct cluster_options options = {.shards = 3,
                                            .has_migrator = true,
                                            .proxy_arguments = cluster_patient_proxy,
                                            .migrator_environment = cluster_patient_migrator};
    return start_over(&options);
}

static int stop(void **state)
{
    (void)state;
    for (int i = 0; i < PROTOCOLS * SIDES; i++) {
        struct side *side = &fixture.sides[i / SIDES][i % SIDES];
        (void)close(side->fd);
        buffer_fini(&side->pending);
        buffer_fini(&side->reply);
    }
    redis_server_stop(fixture.plain);
    cluster_stop(fixture.cluster);
    generator_free(fixture.generator);
    process_stop_all();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_commands_get_the_same_replies_in_resp2, start,
                                        stop),
        cmocka_unit_test_setup_teardown(the_same_commands_get_the_same_replies_in_resp3, start,
                                        stop),
        cmocka_unit_test_setup_teardown(the_same_commands_get_the_same_replies_while_slots_move,
                                        start_to_move, stop),
    };
    return cmocka_run_group_tests_name("differential", tests, NULL, NULL);
}
