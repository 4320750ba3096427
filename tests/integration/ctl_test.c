/* sluicectl against real redis-servers and a file store; no proxy and no migrator runs. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <jansson.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "lib/topology/slot.h"
#include "tests/support/cluster.h"
#include "tests/support/process.h"
#include "tests/support/redis.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define WORDS_MAX  32
#define TIMEOUT_MS 60000

/* Two shards in the topology and a third beside it, new for every test. */
struct fixture {
    struct redis_server *servers[3];
    char *folder;
    char *program;
    char store[512];
};

static int start(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof(*fixture));
    for (unsigned i = 0; i < 3; i++) {
        fixture->servers[i] = redis_server_start(NULL);
    }
    fixture->folder = scratch_folder("ctl");
    fixture->program = program_path("sluicectl");
    (void)snprintf(fixture->store, sizeof(fixture->store), "SLUICE_STORE=file:%s/store",
                   fixture->folder);
    *state = fixture;
    return 0;
}

static int stop(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < 3; i++) {
        redis_server_stop(fixture->servers[i]);
    }
    process_stop_all();
    scratch_remove(fixture->folder);
    mem_free(fixture->program);
    mem_free(fixture);
    return 0;
}

/* sluicectl with words split at blanks; @1, @2 and @3 stand for the servers' addresses. */
static struct output run(struct fixture *fixture, const char *words)
{
    char text[512];
    char places[WORDS_MAX][128];
    const char *argv[WORDS_MAX + 2] = {fixture->program};
    const char *environment[] = {fixture->store, NULL};
    unsigned argc = 1;
    (void)snprintf(text, sizeof(text), "%s", words);
    char *rest = text;
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        assert_true(argc <= WORDS_MAX);
        char *at = strchr(word, '@');
        argv[argc] = word;
        if (at != NULL) {
            unsigned server = (unsigned)(at[1] - '1');
            (void)snprintf(places[argc - 1], sizeof(places[0]), "%.*s127.0.0.1:%u",
                           (int)(at - word), word, redis_server_port(fixture->servers[server]));
            argv[argc] = places[argc - 1];
        }
        argc++;
    }
    return process_run(argv, environment, TIMEOUT_MS);
}

/* Runs it, expects the exit code, and `part` (may be null) in what it said: on stdout for 0, on
 * stderr otherwise. Returns stdout, freed with mem_free. */
static char *expect(struct fixture *fixture, const char *words, int code, const char *part)
{
    struct output output = run(fixture, words);
    const char *said = code == 0 ? output.out : output.err;
    bool is_said = part == NULL || strstr(said, part) != NULL;
    if (output.code != code || !is_said) {
        fail_msg("sluicectl %s: exit code %d, not %d; expected \"%s\" in\n%s\nand on stderr\n%s",
                 words, output.code, code, part != NULL ? part : "", output.out, output.err);
    }
    char *out = mem_strdup(output.out);
    output_free(&output);
    return out;
}

static void check(struct fixture *fixture, const char *words, int code, const char *part)
{
    mem_free(expect(fixture, words, code, part));
}

/* The one JSON document on stdout. Owned by the caller. */
static json_t *json_of(struct fixture *fixture, const char *words, int code)
{
    struct output output = run(fixture, words);
    json_error_t why;
    json_t *document = json_loads(output.out, 0, &why); /* refuses what stands behind it */
    if (document == NULL || output.code != code) {
        fail_msg("sluicectl %s: exit code %d, not %d; %s in\n%s%s", words, output.code, code,
                 document != NULL ? "JSON" : why.text, output.out, output.err);
    }
    output_free(&output);
    return document;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static void init(struct fixture *fixture)
{
    check(fixture, "init s1=@1 s2=@2", 0, "epoch 1, 16384 slots");
    check(fixture, "shard add s3=@3", 0, "s3 added");
}

static void redis(struct fixture *fixture, unsigned server, const char *command)
{
    redisContext *context = redisConnect("127.0.0.1", redis_server_port(fixture->servers[server]));
    assert_non_null(context);
    redisReply *reply = redisCommand(context, command);
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    redisFree(context);
}

static uint64_t epoch_of(struct fixture *fixture)
{
    json_t *status = json_of(fixture, "--json status", 0);
    uint64_t epoch = (uint64_t)json_integer_value(json_object_get(status, "epoch"));
    json_decref(status);
    return epoch;
}

/* --- shards ----------------------------------------------------------------------------------- */

static void before_init_every_command_says_to_run_it(void **state)
{
    struct fixture *fixture = *state;
    static const char *const commands[] = {"status",           "shard list", "explain a", "proxies",
                                           "split s1 --to s2", "abort m2",   "report m2"};
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        check(fixture, commands[i], 1, "sluicectl init");
    }
}

