#include "tests/support/migration_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/shard/fence.h"
#include "tests/support/cluster.h"
#include "tests/support/compare/copy.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define SHARD_TIMEOUT_MS 60000
#define SCAN_REPLY_MAX   4096

static redisContext *connect_to(const struct redis_server *server)
{
    redisContext *context = redisConnect("127.0.0.1", redis_server_port(server));
    assert_non_null(context);
    assert_int_equal(context->err, 0);
    return context;
}

void rig_reconnect(struct migration_rig *rig)
{
    redisContext **contexts[] = {&rig->on_source, &rig->on_target, &rig->on_oracle};
    struct redis_server *servers[] = {rig->source, rig->target, rig->oracle};
    for (unsigned i = 0; i < 3; i++) {
        if (*contexts[i] != NULL) {
            redisFree(*contexts[i]);
        }
        *contexts[i] = connect_to(servers[i]);
    }
}

static void add_shard(struct topology *topology, const char *name,
                      const struct redis_server *server)
{
    struct topology_shard shard = {.port = redis_server_port(server), .weight = 100};
    struct error err;
    (void)snprintf(shard.name, sizeof(shard.name), "%s", name);
    (void)snprintf(shard.host, sizeof(shard.host), "127.0.0.1");
    struct shard_link *link = shard_open(&shard, "test", SHARD_TIMEOUT_MS, &err);
    assert_non_null(link);
    shard.identity = *shard_link_identity(link);
    assert_int_equal(
        fence_write(link, FENCE_WRITE_FIRST, topology->cluster, name, topology->epoch, &err),
        FENCE_OK);
    shard_close(link);
    (void)topology_add_shard(topology, &shard);
}

static void init_store(struct migration_rig *rig)
{
    char cluster[33];
    struct error err;
    random_hex(cluster, 32);
    struct topology *topology = topology_new(cluster, RIG_NSLOTS);
    add_shard(topology, "source", rig->source);
    add_shard(topology, "target", rig->target);
    rig->folder = scratch_folder("store");
    rig->url = mem_printf("file:%s/store", rig->folder);
    rig->store = store_open(rig->url, &err);
    assert_non_null(rig->store);
    assert_int_equal(store_create(rig->store, topology, &err), CAS_DONE);
    topology_free(topology);
}

void rig_start(struct migration_rig *rig, const char *const *redis_options)
{
    static const char *const no_disk[] = {"--appendonly", "no", NULL};

    memset(rig, 0, sizeof(*rig));
    log_init("test", LOG_ERROR);
    script_init();
    rig->source = redis_server_start(redis_options);
    rig->target = redis_server_start(redis_options);
    rig->oracle = redis_server_start(no_disk);
    rig_reconnect(rig);
    init_store(rig);
    migration_options_default(&rig->options);
    rig->migrator_log = mem_printf("%s/migrator.log", rig->folder);
}

void rig_stop(struct migration_rig *rig)
{
    rig_end_migrator(rig);
    redisFree(rig->on_source);
    redisFree(rig->on_target);
    redisFree(rig->on_oracle);
    store_close(rig->store);
    redis_server_stop(rig->source);
    redis_server_stop(rig->target);
    redis_server_stop(rig->oracle);
    scratch_remove(rig->folder);
    mem_free(rig->url);
    mem_free(rig->migrator_log);
}

static struct topology *read_now(struct migration_rig *rig)
{
    struct error err;
    struct topology *now = store_read(rig->store, NULL, &err);
    assert_non_null(now);
    return now;
}

void rig_open_migration(struct migration_rig *rig)
{
    struct error err;
    struct slot_set slots;
    struct topology *now = read_now(rig);
    struct topology *next = topology_next(now);
    slot_set_init(&slots, RIG_NSLOTS);
    for (unsigned slot = 0; slot < RIG_NSLOTS; slot += 2) {
        slot_set_add(&slots, slot);
    }
    unsigned from = next->owner[0];
    struct migration *migration = migration_open(next, from, 1 - from, &slots, &rig->options, &err);
    assert_non_null(migration);
    rig->migration = migration->id;
    assert_int_equal(store_cas(rig->store, next, &err), CAS_DONE);
    slot_set_fini(&slots);
    topology_free(now);
    topology_free(next);
}

