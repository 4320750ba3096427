/* Requests that are too large to be kept go to their shard as they come: byte for byte, in their
 * place among the client's others, and executed wholly or not at all, whoever goes away meanwhile.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "tests/support/client.h"
#include "tests/support/cluster.h"
#include "tests/support/http.h"
#include "tests/support/raw.h"
#include "tests/support/stage.h"
#include "tests/support/vitals.h"
#include "tests/support/wait.h"

#define MEGABYTE    ((size_t)1024 * 1024)
#define HUGE_BYTES  (100 * MEGABYTE)
#define LARGE_BYTES (3 * MEGABYTE)
#define HALF_BYTES  (LARGE_BYTES / 2)
#define PIECE_BYTES ((size_t)256 * 1024)
#define MANY        80u /* more than go past a proxy at a time */
#define WAIT_MS     60000

#ifdef __SANITIZE_ADDRESS__
#define GROWN_MAX_KB (64 * 1024) /* it keeps for a while what was freed, to see who uses it */
#else
#define GROWN_MAX_KB (4 * 1024)
#endif

static void start_with(bool has_tls)
{
    static const char *const arguments[] = {"--threads",
                                            "1",
                                            "--drain-timeout",
                                            "1h",
                                            "--shard-timeout",
                                            "60s",
                                            "--wait-max",
                                            "60s",
                                            "--connect-timeout",
                                            "60s",
                                            NULL};
    cluster = cluster_start(&(const struct cluster_options){
        .shards = 2, .has_migrator = true, .has_tls = has_tls, .proxy_arguments = arguments});
}

static int start(void **state)
{
    (void)state;
    start_with(false);
    return 0;
}

/* The proxy's links to its shards, too. */
static int start_with_tls(void **state)
{
    (void)state;
    start_with(true);
    return 0;
}

/* --- what is sent ----------------------------------------------------------------------------- */

/* A connection on which large requests are sent in parts. */
struct sender {
    int fd;
    struct buffer pending;
};

static void sender_open(struct sender *sender)
{
    sender->fd = raw_connect(cluster_proxy_port(cluster, 0));
    buffer_init(&sender->pending, SIZE_MAX);
}

static void sender_close(struct sender *sender)
{
    buffer_fini(&sender->pending);
    (void)close(sender->fd);
}

static void send_text(struct sender *sender, const char *text)
{
    assert_true(raw_send(sender->fd, slice_of(text)));
}

/* No two pieces of a value are alike. */
static void fill(char *piece, size_t at, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint64_t mixed = (at + i) * 0x9e3779b97f4a7c15u;
        piece[i] = (char)(mixed >> 56);
    }
}

/* Bytes [from, to) of the value. */
static void send_value(struct sender *sender, size_t from, size_t to)
{
    static char piece[PIECE_BYTES];
    while (from < to) {
        size_t size = to - from < sizeof(piece) ? to - from : sizeof(piece);
        fill(piece, from, size);
        assert_true(raw_send(sender->fd, (struct slice){piece, size}));
        from += size;
    }
}

/* "SET a @" and more words: in the place of @ the header of an argument of `size` bytes. Ends
 * there. What stands before it goes with it at once. */
static void send_begin_behind(struct sender *sender, const char *before, const char *words,
                              size_t size)
{
    struct buffer bytes;
    const char *at = strchr(words, '@');
    size_t argc = 1;
    for (const char *p = words; *p != '\0'; p++) {
        argc += *p == ' ' ? 1 : 0;
    }
    buffer_init(&bytes, SIZE_MAX);
    buffer_printf(&bytes, "%s*%zu\r\n", before, argc);
    for (const char *word = words; word < at;) {
        size_t length = strcspn(word, " ");
        buffer_printf(&bytes, "$%zu\r\n%.*s\r\n", length, (int)length, word);
        word += length + 1;
    }
    buffer_printf(&bytes, "$%zu\r\n", size);
    assert_true(raw_send(sender->fd, buffer_slice(&bytes)));
    buffer_fini(&bytes);
}

