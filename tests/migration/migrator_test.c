/* Whole migrations by the real sluice-migrator between two real redis-servers. Without a proxy
 * there are no peers, so barriers are met at once; writers that act like a proxy are in
 * migrator_writer_test.c and migrator_killed_test.c. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/cluster/bootstrap.h"
#include "lib/shard/metadata.h"
#include "migrator/value/crc64.h"
#include "tests/support/migration_rig.h"
#include "tests/support/wait.h"

#define LONG_MS 60000

static int set_up(void **state)
{
    static struct migration_rig rig;
    static const char *const no_disk[] = {"--appendonly", "no", NULL};
    rig_start(&rig, no_disk);
    *state = &rig;
    return 0;
}

/* Shards that come back with all of their data after kill -9. */
static int set_up_durable(void **state)
{
    static struct migration_rig rig;
    rig_start(&rig, NULL);
    *state = &rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_stop(*state);
    return 0;
}

// field lesson: scan ended early, first keys skipped, scan began before tracking
static void every_type_and_expiry_moves_and_the_source_is_purged(void **state)
{
    struct migration_rig *rig = *state;
    rig_load_all_types(rig, 40);
    rig_load_large(rig, 0);
    rig_load_large(rig, 1);
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    rig_wait_phase(rig, PHASE_SWITCHED);
    rig_expect_copies_equal(rig);
    rig_finalize(rig);
    rig_expect_clean(rig);
    assert_int_equal(rig_records(rig, "finding"), 0);
    WAIT_UNTIL(rig_journal_has(rig, "\"outcome\":\"finalized\""), LONG_MS);
    assert_true(rig_journal_has(rig, "\"kind\":\"slots\""));
}

static void a_rollback_gives_the_slots_back_and_purges_the_target(void **state)
{
    struct migration_rig *rig = *state;
    rig_run_to_switched(rig, 10);
    rig_request(rig, REQUEST_ROLLBACK);
    rig_wait_phase(rig, RIG_CLOSED);
    rig_expect_equal(rig, false);
    rig_expect_clean(rig);
    WAIT_UNTIL(rig_journal_has(rig, "\"outcome\":\"rolled-back\""), LONG_MS);
}

static void an_abort_leaves_the_source_as_it_was(void **state)
{
    struct migration_rig *rig = *state;
    rig_run_to_verified_by_hand(rig, 10);
    assert_int_equal(rig_phase(rig), PHASE_DUAL_WRITE);
    rig_enter(rig, PHASE_ABORTING);
    rig_wait_phase(rig, RIG_CLOSED);
    rig_expect_equal(rig, false);
    rig_expect_clean(rig);
    WAIT_UNTIL(rig_journal_has(rig, "\"outcome\":\"aborted\""), LONG_MS);
}

static void a_manual_switch_waits_for_the_operator(void **state)
{
    struct migration_rig *rig = *state;
    rig_load_all_types(rig, 3);
    rig->options.manual_switch = true;
    rig->options.finalize_after_ms = 0;
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    rig_wait_verified(rig);
    uint64_t deadline_us = deadline_after_ms(300);
    while (!deadline_is_over(deadline_us)) {
        assert_int_equal(rig_phase(rig), PHASE_DUAL_WRITE);
    }
    rig_request(rig, REQUEST_SWITCH);
    rig_wait_phase(rig, RIG_CLOSED); /* finalize_after 0: at once */
    rig_expect_equal(rig, true);
    rig_expect_clean(rig);
}

