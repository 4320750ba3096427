#include "tests/support/differential/templates.h"

const char *const differential_scripts[] = {
    "return redis.call('EXISTS', KEYS[1])",
    "return {1, 'a', false, {2.5, {}}, redis.call('TYPE', KEYS[1])}",
    "return redis.call('INCR', KEYS[1])",
    "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])",
    "redis.setresp(3) return redis.call('ZSCORE', KEYS[1], 'm1')",
    "return redis.error_reply('MY words')",
    "return redis.pcall('LPUSH', KEYS[1], 'x')",
    "return nonsense +",
};
const size_t differential_script_count =
    sizeof(differential_scripts) / sizeof(differential_scripts[0]);

const char differential_library[] =
    "#!lua name=differential\n"
    "local function note(keys, args) return redis.call('APPEND', keys[1], args[1] or 'x') end\n"
    "redis.register_function('note', note)\n"
    "redis.register_function{function_name = 'size', flags = {'no-writes'},\n"
    "    callback = function(keys) return redis.call('STRLEN', keys[1]) end}\n";

// clang-format off
const char *const differential_templates[] = {
    /* strings */
    "SET %k %v", "SET %k %v", "SET %k %n", "SET %k %v NX", "SET %k %v XX GET", "SET %k %v PXAT %t",
    "SET %k %v KEEPTTL", "SET %k %v EX", "SET %k %v NX XX", "SET %k %v GET", "SET %k %v EX 0",
    "SET %k %v EXAT 4000000000", "SET %k %v PX x", "SET %k %v KEEPTTL EX 5", "SET %k %v NX GET",
    "GET %k", "GET %k", "GETSET %k %v", "GETDEL %k", "GETEX %k", "GETEX %k PXAT %t",
    "GETEX %k PERSIST", "GETEX %k EXAT 4000000000", "GETEX %k PERSIST EX 5", "GETEX %k EX -1",
    "SETNX %k %v", "APPEND %k %v", "STRLEN %k", "INCR %k", "DECR %k", "INCRBY %k %n", "DECRBY %k %n",
    "INCRBYFLOAT %k %f", "INCRBYFLOAT %k nan", "INCRBY %k %v", "INCRBY %k 9223372036854775807",
    "DECRBY %k -9223372036854775808", "SETRANGE %k %n %v", "SETRANGE %k 536870912 x",
    "SETRANGE %k 20000 %v", "GETRANGE %k %n %n", "GETRANGE %k 0 -1", "SUBSTR %k %n %n", "LCS %k %K",
    "LCS %k %K LEN", "LCS %k %K IDX MINMATCHLEN 2 WITHMATCHLEN", "LCS %k %K LEN IDX", "SET %k", "GET",
    "GET %k %k", "SETEX %k 0 %v", "PSETEX %k -5 %v", "SETEX %k 100000 %v", "PSETEX %k 90000000 %v", "GETEX %k EX 100000", "SET %k %v EX 100000 GET", "!SET %e %v", "!GET %e",
    /* bitmaps and bitfields */
    "SETBIT %k %n 1", "SETBIT %k %n 2", "SETBIT %k 4294967296 1", "SETBIT %k 9000 1", "GETBIT %k %n",
    "BITCOUNT %k", "BITCOUNT %k %n %n BIT", "BITCOUNT %k 0", "BITCOUNT %k 1 -2 BYTE", "BITPOS %k 1",
    "BITPOS %k 0 %n %n BYTE", "BITPOS %k 1 %n %n BIT", "BITPOS %k 2", "BITOP AND %k %K %K",
    "BITOP OR %k %K", "BITOP XOR %k %K %K", "BITOP NOT %k %K", "BITOP NOT %k %K %K", "BITOP NAND %k %K",
    "BITFIELD %k SET u8 %n %n INCRBY i5 2 %n", "BITFIELD %k GET u64 0", "BITFIELD %k SET i65 0 1",
    "BITFIELD %k OVERFLOW FAIL INCRBY u2 0 3", "BITFIELD %k OVERFLOW WRAP INCRBY u4 #2 %n SET i8 %n 7", "BITFIELD %k OVERFLOW SAT INCRBY i8 #1 100 GET u8 #1",
    "BITFIELD %k", "BITFIELD_RO %k GET u4 0", "BITFIELD_RO %k SET u8 0 1",
    /* hyperloglog */
    "PFADD %k", "PFADD %k %m %m", "PFADD %k %v %v %v", "PFCOUNT %k", "PFCOUNT %k %K %K", "PFCOUNT",
    "PFMERGE %k", "PFMERGE %k %K", "PFMERGE %k %K %K",
    /* split over the shards and merged again */
    "MGET %k %k %k", "MGET %k", "MSET %k %v %k %v %k %v", "MSET %k %v %k", "DEL %k %k", "DEL %k",
    "UNLINK %k %k %k", "EXISTS %k %k %k %k", "TOUCH %k %k", "MSETNX %k %v %K %v", "MGET", "DEL",
    "MSETNX %k %v %K", "!MGET %k %e %k %K", "!DEL %e %k",
    /* any type */
    "TYPE %k", "EXPIREAT %k 4000000000", "PEXPIREAT %k %t", "PEXPIREAT %k %t GT",
    "PEXPIREAT %k %t LT", "~PEXPIRETIME %k", "~EXPIRETIME %k", "PERSIST %k", "EXPIRE %k -1",
    "EXPIRE %k nonsense", "EXPIRE %k 100000", "EXPIRE %k 100000 NX", "EXPIRE %k 100000 XX",
    "EXPIRE %k 5 NX XX", "EXPIRE %k 5 GT LT", "EXPIRE %k 9223372036854775807", "PEXPIRE %k 90000000",
    "PEXPIRE %k 0", "EXPIREAT %k 1", "~TTL %k", "~PTTL %k", "TTL", "RENAME %k %K", "RENAMENX %k %K",
    "RENAME %K %K", "COPY %k %K", "COPY %k %K REPLACE", "COPY %k %K NOSUCH", "COPY %k %K DB 0", "COPY %k %K DB x", "?DUMP %k",
    "RESTORE %k 0 %d", "RESTORE %k 0 %d REPLACE", "RESTORE %k 0 %d REPLACE", "RESTORE %k -1 %d REPLACE",
    "RESTORE %k %t %d REPLACE ABSTTL", "RESTORE %k 100000000 %d REPLACE", "RESTORE %k 0 %v REPLACE",
    "RESTORE %k 0 %d REPLACE IDLETIME -1", "RESTORE %k 0 %d REPLACE FREQ 5", "RESTORE %k 0 %d FREQ 256", "^OBJECT ENCODING %k", "^OBJECT REFCOUNT %k",
    "OBJECT FREQ %k", "~OBJECT IDLETIME %k", "!OBJECT HELP", "OBJECT ENCODING", "OBJECT NOSUCH %k",
    "SORT %k", "SORT %k ALPHA", "SORT %k LIMIT 0 3 DESC", "SORT %k ALPHA STORE %K", "SORT %k LIMIT 0",
    "*SORT %k BY nosort", "SORT_RO %k ALPHA DESC", "SORT_RO %k ALPHA STORE %K",
    "SORT %k DESC ALPHA GET #", "SORT %k STORE %K", "SORT %k BY nosort LIMIT 0 0", "SORT %k LIMIT -1 2 ALPHA",
    /* lists */
    "RPUSH %k %v %v", "LPUSH %k %m", "LPUSHX %k %v", "RPUSHX %k %v %v", "LPOP %k", "RPOP %k 2",
    "LPOP %k 0", "LPOP %k -1", "LLEN %k", "LRANGE %k 0 -1", "LRANGE %k %n %n", "LRANGE %k a b",
    "LINDEX %k %n", "LSET %k %n %v", "LSET %k x %v", "LINSERT %k BEFORE %m %v", "LINSERT %k AFTER %m %v",
    "LINSERT %k NOWHERE %m %v", "LREM %k %n %m", "LTRIM %k %n %n", "LPOS %k %m RANK -1",
    "LPOS %k %m COUNT 0 MAXLEN 3", "LPOS %k %m RANK 0", "LPOS %k %m RANK 2 COUNT 1 MAXLEN 5", "LMOVE %k %K LEFT RIGHT", "LMOVE %k %K RIGHT LEFT",
    "LMOVE %k %K UP DOWN", "RPOPLPUSH %k %K", "RPOPLPUSH %K %K", "LMPOP 2 %k %K LEFT COUNT 2",
    "LMPOP 1 %k RIGHT", "LMPOP 0 %k LEFT",
    "=-BLPOP %k %K 0.01", "=-BRPOP %k 0.01", "=-BLMOVE %k %K LEFT RIGHT 0.01", "=-BRPOPLPUSH %k %K 0.01",
    "=-BLMPOP 0.01 2 %k %K LEFT COUNT 2", "=-BZPOPMIN %k %K 0.01", "=-BZPOPMAX %k 0.01",
    "=-BZMPOP 0.01 1 %k MIN", "=BLPOP %k nonsense", "=BLPOP %k -1", "=BLMPOP x 1 %k LEFT",
    /* sets */
    "SADD %k %m %m %m", "SADD %k %n %n", "SADD %k %v %v", "SREM %k %m %m", "SCARD %k", "SISMEMBER %k %m",
    "SMISMEMBER %k %m %m %n", "SMOVE %k %K %m", "*SMEMBERS %k", "*SUNION %k %K", "*SINTER %k %K",
    "*SDIFF %k %K", "*SUNION %k %K %K", "SUNIONSTORE %k %K %K", "SINTERSTORE %k %K %K",
    "SDIFFSTORE %k %K %K", "SINTERCARD 2 %k %K LIMIT 2", "SINTERCARD 0 %k", "SINTERCARD 1 %k LIMIT -1",
    "*SSCAN %k 0 COUNT 1000", "SSCAN %k x", "=*SPOP %k 1000", "=SPOP %k 0", "=SPOP %k -1",
    "=*SRANDMEMBER %k 1000", "=SRANDMEMBER %k x", "SADD %k",
    /* hashes */
    "HSET %k %m %v %m %v", "HSET %k %m", "HSET %k %v %v", "HSETNX %k %m %v", "HMSET %k %m %v", "HMSET %k %m",
    "HGET %k %m", "HMGET %k %m %m %m", "HDEL %k %m", "HLEN %k", "HEXISTS %k %m", "HSTRLEN %k %m",
    "HINCRBY %k %m %n", "HINCRBY %k %m 9223372036854775807", "HINCRBYFLOAT %k %m %f",
    "HINCRBYFLOAT %k %m inf", "*HGETALL %k", "*HKEYS %k", "*HVALS %k", "*HSCAN %k 0 COUNT 1000",
    "*HSCAN %k 0 MATCH m1 COUNT 1000", "HSCAN %k 0 NOSUCH", "=*HRANDFIELD %k 1000",
    "=*HRANDFIELD %k 1000 WITHVALUES", "=HRANDFIELD %k 0", "=HRANDFIELD %k x",
    /* sorted sets */
    "ZADD %k %n %m %f %m", "ZADD %k NX CH %n %m", "ZADD %k GT %f %m", "ZADD %k INCR %n %m",
    "ZADD %k XX GT CH %n %m", "ZADD %k GT LT %n %m", "ZADD %k INCR %n %m %n %m", "ZADD %k inf %m",
    "ZADD %k -inf %m", "ZADD %k 1.7976931348623157e308 %m", "ZADD %k 3.0000000000000004 %m",
    "ZADD %k NX XX 1 a", "ZADD %k LT CH %n %m %f %m", "ZADD %k XX INCR %n %m", "ZADD %k nan a", "ZADD %k %n %v", "ZINCRBY %k %f %m", "ZINCRBY %k -inf %m",
    "ZREM %k %m %m", "ZCARD %k", "ZSCORE %k %m", "ZMSCORE %k %m %m", "ZRANK %k %m", "ZREVRANK %k %m",
    "ZCOUNT %k -inf %n", "ZCOUNT %k (1 nonsense", "ZRANGE %k 0 -1 WITHSCORES", "ZRANGE %k %n %n REV",
    "ZRANGE %k -inf +inf BYSCORE LIMIT 1 2", "ZRANGE %k +inf -inf BYSCORE REV WITHSCORES",
    "ZRANGE %k - (m4 BYLEX", "ZRANGE %k + - BYLEX REV LIMIT 0 2", "ZRANGE %k 0 -1 LIMIT 0 1",
    "ZRANGE %k - + BYLEX WITHSCORES", "ZRANGEBYLEX %k - +", "ZRANGEBYLEX %k m1 m2", "ZREVRANGEBYLEX %k + -",
    "ZRANGEBYSCORE %k (%n +inf WITHSCORES", "ZREVRANGEBYSCORE %k +inf -inf WITHSCORES LIMIT 0 3",
    "ZREVRANGE %k 0 2", "ZREVRANGE %k 0 2 WITHSCORES", "ZLEXCOUNT %k - +", "ZREMRANGEBYRANK %k %n %n",
    "ZREMRANGEBYSCORE %k %n %n", "ZREMRANGEBYLEX %k - (m3", "ZPOPMIN %k", "ZPOPMAX %k 2", "ZPOPMIN %k -1",
    "ZUNIONSTORE %k 2 %K %K WEIGHTS 2 3", "ZUNIONSTORE %k 2 %K %K WEIGHTS 2 -1 AGGREGATE MIN", "ZINTERSTORE %k 2 %K %K AGGREGATE MAX", "ZDIFFSTORE %k 2 %K %K",
    "ZUNION 2 %k %K WITHSCORES", "ZINTER 2 %k %K", "ZINTER 2 %k %K WEIGHTS 1 2 AGGREGATE MIN WITHSCORES",
    "ZDIFF 2 %k %K", "ZDIFF 2 %k %K WITHSCORES", "ZUNION 1 %k AGGREGATE NOSUCH", "ZUNION 0 %k",
    "ZINTERCARD 2 %k %K LIMIT 1", "ZRANGESTORE %k %K 0 -1", "ZRANGESTORE %k %K (1 5 BYSCORE", "ZRANGESTORE %k %K + - BYLEX REV LIMIT 0 3", "ZMPOP 1 %k MIN",
    "ZMPOP 2 %k %K MAX COUNT 2", "*ZSCAN %k 0 COUNT 1000", "=*ZRANDMEMBER %k 1000 WITHSCORES",
    "=ZRANDMEMBER %k x",
    /* geo */
    "GEOADD %k 13.361389 38.115556 %m", "GEOADD %k NX CH 13.5 37.5 %m 15.08 37.5 %m", "GEOADD %k 200 100 m",
    "GEOADD %k XX 1 1 %m", "GEOADD %k NX XX 1 1 %m", "GEOADD %k 1 1 %m 2 2", "GEODIST %k %m %m km", "GEODIST %k %m %m", "GEODIST %k %m %m parsecs",
    "GEOPOS %k %m %m", "GEOHASH %k %m", "GEOSEARCH %k FROMLONLAT 15 37 BYRADIUS 200 km ASC",
    "GEOSEARCH %k FROMMEMBER %m BYBOX 400 400 km ASC WITHCOORD WITHDIST",
    "GEOSEARCH %k FROMMEMBER nosuch BYRADIUS 1 m", "GEOSEARCH %k BYRADIUS 1 m",
    "GEOSEARCHSTORE %K %k FROMLONLAT 15 37 BYRADIUS 500 km STOREDIST",
    "GEOSEARCHSTORE %K %k FROMLONLAT 15 37 BYBOX 500 500 km ASC COUNT 2",
    "GEORADIUS %k 15 37 500 km WITHCOORD WITHDIST WITHHASH COUNT 3 ASC", "GEORADIUS %k 15 37 500 km STORE %K",
    "GEORADIUS_RO %k 15 37 200 km DESC", "GEORADIUSBYMEMBER %k %m 300 km ASC",
    "GEORADIUSBYMEMBER %k %m 300 km STOREDIST %K", "GEORADIUSBYMEMBER_RO %k %m 300 km ASC WITHDIST",
    /* streams */
    "XADD %k %i %m %v", "XADD %k %i %m %v", "XADD %k NOMKSTREAM %i %m %v", "XADD %k MAXLEN 5 %i %m %v",
    "XADD %k 205-* %m %v", "XADD %k 0-0 a b", "XADD %k MINID ~ 5 LIMIT 3 %i a b", "XADD %k x a b",
    "XADD %k %i a", "XLEN %k", "XRANGE %k - +", "XRANGE %k %i + COUNT 2", "XRANGE %k - + COUNT 0", "XRANGE %k (1-0 (150",
    "XREVRANGE %k + - COUNT 2", "XREVRANGE %k + %i", "XDEL %k %i", "XDEL %k %i %i", "XTRIM %k MAXLEN 3",
    "XTRIM %k MINID %i", "XTRIM %k MAXLEN -1", "XTRIM %k MAXLEN ~ 2 LIMIT 10", "XTRIM %k MAXLEN = 2 LIMIT 10", "XREAD COUNT 2 STREAMS %k 0", "XREAD STREAMS %k %K 0 0",
    "XREAD STREAMS %k %K 0", "XREAD STREAMS %k $", "XGROUP CREATE %k g 0", "XGROUP CREATE %k g 0",
    "XGROUP CREATE %k g $ MKSTREAM", "XGROUP CREATE %k h %i MKSTREAM ENTRIESREAD 2", "XGROUP DESTROY %k g",
    "XGROUP CREATECONSUMER %k g c2", "XGROUP DELCONSUMER %k g c", "XGROUP SETID %k g 0",
    "XGROUP SETID %k g $ ENTRIESREAD 3", "XGROUP NOSUCH %k g", "!XGROUP HELP",
    "XREADGROUP GROUP g c COUNT 1 STREAMS %k >", "XREADGROUP GROUP g c STREAMS %k >",
    "XREADGROUP GROUP g c STREAMS %k 0", "XREADGROUP GROUP g c2 NOACK COUNT 2 STREAMS %k %K > >",
    "XREADGROUP GROUP nosuch c STREAMS %k >", "XACK %k g %i", "XACK %k g %i %i %i", "XPENDING %k g",
    "~XPENDING %k g - + 5", "~XPENDING %k g IDLE 0 - + 5 c", "~XCLAIM %k g c3 0 %i %i", "XCLAIM %k g c 0 %i JUSTID",
    "XCLAIM %k g c 0 %i FORCE RETRYCOUNT 3 LASTID 5-1", "XCLAIM %k g c x %i", "XAUTOCLAIM %k g c 0 0 COUNT 3",
    "XAUTOCLAIM %k g c 0 0 JUSTID", "~XAUTOCLAIM %k g c2 0 %i COUNT 1", "XAUTOCLAIM %k g c x 0", "~XINFO CONSUMERS %k g", "XINFO GROUPS %k", "^XINFO STREAM %k",
    "^~XINFO STREAM %k FULL COUNT 2", "XINFO STREAM", "XSETID %k 9999-1",
    "XSETID %k 9999-1 ENTRIESADDED 20 MAXDELETEDID 1-1", "XSETID %k 1-1",
    /* scripts over keys of one slot */
    "EVAL %s1 1 %k", "EVAL %s1 2 %k %K %v", "EVAL %s2 1 %k", "EVAL %s3 1 %k", "EVAL %s4 1 %k %v",
    "EVAL %s5 1 %k", "EVAL %s6 1 %k", "EVAL %s7 1 %k", "EVAL %s8 1 %k", "EVAL_RO %s1 1 %k", "EVAL_RO %s4 1 %k %v",
    "EVAL %s1 -1", "EVAL %s1 2 %k", "EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 %k", "FCALL nosuch 1 %k",
    "EVALSHA %h1 1 %k", "EVALSHA %h3 1 %k", "EVALSHA %h4 1 %k %v", "EVALSHA_RO %h1 1 %k", "EVALSHA_RO %h3 1 %k",
    "EVALSHA %h8 1 %k", "SCRIPT LOAD %s1", "SCRIPT LOAD %s4", "SCRIPT LOAD %s8", "!SCRIPT EXISTS %h1 %h3 %h8",
    "!SCRIPT EXISTS %v", "!=SCRIPT FLUSH NOSUCH", "EVAL %s1 0", "EVAL %s6 0", "EVAL_RO %s6 0",
    /* functions */
    "!FUNCTION LOAD REPLACE %l", "!FUNCTION LOAD %l", "!FUNCTION LOAD %v", "!-FUNCTION DELETE differential",
    "!FUNCTION DELETE nosuch", "!FUNCTION LIST LIBRARYNAME nosuch", "FUNCTION NOSUCH", "FCALL note 1 %k %v",
    "FCALL note 2 %k %K %v", "FCALL size 1 %k", "FCALL_RO size 1 %k", "FCALL_RO note 1 %k", "FCALL size x %k",
    /* channels that nobody listens to */
    "PUBLISH %m %v", "SPUBLISH %m %v", "PUBLISH %m", "PUBSUB CHANNELS", "PUBSUB NUMSUB %m %m", "PUBSUB NUMPAT",
    "PUBSUB SHARDCHANNELS %m", "PUBSUB SHARDNUMSUB %m", "PUBSUB NOSUCH", "=UNSUBSCRIBE %m", "=PUNSUBSCRIBE", "=SUNSUBSCRIBE",
    /* waiting for entries of streams */
    "=-XREAD BLOCK 10 STREAMS %k $", "=-XREAD BLOCK 10 COUNT 1 STREAMS %k %K 0 0", "=XREAD BLOCK x STREAMS %k 0",
    "=-XREADGROUP GROUP g c BLOCK 10 STREAMS %k >", "=-XREADGROUP GROUP g c BLOCK 10 STREAMS %k 0",
    /* no keys, or nonsense */
    "PING", "PING %v", "ECHO %v", "ECHO", "PING a b", "NOSUCHCOMMAND %k %v", "!SELECT 0", "!SELECT x",
    "GETT %k", "!EXEC", "!DISCARD", "!UNWATCH", "!=HELLO 4", "!=HELLO x", "!=HELLO 3 NOSUCH", "!AUTH a b",
    "!AUTH a b c d", "!*COMMAND COUNT", "!*COMMAND GETKEYS SET a b", "!*COMMAND GETKEYS PING",
    "!*COMMAND NOSUCH", "!*COMMAND INFO get nosuch xadd", "!*COMMAND DOCS get zadd", "!*KEYS {t1}*", "!KEYS",
    "^!DBSIZE", "!CLIENT NOSUCH", "!CLIENT", "CLIENT GETNAME", "CLIENT SETNAME %m", "CLIENT SETNAME %v",
    "CLIENT NO-EVICT ON", "CLIENT NO-EVICT %m", "CLIENT TRACKINGINFO %m", "?RANDOMKEY", "?TIME", "?LOLWUT", "!ROLE",
    "ACL WHOAMI", "ACL CAT nosuch", "ACL DRYRUN default GET %k", "ACL DRYRUN nosuch GET %k", "CONFIG GET nosuch",
    "CONFIG SET nosuch 1", "CONFIG SET nosuch 1 %m", "!WAIT 0 10", "!WAIT x 10", "!LATENCY RESET", "!LATENCY HISTORY %m",
    "!LATENCY NOSUCH", "?MEMORY USAGE %k", "MEMORY USAGE %k SAMPLES -1", "MEMORY NOSUCH", "MODULE LIST", "SLOWLOG NOSUCH",
    "!XINFO HELP", "!FUNCTION HELP", "!SCRIPT HELP", "!PUBSUB HELP", "!MEMORY HELP", "!LATENCY HELP", "!SLOWLOG HELP",
    "!*COMMAND GETKEYSANDFLAGS SET a b", "!=*COMMAND LIST FILTERBY PATTERN x*", "!=COMMAND LIST FILTERBY", "CLUSTER",
    "^!-FLUSHDB", "^!-FLUSHALL ASYNC", "!=FLUSHDB NOSUCH", "!=FLUSHALL %m %m",
};
// clang-format on
const size_t differential_template_count =
    sizeof(differential_templates) / sizeof(differential_templates[0]);
