#include "proxy/routing/replica_reads.h"

#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/fail_point.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/routing/router_internal.h"

#define STUCK_US      100000u
#define BACKLOG_BYTES ((size_t)1 << 20)

/* A connection to a replica. */
struct reader {
    struct replica_reads *reads;
    struct replica *replica;
    struct backend *backend;
    uint64_t ready_us; /* what is known to be level since then may be read over it */
    struct turn_task proof_task;
    struct request_queue answered; /* not proven yet */
};

struct replica {
    struct replica_place place;
    struct reader *readers[2]; /* of RESP2, RESP3; null: not needed so far */
};

/* Those of one shard stand together. */
struct group {
    unsigned first, count;
    unsigned turn; /* whose it is */
};

struct replica_reads {
    struct router *router;
    struct backend_shared shared; /* with a time-out of its own */
    struct replica **replicas;
    unsigned nreplicas;
    struct group *groups; /* by shard; null: no list of this epoch has come */
    uint64_t epoch;       /* of groups: the router may have a newer topology in mid-adoption */
};

/* --- answers --------------------------------------------------------------------------------- */

static struct replica_counters *counters_of(const struct reader *reader)
{
    return counters_of_replicas(reader->reads->shared.counters, reader->replica->place.shard);
}

static void give(const struct reader *reader, struct request *request)
{
    request_give(reader->reads->shared.pool, request);
}

static void pass_on(const struct reader *reader, struct request *read)
{
    struct request *request = read->owner;
    struct slice reply = buffer_slice(&read->reply);
    counter_add(&counters_of(reader)->answered, 1);
    buffer_add(request_answer(request), reply.data, reply.len);
    give(reader, read);
    router_answer(request);
}

/* A read may be sent twice; and the primary says itself what is wrong with it. */
static void ask_primary(const struct reader *reader, struct request *read)
{
    struct request *request = read->owner;
    counter_add(&counters_of(reader)->resent, 1);
    give(reader, read);
    router_redispatch(reader->reads->router, request);
}

static void on_read(struct request *read)
{
    struct reader *reader = read->sender;
    if (read->outcome == OUTCOME_REPLY && !read->is_error) {
        request_queue_push(&reader->answered, read);
    } else {
        ask_primary(reader, read);
    }
}

/* --- the proof ------------------------------------------------------------------------------- */

static bool is_level(const struct replica_reads *reads, uint64_t level_us)
{
    uint64_t lag_max_us = reads->router->settings.tuning.replica_lag_max_us;
    return level_us != 0 && router_now_us(reads->router) <= level_us + lag_max_us;
}

/* "*3", run id, replid, epoch: each a bulk. */
static bool is_fenced_by(struct slice reply, const struct shard_identity *process, uint64_t epoch)
{
    char text[2 * sizeof(process->run_id) + 32];
    int length = snprintf(text, sizeof(text), "*3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n$", RUN_ID_LENGTH,
                          process->run_id, RUN_ID_LENGTH, process->replid);
    struct slice prefix = {text, (size_t)length};
    if (!slice_starts_with(reply, prefix)) {
        return false;
    }
    const char *line = memchr(reply.data + prefix.len, '\n', reply.len - prefix.len);
    uint64_t fenced;
    /* The framer has seen that it is a whole reply: the bulk ends with CRLF. */
    return line != NULL && line + 3 < reply.data + reply.len &&
           number_parse_u64((struct slice){line + 1, (size_t)(reply.data + reply.len - line) - 3},
                            &fenced) &&
           fenced <= epoch;
}

/* The process, its epoch and the time are those of `proof`, which was sent behind the reads. */
static bool proves(const struct reader *reader, const struct request *proof)
{
    const struct topology *topology = reader->reads->router->snapshot->topology;
    const struct topology_shard *shard = &topology->shards[reader->replica->place.shard];
    return proof->outcome == OUTCOME_REPLY && is_level(reader->reads, proof->arrived_us) &&
           (is_fenced_by(buffer_slice(&proof->reply), &shard->identity, topology->epoch) ||
            FAIL_POINT("rule.no-replica-proof"));
}

/* What has been answered so far was sent before this proof, for replies come in order; and nothing
 * that was sent behind it has been answered. */