// field lesson: the pause timed out on one side while the other committed
static void a_hold_that_somebody_undoes_is_begun_again_in_a_new_generation(void **state)
{
    struct migration_rig *rig = *state;
    rig_load_all_types(rig, 3);
    rig_open_migration(rig);
    /* Stopped in the hold, as a migrator that hangs; a proxy undoes the hold. */
    rig_start_migrator(rig, "hold.before-owner-guard=stop@1");
    rig_wait_phase(rig, PHASE_HOLD);
    WAIT_UNTIL(process_is_running(rig->migrator), LONG_MS);
    rig_enter(rig, PHASE_DUAL_WRITE);
    process_signal(rig->migrator, SIGCONT);
    uint64_t deadline_us = deadline_after_ms(LONG_MS);
    while (rig_phase(rig) != PHASE_SWITCHED && !deadline_is_over(deadline_us)) {
        process_signal(rig->migrator, SIGCONT);
        clock_sleep_ms(WAIT_POLL_MS);
    }
    rig_wait_phase(rig, PHASE_SWITCHED);
    rig_expect_copies_equal(rig);
    rig_finalize(rig);
    rig_expect_clean(rig);
}

static void die_in_a_hold(struct migration_rig *rig, const char *where, enum phase hold,
                          enum phase undone)
{
    char *fail = mem_printf("%s=kill@1", where);
    rig_start_migrator(rig, fail);
    mem_free(fail);
    rig_wait_phase(rig, (int)hold);
    WAIT_UNTIL(!process_is_running(rig->migrator), LONG_MS);
    rig_enter(rig, undone); /* as a proxy does after hold_max */
    rig_start_migrator(rig, NULL);
}

/* The hold's compare-and-swap clears the operator's request; the one who knew of it dies. */
static void what_the_operator_asked_for_outlives_a_hold_whose_migrator_dies(void **state)
{
    struct migration_rig *rig = *state;
    rig_run_to_verified_by_hand(rig, 3);
    rig_end_migrator(rig);
    rig_request(rig, REQUEST_SWITCH);
    die_in_a_hold(rig, "hold.before-barrier", PHASE_HOLD, PHASE_DUAL_WRITE);
    rig_wait_phase(rig, PHASE_SWITCHED);
    rig_end_migrator(rig);
    rig_request(rig, REQUEST_ROLLBACK);
    die_in_a_hold(rig, "hold-back.before-barrier", PHASE_HOLD_BACK, PHASE_SWITCHED);
    rig_wait_phase(rig, RIG_CLOSED);
    rig_expect_equal(rig, false);
    rig_expect_clean(rig);
}

static void leftovers_on_the_target_keep_a_migration_planned(void **state)
{
    struct migration_rig *rig = *state;
    rig_load_all_types(rig, 3);
    /* One key in a slot that is to move: the first of these names that is in an even slot. */
    char name[32];
    for (unsigned i = 0;; i++) {
        (void)snprintf(name, sizeof(name), "leftover:%u", i);
        if (slot_of_key(slice_of(name), RIG_NSLOTS) % 2 == 0) {
            break;
        }
    }
    freeReplyObject(redisCommand(rig->on_target, "SET %s x", name));
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    WAIT_UNTIL(rig_journal_has(rig, "already has keys of these slots"), LONG_MS);
    assert_int_equal(rig_phase(rig), PHASE_PLANNED);
    uint64_t deadline_us = deadline_after_ms(1000); /* some more tries find the same */
    while (!deadline_is_over(deadline_us)) {
        assert_int_equal(rig_records(rig, "preflight"), 1);
        clock_sleep_ms(50);
    }
    freeReplyObject(redisCommand(rig->on_target, "DEL %s", name));
    rig_wait_phase(rig, PHASE_SWITCHED);
    assert_int_equal(rig_records(rig, "preflight"), 2);
}

static void a_target_that_evicts_keeps_a_migration_planned(void **state)
{
    struct migration_rig *rig = *state;
    freeReplyObject(redisCommand(rig->on_target, "CONFIG SET maxmemory-policy allkeys-lru"));
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    WAIT_UNTIL(rig_journal_has(rig, "the target evicts"), LONG_MS);
    assert_int_equal(rig_phase(rig), PHASE_PLANNED);
}

static void a_target_less_durable_than_the_source_keeps_a_migration_planned(void **state)
{
    struct migration_rig *rig = *state;
    freeReplyObject(redisCommand(rig->on_target, "CONFIG SET appendfsync everysec"));
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    WAIT_UNTIL(rig_journal_has(rig, "the target is less durable"), LONG_MS);
    assert_int_equal(rig_phase(rig), PHASE_PLANNED);
}

