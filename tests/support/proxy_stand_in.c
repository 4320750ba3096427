#include "tests/support/proxy_stand_in.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "lib/topology/snapshot.h"
#include "tests/support/wait.h"

#define KEYS        60u
#define LATE_MAX    8u
#define COMMAND_MAX 256
#define HUNG_MS     5
#define HELD_MS     1
#define BURST       4 /* writes, then a breath: the machine is for the migrator, too */
#define BREATH_MS   1

/* A mirror that has not been sent yet. */
struct late_mirror {
    bool is_set;
    unsigned copy; /* shard */
    uint64_t generation;
    char ver[METADATA_NAME_MAX];
    char key[96];
    char seq[24];
    char expiry[24];
    char *payload;
    size_t length;
};

struct proxy_stand_in {
    pthread_t thread;
    struct store *store;
    struct store_member member;
    char peer[192];
    redisContext *shards[2]; /* source, target */
    redisContext *oracle;
    uint64_t migration;
    struct topology *topology;
    struct random random;
    struct late_mirror late[LATE_MAX];
    uint64_t renewed_us;
    atomic_uint_fast64_t writes;
    atomic_bool is_stopping;
    atomic_bool is_to_hang;
    atomic_bool is_alive; /* while it hangs */
    atomic_bool is_hung;
    atomic_bool is_over;
    char fault[512]; /* read after the join */
};

static bool fault(struct proxy_stand_in *proxy, const char *what, const redisReply *reply)
{
    if (proxy->fault[0] == '\0') {
        (void)snprintf(proxy->fault, sizeof(proxy->fault), "%s: %s", what,
                       reply == NULL        ? "connection lost"
                       : reply->str != NULL ? reply->str
                                            : "?");
    }
    return false;
}

static redisReply *eval(redisContext *context, enum shard_script script, int argc,
                        const char **words, const size_t *lengths)
{
    const char *argv[24] = {"EVAL", script_text(script).data};
    size_t sizes[24] = {4, script_text(script).len};
    for (int i = 0; i < argc; i++) {
        argv[i + 2] = words[i];
        sizes[i + 2] = lengths != NULL ? lengths[i] : strlen(words[i]);
    }
    return redisCommandArgv(context, argc + 2, argv, sizes);
}

/* --- the control connection's part ------------------------------------------------------------ */

static bool say_hello(struct proxy_stand_in *proxy, unsigned shard)
{
    char epoch[24];
    char connection[24];
    const struct shard_identity *identity = &proxy->topology->shards[shard].identity;
    redisContext *context = proxy->shards[shard];
    freeReplyObject(redisCommand(context, "CLIENT SETNAME sluice:%s", proxy->peer));
    redisReply *id = redisCommand(context, "CLIENT ID");
    if (id == NULL) {
        return fault(proxy, "CLIENT ID", id);
    }
    (void)snprintf(connection, sizeof(connection), "%lld", id->integer);
    freeReplyObject(id);
    (void)snprintf(epoch, sizeof(epoch), "%llu", (unsigned long long)proxy->topology->epoch);
    const char *words[] = {"1",   METADATA_FENCE, identity->run_id, identity->replid,
                           epoch, proxy->peer,    connection};
    redisReply *reply = eval(context, SCRIPT_HELLO, 7, words, NULL);
    bool ok = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    if (!ok) {
        (void)fault(proxy, "hello", reply);
    }
    freeReplyObject(reply);
    return ok;
}

static bool publish(struct proxy_stand_in *proxy, unsigned shard)
{
    char epoch[24];
    const struct shard_identity *identity = &proxy->topology->shards[shard].identity;
    (void)snprintf(epoch, sizeof(epoch), "%llu", (unsigned long long)proxy->topology->epoch);
    const char *words[] = {"1",   METADATA_FENCE, identity->run_id, identity->replid,
                           epoch, proxy->peer};
    redisReply *reply = eval(proxy->shards[shard], SCRIPT_PUBLISH, 6, words, NULL);
    bool ok = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    if (!ok) {
        (void)fault(proxy, "publish", reply);
    }
    freeReplyObject(reply);
    return ok;
}