static void init_places_all_slots_and_shows_the_shards(void **state)
{
    struct fixture *fixture = *state;
    init(fixture);
    check(fixture, "init s1=@1 s2=@2", 1, NULL); /* there is one already */
    json_t *list = json_of(fixture, "shard list --json", 0);
    const json_t *shards = json_object_get(list, "shards");
    assert_int_equal(json_array_size(shards), 3);
    json_int_t slots = 0;
    for (size_t i = 0; i < 3; i++) {
        const json_t *shard = json_array_get(shards, i);
        assert_string_equal(text_of(shard, "state"), "up");
        assert_int_equal(json_integer_value(json_object_get(shard, "keys")), 0);
        slots += json_integer_value(json_object_get(shard, "slots"));
    }
    assert_int_equal(slots, 16384);
    json_decref(list);
    check(fixture, "shard remove s3", 0, "s3 removed");
    check(fixture, "shard remove s1", 1, "drain");
}

static void a_shard_with_keys_is_refused_without_adopt(void **state)
{
    struct fixture *fixture = *state;
    redis(fixture, 0, "SET account 1");
    check(fixture, "init s1=@1", 1, "--adopt");
    check(fixture, "init s1=@1 --adopt", 0, "epoch 1");
    check(fixture, "shard list", 0, "s1");
}

// field lesson: groups missing in the registry
static void a_shard_that_does_not_answer_is_named(void **state)
{
    struct fixture *fixture = *state;
    init(fixture);
    redis_server_kill(fixture->servers[2]);
    check(fixture, "shard list", 0, "unreachable");
    check(fixture, "split s1 --to s3", 1, "refused to move slots to s3");
    redis_server_kill(fixture->servers[0]);
    check(fixture, "split s1 --to s2", 1, "refused to move slots from s1");
    check(fixture, "plan split s1 --to s2", 1, "cannot count the keys of s1");
    assert_int_equal(epoch_of(fixture), 2);
}

// field lesson: groups missing in the registry
static void a_shard_that_lost_its_fence_is_not_moved_to(void **state)
{
    struct fixture *fixture = *state;
    init(fixture);
    redis(fixture, 2, "FLUSHALL");
    check(fixture, "shard list", 0, "unfenced");
    check(fixture, "split s1 --to s3", 1, "sluicectl shard accept s3");
}

/* --- plans ------------------------------------------------------------------------------------ */

static void a_plan_counts_and_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    init(fixture);
    redis(fixture, 0, "DEBUG POPULATE 5000 key 100");
    redis(fixture, 0, "SETRANGE large 200000 x");
    redis(fixture, 2, "CONFIG SET maxmemory 100mb");
    uint64_t epoch = epoch_of(fixture);
    json_t *plan = json_of(fixture, "--json plan split s1 --to s3 --share 1", 0);
    const json_t *move = json_array_get(json_object_get(plan, "moves"), 0);
    assert_string_equal(text_of(move, "source"), "s1");
    assert_string_equal(text_of(move, "target"), "s3");
    assert_true(json_is_true(json_object_get(move, "keys_exact")));
    /* s1 holds keys of s2's slots too here; only its own are counted. */
    json_int_t expected = 0;
    json_t *list = json_of(fixture, "--json shard list", 0);
    json_int_t slots = json_integer_value(
        json_object_get(json_array_get(json_object_get(list, "shards"), 0), "slots"));
    expected = json_integer_value(json_object_get(move, "slot_count"));
    assert_int_equal(slots, expected);
    json_int_t keys = json_integer_value(json_object_get(move, "keys"));
    json_int_t fair = 5000 * slots / 16384;
    assert_true(keys > fair * 9 / 10 && keys < fair * 11 / 10);
    assert_true(json_integer_value(json_object_get(move, "bytes")) > keys * 100);
    assert_true(json_integer_value(json_object_get(move, "target_headroom")) > 50000000);
    assert_true(json_integer_value(json_object_get(move, "estimated_ms")) > 0);
    assert_string_equal(text_of(move, "rate_of"), ""); /* nothing has moved yet */
    json_decref(list);
    json_decref(plan);
    check(fixture, "plan rebalance", 0, "nothing was changed");
    check(fixture, "plan drain s1", 0, "nothing was changed");
    check(fixture, "plan move 0-9 --to s3", 0, "nothing was changed");
    assert_int_equal(epoch_of(fixture), epoch);
    json_t *journal = json_of(fixture, "--json journal", 0);
    assert_int_equal(json_array_size(json_object_get(journal, "records")), 0);
    json_decref(journal);
}