// field lesson: groups missing in the registry
static void a_target_that_comes_back_empty_waits_for_an_operator(void **state)
{
    struct migration_rig *rig = *state;
    rig_run_to_verified_by_hand(rig, 3);
    redis_server_restart(rig->target, true);
    rig_reconnect(rig);
    WAIT_UNTIL(rig_journal_has(rig, "sluicectl shard accept target"), LONG_MS);
    assert_int_equal(rig_phase(rig), PHASE_DUAL_WRITE);
}

/* The authority came back empty: its emptiness is not carried to the copy, which is all that is
 * left. */
static void nothing_is_removed_while_the_authority_awaits_acceptance(void **state)
{
    struct migration_rig *rig = *state;
    rig_run_to_verified_by_hand(rig, 3);
    redisReply *before = redisCommand(rig->on_target, "DBSIZE");
    redis_server_restart(rig->source, true);
    WAIT_UNTIL(rig_journal_has(rig, "sluicectl shard accept source"), LONG_MS);
    rig_enter(rig, PHASE_ABORTING); /* not even by an abort */
    WAIT_UNTIL(rig_records(rig, "phase") >= 3, LONG_MS);
    uint64_t deadline_us = deadline_after_ms(1500); /* longer than purge-patience */
    while (!deadline_is_over(deadline_us)) {
        redisReply *now = redisCommand(rig->on_target, "DBSIZE");
        assert_int_equal(now->integer, before->integer);
        assert_int_equal(rig_phase(rig), PHASE_ABORTING);
        freeReplyObject(now);
        clock_sleep_ms(20);
    }
    freeReplyObject(before);
}

static void serve_empty(struct topology *next, struct migration *migration, void *context)
{
    (void)migration;
    (void)context;
    next->shards[1].serve_empty = true;
}

static void a_target_that_lost_everything_gets_a_new_base_and_a_new_backfill(void **state)
{
    struct migration_rig *rig = *state;
    rig_load_all_types(rig, 3);
    rig->options.manual_switch = true;
    rig_open_migration(rig);
    rig_change(rig, serve_empty, NULL);
    rig_start_migrator(rig, NULL);
    rig_wait_verified(rig);
    /* The process stays, all of its data goes: FLUSHALL from outside. */
    freeReplyObject(redisCommand(rig->on_target, "FLUSHALL"));
    WAIT_UNTIL(rig_records(rig, "base") == 2, LONG_MS);
    rig_wait_verified(rig);
    rig_reconnect(rig); /* the taking-over killed our connections too */
    rig_expect_copies_equal(rig);
    rig_request(rig, REQUEST_SWITCH);
    rig_wait_phase(rig, PHASE_SWITCHED);
    rig_finalize(rig);
}

// field lesson: an epoch raised by a failover in the middle
static void a_restart_of_the_target_begins_a_new_base(void **state)
{
    struct migration_rig *rig = *state;
    rig_run_to_verified_by_hand(rig, 3);
    redis_server_restart(rig->target, false);
    WAIT_UNTIL(rig_records(rig, "base") == 2, LONG_MS);
    rig_wait_verified(rig);
    rig_reconnect(rig);
    rig_expect_copies_equal(rig);
}

/* Not the fence: somebody deletes just the metadata. Absent means lost, never empty. */
static void lost_marks_are_a_new_base_and_not_an_empty_dirty_set(void **state)
{
    struct migration_rig *rig = *state;
    char name[METADATA_NAME_MAX];
    rig_run_to_verified_by_hand(rig, 3);
    redisReply *found = redisCommand(rig->on_source, "KEYS __sluice:m*:dirty");
    assert_int_equal(found->elements, 1);
    (void)snprintf(name, sizeof(name), "%s", found->element[0]->str);
    freeReplyObject(found);
    freeReplyObject(redisCommand(rig->on_source, "DEL %s", name));
    WAIT_UNTIL(rig_records(rig, "base") == 2, LONG_MS);
    rig_wait_verified(rig);
}

