#include "tests/support/copy_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/memory.h"

#define NSLOTS 16u

struct copy_rig copy_rig;

static bool always(void *context)
{
    (void)context;
    return true;
}

static void count_moved(void *context, uint64_t keys, uint64_t bytes)
{
    struct copy_rig *rig = context;
    (void)bytes;
    rig->moved += keys;
}

static void ignore_verified(void *context, uint64_t keys)
{
    (void)context;
    (void)keys;
}

static void count_findings(void *context, const struct copy_finding *finding)
{
    struct copy_rig *rig = context;
    (void)finding;
    rig->findings++;
}

int copy_rig_start(void **state)
{
    struct copy_rig *rig = &copy_rig;
    (void)state;
    script_init();
    *rig = (struct copy_rig){.findings = 0};
    rig->servers[0] = redis_server_start_in_memory();
    rig->servers[1] = redis_server_start_in_memory();
    rig->source = ask_open(rig->servers[0]);
    rig->target = ask_open(rig->servers[1]);
    slot_set_init(&rig->slots, NSLOTS);
    for (unsigned slot = 0; slot < NSLOTS; slot++) {
        slot_set_add(&rig->slots, slot);
    }
    throttle_init(&rig->throttle, 0, 0);
    rig->hooks = (struct copy_hooks){.may_go_on = always,
                                     .moved = count_moved,
                                     .verified = ignore_verified,
                                     .found = count_findings,
                                     .context = rig};
    return 0;
}

static void make(struct copy_rig *rig, struct shard_link *link, const char *name,
                 enum guard_state state, bool is_authority)
{
    struct guard_claim claim = {shard_link_identity(link), 7, 9};
    expect_ask(link, "FLUSHALL", "+OK");
    assert_int_equal(fence_write(link, FENCE_WRITE_FIRST, COPY_RIG_CLUSTER, name, 5, NULL),
                     FENCE_OK);
    assert_int_equal(fence_make(link, &claim, state, &rig->pair.names, is_authority, NULL),
                     FENCE_OK);
    assert_true(shard_load_scripts(link, NULL));
}

int copy_rig_reset(void **state)
{
    struct copy_rig *rig = &copy_rig;
    (void)state;
    rig->habits = (struct copy_habits){.group_keys = {0}};
    rig->findings = 0;
    rig->moved = 0;
    rig->hooks.may_go_on = always;
    rig->hooks.verified = ignore_verified;
    rig->hooks.found = count_findings;
    rig->pair = (struct copy_pair){
        .authority = {.link = rig->source, .identity = shard_link_identity(rig->source)},
        .copy = {.link = rig->target, .identity = shard_link_identity(rig->target)},
        .migration = 7,
        .generation = 9,
        .slots = &rig->slots,
        .max_skew_ms = 500,
        .large_key_bytes = 65536,
        .throttle = &rig->throttle,
        .habits = &rig->habits,
        .hooks = &rig->hooks};
    metadata_names_of(7, 9, DIRECTION_FORWARD, &rig->pair.names);
    make(rig, rig->source, "source", GUARD_OWNER, true);
    make(rig, rig->target, "target", GUARD_OPEN, false);
    return 0;
}

int copy_rig_stop(void **state)
{
    struct copy_rig *rig = &copy_rig;
    (void)state;
    shard_close(rig->source);
    shard_close(rig->target);
    redis_server_stop(rig->servers[0]);
    redis_server_stop(rig->servers[1]);
    slot_set_fini(&rig->slots);
    return 0;
}

void copy_rig_write(const char *key, const char *command)
{
    struct shard_link *source = copy_rig.source;
    char text[128];
    mem_free(ask(source, "MULTI"));
    (void)snprintf(text, sizeof(text), "HINCRBY " COPY_RIG_SEQ " %s 1", key);
    mem_free(ask(source, text));
    (void)snprintf(text, sizeof(text), "SADD " COPY_RIG_DIRTY " %s", key);
    mem_free(ask(source, text));
    mem_free(ask(source, command));
    mem_free(ask(source, "EXEC"));
}

void copy_rig_fill(const char *tag, unsigned keys)
{
    char command[96];
    for (unsigned i = 0; i < keys; i++) {
        (void)snprintf(command, sizeof(command), "SET %skey:%u %u", tag, i, i);
        mem_free(ask(copy_rig.source, command));
    }
}

static unsigned calls, patience;

static bool ever_longer(void *context)
{
    (void)context;
    if (calls++ < patience) {
        return true;
    }
    calls = 0;
    patience++;
    return false;
}

void copy_rig_interrupt(void)
{
    calls = patience = 0;
    copy_rig.hooks.may_go_on = ever_longer;
}

void copy_rig_expect_in_step(void)
{
    expect_ask(copy_rig.source, "PING", "+PONG");
    expect_ask(copy_rig.target, "PING", "+PONG");
}