// field lesson: a big key stalls its shard, and all behind it
static void a_plan_names_large_keys(void **state)
{
    struct fixture *fixture = *state;
    init(fixture);
    redis(fixture, 0, "SETRANGE large 200000 x");
    redis(fixture, 1, "SETRANGE large 200000 x");
    char words[64];
    unsigned slot = slot_of_key(SLICE("large"), 16384);
    (void)snprintf(words, sizeof(words), "plan move %u --to s3", slot);
    check(fixture, words, 0, " kB  large");
    (void)snprintf(words, sizeof(words), "plan move %u --to s3 --large-key 1gb", slot);
    check(fixture, words, 0, "none in the sample of 1");
}

/* --- migrations ------------------------------------------------------------------------------- */

static void split_prints_the_id_and_status_shows_it_planned(void **state)
{
    struct fixture *fixture = *state;
    init(fixture);
    struct output output = run(fixture, "split s1 --to s3 --share 0.25 --keys-per-second 500");
    assert_int_equal(output.code, 0);
    assert_string_equal(output.out, "m3\n");
    assert_non_null(strstr(output.err, "no sluice-migrator is running"));
    output_free(&output);
    json_t *status = json_of(fixture, "--json status m3", 0);
    assert_string_equal(text_of(status, "phase"), "planned");
    assert_string_equal(text_of(status, "authority"), "s1");
    assert_string_equal(text_of(status, "copy"), "s3");
    const json_t *options = json_object_get(status, "options");
    assert_int_equal(json_integer_value(json_object_get(options, "keys-per-second")), 500);
    json_decref(status);
    check(fixture, "status", 0, "m3  planned  s1 -> s3");
    check(fixture, "journal m3", 0, "split s1 --to s3 --share 0.25");
    check(fixture, "split s1 --to s3 --share 1.5", 2, "--share");
    check(fixture, "split s1 --to s9", 1, "sluicectl shard list");
}

static void abort_in_planned_closes_it(void **state)
{
    struct fixture *fixture = *state;
    init(fixture);
    check(fixture, "split s1 --to s3", 0, "m3");
    check(fixture, "abort --wait", 0, "m3 abort");
    check(fixture, "status", 0, "no open migrations");
    check(fixture, "status m3", 0, "closed: aborted");
    check(fixture, "abort m3", 1, "sluicectl report m3");
    check(fixture, "abort", 1, "no migration is open");
    json_t *report = json_of(fixture, "--json report m3", 0);
    assert_string_equal(text_of(report, "state"), "closed");
    assert_string_equal(text_of(report, "outcome"), "aborted");
    assert_string_equal(text_of(report, "source"), "s1");
    json_decref(report);
}

static void in_the_wrong_phase_a_command_names_the_right_one(void **state)
{
    struct fixture *fixture = *state;
    init(fixture);
    check(fixture, "split s1 --to s3", 0, "m3");
    uint64_t epoch = epoch_of(fixture);
    check(fixture, "rollback m3", 1, "m3 is in planned: nothing has switched");
    check(fixture, "rollback m3", 1, "sluicectl abort");
    check(fixture, "finalize m3", 1, "m3 is in planned");
    check(fixture, "switch m3", 1, "m3 is in planned");
    check(fixture, "verify m3", 1, "m3 is in planned");
    check(fixture, "resume m3", 1, "not paused");
    assert_int_equal(epoch_of(fixture), epoch);
    check(fixture, "pause m3", 0, "m3 pause");
    check(fixture, "pause m3", 1, "sluicectl resume");
    check(fixture, "status", 0, "(paused)");
    check(fixture, "resume", 0, "m3 resume");
    check(fixture, "split s1 --to s2", 0, "m");
    check(fixture, "pause", 2, "name one");
    check(fixture, "pause 42", 2, "no migration id");
    check(fixture, "pause m999", 1, "m999 is not open");
    check(fixture, "report m999", 1, "never was");
}