// field lesson: keys left behind, completed
static void a_difference_that_no_mark_explains_is_found_and_repaired(void **state)
{
    struct migration_rig *rig = *state;
    char moving[32] = "";
    rig_load_all_types(rig, 20);
    for (unsigned i = 0; moving[0] == '\0'; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "string:%u", i);
        if (slot_of_key(slice_of(name), RIG_NSLOTS) % 2 == 0) {
            (void)snprintf(moving, sizeof(moving), "%s", name);
        }
    }
    rig->options.manual_switch = true;
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    rig_wait_verified(rig);
    /* One wrong value, one lost key's worth of extra, behind everybody's back. */
    freeReplyObject(redisCommand(rig->on_target, "SET %s wrong", moving));
    freeReplyObject(redisCommand(rig->on_target, "SET {%s}:extra x", moving));
    rig_request(rig, REQUEST_VERIFY);
    WAIT_UNTIL(rig_records(rig, "finding") == 2, LONG_MS);
    WAIT_UNTIL(rig_records(rig, "verify") == 2, LONG_MS);
    rig_request(rig, REQUEST_SWITCH);
    rig_wait_phase(rig, PHASE_SWITCHED);
    rig_expect_copies_equal(rig);
    rig_finalize(rig);
}

static void evicted_keys_on_the_target_forbid_the_switch(void **state)
{
    struct migration_rig *rig = *state;
    rig_run_to_verified_by_hand(rig, 20);
    /* Evicts something that is not ours to miss: the counter alone must do it. */
    freeReplyObject(redisCommand(rig->on_target, "SET unrelated-odd:1 x EX 1000"));
    freeReplyObject(redisCommand(rig->on_target, "CONFIG SET maxmemory-policy volatile-lru"));
    freeReplyObject(redisCommand(rig->on_target, "CONFIG SET maxmemory 1000000"));
    redisReply *reply = NULL;
    do {
        freeReplyObject(reply);
        reply = redisCommand(rig->on_target, "SET odd-filler x EX 1000");
    } while (reply->type == REDIS_REPLY_STATUS);
    freeReplyObject(reply);
    freeReplyObject(redisCommand(rig->on_target, "CONFIG SET maxmemory 0"));
    freeReplyObject(redisCommand(rig->on_target, "CONFIG SET maxmemory-policy noeviction"));
    rig_request(rig, REQUEST_SWITCH);
    WAIT_UNTIL(rig_records(rig, "base") == 2, LONG_MS);
    assert_true(rig_journal_has(rig, "shard \\\"target\\\" has evicted keys"));
    rig_wait_phase(rig, PHASE_SWITCHED);
    rig_expect_copies_equal(rig);
}

static void a_purge_of_a_dead_shard_becomes_a_debt_that_is_paid_later(void **state)
{
    struct migration_rig *rig = *state;
    rig_run_to_switched(rig, 5);
    redis_server_kill(rig->source);
    rig_enter(rig, PHASE_FINALIZING);
    rig_wait_phase(rig, RIG_CLOSED);
    redis_server_restart(rig->source, false);
    rig_reconnect(rig);
    WAIT_UNTIL(rig_records(rig, "debt-paid") == 1, LONG_MS);
    rig_reconnect(rig);
    rig_expect_equal(rig, true);
    rig_expect_clean(rig);
}