void rig_end_migrator(struct migration_rig *rig)
{
    if (rig->migrator != NULL) {
        /* One that a fail point killed has ended badly on purpose; a sanitizer's report has not. */
        bool ended_well = process_stop(rig->migrator);
        rig->migrator = NULL;
        assert_true(ended_well || rig->is_to_die);
    }
}

void rig_start_migrator(struct migration_rig *rig, const char *fail)
{
    char *program = program_path("sluice-migrator");
    char *environment = mem_printf("SLUICE_FAIL=%s", fail != NULL ? fail : "");
    const char *const environ_words[] = {environment, NULL};
    const char *const argv[] = {
        program, "--store",         rig->url, "--admin", "127.0.0.1:0", "--purge-patience",
        "500ms", "--shard-timeout", "3s",     NULL};
    rig_end_migrator(rig);
    rig->is_to_die = fail != NULL;
    rig->migrator =
        process_start("migrator", argv, fail != NULL ? environ_words : NULL, rig->migrator_log);
    assert_non_null(rig->migrator);
    mem_free(program);
    mem_free(environment);
}

int rig_phase(struct migration_rig *rig)
{
    struct topology *now = read_now(rig);
    const struct migration *migration = topology_find_migration(now, rig->migration);
    int phase = migration != NULL ? (int)migration->phase : RIG_CLOSED;
    topology_free(now);
    return phase;
}

static void fail_with_log(struct migration_rig *rig, const char *what)
{
    if (rig->migrator != NULL) {
        process_print_log(rig->migrator, 30);
    }
    fail_msg("%s; the migration is in phase %d", what, rig_phase(rig));
}

