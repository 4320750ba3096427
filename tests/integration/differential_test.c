/* The same random commands to Sluice over two shards and to one plain Redis: every reply must be
 * the same, byte for byte. SLUICE_SEED repeats a run, SLUICE_COMMANDS sets how many commands.
 *
 * Left out, each for a reason:
 *   - what draws lots: SPOP SRANDMEMBER HRANDFIELD ZRANDMEMBER RANDOMKEY;
 *   - what tells the time: XADD *, TTL, PTTL, OBJECT IDLETIME/FREQ, and EXPIRETIME after a relative
 *     EXPIRE (the two servers are not asked in the same millisecond);
 *   - what Sluice promises to do differently: keys of several slots in one command that cannot be
 *     split (-CROSSSLOT), SELECT 1, server administration;
 *   - transactions and blocking commands, which have tests of their own, and pub/sub, which is not
 *     supported yet and says so;
 *   - the order of sets: Redis hashes them with a random seed. SMEMBERS and its kin are compared as
 *     sets of elements, not as bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/base/random.h"
#include "tests/support/cluster.h"
#include "tests/support/raw.h"
#include "tests/support/scratch.h"

#define COMMANDS      30000
#define BATCH_MAX     60
#define ARGUMENTS_MAX 24
#define KEYS          40
#define VALUE_MAX     3000
#define DIFFERENCES   10 /* printed before the test gives up */
#define FAR_FUTURE_MS 4000000000000

/* Words are literal but for
 *   %k a key   %K another key with the same tag   %v a value   %m a member or field of few
 *   %n a small number   %f a fraction   %t a time far away in ms   %i a stream id
 * A '*' before the command's name: compared as a set of elements. */