static void send_begin(struct sender *sender, const char *words, size_t size)
{
    send_begin_behind(sender, "", words, size);
}

/* What comes behind the value: the words behind the @. */
static void send_end(struct sender *sender, const char *words)
{
    send_text(sender, "\r\n");
    for (const char *word = strchr(words, '@') + 1; *word == ' ';) {
        char text[128];
        size_t length = strcspn(++word, " ");
        (void)snprintf(text, sizeof(text), "$%zu\r\n%.*s\r\n", length, (int)length, word);
        send_text(sender, text);
        word += length;
    }
}

static void send_large(struct sender *sender, const char *words, size_t size)
{
    send_begin(sender, words, size);
    send_value(sender, 0, size);
    send_end(sender, words);
}

/* The bytes of the next reply. */
static void expect_reply(struct sender *sender, const char *wanted)
{
    struct buffer reply;
    buffer_init(&reply, SIZE_MAX);
    if (!raw_read_reply(sender->fd, &sender->pending, &reply)) {
        fail_msg("wanted %s, got no answer", wanted);
    }
    struct slice got = buffer_slice(&reply);
    if (!slice_starts_with(got, slice_of(wanted))) {
        fail_msg("wanted %s, got %.*s", wanted, (int)(got.len < 200 ? got.len : 200), got.data);
    }
    buffer_fini(&reply);
}

static struct client *connect_client(void)
{
    return client_connect(cluster_proxy_port(cluster, 0));
}

/* --- what the shards have --------------------------------------------------------------------- */

static struct client *connect_shard(unsigned shard)
{
    return client_connect(cluster_shard_port(cluster, shard));
}

/* Where a key is now: 0 or 1. */
static unsigned shard_of(const char *key)
{
    char *text = cluster_ctl_ok(cluster, "explain %s", key);
    unsigned shard = strstr(text, "s2") != NULL ? 1 : 0;
    mem_free(text);
    return shard;
}

static void config(unsigned shard, const char *setting)
{
    char words[128];
    struct client *client = connect_shard(shard);
    (void)snprintf(words, sizeof(words), "CONFIG SET %s", setting);
    expect(client, words, "+OK");
    client_close(client);
}

/* Some connection has sent the shard that much of a command that is not whole. */
static bool has_part(struct client *shard, size_t size)
{
    char *list = client_ask(shard, "CLIENT LIST TYPE normal");
    bool has = false;
    for (const char *at = strstr(list, " qbuf="); at != NULL && !has;
         at = strstr(at + 1, " qbuf=")) {
        has = strtoull(at + strlen(" qbuf="), NULL, 10) >= size;
    }
    mem_free(list);
    return has;
}

static void wait_for_part(unsigned shard, size_t size)
{
    struct client *client = connect_shard(shard);
    WAIT_UNTIL(has_part(client, size), WAIT_MS);
    client_close(client);
}

static void wait_for_no_part(unsigned shard)
{
    struct client *client = connect_shard(shard);
    WAIT_UNTIL(!has_part(client, PIECE_BYTES), WAIT_MS);
    client_close(client);
}

/* The value at the key: `read` with two numbers for its first and last byte, e.g. GETRANGE. */
static void expect_pieces(const char *read, size_t size)
{
    char *wanted = mem_alloc(MEGABYTE);
    struct client *client = connect_client();
    for (size_t at = 0; at < size; at += MEGABYTE) {
        size_t length = size - at < MEGABYTE ? size - at : MEGABYTE;
        char words[128];
        (void)snprintf(words, sizeof(words), "%s %zu %zu", read, at, at + length - 1);
        redisReply *reply = redisCommand(client_context(client), words);
        assert_non_null(reply);
        fill(wanted, at, length);
        assert_int_equal(reply->len, length);
        assert_memory_equal(reply->str, wanted, length);
        freeReplyObject(reply);
    }
    client_close(client);
    mem_free(wanted);
}

