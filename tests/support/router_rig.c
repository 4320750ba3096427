#include "tests/support/router_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/resp/framer.h"
#include "lib/resp/writer.h"
#include "lib/shard/fence.h"
#include "proxy/client/acl_log.h"
#include "proxy/client/round.h"

#define PATIENCE_MS   60000
#define TURNS_A_WHILE 30

/* --- what the router tells -------------------------------------------------------------------- */

static void on_fenced(void *context)
{
    struct router_rig *rig = context;
    rig->fenced++;
}

static void on_unfenced(void *context, const char *shard)
{
    struct router_rig *rig = context;
    (void)shard;
    rig->unfenced++;
}

static void on_given_up(void *context, const char *shard, const struct shard_identity *process,
                        uint64_t connection_id)
{
    struct router_rig *rig = context;
    (void)process;
    if (rig->ngiven_up < sizeof(rig->given_up) / sizeof(rig->given_up[0])) {
        struct rig_given_up *given_up = &rig->given_up[rig->ngiven_up++];
        (void)snprintf(given_up->shard, sizeof(given_up->shard), "%s", shard);
        given_up->connection_id = connection_id;
    }
}

static void on_drained(void *context, const char *shard, uint64_t epoch)
{
    struct router_rig *rig = context;
    unsigned index = (unsigned)(shard[1] - '1');
    assert_true(index < RIG_SHARDS_MAX);
    assert_true(epoch > rig->drained[index]); /* once for each epoch, in order */
    rig->drained[index] = epoch;
}

/* --- turning ---------------------------------------------------------------------------------- */

static void on_time(void *context)
{
    struct router_rig *rig = context;
    (void)loop_update_now(rig->loop);
    router_tick(rig->router);
    clients_tick(&rig->clients);
    loop_stop(rig->loop);
}

void rig_turn(struct router_rig *rig)
{
    timer_start(&rig->timer, 1);
    loop_run(rig->loop);
}

void rig_turn_a_while(struct router_rig *rig)
{
    for (int i = 0; i < TURNS_A_WHILE; i++) {
        rig_turn(rig);
    }
}

void rig_signal(struct router_rig *rig, unsigned shard, int signal)
{
    process_signal(redis_server_process(rig->servers[shard]), signal);
}

void rig_expect_direct(struct router_rig *rig, unsigned shard, const char *words, const char *key,
                       const char *reply)
{
    char *command = mem_printf("%s %s", words, key);
    expect(rig->direct[shard], command, reply);
    mem_free(command);
}

/* --- topologies ------------------------------------------------------------------------------- */

struct topology *rig_next(const struct router_rig *rig)
{
    return topology_next(rig->topology);
}

uint64_t rig_adopt(struct router_rig *rig, struct topology *next)
{
    struct error err = {{0}};
    struct endpoint endpoints[RIG_SHARDS_MAX];
    if (!topology_validate(next, &err)) {
        fail_msg("%s", err.text);
    }
    for (unsigned i = 0; i < next->nshards; i++) {
        assert_true(endpoint_resolve(&endpoints[i], "127.0.0.1", next->shards[i].port, &err));
    }
    struct topology *adopted = topology_next(next);
    adopted->epoch = next->epoch;
    if (rig->topology != NULL) {
        topology_free(rig->topology);
    }
    rig->topology = next;
    router_adopt(rig->router, snapshot_new(adopted), endpoints);
    return next->epoch;
}

static struct shard_link *open_shard(const struct router_rig *rig, unsigned shard)
{
    struct error err = {{0}};
    struct topology_shard place = {.host = "127.0.0.1",
                                   .port = redis_server_port(rig->servers[shard])};
    struct shard_link *link = shard_open(&place, "test", 5000, &err);
    if (link == NULL) {
        fail_msg("%s", err.text);
    }
    return link;
}

static void make_side(struct router_rig *rig, unsigned shard, bool is_authority,
                      enum guard_state state)
{
    struct error err = {{0}};
    const struct migration *migration = &rig->topology->migrations[0];
    struct guard_claim claim = {.identity = &rig->topology->shards[shard].identity,
                                .migration = migration->id,
                                .generation = migration->generation};
    struct metadata_names names;
    metadata_names_of(migration->id, migration->base, phase_direction(migration->phase), &names);
    struct shard_link *link = open_shard(rig, shard);
    if (fence_make(link, &claim, state, &names, is_authority, &err) != FENCE_OK) {
        fail_msg("%s", err.text);
    }
    shard_close(link);
}

static void make_both(struct router_rig *rig)
{
    const struct migration *migration = &rig->topology->migrations[0];
    make_side(rig, migration_authority(migration), true, GUARD_OWNER);
    make_side(rig, migration_copy(migration), false, GUARD_OPEN);
}

void rig_enter_phase(struct router_rig *rig, enum phase phase)
{
    struct topology *next = rig_next(rig);
    struct migration *migration = &next->migrations[0];
    migration->verified = migration->made = migration->base;
    migration_enter(next, migration, phase);
    migration->verified = migration->made = migration->base;
    (void)rig_adopt(rig, next);
    if (phase_is_dual(phase)) {
        make_both(rig);
    }
}