/* Nothing is in flight between two writes, so adopting is publishing. */
static bool adopt(struct proxy_stand_in *proxy, bool is_first)
{
    uint64_t epoch = 0;
    struct error err;
    if (!store_epoch(proxy->store, &epoch, &err)) {
        return true;
    }
    if (proxy->topology != NULL && proxy->topology->epoch == epoch) {
        return true;
    }
    struct topology *topology = store_read(proxy->store, NULL, &err);
    if (topology == NULL) {
        return fault(proxy, "store_read", NULL);
    }
    topology_free(proxy->topology);
    proxy->topology = topology;
    for (unsigned shard = 0; shard < 2; shard++) {
        if (is_first ? !say_hello(proxy, shard) : !publish(proxy, shard)) {
            return false;
        }
    }
    return true;
}

static void renew(struct proxy_stand_in *proxy)
{
    struct error err;
    uint64_t now_us = clock_now_us();
    if (proxy->renewed_us == 0 || now_us - proxy->renewed_us > STORE_LEASE_MS * 1000 / 5) {
        proxy->renewed_us = now_us;
        (void)!store_renew(proxy->store, &proxy->member, &err);
    }
}

/* --- writes ----------------------------------------------------------------------------------- */

static void random_command(struct proxy_stand_in *proxy, const char *key, char *command)
{
    unsigned n = (unsigned)random_below(&proxy->random, 1000);
    unsigned long long later = clock_wall_ms() + 3600000;
    const char *kind = key + 2; /* keys are "w:<kind>..." */
    switch (*kind) {
    case 's':
        if (n % 3 == 0) {
            (void)snprintf(command, COMMAND_MAX, "DEL %s", key);
        } else {
            (void)snprintf(command, COMMAND_MAX, "%s %s v%u", n % 3 == 1 ? "SET" : "APPEND", key,
                           n);
        }
        break;
    case 'i':
        (void)snprintf(command, COMMAND_MAX, "INCRBY %s %u", key, n);
        break;
    case 'h':
        (void)snprintf(command, COMMAND_MAX, n % 5 == 0 ? "HDEL %s f%u" : "HSET %s f%u x%u", key,
                       n % 20, n);
        break;
    case 'l':
        (void)snprintf(command, COMMAND_MAX, n % 3 == 0 ? "LPOP %s" : "RPUSH %s e%u", key, n);
        break;
    case 'z':
        (void)snprintf(command, COMMAND_MAX, n % 4 == 0 ? "ZREM %s m%u" : "ZINCRBY %s 1.5 m%u", key,
                       n % 30);
        break;
    case 'e':
        if (n % 4 == 0) {
            (void)snprintf(command, COMMAND_MAX, "PERSIST %s", key);
        } else {
            (void)snprintf(command, COMMAND_MAX, "SET %s v%u PXAT %llu", key, n, later + n);
        }
        break;
    default:
        (void)snprintf(command, COMMAND_MAX, n % 2 == 0 ? "SADD %s m%u" : "SREM %s m%u", key,
                       n % 15);
        break;
    }
}

static bool plain_write(struct proxy_stand_in *proxy, unsigned shard, const char *command)
{
    redisReply *reply = redisCommand(proxy->shards[shard], command);
    bool ok = reply != NULL && reply->type != REDIS_REPLY_ERROR;
    if (!ok) {
        (void)fault(proxy, command, reply);
    }
    freeReplyObject(reply);
    return ok;
}

static void remember_mirror(struct proxy_stand_in *proxy, const struct migration *migration,
                            unsigned copy, const char *key, const redisReply *exec)
{
    struct late_mirror *late = &proxy->late[random_below(&proxy->random, LATE_MAX)];
    struct metadata_names names;
    const redisReply *dump = exec->element[3];
    metadata_names_of(migration->id, migration->base, phase_direction(migration->phase), &names);
    mem_free(late->payload);
    *late = (struct late_mirror){.is_set = true,
                                 .copy = copy,
                                 .generation = migration->generation,
                                 .length = dump->type == REDIS_REPLY_STRING ? dump->len : 0};
    late->payload = mem_strndup(late->length > 0 ? dump->str : "", late->length);
    (void)snprintf(late->ver, sizeof(late->ver), "%s", names.ver);
    (void)snprintf(late->key, sizeof(late->key), "%s", key);
    (void)snprintf(late->seq, sizeof(late->seq), "%lld", exec->element[0]->integer);
    (void)snprintf(late->expiry, sizeof(late->expiry), "%lld",
                   exec->element[4]->integer == -2 ? -1 : exec->element[4]->integer);
}