/* Nothing is removed from any copy while the authority awaits acceptance. */
static void a_debt_is_not_paid_while_the_owner_of_its_slots_awaits_acceptance(void **state)
{
    struct migration_rig *rig = *state;
    struct error err;
    rig_run_to_switched(rig, 5);
    redisReply *before = redisCommand(rig->on_source, "DBSIZE");
    redis_server_kill(rig->source);
    rig_enter(rig, PHASE_FINALIZING);
    rig_wait_phase(rig, RIG_CLOSED);
    freeReplyObject(redisCommand(rig->on_target, "FLUSHALL"));
    redis_server_restart(rig->source, false);
    uint64_t deadline_us = deadline_after_ms(3500); /* three looks at the debts */
    while (!deadline_is_over(deadline_us)) {
        assert_int_equal(rig_records(rig, "debt-paid"), 0);
        clock_sleep_ms(50);
    }
    rig_reconnect(rig);
    redisReply *now = redisCommand(rig->on_source, "DBSIZE");
    assert_true(now->integer >= before->integer - 4); /* not the metadata */
    freeReplyObject(now);
    freeReplyObject(before);
    assert_true(cluster_accept_shard(rig->store, "target", &err));
    WAIT_UNTIL(rig_records(rig, "debt-paid") == 1, LONG_MS);
}

/* A hash with the field `a` twice, in a moving slot: the source took it unlooked at, as from an old
 * file; a target that looks refuses it. */
static void load_what_the_target_refuses(struct migration_rig *rig, const char *name)
{
    char payload[256];
    freeReplyObject(redisCommand(rig->on_source, "HSET %s a 1 b 2", name));
    redisReply *dump = redisCommand(rig->on_source, "DUMP %s", name);
    assert_true(dump->len < sizeof(payload));
    memcpy(payload, dump->str, dump->len);
    char *field = memchr(payload, 'b', dump->len - 8);
    assert_non_null(field);
    *field = 'a';
    uint64_t sum = crc64((struct slice){payload, dump->len - 8});
    memcpy(payload + dump->len - 8, &sum, 8);
    redisReply *reply =
        redisCommand(rig->on_source, "RESTORE %s 0 %b REPLACE", name, payload, dump->len);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    freeReplyObject(dump);
    freeReplyObject(redisCommand(rig->on_target, "CONFIG SET sanitize-dump-payload yes"));
}

// field lesson: newer server to older server, payload refused
static void a_key_that_the_target_refuses_begins_no_hold_and_is_told_of(void **state)
{
    struct migration_rig *rig = *state;
    char name[32];
    for (unsigned i = 0;; i++) {
        (void)snprintf(name, sizeof(name), "refused:%u", i);
        if (slot_of_key(slice_of(name), RIG_NSLOTS) % 2 == 0) {
            break;
        }
    }
    rig_load_all_types(rig, 3);
    load_what_the_target_refuses(rig, name);
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    WAIT_UNTIL(rig_journal_has(rig, "cannot be made equal on shard"), LONG_MS);
    assert_true(rig_journal_has(rig, "Bad data format"));
    assert_int_equal(rig_records(rig, "hold"), 0);
    assert_int_equal(rig_phase(rig), PHASE_DUAL_WRITE);
    assert_int_equal(rig_records(rig, "error"), 1);
    freeReplyObject(redisCommand(rig->on_target, "CONFIG SET sanitize-dump-payload no"));
    rig_wait_phase(rig, PHASE_SWITCHED);
}

static unsigned long long target_memory(struct migration_rig *rig)
{
    redisReply *info = redisCommand(rig->on_target, "INFO memory");
    const char *field = strstr(info->str, "used_memory:");
    assert_non_null(field);
    unsigned long long used = strtoull(field + strlen("used_memory:"), NULL, 10);
    freeReplyObject(info);
    return used;
}

