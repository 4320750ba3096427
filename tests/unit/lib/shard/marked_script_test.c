/* marked_script.lua against a real server: a client's script answers byte for byte what EVAL of it
 * answers, in both protocols, and no key that it writes stays without a mark. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/sha1.h"
#include "lib/resp/writer.h"
#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "tests/support/lone_shard.h"
#include "tests/support/raw.h"

#define SEQ          "__sluice:m7:9:f:seq"
#define DIRTY        "__sluice:m7:9:f:dirty"
#define WORDS_MAX    8
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum form {
    AS_BODY,
    AS_SHA
};

static int fd;

static void say(int argc, const struct slice *argv, struct buffer *reply)
{
    struct buffer bytes;
    struct buffer pending;
    buffer_init(&bytes, SIZE_MAX);
    buffer_init(&pending, SIZE_MAX);
    raw_add_command(&bytes, argc, argv);
    assert_true(raw_send(fd, buffer_slice(&bytes)));
    buffer_clear(reply);
    assert_true(raw_read_reply(fd, &pending, reply));
    buffer_fini(&bytes);
    buffer_fini(&pending);
}

static int connect_in(const char *protocol)
{
    const struct slice hello[] = {SLICE("HELLO"), slice_of(protocol)};
    struct buffer reply;
    buffer_init(&reply, SIZE_MAX);
    fd = raw_connect(redis_server_port(lone.server));
    assert_true(fd >= 0);
    say(2, hello, &reply);
    buffer_fini(&reply);
    return 0;
}

static int connect_in_resp2(void **state)
{
    (void)state;
    return connect_in("2");
}

static int connect_in_resp3(void **state)
{
    (void)state;
    return connect_in("3");
}

static int disconnect(void **state)
{
    (void)state;
    (void)close(fd);
    return 0;
}

static void ask_plainly(const char *body, struct buffer *reply)
{
    const struct slice argv[] = {SLICE("EVAL"), slice_of(body), SLICE("2"), SLICE("k"),
                                 SLICE("l"),    SLICE("a1"),    SLICE("a2")};
    expect_ask(lone.link, "FLUSHALL", "+OK");
    say(7, argv, reply);
}

static void ask_marked(const char *body, enum form form, struct buffer *reply)
{
    char sha[SHA1_HEX_LENGTH + 1];
    sha1_hex(slice_of(body), sha);
    const struct slice argv[] = {SLICE("EVAL"),
                                 script_text(SCRIPT_MARKED_SCRIPT),
                                 SLICE("6"),
                                 SLICE(METADATA_FENCE),
                                 SLICE(SEQ),
                                 SLICE(DIRTY),
                                 SLICE(METADATA_SCRIPTS),
                                 SLICE("k"),
                                 SLICE("l"),
                                 SLICE("run"),
                                 SLICE("replid"),
                                 form == AS_SHA ? SLICE("sha") : SLICE("body"),
                                 form == AS_SHA ? slice_of(sha) : slice_of(body),
                                 SLICE("a1"),
                                 SLICE("a2")};
    say(15, argv, reply);
}

static void expect_alike(const char *body, enum form form)
{
    struct buffer plain;
    struct buffer marked;
    buffer_init(&plain, SIZE_MAX);
    buffer_init(&marked, SIZE_MAX);
    ask_plainly(body, &plain);
    expect_ask(lone.link, "FLUSHALL", "+OK");
    if (form == AS_SHA) {
        const struct slice keep[] = {SLICE("EVAL"),
                                     SLICE("return redis.call('HSET', KEYS[1], "
                                           "redis.sha1hex(ARGV[1]), ARGV[1])"),
                                     SLICE("1"), SLICE(METADATA_SCRIPTS), slice_of(body)};
        say(5, keep, &marked);
    }
    ask_marked(body, form, &marked);
    if (!slice_equal(buffer_slice(&plain), buffer_slice(&marked))) {
        fail_msg("%s\nalone %.*s\nmarked %.*s", body, (int)buffer_length(&plain),
                 buffer_slice(&plain).data, (int)buffer_length(&marked),
                 buffer_slice(&marked).data);
    }
    buffer_fini(&plain);
    buffer_fini(&marked);
}

// clang-format off
static const char *const bodies[] = {
    "return 1",
    "return {KEYS, ARGV, #KEYS, 'x', false, 3.9, {ok='FINE'}}",
    "redis.call('SET', 'u1', ARGV[1]) return redis.call('GET', 'u1')",
    "local rcall = redis.call\n"
    "local function f(k) rcall('RPUSH', k, 1, 2, 3) end\n"
    "f('list1') f(KEYS[1])\n"
    "return rcall('LRANGE', 'list1', 0, -1)",
    "redis.call('RPUSH','a','1','2') redis.call('LMOVE','a','b','LEFT','RIGHT') redis.call('RENAME','b','c') redis.call('HSET','h','f','v') redis.call('ZADD','z',1,'m') redis.call('XADD','s','1-1','f','v') redis.call('PFADD','pf','x') redis.call('PFCOUNT','pf') redis.call('XGROUP','CREATE','s','g','0') return redis.call('XREADGROUP','GROUP','g','c','COUNT',1,'STREAMS','s','>')",
    "redis.call('XGROUP','CREATE','s','g','0','MKSTREAM') redis.call('GET','ro') redis.call('EXISTS','ro2') redis.call('SORT','ll','STORE','dst') redis.call('COPY','k','cp') redis.call('DEL','d1','d2') return redis.call('MSET','m1',1,'m2',2)",
    "return redis.call('foo')",
    "return redis.pcall('foo')",
    "local a = redis.call('foo')\n"
    "return a",
    "redis.call('SET', 'x', 'abc')\n"
    "\n"
    "local v = redis.call('INCR', 'x')\n"
    "return v",
    "local function f()\n"
    "  local v = redis.call('HSET', 'x')\n"
    "  return v\n"
    "end\n"
    "local r = f()\n"
    "return r",
    "return redis.call()",
    "return redis.pcall()",
    "return redis.call('set','a',{})",
    "return redis.call('get','a',1)",
    "return redis.call('get')",
    "return redis.call('set','a',12.5)",
    "error('a')",
    "error({err='my err'})",
    "error({err='MY err'})",
    "\n"
    "error('b', 0)",
    "local function f() error('deep', 2) end\n"
    "f()",
    "error()",
    "return string.rep()",
    "local a = nil\n"
    "return a.b",
    "local a = redis.nosuch",
    "return nosuch",
    "\n"
    "x = 1",
    "redis.call = 1",
    "redis.x = 1",
    "return redis.error_reply('MY words')",
    "return redis.error_reply('words')",
    "return redis.status_reply('words')",
    "return {err='x'}",
    "return {ok='x'}",
    "local ok, e = pcall(redis.call, 'foo') return {tostring(ok), type(e), tostring(e)}",
    "local ok, e = pcall(redis.call, 'INCR') return {tostring(ok), type(e), tostring(e)}",
    "local ok, e = pcall(error, {err='x'}) return {tostring(ok), type(e), tostring(e)}",
    "local ok, e = pcall(function() local a = nil; return a.b end) return {tostring(ok), type(e), tostring(e)}",
    "local r = redis.pcall('INCR') return {type(r), r.err}",
    "local r = redis.pcall('foo')\n"
    "error(r)",
    "#!lua flags=no-writes\n"
    "return redis.call('get','a')",
    "#!lua flags=no-writes\n"
    "local r = redis.call('set','a',1)\n"
    "return r",
    "#!lua flags=no-writes\n"
    "return redis.pcall('xgroup','create','s','g','0','MKSTREAM')",
    "#!lua flags=no-writes\n"
    "return redis.pcall('PFCOUNT','s')",
    "#!lua flags=no-writes\n"
    "return redis.pcall('PING')",
    "#!lua\n"
    "local a = redis.call('foo')",
    "#!lua flags=allow-oom,no-cluster\n"
    "return redis.call('incr','zz')",
    "#!lua name=x\n"
    "return 1",
    "#!lua flags=xx\n"
    "return 1",
    "#!foo\n"
    "return 1",
    "#!lua",
    "#!lua\n"
    "return 1 +",
    "return redis.call('set','a',1",
    "return (",
    "redis.setresp(3) redis.call('HSET','h','a','1','b','2') return redis.call('HGETALL','h')",
    "redis.setresp(3) redis.call('ZADD','zu','1.5','b') redis.call('SADD','su','1') redis.call('XGROUP','CREATE','st','g','0','MKSTREAM') return redis.call('SMEMBERS','su')",
    "redis.setresp(3) return redis.call('ZSCORE','nosuch','b')",
    "return {double=3.5}",
    "return {map={a=1}}",
    "return {big_number='123'}",
    "return true",
    "return false",
    "return redis.sha1hex('x')",
    "redis.log(redis.LOG_WARNING, 'hello') return redis.LOG_WARNING",
    "return cjson.encode({a=1,b={1,2}})",
    "return cjson.decode('{\"a\":[1,2]}').a",
    "return cmsgpack.unpack(cmsgpack.pack({1,2}))",
    "return struct.pack('>I', 5)",
    "return bit.band(7, 3)",
    "local f = loadstring(\"return redis.call('INCRBY', 'dyn', ...)\") return f(3)",
    "local f, e = loadstring(\"return (\") return e",
    "local f = loadstring(\"return redis.call('INCRBY', 'dyn', ...) -- c\") return f(3)",
    "_G.redis.call('SET', 'viaG', 1) return type(_G.string)",
    "_G.x = 1",
    "return table.concat({'a','b'}, ',') .. math.floor(3.5) .. tostring(tonumber('5')) .. select('#', 1, 2)",
    "local co = coroutine.wrap(function() redis.call('SET', 'co', 1) coroutine.yield(5) end) return co()",
    "local t = {} for i = 1, 3000 do t[i] = i end redis.call('RPUSH', 'big', unpack(t)) return redis.call('LLEN', 'big')",
    "local ok, e = xpcall(function() error('q') end, function(m) return 'h:' .. m end) return e",
    "return redis.replicate_commands()",
    "redis.set_repl(redis.REPL_ALL) return redis.REPL_ALL",
    "return redis.acl_check_cmd('set', 'a', 'b') and 1 or 0",
    "redis.breakpoint() redis.debug('x') return 1",
    "return tostring(type(redis)) .. type(redis.call) .. type(KEYS)",
    "return redis.call('EVAL', 'return 1', 0)",
    "return redis.call('PUBLISH', 'c', 'm')",
    "return redis.call('BLPOP', 'nosuch', 0)",
    "return redis.call('GEOADD', 'geo', 13.3, 38.1, 'P') + redis.call('GEORADIUS', 'geo', 13, 38, 200, 'km', 'STORE', 'gdst')",
    "return redis.call(1, 2)",
    "#!lua flags=no-writes\n"
    "return redis.pcall('PUBLISH','s','x')",
    "#!lua flags=no-writes\n"
    "redis.setresp(3)\n"
    "return redis.pcall('SET','s','x')",
    "return {1, nil, 3}",
    "return redis.call('SELECT', 'x')",
    "if KEYS[3] == nil then return #ARGV end",
    "local redis = redis\n"
    "local call = redis.call\n"
    "call('ZADD', 'zz', 1, 'a') call('ZREM', 'zz', 'a') call('ZADD', 'zz', 'NX', 2, 'b')\n"
    "return call('ZRANGE', 'zz', 0, -1, 'WITHSCORES')"
};

// clang-format on

static void a_script_answers_what_it_answers_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        expect_alike(bodies[i], AS_BODY);
        expect_alike(bodies[i], AS_SHA);
    }
}

/* --- marks ----------------------------------------------------------------------------------- */

