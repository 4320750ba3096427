/* What a client does wrong, it is told in Redis' own words: a long list of bad input to Sluice and
 * to one plain Redis, and every reply must be the same, byte for byte. Keys of one command share a
 * tag, since Sluice's -CROSSSLOT is no client's mistake on one server. Left out: DEBUG, which the
 * tests' servers allow; commands of the connection itself between MULTI and EXEC, which Sluice
 * refuses there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/cluster.h"
#include "tests/support/raw.h"
#include "tests/support/redis.h"
#include "tests/support/stage.h"

/* Each line is one connection's commands, separated by "; ", words by spaces; '' is an empty word.
 */
// clang-format off
static const char *const mistakes[] = {
    /* unknown commands, and how their arguments are shown */
    "nosuch", "NOSUCH a", "nosuch a b c", "nosuch '' ''", "'' a", "get\tx", "nosuch %long", "%long",
    "%long %long", "nosuch a%long b", "nosuch a b c d e f g h i j k l m n o p q r s t u v w x y z "
    "aa bb cc dd ee ff gg hh ii jj kk ll mm nn oo pp", "nosuch 'quoted'", "hello\r\nx",
    /* unknown subcommands */
    "client nosuch", "CLIENT NOSUCH a b", "client ''", "client %long", "config nosuch", "CONFIG NOSUCH x",
    "object nosuch k", "xgroup nosuch k g", "xinfo nosuch k", "memory nosuch", "acl nosuch", "acl nosuch a",
    "cluster nosuch", "command nosuch", "slowlog nosuch", "latency nosuch", "module nosuch", "Client MAINT_NOTIFICATIONS ON",
    "script nosuch", "function nosuch", "pubsub nosuch",
    /* too few, too many */
    "get", "GET a b", "set a", "set", "mget", "mset a", "mset {a}a 1 {a}b", "msetnx {a}a 1 {a}b", "del", "exists",
    "incr", "incr a b", "hset h f", "hset h", "hmset h f", "hget h", "hdel h", "lpush l", "rpush", "lrange l 0",
    "linsert l before p", "sadd s", "zadd z 1", "zadd z", "zrange z 0", "expire k", "ttl", "type", "rename a",
    "eval", "eval x", "evalsha", "watch", "multi x", "exec x", "discard x", "unwatch x", "auth", "echo", "echo a b",
    "ping a b", "select", "select 0 1", "time x", "quit x", "dbsize x", "keys", "scan", "hscan h", "randomkey x",
    "client", "config", "config get", "config set", "config set a", "object", "object encoding", "memory", "memory usage", "acl",
    "command getkeys", "command info x y z", "command count x", "command docs nosuch", "command list x", "client setname", "client setname a b", "client getname x", "client id x",
    "client kill", "client pause", "client reply", "client no-evict", "client info x", "client unblock", "client tracking", "client trackinginfo x", "client caching", "client getredir x", "client unpause x",
    "acl whoami x", "acl users x", "acl list x", "acl getuser", "acl cat a b", "acl genpass a b", "cluster", "cluster info x", "role x", "reset x", "lolwut x", "xadd x", "xadd x *", "xread", "xgroup", "xgroup create",
    "blpop", "blpop l", "brpoplpush a b", "blmove {a}a {a}b left right", "bzpopmin z", "geoadd g 1 2", "pfadd", "bitcount", "bitop and", "sort",
    "copy a", "dump", "restore k 0", "getrange a 0", "setrange a 0", "getex", "lcs a", "publish", "publish c", "subscribe", "psubscribe", "spublish c", "ssubscribe",
    /* what a server refuses */
    "module load x", "module loadex x", "module unload x", "failover", "cluster info", "cluster nodes", "cluster slots", "cluster help",
    "cluster keyslot x", "cluster meet a b", "asking", "readonly", "readwrite", "acl load", "acl save", "config rewrite",
    "config set nosuch 1", "config set nosuch 1 other 2", "config set nosuch 1 other", "config set maxclients",
    /* authentication, where there is none */
    "auth secret", "auth default secret", "auth default ''", "auth nobody secret", "auth a b c", "AUTH '' ''", "auth nobody ''",
    "hello 2 auth nobody x", "hello x", "hello 2 x", "hello 2 auth default x nosuch", "hello 2 setname", "hello 2 auth default", "hello 2 nosuch", "hello 2 setname a\tb", "hello 1", "hello 4", "hello -1", "hello 99999999999999999999",
        /* bad values of CLIENT */
    "client setname a\tb", "client setname a\nb", "client setname ''; client getname", "client kill nobody", "client kill ''", "client kill id", "client kill id x", "client kill id 0", "client kill id -1",
    "client kill id 999999", "client kill type x", "client kill type normal nosuch x", "client kill addr", "client kill addr 1.2.3.4:5", "client kill laddr 1.2.3.4:5 skipme no", "client kill user nobody", "client kill user default id 99999", "client kill skipme maybe", "client kill id 1 skipme",
    "client list x", "client list type", "client list type x", "client list type replica", "client list id", "client list id x", "client list id 99999", "client list id 1 x", "client list type normal x",
    "client pause x", "client pause -1", "client pause 1 x", "client pause 1 write x", "client pause 99999999999999999999", "client pause 0; client unpause", "client unblock x", "client unblock 99999", "client unblock 1 x", "client unblock 1 timeout x", "client unblock 0", "client unblock -5 error",
    "client reply x", "client reply on", "client no-evict x", "client no-evict on", "client no-evict OFF", "client tracking x", "client tracking off", "client caching yes", "client caching x", "client getredir", "client trackinginfo", "client getname",
    "acl log x", "acl log -1", "acl log reset", "acl log", "acl log 1 2", "acl getuser nobody", "acl getuser default", "acl whoami", "acl users", "acl list", "acl cat nosuch", "acl genpass x", "acl genpass 0",
    "role", "config get nosuch", "config get save", "config get cluster-enabled", "config get requirepass", "config get MAXCLIENTS", "config get timeout nosuch", "config get timeou?",
    "select 1x", "select -1", "select 99999999999999999999", "select 9999",
    /* arguments of other commands */
    "set k v ex", "set k v ex 0", "set k v ex x", "set k v px -1", "set k v nx xx", "set k v nosuch", "set k v ex 1 px 1", "set k v keepttl ex 1", "set k v get get",
    "setex k x v", "setex k 0 v", "psetex k 0 v", "incrby k x", "incrby k 1.5", "decrby k -9223372036854775808", "incrbyfloat k x", "incrbyfloat k nan", "getex k ex", "getex k ex 0", "getex k nosuch",
    "expire k x", "expire k 1 nosuch", "expire k 1 nx xx", "expire k 1 gt lt", "expire k 9223372036854775807", "pexpireat k x", "setrange k -1 v", "setrange k 999999999999 v", "getrange k x 0", "setbit k -1 1", "setbit k 1 2", "getbit k x", "bitcount k 0", "bitcount k 0 1 nosuch", "bitpos k 2", "bitop nosuch {a}a {a}b", "bitop not {a}a {a}b {a}c",
    "bitfield k get u64 0", "bitfield k nosuch", "lcs {a}a {a}b nosuch", "lcs {a}a {a}b len idx",
    "lpop l x", "lpop l -1", "lindex l x", "lset l 0 x", "linsert l nowhere p v", "lmove {a}a {a}b up down", "lmpop 0 a left", "lmpop x a left", "lmpop 1 a nowhere", "lmpop 1 a left count 0", "lpos l x rank 0", "lpos l x count -1",
    "hincrby h f x", "hincrbyfloat h f x", "hrandfield h x", "hscan h x", "hscan h 0 nosuch", "hscan h 0 count 0", "sintercard 0 k", "sintercard x k", "sintercard 1 k limit -1", "spop s -1", "srandmember s x", "sscan s 0 count x",
    "zadd z x m", "zadd z nx xx 1 m", "zadd z gt lt 1 m", "zadd z incr 1 a 2 b", "zadd z nan m", "zincrby z x m", "zrange z x y", "zrange z 0 1 limit 0 1", "zrange z a b bylex", "zrange z 0 1 nosuch", "zrangebyscore z x y", "zrangebylex z a b", "zunionstore {a}a 0 {a}b", "zunionstore {a}a x {a}b", "zunion 1 k weights", "zunion 1 k weights x", "zunion 1 k aggregate nosuch", "zmpop 1 k nowhere", "zmpop 0 k min", "zpopmin z -1", "zpopmin z x",
    "geoadd g x 1 m", "geoadd g 999 1 m", "georadius g 0 0 x km", "geosearch g", "geosearch g frommember m", "geosearch g fromlonlat 0 0 byradius 1 parsec", "geodist g a b parsec",
    "xadd x 0-0 f v", "xadd x nosuch f v", "xadd x * f", "xadd x maxlen x * f v", "xrange x a b", "xrange x - + count x", "xread streams x", "xread count x streams x 0", "xread nosuch", "xread streams x nosuch", "xreadgroup group g c streams x", "xreadgroup group g c streams nokey >", "xgroup create nokey g 0", "xgroup create nokey", "xgroup setid nokey g 0", "xack x g", "xack x g nosuch", "xclaim x g c", "xclaim x g c x 0-1", "xautoclaim nokey g c 0 0", "xinfo stream nokey", "xinfo groups nokey", "xpending nokey g", "xtrim x", "xtrim x nosuch 1", "xsetid nokey 1-1", "xdel x nosuch",
    "eval 'x' x", "eval return 1 k", "eval return(1) -1", "eval syntax( 1 k", "evalsha nosuch 1 k", "evalsha ffffffffffffffffffffffffffffffffffffffff 1 k", "fcall nosuch 1 k", "fcall nosuch x k",
    "sort k limit 0", "sort k limit x 1", "sort k nosuch", "object encoding nokey", "object freq nokey", "object refcount nokey", "memory usage k samples", "memory usage k samples -1", "memory usage nokey", "copy {a}a {a}b nosuch", "restore k x payload", "restore k -1 payload", "restore k 0 payload", "restore k 0 payload nosuch", "rename nokey nokey2{nokey}", "scan x", "scan 0 nosuch", "scan 0 count x", "scan 0 count 0", "scan 0 match", "scan 0 type", "touch", "command getkeys get", "command getkeys nosuch x", "command getkeys ping", "command getkeysandflags set a b", "command list filterby nosuch x", "blpop l x", "blpop l -1", "blpop l 1e400", "blmpop x 1 l left", "blmpop 0 0 l left", "bzmpop 0 1 z nowhere", "blmove {a}a {a}b up down 0",
    /* transactions */
    "exec", "discard", "multi; multi; exec", "multi; nosuch; exec", "multi; get; exec", "multi; watch k; exec", "watch k; multi; watch k; exec", "multi; exec; exec", "multi; discard; exec", "multi; set k; discard; discard", "multi; exec x", "multi; quit", "multi; reset; exec", "multi; command nosuch; exec", "multi; command count; exec",
    /* wrong type */
    "del t; set t 1; lpush t x; hset t f v; sadd t x; zadd t 1 x; xadd t * f v; pfadd t x; incr t; lrange t 0 1; hgetall t; geoadd t 1 1 x; setbit t 0 1; append t x; rpoplpush t t; object encoding t",
    "del t; rpush t x; get t; incr t; append t x; strlen t; setrange t 0 x; getbit t 0; mget t; getset t x; set t x get; sort t; exists t t",
    /* CLIENT REPLY: what is not answered is not there */
    "client reply skip%; ping%; ping x", "client reply off%; ping%; client reply nosuch%; client reply on", "client reply off%; client reply skip%; client reply on; ping", "client reply skip%; client reply on; ping",
    "client setname x; reset; client getname", "quit",
};