void rig_wait_phase(struct migration_rig *rig, int phase)
{
    uint64_t deadline_us = deadline_after_ms(RIG_LONG_MS);
    while (rig_phase(rig) != phase) {
        if (deadline_is_over(deadline_us)) {
            fail_with_log(rig, phase == RIG_CLOSED ? "not closed" : phase_name((enum phase)phase));
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
}

bool rig_is_verified(struct migration_rig *rig)
{
    struct topology *now = read_now(rig);
    const struct migration *migration = topology_find_migration(now, rig->migration);
    bool is_verified = migration != NULL && migration->phase != PHASE_PLANNED &&
                       migration->verified == migration->base;
    topology_free(now);
    return is_verified;
}

void rig_wait_verified(struct migration_rig *rig)
{
    uint64_t deadline_us = deadline_after_ms(RIG_LONG_MS);
    while (!rig_is_verified(rig)) {
        if (deadline_is_over(deadline_us)) {
            fail_with_log(rig, "not verified");
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
}

void rig_run_to_switched(struct migration_rig *rig, unsigned count)
{
    rig_load_all_types(rig, count);
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    rig_wait_phase(rig, PHASE_SWITCHED);
}

void rig_run_to_verified_by_hand(struct migration_rig *rig, unsigned count)
{
    rig_load_all_types(rig, count);
    rig->options.manual_switch = true;
    rig_open_migration(rig);
    rig_start_migrator(rig, NULL);
    rig_wait_verified(rig);
}

void rig_finalize(struct migration_rig *rig)
{
    rig_enter(rig, PHASE_FINALIZING);
    rig_wait_phase(rig, RIG_CLOSED);
    rig_expect_equal(rig, true);
}

void rig_change(struct migration_rig *rig, rig_change_fn *change, void *context)
{
    enum cas_result result = CAS_LOST;
    struct error err;
    while (result == CAS_LOST) {
        struct topology *now = read_now(rig);
        struct topology *next = topology_next(now);
        struct migration *migration = topology_find_migration(next, rig->migration);
        assert_non_null(migration);
        change(next, migration, context);
        result = store_cas(rig->store, next, &err);
        topology_free(now);
        topology_free(next);
    }
    assert_int_equal(result, CAS_DONE);
}

static void set_request(struct topology *next, struct migration *migration, void *context)
{
    (void)next;
    migration->request = *(enum migration_request *)context;
}

void rig_request(struct migration_rig *rig, enum migration_request request)
{
    rig_change(rig, set_request, &request);
}

static void set_pause(struct topology *next, struct migration *migration, void *context)
{
    (void)next;
    migration->is_paused = *(bool *)context;
}

void rig_pause(struct migration_rig *rig, bool is_paused)
{
    rig_change(rig, set_pause, &is_paused);
}

static void set_phase(struct topology *next, struct migration *migration, void *context)
{
    migration_enter(next, migration, *(enum phase *)context);
}

void rig_enter(struct migration_rig *rig, enum phase to)
{
    rig_change(rig, set_phase, &to);
}

/* --- data ------------------------------------------------------------------------------------- */

static void run_on(redisContext *context, const char *command)
{
    redisReply *reply = redisCommand(context, command);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR) {
        fail_msg("%s: %s", command, reply->str);
    }
    freeReplyObject(reply);
}

void rig_load(struct migration_rig *rig, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char command[8192];
    int length = vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    assert_in_range(length, 1, sizeof(command) - 1);
    run_on(rig->on_source, command);
    run_on(rig->on_oracle, command);
}

void rig_load_large(struct migration_rig *rig, unsigned i)
{
    for (unsigned j = 0; j < 600; j++) {
        rig_load(rig, "HSET hash-table:%u field-%u value-%u", i, j, j * 7);
        rig_load(rig, "SADD set-table:%u member-%u", i, j);
        rig_load(rig, "ZADD zset-skiplist:%u %u.5 member-%u", i, j, j);
        rig_load(rig, "RPUSH list-long:%u element-%u-abcdefghijklmnopqrstuvwxyz", i, j);
    }
    rig_load(rig, "SETRANGE string-long:%u 30000 end", i);
}

static void load_stream(struct migration_rig *rig, unsigned i)
{
    for (unsigned j = 1; j < 8; j++) {
        rig_load(rig, "XADD stream:%u %u-1 f v%u", i, j, j);
    }
    rig_load(rig, "XGROUP CREATE stream:%u g 3-1", i);
    rig_load(rig, "XDEL stream:%u 5-1", i);
}

void rig_load_all_types(struct migration_rig *rig, unsigned count)
{
    unsigned long long later = clock_wall_ms() + 3600000;
    for (unsigned i = 0; i < count; i++) {
        rig_load(rig, "SET string:%u value-%u", i, i);
        rig_load(rig, "SET integer:%u %u", i, i);
        rig_load(rig, "SET expiring:%u value PXAT %llu", i, later + i);
        rig_load(rig, "RPUSH list:%u a b c %u", i, i);
        rig_load(rig, "SADD intset:%u 1 2 %u", i, i + 3);
        rig_load(rig, "SADD set:%u a b c%u", i, i);
        rig_load(rig, "HSET hash:%u f v g %u", i, i);
        rig_load(rig, "ZADD zset:%u 1 a 2.5 b%u", i, i);
        rig_load(rig, "PEXPIREAT hash:%u %llu", i, later + i);
        rig_load(rig, "PFADD hll:%u a b c%u", i, i);
        rig_load(rig, "SET {tag%u}:other x", i);
        load_stream(rig, i);
    }
}

/* --- comparing -------------------------------------------------------------------------------- */

struct names {
    struct key *keys;
    size_t count, capacity;
};

static int by_name(const void *a, const void *b)
{
    const struct key *x = a;
    const struct key *y = b;
    size_t shorter = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->data, y->data, shorter);
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

/* All keys of a server by KEYS, a command that nobody else here uses. */
static struct names names_of(redisContext *context, bool ours)
{
    struct names names = {.count = 0};
    redisReply *reply = redisCommand(context, "KEYS *");
    assert_non_null(reply);
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *name = reply->element[i];
        bool is_ours = name->len >= 9 && memcmp(name->str, "__sluice:", 9) == 0;
        if (is_ours == ours) {
            MEM_GROW(names.keys, names.count, names.capacity);
            names.keys[names.count++] =
                (struct key){mem_strndup(name->str, name->len), name->len, 0};
        }
    }
    freeReplyObject(reply);
    if (names.count > 0) {
        qsort(names.keys, names.count, sizeof(*names.keys), by_name);
    }
    return names;
}

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        mem_free(names->keys[i].data);
    }
    mem_free(names->keys);
}