// field lesson: the server refused half of a step
static void the_backfill_waits_while_the_target_is_short_of_memory(void **state)
{
    struct migration_rig *rig = *state;
    rig_load_all_types(rig, 40);
    rig_open_migration(rig);
    rig_start_migrator(rig, "copy.after-barrier=stop@1");
    WAIT_UNTIL(rig_records(rig, "barrier") == 1, LONG_MS);
    redisReply *before = redisCommand(rig->on_target, "DBSIZE");
    /* Redis itself would take some 5 percent more. */
    freeReplyObject(
        redisCommand(rig->on_target, "CONFIG SET maxmemory %llu", target_memory(rig) * 105 / 100));
    uint64_t deadline_us = deadline_after_ms(LONG_MS);
    while (!rig_journal_has(rig, "waits for memory on shard") && !deadline_is_over(deadline_us)) {
        process_signal(rig->migrator, SIGCONT);
        clock_sleep_ms(WAIT_POLL_MS);
    }
    assert_true(rig_journal_has(rig, "waits for memory on shard"));
    redisReply *now = redisCommand(rig->on_target, "DBSIZE");
    assert_int_equal(now->integer, before->integer);
    freeReplyObject(now);
    freeReplyObject(before);
    freeReplyObject(redisCommand(rig->on_target, "CONFIG SET maxmemory 0"));
    rig_wait_phase(rig, PHASE_SWITCHED);
    rig_expect_copies_equal(rig);
}

/* --- eviction --------------------------------------------------------------------------------- */

static unsigned long long memory_of(redisContext *shard)
{
    unsigned long long used = 0;
    redisReply *info = redisCommand(shard, "INFO memory");
    (void)sscanf(strstr(info->str, "used_memory:"), "used_memory:%llu", &used);
    freeReplyObject(info);
    return used;
}

/* `percent` of what it has now; 0: no limit. */
static void limit_memory(redisContext *shard, unsigned percent)
{
    redisReply *reply =
        redisCommand(shard, "CONFIG SET maxmemory-policy volatile-lru maxmemory %llu",
                     memory_of(shard) * percent / 100);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
}

static void a_source_that_is_full_and_evicts_is_refused_until_it_has_room(void **state)
{
    struct migration_rig *rig = *state;
    rig_load_all_types(rig, 3);
    limit_memory(rig->on_source, 103);
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    WAIT_UNTIL(rig_journal_has(rig, "the source is full and evicts keys"), LONG_MS);
    assert_int_equal(rig_phase(rig), PHASE_PLANNED);
    limit_memory(rig->on_source, 0);
    rig_wait_phase(rig, PHASE_SWITCHED);
}

/* No client is held for a hold that would be undone, and the operator reads what to do. */
static void a_source_that_fills_up_later_says_so_and_holds_nobody(void **state)
{
    struct migration_rig *rig = *state;
    rig->options.manual_switch = true;
    for (unsigned i = 0; i < 100; i++) {
        freeReplyObject(redisCommand(rig->on_source, "SET short:%u %01000d EX 1000", i, 0));
    }
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    rig_wait_verified(rig);
    limit_memory(rig->on_source, 98);
    freeReplyObject(redisCommand(rig->on_source, "SET one more")); /* evicts */
    rig_request(rig, REQUEST_SWITCH);
    WAIT_UNTIL(rig_journal_has(rig, "shard \\\"source\\\" has evicted keys"), LONG_MS);
    assert_true(rig_journal_has(rig, "give it more maxmemory, or maxmemory-policy noeviction"));
    limit_memory(rig->on_source, 0);
    rig_wait_phase(rig, PHASE_SWITCHED);
    WAIT_UNTIL(rig_records(rig, "hold") > 0, LONG_MS); /* it is noted behind the switch */
    assert_int_equal(rig_records(rig, "hold"), 1);
}

#define SHORT_LIVED 1000u /* enough for all that is evicted, by the migrator's reading too */

static unsigned bases_begun_while_it_evicts(struct migration_rig *rig)
{
    static unsigned turn;
    freeReplyObject(redisCommand(rig->on_source, "SET short:%u %01000d EX 1000", turn++, 0));
    return rig_records(rig, "base");
}

static void expect_metadata_of_the_present_base(struct migration_rig *rig, redisContext *shard)
{
    char present[64];
    struct error err;
    struct topology *topology = store_read(rig->store, NULL, &err);
    uint64_t base = topology_find_migration(topology, rig->migration)->base;
    topology_free(topology);
    (void)snprintf(present, sizeof(present), ":%llu:", (unsigned long long)base);
    redisReply *names = redisCommand(shard, "KEYS __sluice:m*");
    assert_true(names->elements > 0);
    for (size_t i = 0; i < names->elements; i++) {
        if (strstr(names->element[i]->str, present) == NULL) {
            fail_msg("%s is left", names->element[i]->str);
        }
    }
    freeReplyObject(names);
}