/* The reply to `words` is the whole value. */
static void expect_whole(const char *words, size_t size)
{
    char *wanted = mem_alloc(size);
    struct client *client = connect_client();
    redisReply *reply = redisCommand(client_context(client), words);
    assert_non_null(reply);
    fill(wanted, 0, size);
    assert_int_equal(reply->len, size);
    assert_memory_equal(reply->str, wanted, size);
    freeReplyObject(reply);
    client_close(client);
    mem_free(wanted);
}

/* Kilobytes that the proxy has held at most. */
static unsigned long proxy_peak_kb(void)
{
    char path[64], line[256];
    unsigned long value = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status",
                   (int)process_pid(cluster_proxy(cluster, 0)));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        value = strncmp(line, "VmHWM:", 6) == 0 ? strtoul(line + 6, NULL, 10) : value;
    }
    (void)fclose(file);
    assert_true(value > 0);
    return value;
}

/* --- the way through -------------------------------------------------------------------------- */

static void a_hundred_megabytes_go_through_in_less_than_four(void **state)
{
    struct sender sender;
    (void)state;
    config(shard_of("huge"), "appendfsync no");
    sender_open(&sender);
    send_text(&sender, "SET small x\r\n");
    expect_reply(&sender, "+OK");
    unsigned long before_kb = proxy_peak_kb();
    send_large(&sender, "SET huge @", HUGE_BYTES);
    expect_reply(&sender, "+OK");
    unsigned long grown_kb = proxy_peak_kb() - before_kb;
    (void)printf("a SET of 100 MB took %lu kB of memory at its peak\n", grown_kb);
    assert_true(grown_kb < GROWN_MAX_KB);
    expect_pieces("GETRANGE huge", HUGE_BYTES);
    send_text(&sender, "DEL huge\r\n");
    expect_reply(&sender, ":1");
    sender_close(&sender);
    config(shard_of("huge"), "appendfsync always");
}

static void any_argument_behind_the_key_may_be_large(void **state)
{
    struct sender sender;
    (void)state;
    sender_open(&sender);
    send_text(&sender, "DEL {f}a {f}l {f}h {f}r {f}x\r\n");
    expect_reply(&sender, ":0");
    unsigned long before_kb = proxy_peak_kb();
    send_large(&sender, "APPEND {f}a @", LARGE_BYTES);
    expect_reply(&sender, ":3145728");
    send_large(&sender, "RPUSH {f}l one @ three", LARGE_BYTES);
    expect_reply(&sender, ":3");
    send_large(&sender, "LPUSH {f}l @", LARGE_BYTES);
    expect_reply(&sender, ":4");
    send_large(&sender, "HSET {f}h field @", LARGE_BYTES);
    expect_reply(&sender, ":1");
    send_large(&sender, "HSET {f}h @ value other more", LARGE_BYTES);
    expect_reply(&sender, ":2");
    send_large(&sender, "SETRANGE {f}r 0 @", LARGE_BYTES);
    expect_reply(&sender, ":3145728");
    send_large(&sender, "SET {f}x @ EX 1000 NX", LARGE_BYTES);
    expect_reply(&sender, "+OK");
    send_large(&sender, "SET {f}x @ NX", LARGE_BYTES);
    expect_reply(&sender, "$-1");
    assert_true(proxy_peak_kb() - before_kb < 16 * 1024); /* less than a third of them */
    expect_pieces("GETRANGE {f}a", LARGE_BYTES);
    expect_pieces("GETRANGE {f}r", LARGE_BYTES);
    expect_pieces("GETRANGE {f}x", LARGE_BYTES);
    expect_whole("LINDEX {f}l 0", LARGE_BYTES);
    expect_whole("LINDEX {f}l 2", LARGE_BYTES);
    expect_whole("HGET {f}h field", LARGE_BYTES);
    struct client *client = connect_client();
    expect(client, "LINDEX {f}l 3", "three");
    expect(client, "HGET {f}h other", "more");
    expect(client, "HLEN {f}h", ":3");
    expect(client, "PERSIST {f}x", ":1");
    client_close(client);
    sender_close(&sender);
}