static void on_proof(struct request *proof)
{
    struct reader *reader = proof->owner;
    struct request_queue answered = reader->answered;
    bool is_proven = proves(reader, proof);
    reader->answered = (struct request_queue){.count = 0};
    give(reader, proof);
    if (!is_proven) {
        reader->ready_us =
            clock_now_us(); /* not asked again before it has shown to be level anew */
    }
    struct request *read;
    while ((read = request_queue_pop(&answered)) != NULL) {
        if (is_proven) {
            pass_on(reader, read);
        } else {
            ask_primary(reader, read);
        }
    }
}

/* Once for all reads of a turn. */
static void send_proof(void *context)
{
    struct reader *reader = context;
    const struct slice question[] = {SLICE("HMGET"), SLICE(METADATA_FENCE), SLICE("run_id"),
                                     SLICE("replid"), SLICE("epoch")};
    if (backend_state(reader->backend) != BACKEND_READY) {
        return; /* it was lost since, and the reads with it */
    }
    struct request *proof = request_take(reader->reads->shared.pool);
    proof->owner = reader;
    proof->on_reply = on_proof;
    proof->arrived_us = reader->replica->place.level_us;
    write_command(backend_begin(reader->backend), question, 5);
    backend_commit(reader->backend, proof, 1);
}

/* --- readers --------------------------------------------------------------------------------- */

static void on_ready(void *context, struct backend *backend)
{
    struct reader *reader = context;
    (void)backend;
    reader->ready_us = clock_now_us(); /* the loop's may be that of the turn's begin */
}

static void on_down(void *context, struct backend *backend)
{
    (void)context; /* each request is told what becomes of it */
    (void)backend;
}

static struct reader *reader_new(struct replica_reads *reads, struct replica *replica,
                                 unsigned char protocol)
{
    const struct replica_place *place = &replica->place;
    const struct topology_shard *shard = &reads->router->snapshot->topology->shards[place->shard];
    struct reader *reader = mem_zalloc(sizeof(*reader));
    /* Nothing is given up: whether a read is executed is the same to everybody. */
    struct backend_events events = {.on_ready = on_ready, .on_down = on_down, .context = reader};
    reader->reads = reads;
    reader->replica = replica;
    turn_task_init(&reader->proof_task, send_proof, reader);
    reader->backend = backend_new(&reads->shared, &events);
    backend_set_protocol(reader->backend, protocol);
    backend_set_greeting(reader->backend, GREETING_NAMED);
    backend_set_target(reader->backend, place->shard, shard->name, &place->endpoint,
                       &shard->identity);
    return reader;
}

static void reader_free(struct reader *reader)
{
    if (reader == NULL) {
        return;
    }
    loop_cancel(&reader->proof_task);
    backend_free(reader->backend);
    ASSERT(reader->answered.count == 0); /* its proof was told, too */
    mem_free(reader);
}

/* What was level before the connection stood may have been another process at that address, and the
 * one that came after it may have begun with an old file. */
static bool can_take(const struct reader *reader)
{
    const struct backend *backend = reader->backend;
    const struct router_tuning *tuning = &reader->reads->router->settings.tuning;
    return backend_state(backend) == BACKEND_READY &&
           reader->replica->place.level_us >= reader->ready_us &&
           backend_in_flight(backend) < tuning->queue_max &&
           backend_backlog(backend) < BACKLOG_BYTES && !backend_is_stuck(backend, STUCK_US);
}

/* The connection for replies in this protocol, made when it is needed first. */
static struct reader *reader_of(struct replica_reads *reads, struct replica *replica,
                                unsigned char protocol)
{
    struct reader **reader = &replica->readers[protocol < 3 ? 0 : 1];
    if (*reader == NULL) {
        *reader = reader_new(reads, replica, protocol < 3 ? 2 : 3);
    }
    return *reader;
}

/* Null: none that is to be read has shown that it is level, or has time. */
static struct reader *find_reader(struct replica_reads *reads, unsigned shard,
                                  unsigned char protocol)
{
    struct group *group = &reads->groups[shard];
    for (unsigned i = 0; i < group->count; i++) {
        struct replica *replica = reads->replicas[group->first + group->turn++ % group->count];
        if (!replica->place.is_chosen || !is_level(reads, replica->place.level_us)) {
            continue;
        }
        struct reader *reader = reader_of(reads, replica, protocol);
        if (can_take(reader)) {
            return reader;
        }
    }
    return NULL;
}