// clang-format off
static const char *const templates[] = {
    /* strings */
    "SET %k %v", "SET %k %v", "SET %k %n", "SET %k %v NX", "SET %k %v XX GET", "SET %k %v PXAT %t",
    "SET %k %v KEEPTTL", "SET %k %v EX", "SET %k %v NX XX", "GET %k", "GET %k", "GETSET %k %v",
    "GETDEL %k", "GETEX %k PXAT %t", "GETEX %k PERSIST", "SETNX %k %v", "APPEND %k %v", "STRLEN %k",
    "INCR %k", "DECR %k", "INCRBY %k %n", "DECRBY %k %n", "INCRBYFLOAT %k %f", "INCRBY %k %v",
    "SETRANGE %k %n %v", "GETRANGE %k %n %n", "SUBSTR %k %n %n", "SETBIT %k %n 1", "GETBIT %k %n",
    "BITCOUNT %k", "BITCOUNT %k %n %n BIT", "BITPOS %k 1", "BITFIELD %k SET u8 %n %n INCRBY i5 2 %n",
    "BITFIELD_RO %k GET u4 0", "BITOP AND %k %K %K", "BITOP NOT %k %K", "LCS %k %K", "LCS %k %K LEN",
    "SET %k", "GET", "GET %k %k", "SETEX %k 0 %v", "PSETEX %k -5 %v", "PFADD %k %m %m", "PFCOUNT %k",
    "PFCOUNT %k %K", "PFMERGE %k %K",
    /* split over the shards and merged again */
    "MGET %k %k %k", "MGET %k", "MSET %k %v %k %v %k %v", "MSET %k %v %k", "DEL %k %k", "DEL %k",
    "UNLINK %k %k %k", "EXISTS %k %k %k %k", "TOUCH %k %k", "MSETNX %k %v %K %v", "MGET", "DEL",
    /* any type */
    "TYPE %k", "EXPIREAT %k 4000000000", "PEXPIREAT %k %t", "PEXPIREAT %k %t GT",
    "PEXPIREAT %k %t LT", "PEXPIRETIME %k", "EXPIRETIME %k", "PERSIST %k", "EXPIRE %k -1",
    "EXPIRE %k nonsense", "RENAME %k %K", "RENAMENX %k %K", "COPY %k %K", "COPY %k %K REPLACE",
    "OBJECT ENCODING %k", "SORT %k ALPHA", "SORT %k LIMIT 0 3 DESC", "SORT %k ALPHA STORE %K",
    /* lists */
    "RPUSH %k %v %v", "LPUSH %k %m", "LPUSHX %k %v", "RPUSHX %k %v %v", "LPOP %k", "RPOP %k 2",
    "LPOP %k 0", "LLEN %k", "LRANGE %k 0 -1", "LRANGE %k %n %n", "LINDEX %k %n", "LSET %k %n %v",
    "LINSERT %k BEFORE %m %v", "LREM %k %n %m", "LTRIM %k %n %n", "LPOS %k %m RANK -1",
    "LMOVE %k %K LEFT RIGHT", "RPOPLPUSH %k %K", "LMPOP 2 %k %K LEFT COUNT 2",
    /* sets */
    "SADD %k %m %m %m", "SADD %k %n %n", "SREM %k %m %m", "SCARD %k", "SISMEMBER %k %m",
    "SMISMEMBER %k %m %m %n", "SMOVE %k %K %m", "*SMEMBERS %k", "*SUNION %k %K", "*SINTER %k %K",
    "*SDIFF %k %K", "SUNIONSTORE %k %K %K", "SINTERSTORE %k %K %K", "SDIFFSTORE %k %K %K",
    "SINTERCARD 2 %k %K LIMIT 2",
    /* hashes */
    "HSET %k %m %v %m %v", "HSET %k %m", "HSETNX %k %m %v", "HMSET %k %m %v", "HGET %k %m",
    "HMGET %k %m %m %m", "HDEL %k %m", "HLEN %k", "HEXISTS %k %m", "HSTRLEN %k %m",
    "HINCRBY %k %m %n", "HINCRBYFLOAT %k %m %f", "*HGETALL %k", "*HKEYS %k", "*HVALS %k",
    /* sorted sets */
    "ZADD %k %n %m %f %m", "ZADD %k NX CH %n %m", "ZADD %k GT %f %m", "ZADD %k INCR %n %m",
    "ZADD %k NX XX 1 a", "ZADD %k nan a", "ZINCRBY %k %f %m", "ZREM %k %m %m", "ZCARD %k",
    "ZSCORE %k %m", "ZMSCORE %k %m %m", "ZRANK %k %m", "ZREVRANK %k %m", "ZCOUNT %k -inf %n",
    "ZRANGE %k 0 -1 WITHSCORES", "ZRANGE %k %n %n REV", "ZRANGE %k -inf +inf BYSCORE LIMIT 1 2",
    "ZRANGEBYLEX %k - +", "ZRANGEBYSCORE %k (%n +inf WITHSCORES", "ZREVRANGE %k 0 2",
    "ZLEXCOUNT %k - +", "ZREMRANGEBYRANK %k %n %n", "ZREMRANGEBYSCORE %k %n %n", "ZPOPMIN %k",
    "ZPOPMAX %k 2", "ZUNIONSTORE %k 2 %K %K WEIGHTS 2 3", "ZINTERSTORE %k 2 %K %K AGGREGATE MAX",
    "ZUNION 2 %k %K WITHSCORES", "ZINTER 2 %k %K", "ZDIFF 2 %k %K", "ZRANGESTORE %k %K 0 -1",
    "ZMPOP 1 %k MIN", "GEOADD %k 13.361389 38.115556 %m", "GEODIST %k %m %m km", "GEOPOS %k %m",
    "GEOHASH %k %m", "GEOSEARCH %k FROMLONLAT 15 37 BYRADIUS 200 km ASC",
    /* streams */
    "XADD %k %i %m %v", "XADD %k NOMKSTREAM %i %m %v", "XADD %k MAXLEN 5 %i %m %v", "XLEN %k",
    "XRANGE %k - +", "XREVRANGE %k + - COUNT 2", "XDEL %k %i", "XTRIM %k MAXLEN 3",
    "XREAD COUNT 2 STREAMS %k 0", "XREAD STREAMS %k %K 0 0", "XGROUP CREATE %k g 0",
    "XGROUP CREATE %k g $ MKSTREAM", "XGROUP DESTROY %k g", "XREADGROUP GROUP g c COUNT 1 STREAMS %k >",
    "XACK %k g %i", "XPENDING %k g", "XSETID %k 9999-1", "XINFO GROUPS %k",
    /* scripts over keys of one slot */
    "EVAL %script 1 %k", "EVAL %script 2 %k %K %v", "EVAL_RO %script 1 %k", "EVAL %script -1",
    "EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 %k",
    /* no keys, or nonsense */
    "PING", "PING %v", "ECHO %v", "ECHO", "PING a b", "NOSUCHCOMMAND %k %v", "SELECT 0", "SELECT x",
    "GETT %k", "OBJECT NOSUCH %k", "XGROUP NOSUCH %k g",
};
// clang-format on
#define TEMPLATES (sizeof(templates) / sizeof(templates[0]))

