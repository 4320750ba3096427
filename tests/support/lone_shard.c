#include "tests/support/lone_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/shard/metadata.h"

struct lone_shard lone;

static int start(struct redis_server *server)
{
    lone.server = server;
    lone.link = ask_open(server);
    return 0;
}

int lone_shard_start(void **state)
{
    (void)state;
    return start(redis_server_start_in_memory());
}

int lone_shard_start_with_aof(void **state)
{
    (void)state;
    return start(redis_server_start(NULL));
}

int lone_shard_stop(void **state)
{
    (void)state;
    shard_close(lone.link);
    redis_server_stop(lone.server);
    return 0;
}

int lone_shard_fence(void **state)
{
    (void)state;
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_script(lone.link, SCRIPT_WRITE_FENCE, METADATA_FENCE, "$ first c s1 5", "+OK");
    return 0;
}

int lone_shard_restart(void **state)
{
    (void)state;
    shard_close(lone.link);
    redis_server_restart(lone.server, false);
    lone.link = ask_open(lone.server);
    return 0;
}