static void waiting_ends_when_another_aborts(void **state)
{
    struct fixture *fixture = *state;
    init(fixture);
    struct output output = run(fixture, "split s1 --to s3 --wait --timeout 1s");
    assert_int_equal(output.code, 1);
    assert_non_null(strstr(output.err, "gave up waiting"));
    assert_non_null(strstr(output.err, "no sluice-migrator is running: start one with"));
    output_free(&output);
    check(fixture, "status m3", 0, "planned");

    const char *argv[] = {fixture->program, "move", "0-99", "--to", "s3", "--wait", NULL};
    const char *environment[] = {fixture->store, NULL};
    char log[600];
    (void)snprintf(log, sizeof(log), "%s/wait.log", fixture->folder);
    check(fixture, "abort m3", 0, NULL);
    uint64_t epoch = epoch_of(fixture);
    struct process *waiter = process_start("waiter", argv, environment, log);
    WAIT_UNTIL(epoch_of(fixture) != epoch, TIMEOUT_MS);
    char words[64];
    json_t *status = json_of(fixture, "--json status", 0);
    const json_t *first = json_array_get(json_object_get(status, "migrations"), 0);
    (void)snprintf(words, sizeof(words), "abort %s", text_of(first, "id"));
    json_decref(status);
    check(fixture, words, 0, NULL);
    int code = 0;
    assert_true(process_wait(waiter, 60000, &code));
    assert_int_equal(WEXITSTATUS(code), 1);
}

static bool log_has(const char *path, const char *text)
{
    char content[4096] = "";
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        content[fread(content, 1, sizeof(content) - 1, file)] = '\0';
        (void)fclose(file);
    }
    return strstr(content, text) != NULL;
}

static void whoever_waits_is_told_when_the_last_migrator_goes(void **state)
{
    struct fixture *fixture = *state;
    struct store_member member = {.kind = "migrator", .id = "m", .incarnation = "1"};
    struct error err;
    char log[600];
    const char *argv[] = {fixture->program, "split", "s1", "--to", "s3", "--wait", NULL};
    const char *environment[] = {fixture->store, NULL};
    init(fixture);
    struct store *store = store_open(strchr(fixture->store, '=') + 1, &err);
    assert_non_null(store);
    assert_true(store_renew(store, &member, &err));
    (void)snprintf(log, sizeof(log), "%s/alone.log", fixture->folder);
    struct process *waiter = process_start("waiter", argv, environment, log);
    WAIT_UNTIL(store_renew(store, &member, &err) && log_has(log, "slots from s1 to s3"),
               TIMEOUT_MS);
    assert_false(log_has(log, "no sluice-migrator is running"));
    assert_true(store_unregister(store, &member, &err));
    WAIT_UNTIL(log_has(log, "no sluice-migrator is running: start one with"), 60000);
    assert_true(process_is_running(waiter));
    check(fixture, "abort", 0, NULL);
    assert_true(process_wait(waiter, 60000, NULL));
    store_close(store);
}

static void whoever_waits_outlives_a_store_that_goes_away_and_comes_back(void **state)
{
    struct fixture *fixture = *state;
    char log[600], away[600];
    const char *argv[] = {fixture->program, "split", "s1", "--to", "s3", "--wait", NULL};
    const char *environment[] = {fixture->store, NULL};
    const char *place = strstr(fixture->store, "file:") + strlen("file:");
    int code = 0;
    init(fixture);
    (void)snprintf(log, sizeof(log), "%s/silence.log", fixture->folder);
    (void)snprintf(away, sizeof(away), "%s/away", fixture->folder);
    struct process *waiter = process_start("waiter", argv, environment, log);
    WAIT_UNTIL(log_has(log, "slots from s1 to s3"), TIMEOUT_MS);
    assert_int_equal(rename(place, away), 0);
    WAIT_UNTIL(log_has(log, "; waiting for the store"), TIMEOUT_MS);
    assert_int_equal(rename(away, place), 0);
    check(fixture, "abort", 0, NULL);
    assert_true(process_wait(waiter, TIMEOUT_MS, &code));
    assert_int_equal(WEXITSTATUS(code), 1);
    assert_true(log_has(log, "was aborted"));
}

/* --- looking ---------------------------------------------------------------------------------- */