struct writer {
    const char *body;
    const char *written; /* in the order of their names */
};

static const struct writer writers[] = {
    {"return 1", ""},
    {"return redis.call('GET', 'a')", ""},
    {"return redis.call('SET', KEYS[1], 1)", ""}, /* the unit has marked what is declared */
    {"return redis.call('SET', 'a', 1)", "a"},
    {"redis.call('INCR', 'a') return redis.call('INCR', 'a')", "a"},
    {"return redis.pcall('SET', 'a', 1)", "a"},
    {"local c = redis.call for i = 1, 3 do c('RPUSH', 'q:' .. i, i) end", "q:1 q:2 q:3"},
    {"redis.call('RPUSH', 'a', 1, 2) redis.call('LMOVE', 'a', 'b', 'LEFT', 'RIGHT')", "a b"},
    {"redis.call('SET', 'a', 1) redis.call('RENAME', 'a', 'b')", "a b"},
    {"redis.call('SET', 'a', 1) redis.call('COPY', 'a', 'b')", "a b"},
    {"redis.call('MSET', 'a', 1, 'b', 2) redis.call('DEL', 'c', 'a')", "a b c"},
    {"redis.call('RPUSH', 'a', 2, 1) redis.call('SORT', 'a', 'STORE', 'b')", "a b"},
    {"redis.call('ZADD', 'a', 1, 'm') redis.call('ZUNIONSTORE', 'z', 2, 'a', 'y')", "a z"},
    {"redis.call('HSET', 'h', 'f', 'v') redis.call('EXPIRE', 'h', 100)", "h"},
    {"redis.call('PFADD', 'p', 'x') redis.call('PFCOUNT', 'r')", "p r"},
    {"redis.call('XGROUP', 'CREATE', KEYS[1], 'g', '0', 'MKSTREAM')\n"
     "redis.call('XGROUP', 'CREATE', 's', 'g', '0', 'MKSTREAM')",
     "s"},
    {"redis.pcall('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 's', '>')", "s"},
    {"redis.call('GEOADD', 'g', 13.3, 38.1, 'P')\n"
     "redis.call('GEORADIUS', 'g', 13, 38, 200, 'km', 'STORE', 'd')",
     "d g"},
    {"redis.setresp(3) redis.call('GET', 'r') redis.call('SADD', 'a', 'm')", "a"},
    {"pcall(function() redis.call('SET', 'a', 1) error('late') end)", "a"},
    {"redis.call('SET', 'a', 1) error('late')", "a"},
    {"loadstring(\"redis.call('SET', 'a', 1)\")()", "a"},
    {"loadstring(\"return loadstring\")()(\"redis.call('SET', 'a', 1)\")()", "a"},
    {"local done load(function() if not done then done = true return \"redis.call('SET', 'a', 1)\" "
     "end end)()",
     "a"},
    {"_G.redis.call('SET', 'a', 1)", "a"},
    {"_G._G.redis.call('SET', 'a', 1)", "a"},
    {"coroutine.wrap(function() redis.call('SET', 'a', 1) end)()", "a"},
    {"#!lua flags=no-writes\nredis.call('GET', 'a')", ""},
    {"#!lua flags=no-writes\nredis.call('SET', 'a', 1)", ""},
};