static const char script[] = "return redis.call('EXISTS', KEYS[1])";

struct command {
    size_t template;
    int argc;
    struct slice argv[ARGUMENTS_MAX];
    bool is_set;    /* its reply has no order */
    bool is_inline; /* sent as a line of words */
};

struct side {
    int fd;
    struct buffer pending;
    struct buffer reply;
};

struct fixture {
    struct random random;
    struct cluster *cluster;
    struct redis_server *plain;
    struct side sides[2]; /* Sluice, plain Redis */
    struct slice keys[KEYS];
    char *memory[BATCH_MAX * ARGUMENTS_MAX]; /* of the batch's arguments */
    size_t nmemory;
    bool differs[TEMPLATES]; /* printed once each */
    unsigned differences;
};

static struct fixture fixture;

/* --- making commands ------------------------------------------------------------------------ */

static uint64_t below(uint64_t bound)
{
    return random_below(&fixture.random, bound);
}

/* Memory that lives as long as the batch. */
static char *batch_memory(size_t size)
{
    char *memory = mem_alloc(size + 1);
    fixture.memory[fixture.nmemory++] = memory;
    return memory;
}

static struct slice batch_text(const char *prefix, long long number, const char *suffix)
{
    char *text = batch_memory(60);
    int length = snprintf(text, 60, "%s%lld%s", prefix, number, suffix);
    return (struct slice){text, (size_t)length};
}

static struct slice random_bytes(size_t length)
{
    char *bytes = batch_memory(length);
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (char)below(256);
    }
    return (struct slice){bytes, length};
}

static struct slice random_value(void)
{
    switch (below(8)) {
    case 0:
        return SLICE("");
    case 1:
        return random_bytes(1 + below(30));
    case 2:
        return random_bytes(below(VALUE_MAX));
    case 3:
        return SLICE("$5\r\nhello\r\n");
    case 4:
        return batch_text("", (long long)below(100000), "");
    default:
        return batch_text("value-", (long long)below(50), "");
    }
}

/* Every fourth key shares its tag: keys 0-3 have tag t0, keys 4-7 tag t1, ... */
static struct slice key_with_tag(unsigned tag)
{
    return fixture.keys[tag * 4 + below(4)];
}

static struct slice fill(const char *word, unsigned tag)
{
    switch (word[1]) {
    case 'k':
    case 'K':
        return key_with_tag(tag);
    case 'v':
        return random_value();
    case 'm':
        return batch_text("m", (long long)below(6), "");
    case 'n':
        return batch_text("", (long long)below(24) - 6, "");
    case 'f':
        return batch_text("", (long long)below(9) - 4, ".25");
    case 't':
        return batch_text("", FAR_FUTURE_MS + (long long)below(1000), "");
    case 'i':
        return batch_text("", (long long)below(200), "-1");
    default:
        return slice_of(script);
    }
}

/* A mistake now and then: an argument too many or too few, or letters in another case. */
static void spoil(struct command *command, unsigned tag)
{
    if (below(40) == 0 && command->argc > 1) {
        command->argc--;
    } else if (below(40) == 0) {
        /* It may be taken for a key, so it has the others' tag. */
        command->argv[command->argc++] = batch_text("{t", tag, "}extra");
    }
    if (below(4) == 0) {
        struct slice name = command->argv[0];
        char *lower = batch_memory(name.len);
        for (size_t i = 0; i < name.len; i++) {
            lower[i] = name.data[i] | (name.data[i] >= 'A' && below(2) == 0 ? 0x20 : 0);
        }
        command->argv[0] = (struct slice){lower, name.len};
    }
}