static void explain_agrees_with_slot_of_key(void **state)
{
    struct fixture *fixture = *state;
    init(fixture);
    static const char *const keys[] = {"a", "{acct:42}:balance", "x{}y", "{a}{b}"};
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char words[64];
        (void)snprintf(words, sizeof(words), "--json explain %s", keys[i]);
        json_t *answer = json_of(fixture, words, 0);
        assert_int_equal(json_integer_value(json_object_get(answer, "slot")),
                         slot_of_key(slice_of(keys[i]), 16384));
        assert_true(json_is_null(json_object_get(answer, "migration")));
        assert_string_equal(text_of(answer, "read"), text_of(answer, "shard"));
        json_decref(answer);
    }
    char words[64];
    (void)snprintf(words, sizeof(words), "move %u --to s3",
                   slot_of_key(SLICE("{acct:42}:balance"), 16384));
    check(fixture, words, 0, "m3");
    json_t *answer = json_of(fixture, "--json explain {acct:42}:balance", 0);
    assert_string_equal(text_of(answer, "tag"), "acct:42");
    assert_string_equal(text_of(answer, "migration"), "m3");
    assert_string_equal(text_of(answer, "phase"), "planned");
    json_decref(answer);
    check(fixture, "explain -- --json", 0, "slot");
}

static void every_command_prints_one_json_document(void **state)
{
    struct fixture *fixture = *state;
    json_decref(json_of(fixture, "--json init s1=@1 s2=@2", 0));
    json_decref(json_of(fixture, "--json shard add s3=@3", 0));

    static const struct {
        const char *words;
        int code;
    } cases[] = {
        {"--json shard list", 0},       {"--json plan split s1 --to s3", 0},
        {"--json split s1 --to s3", 0}, {"--json status", 0},
        {"--json pause --wait", 0},     {"--json resume", 0},
        {"--json report", 0},           {"--json journal", 0},
        {"--json proxies", 0},          {"--json explain k", 0},
        {"--json finalize", 1},         {"--json rollback", 1},
        {"--json abort --wait", 0},     {"--json report", 0},
        {"--json rebalance", 0},        {"--json status m777", 1},
        {"--json splitt", 2},           {"--json split", 2},
        {"--json split s1 --to s9", 1}, {"--json status --watch", 2},
        {"--json init s1=@1", 1},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *document = json_of(fixture, cases[i].words, cases[i].code);
        bool has_error = text_of(document, "error")[0] != '\0';
        assert_true(has_error == (cases[i].code != 0));
        json_decref(document);
    }
}

static void exit_codes_tell_failure_from_wrong_usage(void **state)
{
    struct fixture *fixture = *state;
    check(fixture, "--help", 0, "shard accept NAME");
    check(fixture, "split --help", 0, "--finalize-after");
    check(fixture, "shard --help", 0, "shard add");
    check(fixture, "--version", 0, "sluicectl ");
    check(fixture, "nothing", 2, "see sluicectl --help");
    check(fixture, "split s1", 2, "see sluicectl split --help");
    check(fixture, "init s1", 2, "NAME=HOST:PORT");
    check(fixture, "init s1=@1 --slots 1000", 2, "power of two");
    check(fixture, "--store nowhere status", 1, "nowhere");
    (void)snprintf(fixture->store, sizeof(fixture->store), "SLUICE_STORE=");
    check(fixture, "status", 2, "SLUICE_STORE");
}

static bool is_following(struct fixture *fixture)
{
    redisContext *context = redisConnect("127.0.0.1", redis_server_port(fixture->servers[2]));
    redisReply *reply = redisCommand(context, "INFO replication");
    assert_non_null(reply);
    bool is_up = strstr(reply->str, "master_link_status:up") != NULL;
    freeReplyObject(reply);
    redisFree(context);
    return is_up;
}

/* The third server becomes the first one's replica; the first takes another replication id then. */
static void follow(struct fixture *fixture)
{
    char words[64];
    (void)snprintf(words, sizeof(words), "REPLICAOF 127.0.0.1 %u",
                   redis_server_port(fixture->servers[0]));
    redis(fixture, 2, words);
    WAIT_UNTIL(is_following(fixture), TIMEOUT_MS);
}

static bool plan_says(struct fixture *fixture, const char *words, const char *part)
{
    struct output output = run(fixture, words);
    bool is_said = output.code == 0 && strstr(output.out, part) != NULL;
    output_free(&output);
    return is_said;
}