/* Before it, behind it, and the value that it replaces as its reply. */
static void its_reply_stands_in_its_place(void **state)
{
    struct sender sender;
    (void)state;
    for (unsigned protocol = 2; protocol <= 3; protocol++) {
        sender_open(&sender);
        send_text(&sender, protocol == 3 ? "HELLO 3\r\n" : "PING\r\n");
        expect_reply(&sender, protocol == 3 ? "%" : "+PONG");
        send_begin_behind(&sender, "SET p 1\r\nINCR p\r\nDEL q\r\nAPPEND q x\r\n", "APPEND q @",
                          LARGE_BYTES);
        send_value(&sender, 0, LARGE_BYTES);
        send_end(&sender, "APPEND q @");
        send_text(&sender, "STRLEN q\r\nINCR p\r\n");
        send_large(&sender, "SET q @ GET", LARGE_BYTES);
        send_large(&sender, "SET q @", LARGE_BYTES);
        send_text(&sender, "GETRANGE q 0 0\r\nCLIENT REPLY SKIP\r\n");
        send_large(&sender, "APPEND q @", LARGE_BYTES);
        send_text(&sender, "STRLEN q\r\nINCR p\r\n");
        expect_reply(&sender, "+OK\r\n");
        expect_reply(&sender, ":2\r\n");
        expect_reply(&sender, ":");
        expect_reply(&sender, ":1\r\n");
        expect_reply(&sender, ":3145729\r\n");
        expect_reply(&sender, ":3145729\r\n");
        expect_reply(&sender, ":3\r\n");
        expect_reply(&sender, "$3145729\r\nx");
        expect_reply(&sender, "+OK\r\n");
        expect_reply(&sender, "$1\r\n");
        expect_reply(&sender, ":6291456\r\n");
        expect_reply(&sender, ":4\r\n");
        sender_close(&sender);
    }
}

static void many_at_a_time_are_served_some_kept_whole(void **state)
{
    struct sender senders[MANY];
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        sender_open(&senders[i]);
        send_begin(&senders[i], "APPEND {many}a @", MEGABYTE + 1);
        send_value(&senders[i], 0, PIECE_BYTES);
    }
    for (unsigned i = 0; i < MANY; i++) {
        send_value(&senders[i], PIECE_BYTES, MEGABYTE + 1);
        send_end(&senders[i], "APPEND {many}a @");
        expect_reply(&senders[i], ":");
        sender_close(&senders[i]);
    }
    struct client *client = connect_client();
    expect(client, "STRLEN {many}a", ":83886160");
    expect(client, "DEL {many}a", ":1");
    client_close(client);
}

/* Transactions, and what has several keys, are kept whole as before. */
static void what_the_proxy_must_know_whole_is_kept(void **state)
{
    struct sender sender;
    (void)state;
    sender_open(&sender);
    send_text(&sender, "MULTI\r\n");
    send_large(&sender, "SET {k}a @", LARGE_BYTES);
    send_text(&sender, "STRLEN {k}a\r\nEXEC\r\n");
    expect_reply(&sender, "+OK");
    expect_reply(&sender, "+QUEUED");
    expect_reply(&sender, "+QUEUED");
    expect_reply(&sender, "*2\r\n+OK\r\n:3145728\r\n");
    send_large(&sender, "MSET b @ c 1", LARGE_BYTES);
    expect_reply(&sender, "+OK");
    expect_pieces("GETRANGE b", LARGE_BYTES);
    send_text(&sender, "WATCH {k}a\r\n");
    expect_reply(&sender, "+OK");
    send_large(&sender, "SET {k}a @", LARGE_BYTES);
    expect_reply(&sender, "+OK");
    send_text(&sender, "MULTI\r\nGET {k}a\r\nEXEC\r\n");
    expect_reply(&sender, "+OK");
    expect_reply(&sender, "+QUEUED");
    expect_reply(&sender, "*-1");
    sender_close(&sender);
}

/* --- errors ----------------------------------------------------------------------------------- */