/* Bytes that are no RESP; the connection's whole answer is compared. */
static const char *const broken[] = {
    "*1\r\n$abc\r\n", "*abc\r\n", "*1\r\nGET\r\n", "*1\r\n$-5\r\n", "*2\r\n$3\r\nGET\r\n+x\r\n", "*99999999999\r\n",
    "*2147483648\r\n", "*-99999999999999999999\r\n", "*1\r\n$536870913\r\n", "*1\r\n$99999999999999999999\r\n", "*1\r\n:4\r\nPING\r\n",
    "GET \"unbalanced\r\n", "GET 'unbalanced\r\n", "GET \"a\"b\r\n", "GET 'a'b\r\n", "*1\r\n\r\n", "*1\r\n$\r\n", "*\r\n",
    "*1\r\n$ 4\r\nPING\r\n", "* 1\r\n$4\r\nPING\r\n", "*+1\r\n$4\r\nPING\r\n", "*1\r\n$+4\r\nPING\r\n", "*01\r\n", "PING\r\n*1\r\n$x\r\n",
    "*0\r\n*-1\r\n\r\n\r\nPING\r\n*1\r\n$x\r\n", "\"PING\"\r\n*x\r\n", "\"\\x50ING\"\r\n*x\r\n", "set k \"a\\n\\x00b\"\r\nget k\r\n*x\r\n", "get '' \r\n*x\r\n", "ping  \t x\r\n*x\r\n",
    "*1\n$4\nPING\n*x\r\n", "PING\n*x\r\n",
    "%inline-max", "%multibulk-max", "%bulk-max",
};