/* "[a, b]" for "a b". */
static void expect_words(const char *command, const struct writer *writer)
{
    char list[64] = "[";
    size_t length = 1;
    for (const char *at = writer->written; *at != '\0'; at++) {
        length +=
            (size_t)snprintf(list + length, sizeof(list) - length, *at == ' ' ? ",%c" : "%c", *at);
    }
    (void)snprintf(list + length, sizeof(list) - length, "]");
    char *answer = ask(lone.link, command);
    if (strcmp(answer, list) != 0) {
        fail_msg("%s: %s answers %s", writer->body, command, answer);
    }
    mem_free(answer);
}

static void expect_numbers_of_one(const struct writer *writer)
{
    unsigned wanted = writer->written[0] == '\0' ? 0 : 1;
    for (const char *at = writer->written; *at != '\0'; at++) {
        wanted += *at == ' ';
    }
    char *answer = ask(lone.link, "HVALS " SEQ);
    unsigned ones = 0;
    for (const char *at = answer; *at != '\0'; at++) {
        assert_true(strchr("[1, ]", *at) != NULL);
        ones += *at == '1';
    }
    assert_int_equal(ones, wanted);
    mem_free(answer);
}

static void every_key_that_a_script_writes_is_marked_once(void **state)
{
    struct buffer reply;
    (void)state;
    buffer_init(&reply, SIZE_MAX);
    for (size_t i = 0; i < COUNT(writers); i++) {
        expect_ask(lone.link, "FLUSHALL", "+OK");
        ask_marked(writers[i].body, AS_BODY, &reply);
        expect_words("SORT " DIRTY " ALPHA", &writers[i]);
        expect_numbers_of_one(&writers[i]);
    }
    buffer_fini(&reply);
}