static void an_error_comes_behind_the_last_byte_and_the_connection_stays(void **state)
{
    struct sender sender;
    unsigned shard = shard_of("e");
    (void)state;
    sender_open(&sender);
    unsigned long before_kb = proxy_peak_kb();
    send_text(&sender, "SET e old\r\n");
    send_large(&sender, "GET e @", HUGE_BYTES);
    send_large(&sender, "SET __sluice:fence @", HUGE_BYTES);
    send_text(&sender, "LPUSH e x\r\n");
    expect_reply(&sender, "+OK");
    expect_reply(&sender, "-ERR wrong number of arguments for 'get' command\r\n");
    expect_reply(&sender, "-ERR keys that begin with __sluice: are reserved\r\n");
    expect_reply(&sender, "-WRONGTYPE ");
    send_large(&sender, "LPUSH e @", LARGE_BYTES);
    expect_reply(&sender, "-WRONGTYPE ");
    config(shard, "maxmemory 1mb");
    send_large(&sender, "SET e @", LARGE_BYTES);
    expect_reply(&sender, "-OOM ");
    config(shard, "maxmemory 0");
    /* The shard refuses at once what it would have to read, and closes. */
    config(shard, "proto-max-bulk-len 1mb");
    send_large(&sender, "SET e @", 10 * MEGABYTE);
    send_text(&sender, "GET e\r\n");
    expect_reply(&sender, "-ERR Protocol error: invalid bulk length\r\n");
    expect_reply(&sender, "$3\r\nold\r\n");
    config(shard, "proto-max-bulk-len 512mb");
    assert_true(proxy_peak_kb() - before_kb < 16 * 1024);
    sender_close(&sender);
}

static void broken_bytes_behind_it_end_the_connection_and_nothing_is_executed(void **state)
{
    struct sender sender;
    struct buffer rest;
    (void)state;
    sender_open(&sender);
    send_text(&sender, "SET e old\r\n");
    expect_reply(&sender, "+OK");
    send_begin(&sender, "SET e @ EX 10", LARGE_BYTES);
    send_value(&sender, 0, LARGE_BYTES);
    send_text(&sender, "\r\n:1\r\n");
    buffer_init(&rest, SIZE_MAX);
    assert_true(raw_read_to_end(sender.fd, &rest));
    assert_true(
        slice_equal(buffer_slice(&rest), SLICE("-ERR Protocol error: expected '$', got ':'\r\n")));
    buffer_fini(&rest);
    sender_close(&sender);
    wait_for_no_part(shard_of("e"));
    struct client *client = connect_client();
    expect(client, "GET e", "old");
    client_close(client);
}

/* --- somebody goes away in the middle --------------------------------------------------------- */

/* Half of a SET of this key is with its shard. */
static void send_half(struct sender *sender, const char *key)
{
    char words[64];
    (void)snprintf(words, sizeof(words), "SET %s old\r\n", key);
    sender_open(sender);
    send_text(sender, words);
    expect_reply(sender, "+OK");
    (void)snprintf(words, sizeof(words), "SET %s @", key);
    send_begin(sender, words, LARGE_BYTES);
    send_value(sender, 0, HALF_BYTES);
    wait_for_part(shard_of(key), HALF_BYTES);
}

static void send_other_half(struct sender *sender)
{
    send_value(sender, HALF_BYTES, LARGE_BYTES);
    send_text(sender, "\r\n");
}

static void a_client_that_goes_away_in_the_middle_has_changed_nothing(void **state)
{
    struct sender sender;
    struct buffer rest;
    struct client *client = connect_client();
    (void)state;
    send_half(&sender, "d");
    sender_close(&sender);
    wait_for_no_part(shard_of("d"));
    expect(client, "GET d", "old");
    /* One that ends only its own half is not answered either. */
    send_half(&sender, "d");
    assert_int_equal(shutdown(sender.fd, SHUT_WR), 0);
    buffer_init(&rest, SIZE_MAX);
    assert_true(raw_read_to_end(sender.fd, &rest));
    assert_int_equal(buffer_length(&rest), 0);
    buffer_fini(&rest);
    sender_close(&sender);
    wait_for_no_part(shard_of("d"));
    /* Nor one that is killed. */
    send_half(&sender, "d");
    expect(client, "CLIENT KILL TYPE normal SKIPME yes", ":1");
    wait_for_no_part(shard_of("d"));
    sender_close(&sender);
    expect(client, "GET d", "old");
    client_close(client);
}

