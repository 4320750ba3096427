#include "tests/support/trio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/shard/fence.h"
#include "tests/support/ask.h"
#include "tests/support/wait.h"

#define LONG_MS 60000

uint16_t trio_port(const struct trio *trio, unsigned i)
{
    return redis_server_port(trio->servers[i]);
}

struct topology_shard trio_place(const struct trio *trio, unsigned i)
{
    return (struct topology_shard){.host = "127.0.0.1", .port = trio_port(trio, i)};
}

struct shard_link *trio_open(const struct trio *trio, unsigned i)
{
    return ask_open(trio->servers[i]);
}

void trio_tell(const struct trio *trio, unsigned i, const char *command)
{
    struct shard_link *link = trio_open(trio, i);
    expect_ask(link, command, "+OK");
    shard_close(link);
}

bool trio_has_key(const struct trio *trio, unsigned i, const char *key)
{
    struct shard_link *link = trio_open(trio, i);
    char *words = mem_printf("EXISTS %s", key);
    char *reply = ask(link, words);
    bool is_there = strcmp(reply, ":1") == 0;
    mem_free(reply);
    mem_free(words);
    shard_close(link);
    return is_there;
}

static bool is_synced(const struct trio *trio, unsigned i)
{
    char state[16];
    struct shard_link *link = trio_open(trio, i);
    bool ok = shard_info(link, "replication", "master_link_status", state, sizeof(state), NULL) &&
              strcmp(state, "up") == 0;
    shard_close(link);
    return ok;
}

void trio_follow(const struct trio *trio, unsigned i, unsigned of)
{
    char words[64];
    (void)snprintf(words, sizeof(words), "REPLICAOF 127.0.0.1 %u", trio_port(trio, of));
    trio_tell(trio, i, words);
    WAIT_UNTIL(is_synced(trio, i), LONG_MS);
}

void trio_expect_named(const struct trio *trio, const struct test_store *test, unsigned i)
{
    struct fence_state fence;
    struct topology *topology = test_store_read(test);
    struct shard_link *link = trio_open(trio, i);
    assert_int_equal(topology->shards[0].port, trio_port(trio, i));
    assert_true(shard_identity_equal(&topology->shards[0].identity, shard_link_identity(link)));
    assert_true(fence_read(link, &fence, NULL));
    assert_true(shard_identity_equal(&fence.identity, shard_link_identity(link)));
    shard_close(link);
    topology_free(topology);
}

void trio_start(struct trio *trio)
{
    for (unsigned i = 0; i < TRIO_SIZE; i++) {
        trio->servers[i] =
            redis_server_start((const char *const[]){"--repl-diskless-sync-delay", "0", NULL});
    }
    trio_follow(trio, 1, 0);
}

void trio_stop(struct trio *trio)
{
    for (unsigned i = 0; i < TRIO_SIZE; i++) {
        redis_server_stop(trio->servers[i]);
    }
}

void trio_found(const struct trio *trio, const struct test_store *test)
{
    test_store_found_on(test, trio->servers, 1, false);
    WAIT_UNTIL(trio_has_key(trio, 1, METADATA_FENCE), LONG_MS);
}

void trio_expect_closed(const struct trio *trio, unsigned i)
{
    struct shard_link *stale = trio_open(trio, i);
    expect_script(stale, SCRIPT_HELLO, METADATA_FENCE, "$ 9 p:1 8",
                  "-UNFENCED the fence names another process, closed");
    shard_close(stale);
}