// clang-format on

static char *long_text(size_t length, char byte)
{
    char *text = mem_alloc(length + 1);
    memset(text, byte, length);
    text[length] = '\0';
    return text;
}

/* A word of a line, as bytes: "''" is empty, "%long" stands for 200 letters. */
static void add_word(struct buffer *word, struct slice text)
{
    const char *mark = memmem(text.data, text.len, "%long", 5);
    if (slice_equal(text, SLICE("''"))) {
        return;
    }
    size_t plain_part = mark != NULL ? (size_t)(mark - text.data) : text.len;
    buffer_add(word, text.data, plain_part);
    if (mark != NULL) {
        char *letters = long_text(200, 'L');
        buffer_add_text(word, letters);
        mem_free(letters);
    }
}

/* One command as RESP; a '%' at its end (not answered) is taken off. */
static bool add_command(struct buffer *bytes, struct slice line)
{
    struct buffer words[64];
    struct slice argv[64] = {{"", 0}};
    int argc = 0;
    bool is_answered = line.data[line.len - 1] != '%';
    line.len -= is_answered ? 0 : 1;
    while (line.len > 0) {
        const char *space = memchr(line.data, ' ', line.len);
        size_t length = space != NULL ? (size_t)(space - line.data) : line.len;
        buffer_init(&words[argc], SIZE_MAX);
        add_word(&words[argc], (struct slice){line.data, length});
        argv[argc] = buffer_slice(&words[argc]);
        argc++;
        length += space != NULL ? 1 : 0;
        line = (struct slice){line.data + length, line.len - length};
    }
    raw_add_command(bytes, argc, argv);
    for (int i = 0; i < argc; i++) {
        buffer_fini(&words[i]);
    }
    return is_answered;
}