static void a_pause_of_writes_holds_the_last_byte_back(void **state)
{
    struct sender sender;
    struct client *client = connect_client();
    (void)state;
    send_half(&sender, "w");
    expect(client, "CLIENT PAUSE 600000 WRITE", "+OK");
    send_other_half(&sender);
    expect(client, "GET w", "old");
    expect(client, "PING", "+PONG");
    expect(client, "GET w", "old");
    expect(client, "CLIENT UNPAUSE", "+OK");
    expect_reply(&sender, "+OK");
    expect_pieces("GETRANGE w", LARGE_BYTES);
    sender_close(&sender);
    client_close(client);
}

static uint64_t unavailable(void)
{
    return http_metric(cluster_proxy_admin_port(cluster, 0),
                       "sluice_errors_total{kind=\"unavailable\"}");
}

/* Before the rest comes: what has been handed to the kernel may have been executed. */
static void a_shard_that_dies_in_the_middle_has_not_executed_it(void **state)
{
    struct sender sender;
    struct client *client = connect_client();
    struct redis_server *shard = cluster_shard(cluster, shard_of("s"));
    (void)state;
    uint64_t before = unavailable();
    send_half(&sender, "s");
    redis_server_kill(shard);
    WAIT_UNTIL(unavailable() > before, WAIT_MS);
    send_other_half(&sender);
    expect_reply(&sender, "-UNAVAILABLE ");
    redis_server_restart(shard, false);
    expect_within(client, "GET s", "old", WAIT_MS);
    send_text(&sender, "GET s\r\n");
    expect_reply(&sender, "$3\r\nold\r\n");
    sender_close(&sender);
    client_close(client);
}

/* With its last byte it is in flight as any write. */
static void a_shard_that_dies_with_the_whole_of_it_may_have_executed_it(void **state)
{
    struct sender sender;
    struct client *client = connect_client();
    struct redis_server *shard = cluster_shard(cluster, shard_of("s"));
    (void)state;
    sender_open(&sender);
    send_begin(&sender, "SET s @", LARGE_BYTES);
    send_value(&sender, 0, LARGE_BYTES);
    wait_for_part(shard_of("s"), LARGE_BYTES);
    process_signal(redis_server_process(shard), SIGSTOP);
    send_text(&sender, "\r\n");
    for (unsigned i = 0; i < 3; i++) {
        expect(client, "PING", "+PONG"); /* by now the proxy's only thread has passed it on */
    }
    redis_server_kill(shard);
    expect_reply(&sender, "-UNKNOWN ");
    redis_server_restart(shard, false);
    expect_within(client, "SET s new", "+OK", WAIT_MS);
    sender_close(&sender);
    client_close(client);
}

/* --- the slot moves --------------------------------------------------------------------------- */

static void a_client_that_stalls_in_the_middle_holds_no_migration_up(void **state)
{
    struct sender sender;
    struct client *client = connect_client();
    const char *key = "m";
    unsigned from = shard_of(key);
    (void)state;
    send_half(&sender, key);
    char *slot = client_ask(client, "CLUSTER KEYSLOT m");
    char *text = cluster_ctl_ok(cluster, "explain %s", key);
    const char *at = strstr(text, "slot");
    assert_non_null(at);
    unsigned number = (unsigned)strtoul(at + strcspn(at, "0123456789"), NULL, 10);
    cluster_tell(cluster, "move %u --to s%u --finalize-after 0 --wait", number,
                 from == 0 ? 2u : 1u);
    mem_free(text);
    mem_free(slot);
    assert_int_not_equal(shard_of(key), from);
    wait_for_no_part(from);
    expect(client, "GET m", "old");
    send_other_half(&sender);
    expect_reply(&sender, "-UNAVAILABLE ");
    send_text(&sender, "GET m\r\n");
    expect_reply(&sender, "$3\r\nold\r\n");
    send_large(&sender, "SET m @", LARGE_BYTES);
    expect_reply(&sender, "+OK");
    expect_pieces("GETRANGE m", LARGE_BYTES);
    sender_close(&sender);
    client_close(client);
    struct client *left = connect_shard(from);
    expect(left, "EXISTS m", ":0");
    client_close(left);
}