void rig_begin_dual_write(struct router_rig *rig, unsigned source, unsigned target)
{
    struct error err = {{0}};
    struct migration_options options = rig->options.migration;
    struct topology *next = rig_next(rig);
    struct slot_set slots;
    if (options.hold_max_ms == 0) {
        migration_options_default(&options);
    }
    slot_set_init(&slots, RIG_SLOTS);
    for (unsigned slot = 0; slot < RIG_SLOTS; slot++) {
        if (next->owner[slot] == source) {
            slot_set_add(&slots, slot);
        }
    }
    if (migration_open(next, source, target, &slots, &options, &err) == NULL) {
        fail_msg("%s", err.text);
    }
    slot_set_fini(&slots);
    (void)rig_adopt(rig, next);
    rig_enter_phase(rig, PHASE_DUAL_WRITE);
}

const char *rig_key(const struct router_rig *rig, unsigned shard, unsigned n)
{
    static char names[16][32];
    static unsigned turn;
    char *name = names[turn++ % 16];
    for (unsigned i = 0;; i++) {
        (void)snprintf(name, sizeof(names[0]), "k%u", i);
        if (rig->topology->owner[slot_of_key(slice_of(name), RIG_SLOTS)] == shard && n-- == 0) {
            return name;
        }
    }
}

bool rig_is_ready(const struct router_rig *rig)
{
    for (unsigned i = 0; i < rig->topology->nshards; i++) {
        if (rig->drained[i] < rig->topology->epoch ||
            counter_read(&rig->counters.shards[i].connects) == 0) {
            return false;
        }
    }
    return true;
}

/* --- life ------------------------------------------------------------------------------------- */

static void add_shard(struct router_rig *rig, struct topology *topology, unsigned i)
{
    struct error err = {{0}};
    struct topology_shard shard = {.host = "127.0.0.1", .weight = 100};
    rig->servers[i] = redis_server_start(rig->options.redis_options);
    rig->direct[i] = client_connect(redis_server_port(rig->servers[i]));
    (void)snprintf(shard.name, sizeof(shard.name), "s%u", i + 1);
    shard.port = redis_server_port(rig->servers[i]);
    struct shard_link *link = open_shard(rig, i);
    shard.identity = *shard_link_identity(link);
    if (fence_write(link, FENCE_WRITE_FIRST, topology->cluster, shard.name, 1, &err) != FENCE_OK) {
        fail_msg("%s", err.text);
    }
    shard_close(link);
    (void)topology_add_shard(topology, &shard);
}

/* The only worker there is asks itself. */
static void pass_on(void *context, struct round *round)
{
    struct router_rig *rig = context;
    round_arrive(round, &rig->clients);
}

static uint64_t milliseconds_or(uint64_t ms, uint64_t otherwise_ms)
{
    return (ms > 0 ? ms : otherwise_ms) * 1000;
}

static void set_up_router(struct router_rig *rig)
{
    const struct rig_options *options = &rig->options;
    struct router_settings settings = {
        .backend = {.loop = rig->loop,
                    .pool = &rig->pool,
                    .counters = &rig->counters,
                    .peer = "rig:0123456789abcdef",
                    .scratch = rig->scratch,
                    .scratch_size = sizeof(rig->scratch)},
        .tuning = {.shard_timeout_us = milliseconds_or(options->timeout_ms, 5000),
                   .connect_timeout_us = 2000000,
                   .wait_max_us = milliseconds_or(options->wait_ms, 2000),
                   .store_timeout_us = options->store_timeout_ms * 1000,
                   .mirror_timeout_us = milliseconds_or(options->mirror_timeout_ms, 2000),
                   .queue_max = options->queue_max > 0 ? options->queue_max : UINT64_MAX,
                   .ack = ACK_BOTH,
                   .replica_lag_max_us = options->replica_lag_max_ms * 1000},
    };
    struct router_events events = {on_fenced, on_unfenced, on_given_up, on_drained, rig};
    rig->router = router_new(&settings, &events);
    rig->limits = options->limits;
    if (rig->limits.bulk_max == 0) {
        rig->limits.bulk_max = (uint64_t)512 << 20;
    }
    if (rig->limits.request_max == 0) {
        rig->limits.request_max = (uint64_t)256 << 20;
    }
    rig->clients = (struct client_host){
        .loop = rig->loop,
        .router = rig->router,
        .counters = &rig->counters,
        .latency = {.histogram = &rig->counters.latency},
        .acl = acl_of_password(NULL, command_table_builtin()),
        .acl_log = acl_log_new(),
        .table = command_table_builtin(),
        .server_version = "7.0.15",
        .scratch = rig->scratch,
        .scratch_size = sizeof(rig->scratch),
        .limits = &rig->limits,
        .all_counters = &rig->counters,
        .nworkers = 1,
        .next_id = 1,
        .id_step = 1,
        .pass_on = pass_on,
        .context = rig,
    };
}