/* May be refused (STALE: the guard has moved on); may not break anything. */
static void send_mirror(struct proxy_stand_in *proxy, struct late_mirror *late)
{
    char migration[24];
    char generation[24];
    const struct shard_identity *identity = &proxy->topology->shards[late->copy].identity;
    (void)snprintf(migration, sizeof(migration), "%llu", (unsigned long long)proxy->migration);
    (void)snprintf(generation, sizeof(generation), "%llu", (unsigned long long)late->generation);
    const char *words[] = {
        "3",       METADATA_FENCE, late->ver, late->key,    identity->run_id, identity->replid,
        migration, generation,     late->seq, late->expiry, late->payload};
    size_t lengths[11];
    for (unsigned i = 0; i < 10; i++) {
        lengths[i] = strlen(words[i]);
    }
    lengths[10] = late->length;
    freeReplyObject(eval(proxy->shards[late->copy], SCRIPT_APPLY, 11, words, lengths));
    if (random_below(&proxy->random, 3) > 0) {
        late->is_set = false; /* else it will come again, later still */
    }
}

static bool dual_write(struct proxy_stand_in *proxy, const struct migration *migration,
                       unsigned shard, const char *key, const char *command)
{
    struct metadata_names names;
    redisContext *context = proxy->shards[shard];
    redisReply *exec = NULL;
    metadata_names_of(migration->id, migration->base, phase_direction(migration->phase), &names);
    redisAppendCommand(context, "MULTI");
    redisAppendCommand(context, "HINCRBY %s %s 1", names.seq, key);
    redisAppendCommand(context, "SADD %s %s", names.dirty, key);
    redisAppendCommand(context, command);
    redisAppendCommand(context, "DUMP %s", key);
    redisAppendCommand(context, "PEXPIRETIME %s", key);
    redisAppendCommand(context, "EXEC");
    for (unsigned i = 0; i < 7; i++) {
        void *reply = NULL;
        if (redisGetReply(context, &reply) != REDIS_OK) {
            return fault(proxy, "EXEC", NULL);
        }
        if (i < 6) {
            freeReplyObject(reply);
        } else {
            exec = reply;
        }
    }
    bool ok = exec->type == REDIS_REPLY_ARRAY && exec->elements == 5 &&
              exec->element[2]->type != REDIS_REPLY_ERROR;
    if (!ok) {
        (void)fault(proxy, command, exec);
    } else if (random_below(&proxy->random, 3) == 0) {
        remember_mirror(proxy, migration, 1 - shard, key, exec);
    }
    freeReplyObject(exec);
    return ok;
}

static const struct migration *migration_of(const struct proxy_stand_in *proxy, unsigned slot)
{
    const struct migration *migration = topology_find_migration(proxy->topology, proxy->migration);
    return migration != NULL && slot_set_has(&migration->slots, slot) ? migration : NULL;
}

static bool write_one(struct proxy_stand_in *proxy)
{
    static const char kinds[] = "sihlzet";
    char key[96];
    char command[COMMAND_MAX];
    unsigned n = (unsigned)random_below(&proxy->random, KEYS);
    (void)snprintf(key, sizeof(key), "w:%c:%s:%u", kinds[n % 7], proxy->member.id, n);
    unsigned slot = slot_of_key(slice_of(key), RIG_NSLOTS);
    const struct migration *migration = migration_of(proxy, slot);
    if (migration != NULL && phase_is_hold(migration->phase)) {
        clock_sleep_ms(HELD_MS);
        return true; /* queued: the client waits */
    }
    unsigned shard = proxy->topology->owner[slot];
    random_command(proxy, key, command);
    bool is_dual = migration != NULL && phase_is_dual(migration->phase);
    if (is_dual ? !dual_write(proxy, migration, shard, key, command)
                : !plain_write(proxy, shard, command)) {
        return false;
    }
    redisReply *reply = redisCommand(proxy->oracle, command);
    bool ok = reply != NULL && reply->type != REDIS_REPLY_ERROR;
    freeReplyObject(reply);
    if (atomic_fetch_add(&proxy->writes, 1) % BURST == 0) {
        clock_sleep_ms(BREATH_MS);
    }
    return ok || fault(proxy, "the oracle", NULL);
}

/* --- the thread ------------------------------------------------------------------------------- */

static void hang(struct proxy_stand_in *proxy)
{
    atomic_store(&proxy->is_hung, true);
    while (atomic_load(&proxy->is_to_hang) && !atomic_load(&proxy->is_stopping)) {
        if (atomic_load(&proxy->is_alive)) {
            renew(proxy);
        }
        clock_sleep_ms(HUNG_MS);
    }
    atomic_store(&proxy->is_hung, false);
}