static bool is_moving(const struct key *key)
{
    return slot_of_key((struct slice){key->data, key->length}, RIG_NSLOTS) % 2 == 0;
}

/* On a shard as on the oracle. */
static void expect_same(redisContext *a, redisContext *b, const struct key *key)
{
    struct copy of_a;
    struct copy of_b;
    const struct key *const keys[] = {key};
    assert_true(copy_read(a, keys, 1, &of_a));
    assert_true(copy_read(b, keys, 1, &of_b));
    if (!copy_equal(&of_a, &of_b)) {
        fail_msg("%s differs on port %d: %s, %lld ms, %zu bytes here; %s, %lld ms, %zu bytes "
                 "expected: %.*s / %.*s",
                 key->data, a->tcp.port, of_a.type, of_a.expires_ms, of_a.length, of_b.type,
                 of_b.expires_ms, of_b.length, (int)(of_a.length < 60 ? of_a.length : 60),
                 of_a.data, (int)(of_b.length < 60 ? of_b.length : 60), of_b.data);
    }
    copy_fini(&of_a);
    copy_fini(&of_b);
}

static void expect_no_others(redisContext *context, redisContext *oracle, bool of_moving,
                             bool of_staying)
{
    struct names names = names_of(context, false);
    for (size_t i = 0; i < names.count; i++) {
        const struct key *key = &names.keys[i];
        bool may_be_here = is_moving(key) ? of_moving : of_staying;
        if (!may_be_here) {
            fail_msg("%s is on a shard where it should not be", key->data);
        }
        expect_same(context, oracle, key);
    }
    names_free(&names);
}

void rig_expect_equal(struct migration_rig *rig, bool moved)
{
    struct names names = names_of(rig->on_oracle, false);
    for (size_t i = 0; i < names.count; i++) {
        const struct key *key = &names.keys[i];
        expect_same(moved && is_moving(key) ? rig->on_target : rig->on_source, rig->on_oracle, key);
    }
    names_free(&names);
    expect_no_others(rig->on_source, rig->on_oracle, !moved, true);
    expect_no_others(rig->on_target, rig->on_oracle, moved, false);
}

void rig_expect_copies_equal(struct migration_rig *rig)
{
    struct names names = names_of(rig->on_oracle, false);
    for (size_t i = 0; i < names.count; i++) {
        const struct key *key = &names.keys[i];
        if (is_moving(key)) {
            expect_same(rig->on_target, rig->on_oracle, key);
            expect_same(rig->on_source, rig->on_oracle, key);
        }
    }
    names_free(&names);
}

static void expect_only_fence(redisContext *context, const char *where)
{
    struct names names = names_of(context, true);
    for (size_t i = 0; i < names.count; i++) {
        if (strcmp(names.keys[i].data, METADATA_FENCE) != 0) {
            fail_msg("%s is left on the %s", names.keys[i].data, where);
        }
    }
    assert_int_equal(names.count, 1);
    names_free(&names);
}

void rig_expect_clean(struct migration_rig *rig)
{
    expect_only_fence(rig->on_source, "source");
    expect_only_fence(rig->on_target, "target");
}

/* --- journal ---------------------------------------------------------------------------------- */

struct search {
    const char *text;
    unsigned found;
};

static bool look(void *context, struct slice record)
{
    struct search *search = context;
    if (memmem(record.data, record.len, search->text, strlen(search->text)) != NULL) {
        search->found++;
    }
    return true;
}

static unsigned count_records(struct migration_rig *rig, const char *text)
{
    struct search search = {.text = text};
    struct error err;
    assert_true(store_journal(rig->store, look, &search, &err));
    return search.found;
}

unsigned rig_records(struct migration_rig *rig, const char *kind)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "\"kind\":\"%s\"", kind);
    return count_records(rig, text);
}

bool rig_journal_has(struct migration_rig *rig, const char *text)
{
    return count_records(rig, text) > 0;
}