void router_rig_start(struct router_rig *rig, const struct rig_options *options)
{
    script_init();
    memset(rig, 0, sizeof(*rig));
    rig->options = *options;
    rig->options.shards = options->shards > 0 ? options->shards : 2;
    struct topology *topology = topology_new("0123456789abcdef0123456789abcdef", RIG_SLOTS);
    for (unsigned i = 0; i < rig->options.shards; i++) {
        add_shard(rig, topology, i);
    }
    for (unsigned slot = 0; slot < RIG_SLOTS; slot++) {
        topology->owner[slot] = (uint16_t)(slot % rig->options.shards);
    }
    rig->loop = loop_new();
    timer_init(&rig->timer, rig->loop, on_time, rig);
    set_up_router(rig);
    (void)rig_adopt(rig, topology);
    int fd = rig_connect(rig);
    rig_send(rig, fd, "DBSIZE"); /* waits for all shards */
    rig_expect(rig, fd, ":0\r\n");
    (void)close(fd);
    RIG_UNTIL(rig, rig_is_ready(rig) && rig->clients.count == 0, PATIENCE_MS);
}

void router_rig_stop(struct router_rig *rig)
{
    timer_stop(&rig->timer);
    client_close_all(&rig->clients);
    acl_unref(rig->clients.acl);
    acl_log_free(rig->clients.acl_log);
    router_free(rig->router);
    assert_int_equal(rig->pool.taken, 0);
    request_pool_fini(&rig->pool);
    loop_free(rig->loop);
    topology_free(rig->topology);
    for (unsigned i = 0; i < rig->options.shards; i++) {
        client_close(rig->direct[i]);
        redis_server_stop(rig->servers[i]);
    }
}

/* --- clients ---------------------------------------------------------------------------------- */

int rig_connect(struct router_rig *rig)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    struct stream stream;
    stream_open_plain(&stream, pair[1]);
    client_open(&rig->clients, &stream);
    if (rig->options.protocol == 3) {
        rig_send(rig, pair[0], "HELLO 3");
        rig_expect(rig, pair[0], "%7\r\n");
    }
    return pair[0];
}

unsigned rig_protocols[2] = {2, 3};

unsigned rig_protocol_of(void **state)
{
    const unsigned *protocol = *state;
    return *protocol;
}

const char *rig_null(const struct router_rig *rig)
{
    return rig->options.protocol == 3 ? "_\r\n" : "$-1\r\n";
}

void rig_write(struct router_rig *rig, int fd, struct slice bytes)
{
    uint64_t deadline_us = deadline_after_ms(PATIENCE_MS);
    while (bytes.len > 0 && !deadline_is_over(deadline_us)) {
        ssize_t sent = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes.data += sent;
            bytes.len -= (size_t)sent;
        } else if (errno != EAGAIN) {
            return; /* closed: the reply will say so */
        } else {
            rig_turn(rig);
        }
    }
}

void rig_send(struct router_rig *rig, int fd, const char *format, ...)
{
    char text[1024];
    struct slice argv[64];
    unsigned argc = 0;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = slice_of(word);
    }
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    write_command(&bytes, argv, argc);
    rig_write(rig, fd, buffer_slice(&bytes));
    buffer_fini(&bytes);
}

char *rig_reply(struct router_rig *rig, int fd, size_t *length)
{
    struct buffer reply;
    struct framer framer = {.values_left = 0};
    enum parse_status status = PARSE_MORE;
    uint64_t deadline_us = deadline_after_ms(PATIENCE_MS);
    buffer_init(&reply, SIZE_MAX);
    while (status == PARSE_MORE && !deadline_is_over(deadline_us)) {
        char byte[65536];
        /* Look first: what stands behind this reply stays in the socket. */
        ssize_t count = recv(fd, byte, sizeof(byte), MSG_PEEK);
        if (count > 0) {
            size_t used = 0;
            status = framer_feed(&framer, byte, (size_t)count, &used);
            assert_int_not_equal(status, PARSE_BAD);
            assert_int_equal(recv(fd, byte, used, 0), used);
            buffer_add(&reply, byte, used);
        } else if (count == 0 || errno != EAGAIN) {
            buffer_add_text(&reply, "closed");
            break;
        } else {
            rig_turn(rig);
        }
    }
    *length = buffer_length(&reply);
    buffer_add(&reply, "", 1);
    char *text = mem_dup(buffer_slice(&reply).data, buffer_length(&reply));
    buffer_fini(&reply);
    return text;
}

bool rig_is_silent(struct router_rig *rig, int fd)
{
    char byte;
    rig_turn_a_while(rig);
    return recv(fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

void rig_expect_at(struct router_rig *rig, int fd, const char *reply, const char *file, int line)
{
    size_t length;
    char *got = rig_reply(rig, fd, &length);
    if (strncmp(got, reply, strlen(reply)) != 0) {
        print_error("expected %s, got %s\n", reply, got);
        mem_free(got);
        _fail(file, line);
    }
    mem_free(got);
}