/* All that the server at `port` answers to the commands of the line, one behind the other. */
static void ask_line(uint16_t port, const char *line, struct buffer *answer)
{
    struct buffer pending;
    int fd = raw_connect(port);
    assert_true(fd >= 0);
    buffer_init(&pending, SIZE_MAX);
    while (*line != '\0') {
        const char *end = strstr(line, "; ");
        size_t length = end != NULL ? (size_t)(end - line) : strlen(line);
        struct buffer bytes;
        buffer_init(&bytes, SIZE_MAX);
        bool is_answered = add_command(&bytes, (struct slice){line, length});
        bool is_sent = raw_send(fd, buffer_slice(&bytes));
        buffer_fini(&bytes);
        if (!is_sent || (is_answered && !raw_read_reply(fd, &pending, answer))) {
            buffer_add_text(answer, "(closed)");
            break;
        }
        line += length + (end != NULL ? 2 : 0);
    }
    buffer_fini(&pending);
    (void)close(fd);
}

static void add_broken(struct buffer *bytes, const char *text)
{
    char *letters = long_text((size_t)70 << 10, 'x');
    if (strcmp(text, "%inline-max") == 0) {
        buffer_add_text(bytes, letters);
    } else if (strcmp(text, "%multibulk-max") == 0) {
        buffer_printf(bytes, "*1%s", letters);
    } else if (strcmp(text, "%bulk-max") == 0) {
        buffer_printf(bytes, "*1\r\n$1%s", letters);
    } else {
        buffer_add_text(bytes, text);
    }
    mem_free(letters);
}

static void ask_broken(uint16_t port, const char *text, struct buffer *answer)
{
    struct buffer bytes;
    int fd = raw_connect(port);
    assert_true(fd >= 0);
    buffer_init(&bytes, SIZE_MAX);
    add_broken(&bytes, text);
    (void)raw_send(fd, buffer_slice(&bytes));
    if (!raw_read_to_end(fd, answer)) {
        buffer_add_text(answer, "(open)");
    }
    buffer_fini(&bytes);
    (void)close(fd);
}

typedef void ask_fn(uint16_t port, const char *text, struct buffer *answer);

/* Prints what differs. */
static bool is_equal(ask_fn *ask, const char *text)
{
    struct buffer sluice, redis;
    buffer_init(&sluice, SIZE_MAX);
    buffer_init(&redis, SIZE_MAX);
    ask(cluster_proxy_port(cluster, 0), text, &sluice);
    ask(redis_server_port(plain_redis), text, &redis);
    bool is_equal = slice_equal(buffer_slice(&sluice), buffer_slice(&redis));
    if (!is_equal) {
        (void)fprintf(stderr, "%s\n    Sluice %.*s\n    Redis  %.*s\n", text,
                      (int)buffer_length(&sluice), buffer_slice(&sluice).data,
                      (int)buffer_length(&redis), buffer_slice(&redis).data);
    }
    buffer_fini(&sluice);
    buffer_fini(&redis);
    return is_equal;
}

static void compare_all(ask_fn *ask, const char *const *texts, size_t count)
{
    unsigned differences = 0;
    for (size_t i = 0; i < count; i++) {
        differences += is_equal(ask, texts[i]) ? 0 : 1;
    }
    if (differences > 0) {
        fail_msg("%u of %zu differ", differences, count);
    }
}

static void a_mistake_gets_the_error_of_redis(void **state)
{
    (void)state;
    compare_all(ask_line, mistakes, sizeof(mistakes) / sizeof(mistakes[0]));
}

static void bytes_that_are_no_command_get_the_error_of_redis_and_a_close(void **state)
{
    (void)state;
    compare_all(ask_broken, broken, sizeof(broken) / sizeof(broken[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistake_gets_the_error_of_redis),
        cmocka_unit_test(bytes_that_are_no_command_get_the_error_of_redis_and_a_close),
    };
    return cmocka_run_group_tests_name("error", tests, stage_set_beside_plain, stage_clear);
}