static bool fits_in_a_line(const struct command *command)
{
    for (int i = 0; i < command->argc; i++) {
        struct slice word = command->argv[i];
        if (word.len == 0) {
            return false;
        }
        for (size_t j = 0; j < word.len; j++) {
            if (word.data[j] <= ' ' || word.data[j] > '~' ||
                strchr("\"'\\", word.data[j]) != NULL) {
                return false;
            }
        }
    }
    return command->argv[0].data[0] != '*' && command->argv[0].data[0] != '$';
}

static void make_command(struct command *command)
{
    size_t template = below(TEMPLATES);
    const char *text = templates[template];
    unsigned tag = (unsigned)below(KEYS / 4);
    bool is_first = true;
    *command = (struct command){.template = template, .is_set = *text == '*'};
    text += *text == '*';
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        struct slice word = {text, length};
        if (*text == '%') {
            /* Further %k go anywhere, but only where the command is split or refused. */
            bool strays = text[1] == 'k' && !is_first;
            word = fill(text, strays ? (unsigned)below(KEYS / 4) : tag);
            is_first = is_first && text[1] != 'k';
        }
        command->argv[command->argc++] = word;
        text += length + (text[length] == ' ');
    }
    spoil(command, tag);
    command->is_inline = below(20) == 0 && fits_in_a_line(command);
}

static void add_command(struct buffer *bytes, const struct command *command)
{
    if (!command->is_inline) {
        raw_add_command(bytes, command->argc, command->argv);
        return;
    }
    for (int i = 0; i < command->argc; i++) {
        buffer_add_text(bytes, i > 0 ? " " : "");
        buffer_add(bytes, command->argv[i].data, command->argv[i].len);
    }
    buffer_add_text(bytes, below(2) == 0 ? "\r\n" : "\n");
}

/* --- comparing replies ---------------------------------------------------------------------- */

static int compare_slices(const void *a, const void *b)
{
    const struct slice *first = a;
    const struct slice *second = b;
    size_t shorter = first->len < second->len ? first->len : second->len;
    int order = memcmp(first->data, second->data, shorter);
    return order != 0 ? order : (first->len > second->len) - (first->len < second->len);
}

/* The elements of an array reply, sorted; how many, or -1 when it is none. */
static long sorted_elements(struct slice reply, struct slice *elements, long max)
{
    const char *end = memchr(reply.data, '\n', reply.len);
    if (reply.data[0] != '*' || end == NULL) {
        return -1;
    }
    long count = 0;
    size_t at = (size_t)(end - reply.data) + 1;
    while (at < reply.len && count < max) {
        struct slice rest = {reply.data + at, reply.len - at};
        elements[count] = (struct slice){rest.data, raw_reply_length(rest)};
        at += elements[count++].len;
    }
    qsort(elements, (size_t)count, sizeof(*elements), compare_slices);
    return count;
}

static bool are_equal_sets(struct slice a, struct slice b)
{
    static struct slice first[1024];
    static struct slice second[1024];
    long count = sorted_elements(a, first, 1024);
    if (count < 0 || count != sorted_elements(b, second, 1024)) {
        return slice_equal(a, b);
    }
    for (long i = 0; i < count; i++) {
        if (!slice_equal(first[i], second[i])) {
            return false;
        }
    }
    return true;
}

static void print_bytes(const char *name, struct slice bytes)
{
    (void)fprintf(stderr, "    %s", name);
    for (size_t i = 0; i < bytes.len && i < 300; i++) {
        unsigned char byte = (unsigned char)bytes.data[i];
        (void)fprintf(stderr, byte >= ' ' && byte <= '~' ? "%c" : "\\x%02x", byte);
    }
    (void)fprintf(stderr, bytes.len > 300 ? "... (%zu bytes)\n" : "\n", bytes.len);
}

