/* Every byte of a stream's groups means something, so no change of one may go unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "migrator/value/stream_value.h"
#include "migrator/value/value.h"
#include "migrator/value/value_internal.h"
#include "tests/support/value_server.h"

#define FOOTER_BYTES 10

static const char build[] =
    "FLUSHALL\n"
    "XADD k 1-1 f v\nXADD k 2-1 f v\nXADD k 3-1 f v\nXADD k 4-1 f v\n"
    "XGROUP CREATE k the-first-group 0\nXGROUP CREATE k the-second-group $\n"
    "XREADGROUP GROUP the-first-group alice COUNT 2 STREAMS k >\n"
    "XREADGROUP GROUP the-first-group bob COUNT 1 STREAMS k >\n"
    "XGROUP CREATECONSUMER k the-second-group carol";

static void assert_change_is_seen(struct slice body, size_t at, const struct value_summary *before)
{
    struct value_summary after;
    struct error err;
    unsigned char *changed = mem_dup(body.data, body.len);
    changed[at] ^= 1;
    struct slice copy = {(const char *)changed, body.len};
    if (value_summarize_body(copy, &after, &err) &&
        value_digest_equal(after.digest, before->digest)) {
        fail_msg("byte %zu of %zu may change unseen", at, body.len);
    }
    mem_free(changed);
}

static void every_byte_of_the_groups_matters(void **state)
{
    struct value_server *redis = *state;
    run(redis, build);
    struct slice dump = dump_of(redis, "k");
    struct slice body = {dump.data, dump.len - FOOTER_BYTES};
    const char *name = memmem(body.data, body.len, "the-first-group", strlen("the-first-group"));
    assert_non_null(name);
    struct value_summary before;
    struct error err;
    assert_true(value_summarize_body(body, &before, &err));
    for (size_t at = (size_t)(name - body.data) - 2; at < body.len; at++) {
        assert_change_is_seen(body, at, &before);
    }
    payload_free(dump);
}

/* The same group's names and numbers, the pending entries owned by the other one. */
static void who_owns_a_pending_entry_matters(void **state)
{
    struct value_server *redis = *state;
    run(redis, build);
    struct slice dump = dump_of(redis, "k");
    struct slice body = {dump.data, dump.len - FOOTER_BYTES};
    struct value_summary before;
    struct value_summary after;
    struct error err;
    assert_true(value_summarize_body(body, &before, &err));
    char *changed = mem_dup(body.data, body.len);
    char *alice = memmem(changed, body.len, "\005alice", 6);
    assert_non_null(alice);
    /* name, 8 bytes of time, a count of 2, then ids of 16 bytes whose 8th is the millisecond */
    char *first_id = alice + 6 + 8 + 1;
    assert_int_equal(first_id[-1], 2);
    assert_int_equal(first_id[7], 1);
    first_id[7] = 3;
    assert_true(value_summarize_body((struct slice){changed, body.len}, &after, &err));
    assert_false(value_digest_equal(before.digest, after.digest));
    mem_free(changed);
    payload_free(dump);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_of_the_groups_matters),
        cmocka_unit_test(who_owns_a_pending_entry_matters),
    };
    return cmocka_run_group_tests(tests, value_server_start, value_server_stop);
}