static void a_failover_says_what_is_proven_and_what_is_lost(void **state)
{
    struct fixture *fixture = *state;
    check(fixture, "init s1=@1 s2=@2", 0, "epoch 1, 16384 slots");
    check(fixture, "plan failover s1 --to @3", 0, "NOT PROVEN: it has no fence of this shard");
    check(fixture, "shard failover s1 --to @3", 1, "give --accept-loss");
    check(fixture, "shard failover s1 --to @2", 1, "has the fence of shard \"s2\"");
    check(fixture, "shard failover s1", 2, "needs --to HOST:PORT");
    check(fixture, "shard failover s1 --to sentinel://h", 2, "is not of the form HOST:PORT");
    check(fixture, "shard failover s9 --to @3", 1, "there is no shard \"s9\"");
    follow(fixture);
    /* A primary takes another replication id with its first replica: no proxy runs to name it.
     */
    WAIT_UNTIL(plan_says(fixture, "plan failover s1 --to @3", "NOT PROVEN: a replica, but not of"),
               TIMEOUT_MS);
    check(fixture, "shard accept s1", 0, "s1 accepted");
    check(fixture, "shard set s1=@3", 1, "is a replica");
    check(fixture, "plan failover s1 --to @3", 0, "a replica of the process that the topology");
    uint64_t epoch = epoch_of(fixture);
    check(fixture, "plan failover s1 --to @3", 0, "nothing was changed");
    assert_int_equal(epoch_of(fixture), epoch);
    check(fixture, "shard failover s1 --to @3", 0, "nothing: writes were held");
    check(fixture, "shard failover s1 --to @3", 0, "is the shard's already");
    check(fixture, "plan failover s1 --to @1", 0, "NOT PROVEN");
}

static void a_former_primary_that_hangs_is_shown_until_it_is_closed(void **state)
{
    struct fixture *fixture = *state;
    follow(fixture);
    check(fixture, "init s1=@1 s2=@2", 0, "epoch 1, 16384 slots");
    WAIT_UNTIL(plan_says(fixture, "plan failover s1 --to @3", "a replica of the process"),
               TIMEOUT_MS);
    process_signal(redis_server_process(fixture->servers[0]), SIGSTOP);
    json_t *done = json_of(fixture, "--json shard failover s1 --to @3", 0);
    assert_string_equal(text_of(done, "former"), "silent");
    assert_true(json_is_true(json_object_get(done, "proven")));
    assert_true(json_is_false(json_object_get(done, "former_closed")));
    json_decref(done);
    check(fixture, "shard list", 0, "former primary of s1 at");
    process_signal(redis_server_process(fixture->servers[0]), SIGCONT);
}

static void a_shard_may_be_given_another_address(void **state)
{
    struct fixture *fixture = *state;
    char words[64];
    check(fixture, "init s1=@1 s2=@2", 0, "epoch 1, 16384 slots");
    (void)snprintf(words, sizeof(words), "shard set s1=localhost:%u",
                   redis_server_port(fixture->servers[0]));
    check(fixture, words, 0, "s1 set");
    check(fixture, words, 0, "s1 is so already");
    check(fixture, "shard list", 0, "localhost:");
    check(fixture, "shard set s1=@3", 1, "sluicectl shard failover");
    check(fixture, "shard set s9=@1", 1, "there is no shard \"s9\"");
    check(fixture, "shard set s1", 2, "is not of the form");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(before_init_every_command_says_to_run_it),
        CASE(init_places_all_slots_and_shows_the_shards),
        CASE(a_shard_with_keys_is_refused_without_adopt),
        CASE(a_shard_that_does_not_answer_is_named),
        CASE(a_shard_that_lost_its_fence_is_not_moved_to),
        CASE(a_plan_counts_and_changes_nothing),
        CASE(a_plan_names_large_keys),
        CASE(split_prints_the_id_and_status_shows_it_planned),
        CASE(abort_in_planned_closes_it),
        CASE(in_the_wrong_phase_a_command_names_the_right_one),
        CASE(waiting_ends_when_another_aborts),
        CASE(whoever_waits_outlives_a_store_that_goes_away_and_comes_back),
        CASE(whoever_waits_is_told_when_the_last_migrator_goes),
        CASE(explain_agrees_with_slot_of_key),
        CASE(every_command_prints_one_json_document),
        CASE(exit_codes_tell_failure_from_wrong_usage),
        CASE(a_failover_says_what_is_proven_and_what_is_lost),
        CASE(a_former_primary_that_hangs_is_shown_until_it_is_closed),
        CASE(a_shard_may_be_given_another_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
