/* Redis' own words, as 7.0.15 writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/control/replication_info.h"

#define REPLID "8371445ee47bb2a0ae8e1b5b8b3a8ca3a0bf6ca1"

static const char primary[] = "$500\r\n# Replication\r\nrole:master\r\nconnected_slaves:4\r\n"
                              "slave0:ip=10.0.0.7,port=6379,state=online,offset=14,lag=0\r\n"
                              "slave1:ip=10.0.0.8,port=6379,state=wait_bgsave,offset=0,lag=0\r\n"
                              "slave2:ip=::1,port=7000,state=online,offset=9,lag=1\r\n"
                              "slave3:ip=,port=70000,state=online,offset=9,lag=1\r\n"
                              "master_failover_state:no-failover\r\nmaster_replid:" REPLID "\r\n"
                              "master_replid2:0000000000000000000000000000000000000000\r\n"
                              "master_repl_offset:17\r\nsecond_repl_offset:-1\r\n";

#define REPLICA(link, sync)                                                                 \
    "$500\r\n# Replication\r\nrole:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:6379\r\n"  \
    "master_link_status:" link "\r\nmaster_last_io_seconds_ago:0\r\n"                       \
    "master_sync_in_progress:" sync "\r\nslave_read_repl_offset:19\r\nslave_repl_offset:17" \
    "\r\nslave_priority:100\r\nconnected_slaves:0\r\nmaster_replid:" REPLID "\r\n"          \
    "master_repl_offset:19\r\n"

static struct replication_info read_info(const char *text)
{
    struct replication_info info;
    replication_info_read((struct slice){text, strlen(text)}, &info);
    return info;
}

static void a_primary_names_its_offset_and_the_replicas_that_are_whole(void **state)
{
    (void)state;
    struct replication_info info = read_info(primary);
    assert_true(info.is_primary);
    assert_string_equal(info.replid, REPLID);
    assert_int_equal(info.offset, 17);
    assert_int_equal(info.nreplicas, 2);
    assert_string_equal(info.replicas[0].host, "10.0.0.7");
    assert_int_equal(info.replicas[0].port, 6379);
    assert_string_equal(info.replicas[1].host, "::1");
    assert_int_equal(info.replicas[1].port, 7000);
}

/* Not what it has read: that may still wait to be carried out. */
static void a_replica_tells_how_far_it_has_come(void **state)
{
    (void)state;
    struct replication_info info = read_info(REPLICA("up", "0"));
    assert_false(info.is_primary);
    assert_true(info.is_following);
    assert_string_equal(info.replid, REPLID);
    assert_int_equal(info.offset, 17);
    assert_int_equal(info.nreplicas, 0);
    assert_false(read_info(REPLICA("down", "0")).is_following);
    assert_false(read_info(REPLICA("up", "1")).is_following);
}

static void strange_bytes_are_nothing(void **state)
{
    (void)state;
    for (size_t length = 0; length < sizeof(primary); length++) {
        struct replication_info info;
        replication_info_read((struct slice){primary, length}, &info);
        assert_in_range(info.nreplicas, 0, 2);
    }
    struct replication_info info = read_info("\nrole:master\r\nconnected_slaves:99999999999\r\n"
                                             "slave0:ip=a,state=online\r\nmaster_repl_offset:x\r\n"
                                             "master_replid:" REPLID REPLID "\r\n");
    assert_int_equal(info.nreplicas, 0);
    assert_int_equal(info.offset, 0);
    assert_int_equal(strlen(info.replid), RUN_ID_LENGTH);
}

static void there_may_be_more_replicas_than_are_read_from(void **state)
{
    char text[4096] = "\nrole:master\r\nconnected_slaves:20\r\n";
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        size_t length = strlen(text);
        (void)snprintf(text + length, sizeof(text) - length,
                       "slave%u:ip=10.0.0.%u,port=1,state=online\r\n", i, i);
    }
    assert_int_equal(read_info(text).nreplicas, REPLICAS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_primary_names_its_offset_and_the_replicas_that_are_whole),
        cmocka_unit_test(a_replica_tells_how_far_it_has_come),
        cmocka_unit_test(strange_bytes_are_nothing),
        cmocka_unit_test(there_may_be_more_replicas_than_are_read_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