bool replica_reads_send(struct replica_reads *reads, struct request *request, unsigned shard,
                        struct slice bytes)
{
    bool is_current =
        reads->groups != NULL && reads->epoch == reads->router->snapshot->topology->epoch;
    struct reader *reader = is_current ? find_reader(reads, shard, request->protocol) : NULL;
    if (reader == NULL) {
        return false;
    }
    struct request *read = request_take(reads->shared.pool);
    read->owner = request;
    read->sender = reader;
    read->on_reply = on_read;
    read->command = request->command;
    router_keep_bytes(request, bytes);
    request->attempts++;
    /* Before the backend puts down that it has to write: one write for both. */
    loop_at_turn_end(reads->shared.loop, &reader->proof_task);
    backend_send(reader->backend, read, buffer_slice(&request->bytes));
    return true;
}

/* --- replicas -------------------------------------------------------------------------------- */

static void replica_free(struct replica *replica)
{
    if (replica != NULL) {
        reader_free(replica->readers[0]);
        reader_free(replica->readers[1]);
        mem_free(replica);
    }
}

static struct replica *take_replica(struct replica_reads *reads, const struct replica_place *place)
{
    for (unsigned i = 0; i < reads->nreplicas; i++) {
        struct replica *replica = reads->replicas[i];
        if (replica != NULL && replica->place.shard == place->shard &&
            endpoint_equal(&replica->place.endpoint, &place->endpoint)) {
            reads->replicas[i] = NULL;
            return replica;
        }
    }
    return mem_zalloc(sizeof(struct replica));
}

static void free_all(struct replica **replicas, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        replica_free(replicas[i]);
    }
    mem_free(replicas);
}

void replica_reads_take(struct replica_reads *reads, const struct replica_list *list)
{
    const struct snapshot *snapshot = reads->router->snapshot;
    if (snapshot == NULL || list->epoch != snapshot->topology->epoch) {
        return;
    }
    unsigned nshards = snapshot->topology->nshards;
    struct replica **replicas = mem_alloc((list->count + 1) * sizeof(struct replica *));
    mem_free(reads->groups);
    reads->groups = mem_zalloc(nshards * sizeof(*reads->groups));
    reads->epoch = list->epoch;
    for (unsigned i = 0; i < list->count; i++) {
        const struct replica_place *place = &list->places[i];
        ASSERT(place->shard < nshards);
        struct group *group = &reads->groups[place->shard];
        group->first = group->count++ == 0 ? i : group->first;
        replicas[i] = take_replica(reads, place);
        replicas[i]->place = *place;
    }
    struct replica **older = reads->replicas;
    unsigned nolder = reads->nreplicas;
    reads->replicas = replicas;
    reads->nreplicas = list->count;
    free_all(older, nolder); /* what they were asked goes elsewhere, but to no replica */
}

void replica_reads_adopt(struct replica_reads *reads)
{
    struct replica **older = reads->replicas;
    unsigned nolder = reads->nreplicas;
    mem_free(reads->groups);
    reads->groups = NULL;
    reads->replicas = NULL;
    reads->nreplicas = 0;
    free_all(older, nolder);
}

/* --- life ------------------------------------------------------------------------------------ */

struct replica_reads *replica_reads_new(struct router *router)
{
    struct replica_reads *reads = mem_zalloc(sizeof(*reads));
    reads->router = router;
    reads->shared = router->settings.backend;
    replica_reads_tune(reads);
    return reads;
}

void replica_reads_free(struct replica_reads *reads)
{
    if (reads != NULL) {
        replica_reads_adopt(reads);
        mem_free(reads);
    }
}

/* What comes later than the bound could not be passed on. */
void replica_reads_tune(struct replica_reads *reads)
{
    const struct router_tuning *tuning = &reads->router->settings.tuning;
    reads->shared.timeout_us = tuning->replica_lag_max_us < tuning->shard_timeout_us
                                   ? tuning->replica_lag_max_us
                                   : tuning->shard_timeout_us;
    reads->shared.connect_timeout_us = tuning->connect_timeout_us;
}

void replica_reads_tick(struct replica_reads *reads)
{
    uint64_t now = router_now_us(reads->router);
    for (unsigned i = 0; i < reads->nreplicas; i++) {
        for (unsigned j = 0; j < 2; j++) {
            const struct reader *reader = reads->replicas[i]->readers[j];
            if (reader != NULL) {
                backend_tick(reader->backend, now);
            }
        }
    }
}