/* It does not fill up with what void bases leave, and the bases do not follow each other as fast as
 * they can: each makes every proxy adopt, and every SCAN begin anew. */
static void a_source_that_stays_full_is_tried_less_and_less_often(void **state)
{
    struct migration_rig *rig = *state;
    rig->options.manual_switch = true;
    for (unsigned i = 0; i < SHORT_LIVED; i++) {
        freeReplyObject(redisCommand(rig->on_source, "SET short:%u %01000d EX 1000", i, 0));
    }
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    rig_wait_verified(rig);
    uint64_t pauses_us = deadline_after_ms(1000 + 2000);
    limit_memory(rig->on_source, 95);
    rig_request(rig, REQUEST_SWITCH);
    WAIT_UNTIL(bases_begun_while_it_evicts(rig) >= 4, LONG_MS);
    assert_true(deadline_is_over(pauses_us));
    limit_memory(rig->on_source, 0);
    rig_wait_phase(rig, PHASE_SWITCHED);
    expect_metadata_of_the_present_base(rig, rig->on_source);
    expect_metadata_of_the_present_base(rig, rig->on_target);
}

static void a_paused_migration_stands_still(void **state)
{
    struct migration_rig *rig = *state;
    rig_load_all_types(rig, 3);
    rig_open_migration(rig);
    rig_pause(rig, true);
    rig_start_migrator(rig, NULL);
    uint64_t deadline_us = deadline_after_ms(500);
    while (!deadline_is_over(deadline_us)) {
        assert_int_equal(rig_phase(rig), PHASE_PLANNED);
    }
    rig_pause(rig, false);
    rig_wait_phase(rig, PHASE_SWITCHED);
}

#define TEST(function)    cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define DURABLE(function) cmocka_unit_test_setup_teardown(function, set_up_durable, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_type_and_expiry_moves_and_the_source_is_purged),
        TEST(a_rollback_gives_the_slots_back_and_purges_the_target),
        TEST(an_abort_leaves_the_source_as_it_was),
        TEST(a_manual_switch_waits_for_the_operator),
        TEST(a_hold_that_somebody_undoes_is_begun_again_in_a_new_generation),
        TEST(what_the_operator_asked_for_outlives_a_hold_whose_migrator_dies),
        TEST(leftovers_on_the_target_keep_a_migration_planned),
        TEST(a_target_that_evicts_keeps_a_migration_planned),
        DURABLE(a_target_less_durable_than_the_source_keeps_a_migration_planned),
        TEST(a_target_that_comes_back_empty_waits_for_an_operator),
        TEST(nothing_is_removed_while_the_authority_awaits_acceptance),
        TEST(a_target_that_lost_everything_gets_a_new_base_and_a_new_backfill),
        DURABLE(a_restart_of_the_target_begins_a_new_base),
        TEST(lost_marks_are_a_new_base_and_not_an_empty_dirty_set),
        TEST(a_difference_that_no_mark_explains_is_found_and_repaired),
        TEST(evicted_keys_on_the_target_forbid_the_switch),
        DURABLE(a_purge_of_a_dead_shard_becomes_a_debt_that_is_paid_later),
        DURABLE(a_debt_is_not_paid_while_the_owner_of_its_slots_awaits_acceptance),
        TEST(a_key_that_the_target_refuses_begins_no_hold_and_is_told_of),
        TEST(the_backfill_waits_while_the_target_is_short_of_memory),
        TEST(a_source_that_is_full_and_evicts_is_refused_until_it_has_room),
        TEST(a_source_that_fills_up_later_says_so_and_holds_nobody),
        TEST(a_source_that_stays_full_is_tried_less_and_less_often),
        TEST(a_paused_migration_stands_still),
    };
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