/* --- the proxy stops -------------------------------------------------------------------------- */

static void a_proxy_that_stops_does_not_wait_for_the_rest(void **state)
{
    struct sender sender;
    struct buffer rest;
    (void)state;
    send_half(&sender, "t");
    process_signal(cluster_proxy(cluster, 0), SIGTERM);
    buffer_init(&rest, SIZE_MAX);
    assert_true(raw_read_to_end(sender.fd, &rest));
    assert_int_equal(buffer_length(&rest), 0);
    buffer_fini(&rest);
    assert_true(process_wait(cluster_proxy(cluster, 0), WAIT_MS, NULL));
    wait_for_no_part(shard_of("t"));
    cluster_restart_proxy(cluster, 0);
    struct client *client = connect_client();
    expect(client, "GET t", "old");
    client_close(client);
    sender_close(&sender);
}

/* --- with a time-out -------------------------------------------------------------------------- */

static void an_idle_client_is_closed(void **state)
{
    struct sender idle;
    struct buffer rest;
    (void)state;
    const struct cluster_options options = {
        .shards = 1, .proxy_arguments = (const char *const[]){"--timeout", "3s", NULL}};
    cluster = cluster_start(&options);
    sender_open(&idle);
    send_begin(&idle, "SET i @", LARGE_BYTES);
    send_value(&idle, 0, HALF_BYTES);
    buffer_init(&rest, SIZE_MAX);
    assert_true(raw_read_to_end(idle.fd, &rest));
    assert_int_equal(buffer_length(&rest), 0);
    wait_for_no_part(0);
    buffer_fini(&rest);
    sender_close(&idle);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hundred_megabytes_go_through_in_less_than_four),
        TEST(any_argument_behind_the_key_may_be_large),
        TEST(its_reply_stands_in_its_place),
        TEST(many_at_a_time_are_served_some_kept_whole),
        TEST(what_the_proxy_must_know_whole_is_kept),
        TEST(an_error_comes_behind_the_last_byte_and_the_connection_stays),
        TEST(broken_bytes_behind_it_end_the_connection_and_nothing_is_executed),
        TEST(a_client_that_goes_away_in_the_middle_has_changed_nothing),
        TEST(a_pause_of_writes_holds_the_last_byte_back),
        TEST(a_shard_that_dies_in_the_middle_has_not_executed_it),
        TEST(a_shard_that_dies_with_the_whole_of_it_may_have_executed_it),
        TEST(a_client_that_stalls_in_the_middle_holds_no_migration_up),
        TEST(a_proxy_that_stops_does_not_wait_for_the_rest),
    };
    const struct CMUnitTest over_tls[] = {
        TEST(a_hundred_megabytes_go_through_in_less_than_four),
        TEST(its_reply_stands_in_its_place),
        TEST(many_at_a_time_are_served_some_kept_whole),
        TEST(an_error_comes_behind_the_last_byte_and_the_connection_stays),
        TEST(a_client_that_goes_away_in_the_middle_has_changed_nothing),
        TEST(a_shard_that_dies_in_the_middle_has_not_executed_it),
        TEST(a_shard_that_dies_with_the_whole_of_it_may_have_executed_it),
        TEST(a_client_that_stalls_in_the_middle_holds_no_migration_up),
        TEST(a_proxy_that_stops_does_not_wait_for_the_rest),
    };
    const struct CMUnitTest alone[] = {
        cmocka_unit_test_teardown(an_idle_client_is_closed, stage_clear),
    };
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    int failed = cmocka_run_group_tests_name("upload", tests, start, stage_clear);
    failed += cmocka_run_group_tests_name("upload over TLS", over_tls, start_with_tls, stage_clear);
    return failed + cmocka_run_group_tests_name("upload alone", alone, NULL, NULL);
}