static void what_cannot_be_marked_is_not_written(void **state)
{
    static const char body[] = "redis.call('SET', 'a', 1)";
    struct buffer reply;
    (void)state;
    buffer_init(&reply, SIZE_MAX);
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_ask(lone.link, "SET " DIRTY " x", "+OK");
    ask_marked(body, AS_BODY, &reply);
    assert_true(slice_starts_with(buffer_slice(&reply), SLICE("-WRONGTYPE ")));
    expect_ask(lone.link, "EXISTS a", ":0");
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_ask(lone.link, "SET " SEQ " x", "+OK");
    ask_marked(body, AS_BODY, &reply);
    assert_true(slice_starts_with(buffer_slice(&reply), SLICE("-WRONGTYPE ")));
    expect_ask(lone.link, "EXISTS a", ":0");
    buffer_fini(&reply);
}

/* Where COMMAND cannot be asked, no key can be told. */
static void a_server_that_does_not_tell_keys_gets_no_writes(void **state)
{
    struct buffer reply;
    (void)state;
    buffer_init(&reply, SIZE_MAX);
    expect_ask(lone.link, "FLUSHALL", "+OK");
    expect_ask(lone.link, "ACL SETUSER default -command|getkeysandflags", "+OK");
    ask_marked("redis.call('SET', 'a', 1)", AS_BODY, &reply);
    expect_ask(lone.link, "ACL SETUSER default +@all", "+OK");
    assert_int_equal(buffer_slice(&reply).data[0], '-');
    expect_ask(lone.link, "EXISTS a", ":0");
    buffer_fini(&reply);
}

static void a_script_that_nobody_kept_is_said_to_be_missing(void **state)
{
    struct buffer reply;
    (void)state;
    buffer_init(&reply, SIZE_MAX);
    expect_ask(lone.link, "FLUSHALL", "+OK");
    ask_marked("return 1", AS_SHA, &reply);
    assert_true(slice_equal(buffer_slice(&reply),
                            SLICE("-NOSCRIPT No matching script. Please use EVAL.\r\n")));
    buffer_fini(&reply);
}

#define IN(protocol, test) cmocka_unit_test_setup_teardown(test, connect_in_##protocol, disconnect)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(resp2, a_script_answers_what_it_answers_alone),
        IN(resp3, a_script_answers_what_it_answers_alone),
        IN(resp2, every_key_that_a_script_writes_is_marked_once),
        IN(resp3, every_key_that_a_script_writes_is_marked_once),
        IN(resp2, what_cannot_be_marked_is_not_written),
        IN(resp2, a_server_that_does_not_tell_keys_gets_no_writes),
        IN(resp2, a_script_that_nobody_kept_is_said_to_be_missing),
    };
    return cmocka_run_group_tests_name("marked_script", tests, lone_shard_start, lone_shard_stop);
}