static void *run(void *context)
{
    struct proxy_stand_in *proxy = context;
    renew(proxy); /* before hello: a peer that nobody knows to be alive is killed at once */
    bool ok = adopt(proxy, true);
    while (ok && !atomic_load(&proxy->is_stopping)) {
        renew(proxy);
        ok = adopt(proxy, false) && write_one(proxy);
        struct late_mirror *late = &proxy->late[random_below(&proxy->random, LATE_MAX)];
        if (late->is_set && random_below(&proxy->random, 4) == 0) {
            send_mirror(proxy, late);
        }
        if (atomic_load(&proxy->is_to_hang)) {
            hang(proxy);
            ok = ok && !atomic_load(&proxy->is_stopping) ? write_one(proxy) : ok;
        }
    }
    atomic_store(&proxy->is_over, true);
    return NULL;
}

static redisContext *connect_to(const struct redis_server *server)
{
    redisContext *context = redisConnect("127.0.0.1", redis_server_port(server));
    assert_non_null(context);
    assert_int_equal(context->err, 0);
    return context;
}

struct proxy_stand_in *proxy_stand_in_start(struct migration_rig *rig, const char *name,
                                            uint64_t seed)
{
    struct proxy_stand_in *proxy = mem_zalloc(sizeof(*proxy));
    struct error err;
    proxy->store = store_open(rig->url, &err);
    assert_non_null(proxy->store);
    (void)snprintf(proxy->member.kind, sizeof(proxy->member.kind), "proxy");
    (void)snprintf(proxy->member.id, sizeof(proxy->member.id), "%s", name);
    random_hex(proxy->member.incarnation, sizeof(proxy->member.incarnation) - 1);
    (void)snprintf(proxy->peer, sizeof(proxy->peer), "%s:%s", proxy->member.id,
                   proxy->member.incarnation);
    proxy->shards[0] = connect_to(rig->source);
    proxy->shards[1] = connect_to(rig->target);
    proxy->oracle = connect_to(rig->oracle);
    proxy->migration = rig->migration;
    random_seed(&proxy->random, seed);
    assert_int_equal(pthread_create(&proxy->thread, NULL, run, proxy), 0);
    return proxy;
}

uint64_t proxy_stand_in_writes(const struct proxy_stand_in *proxy)
{
    return atomic_load(&proxy->writes);
}

void proxy_stand_in_hang(struct proxy_stand_in *proxy, bool hangs, bool is_alive)
{
    atomic_store(&proxy->is_alive, is_alive);
    atomic_store(&proxy->is_to_hang, hangs);
    WAIT_UNTIL(atomic_load(&proxy->is_hung) == hangs, 60000);
}

/* Ends and frees it; its fault goes to `text`. */
static uint64_t end(struct proxy_stand_in *proxy, char *text, size_t size)
{
    struct error err;
    atomic_store(&proxy->is_stopping, true);
    (void)pthread_join(proxy->thread, NULL);
    uint64_t writes = atomic_load(&proxy->writes);
    (void)snprintf(text, size, "%s", proxy->fault);
    for (unsigned i = 0; i < LATE_MAX; i++) {
        mem_free(proxy->late[i].payload);
    }
    (void)!store_unregister(proxy->store, &proxy->member, &err);
    redisFree(proxy->shards[0]);
    redisFree(proxy->shards[1]);
    redisFree(proxy->oracle);
    topology_free(proxy->topology);
    store_close(proxy->store);
    mem_free(proxy);
    return writes;
}

uint64_t proxy_stand_in_stop(struct proxy_stand_in *proxy)
{
    char text[512];
    uint64_t writes = end(proxy, text, sizeof(text));
    if (text[0] != '\0') {
        fail_msg("the proxy stand-in: %s", text);
    }
    return writes;
}

void proxy_stand_in_stop_killed(struct proxy_stand_in *proxy)
{
    char text[512];
    uint64_t deadline_us = deadline_after_ms(60000);
    while (!atomic_load(&proxy->is_over) && !deadline_is_over(deadline_us)) {
        clock_sleep_ms(WAIT_POLL_MS);
    }
    (void)end(proxy, text, sizeof(text));
    if (strstr(text, "connection lost") == NULL) {
        fail_msg("the proxy stand-in was not killed: %s", text);
    }
}