static void print_difference(const struct command *command)
{
    (void)fprintf(stderr, "replies differ%s:\n", command->is_inline ? " (sent inline)" : "");
    for (int i = 0; i < command->argc; i++) {
        print_bytes(i == 0 ? "command " : "        ", command->argv[i]);
    }
    print_bytes("sluice  ", buffer_slice(&fixture.sides[0].reply));
    print_bytes("redis   ", buffer_slice(&fixture.sides[1].reply));
}

static void compare_one(const struct command *command)
{
    for (int i = 0; i < 2; i++) {
        struct side *side = &fixture.sides[i];
        buffer_clear(&side->reply);
        if (!raw_read_reply(side->fd, &side->pending, &side->reply)) {
            print_difference(command);
            fail_msg("%s closed the connection", i == 0 ? "Sluice" : "Redis");
        }
    }
    struct slice sluice = buffer_slice(&fixture.sides[0].reply);
    struct slice redis = buffer_slice(&fixture.sides[1].reply);
    bool is_equal = command->is_set ? are_equal_sets(sluice, redis) : slice_equal(sluice, redis);
    if (!is_equal && !fixture.differs[command->template]) {
        fixture.differs[command->template] = true;
        print_difference(command);
        if (++fixture.differences == DIFFERENCES) {
            fail_msg("too many differences; SLUICE_SEED is above");
        }
    }
}

/* --- the test ------------------------------------------------------------------------------- */

static void run_batch(void)
{
    static struct command commands[BATCH_MAX];
    struct buffer bytes;
    size_t count = below(3) == 0 ? 1 : 1 + below(BATCH_MAX);
    buffer_init(&bytes, SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        make_command(&commands[i]);
        add_command(&bytes, &commands[i]);
    }
    for (int i = 0; i < 2; i++) {
        assert_true(raw_send(fixture.sides[i].fd, buffer_slice(&bytes)));
    }
    for (size_t i = 0; i < count; i++) {
        compare_one(&commands[i]);
    }
    buffer_fini(&bytes);
    while (fixture.nmemory > 0) {
        mem_free(fixture.memory[--fixture.nmemory]);
    }
}

// field lesson: an early error put request and reply out of step
static void the_same_commands_get_the_same_replies(void **state)
{
    (void)state;
    uint64_t commands = COMMANDS;
    const char *wanted = getenv("SLUICE_COMMANDS");
    if (wanted != NULL) {
        assert_true(number_parse_u64(slice_of(wanted), &commands));
    }
    for (uint64_t sent = 0; sent < commands; sent += BATCH_MAX / 2) {
        run_batch();
    }
    assert_int_equal(fixture.differences, 0);
}

static int start(void **state)
{
    (void)state;
    static const char *const names[] = {"plain", "\r\nbinary\x01\xff", "with space", "x}y{"};
    static char text[KEYS][64];
    random_seed(&fixture.random, scratch_seed());
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(text[i], sizeof(text[i]), "{t%d}%s", i / 4, names[i % 4]);
        fixture.keys[i] = slice_of(text[i]);
    }
    struct cluster_options options = {.shards = 2};
    fixture.cluster = cluster_start(&options);
    fixture.plain = redis_server_start(NULL);
    const uint16_t ports[2] = {cluster_proxy_port(fixture.cluster, 0),
                               redis_server_port(fixture.plain)};
    for (int i = 0; i < 2; i++) {
        buffer_init(&fixture.sides[i].pending, SIZE_MAX);
        buffer_init(&fixture.sides[i].reply, SIZE_MAX);
        fixture.sides[i].fd = raw_connect(ports[i]);
        assert_true(fixture.sides[i].fd >= 0);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        (void)close(fixture.sides[i].fd);
        buffer_fini(&fixture.sides[i].pending);
        buffer_fini(&fixture.sides[i].reply);
    }
    redis_server_stop(fixture.plain);
    cluster_stop(fixture.cluster);
    process_stop_all();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_commands_get_the_same_replies, start, stop),
    };
    return cmocka_run_group_tests_name("differential", tests, NULL, NULL);
}
