#include "proxy/control/publisher.h"

#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/framer.h"
#include "lib/resp/writer.h"
#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "proxy/control/replication_info.h"
#include "proxy/control/survey.h"

#define LOOK_US 300000u /* how long a shard that lost its fence is served at most, about */

struct kill {
    struct kill *next;
    unsigned worker;
    struct shard_identity process;
    uint64_t connection_id;
    bool is_sent;
};

struct publisher {
    const struct backend_shared *shared;
    struct publisher_events events;
    struct backend *backend;
    struct topology_shard shard;
    unsigned nworkers;
    uint64_t *drained;    /* by worker: the epoch it has drained here */
    uint64_t published;   /* on the present connection */
    uint64_t publishing;  /* sent, not answered; 0: none */
    uint64_t asked_at_us; /* when the fence was last looked at, by publishing */
    struct kill *kills;
    struct fleet_facts facts; /* valid when has_facts */
    bool has_facts, is_surveying;
    uint64_t replication_asked_us; /* 0: not under way */
    uint64_t replication_epoch;    /* that was adopted then */
};

static struct request *take_request(struct publisher *publisher, request_fn *on_reply)
{
    struct request *request = request_take(publisher->shared->pool);
    request->owner = publisher;
    request->on_reply = on_reply;
    return request;
}

static void give(const struct publisher *publisher, struct request *request)
{
    request_give(publisher->shared->pool, request);
}

/* --- publishing ------------------------------------------------------------------------------ */

static void publish(struct publisher *publisher);
static void send_publish(struct publisher *publisher, uint64_t epoch);

/* Of all workers. Model: EARLYPUB. */
static uint64_t drained_by_all(const struct publisher *publisher)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < publisher->nworkers; i++) {
        least = publisher->drained[i] < least ? publisher->drained[i] : least;
    }
    return least;
}

/* FLUSHALL from outside, say. An open connection would be served by it for ever. */
static void lose_fence(struct publisher *publisher)
{
    publisher->events.on_fence_lost(publisher->events.context, publisher->shard.name);
    backend_expel(publisher->backend);
    publisher->events.on_unfenced(publisher->events.context, publisher->shard.name);
}

static void on_published(struct request *request)
{
    struct publisher *publisher = request->owner;
    uint64_t epoch = publisher->publishing;
    struct slice reply = buffer_slice(&request->reply);
    bool has_reply = request->outcome == OUTCOME_REPLY;
    /* READONLY: somebody made a replica of it, whose reads grow old. */
    bool is_unfenced = has_reply && (slice_starts_with(reply, SLICE("-UNFENCED")) ||
                                     slice_starts_with(reply, SLICE("-READONLY")));
    bool is_published = has_reply && !request->is_error;
    publisher->publishing = 0;
    if (has_reply && request->is_error) {
        /* Unfenced; or a barrier removed this peer and kills the connection: hello says the rest.
         */
        log_info("publish refused shard=%s answer=\"%.*s\"", publisher->shard.name,
                 (int)reply.len - 2, reply.data);
    }
    give(publisher, request);
    if (is_published) {
        publisher->published = epoch;
        publish(publisher); /* another may have come meanwhile */
    } else if (is_unfenced) {
        lose_fence(publisher); /* last: it may end in an adoption without this shard */
    }
}

static void publish(struct publisher *publisher)
{
    uint64_t epoch = drained_by_all(publisher);
    if (epoch > publisher->published) {
        send_publish(publisher, epoch);
    }
}

static void send_publish(struct publisher *publisher, uint64_t epoch)
{
    char digits[20];
    if (publisher->publishing != 0 || backend_state(publisher->backend) != BACKEND_READY) {
        return;
    }
    publisher->publishing = epoch;
    publisher->asked_at_us = loop_now_us(publisher->shared->loop);
    const struct slice argv[] = {SLICE("EVAL"),
                                 script_text(SCRIPT_PUBLISH),
                                 SLICE("1"),
                                 SLICE(METADATA_FENCE),
                                 slice_of(publisher->shard.identity.run_id),
                                 slice_of(publisher->shard.identity.replid),
                                 {digits, number_format_u64(digits, epoch)},
                                 slice_of(publisher->shared->peer)};
    write_command(backend_begin(publisher->backend), argv, sizeof(argv) / sizeof(argv[0]));
    backend_commit(publisher->backend, take_request(publisher, on_published), 1);
}

void publisher_drained(struct publisher *publisher, unsigned worker, uint64_t epoch)
{
    if (epoch > publisher->drained[worker]) {
        publisher->drained[worker] = epoch;
    }
    publish(publisher);
}

/* --- killing what was given up --------------------------------------------------------------- */

static void remove_kill(struct publisher *publisher, struct kill *kill)
{
    struct kill **link = &publisher->kills;
    while (*link != kill) {
        link = &(*link)->next;
    }
    *link = kill->next;
    publisher->events.on_killed(publisher->events.context, kill->worker, publisher->shard.name,
                                kill->connection_id);
    mem_free(kill);
}

/* Each answer belongs to the kill that was sent for it: one that was BUSY is sent again behind
 * others, so the order of the list says nothing. */
static void on_kill_answered(struct request *request)
{
    struct publisher *publisher = request->owner;
    struct kill *kill = request->work;
    struct slice reply = buffer_slice(&request->reply);
    bool is_answered =
        request->outcome == OUTCOME_REPLY &&
        (!request->is_error || slice_starts_with(reply, SLICE("-ERR No such client")));
    request->work = NULL;
    give(publisher, request);
    if (is_answered) {
        remove_kill(publisher, kill);
    } else {
        kill->is_sent = false; /* BUSY, LOADING, or the connection broke: the tick tries again */
    }
}

static void send_kill(struct publisher *publisher, struct kill *kill)
{
    char digits[20];
    const struct slice argv[] = {SLICE("CLIENT"),
                                 SLICE("KILL"),
                                 SLICE("ID"),
                                 {digits, number_format_u64(digits, kill->connection_id)}};
    kill->is_sent = true;
    write_command(backend_begin(publisher->backend), argv, 4);
    struct request *request = take_request(publisher, on_kill_answered);
    request->work = kill;
    backend_commit(publisher->backend, request, 1);
}

static void send_kills(struct publisher *publisher)
{
    struct kill *kill = publisher->kills;
    while (kill != NULL && backend_state(publisher->backend) == BACKEND_READY) {
        struct kill *next = kill->next;
        if (!kill->is_sent && !shard_identity_equal(&kill->process, &publisher->shard.identity)) {
            remove_kill(publisher, kill); /* that process is gone, and its sockets with it */
        } else if (!kill->is_sent) {
            send_kill(publisher, kill);
        }
        kill = next;
    }
}

void publisher_kill(struct publisher *publisher, unsigned worker,
                    const struct shard_identity *process, uint64_t connection_id)
{
    struct kill *kill = mem_alloc(sizeof(*kill));
    struct kill **link = &publisher->kills;
    *kill = (struct kill){NULL, worker, *process, connection_id, false};
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = kill;
    send_kills(publisher);
}

/* --- learning -------------------------------------------------------------------------------- */

static void on_learnt(struct request *request)
{
    struct publisher *publisher = request->owner;
    if (request->outcome == OUTCOME_REPLY && !request->is_error) {
        struct slice rest = buffer_slice(&request->reply);
        struct framer framer = {.values_left = 0};
        size_t used;
        enum parse_status status = framer_feed(&framer, rest.data, rest.len, &used);
        if (status == PARSE_OK) {
            publisher->events.on_learnt(publisher->events.context, (struct slice){rest.data, used},
                                        (struct slice){rest.data + used, rest.len - used});
        }
    }
    give(publisher, request);
}

static void learn(struct publisher *publisher)
{
    buffer_add_text(backend_begin(publisher->backend),
                    "*1\r\n$7\r\nCOMMAND\r\n*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n");
    backend_commit(publisher->backend, take_request(publisher, on_learnt), 2);
}

/* --- surveying ------------------------------------------------------------------------------- */

/* A process takes another replication id when its first replica attaches. The topology is to learn
 * it before that replica is promoted: it will be known by this id, and no other. */
static void on_survey_answered(struct request *request)
{
    struct publisher *publisher = request->owner;
    bool was_known = publisher->has_facts;
    bool is_other = false;
    publisher->is_surveying = false;
    if (request->outcome == OUTCOME_REPLY && !request->is_error) {
        struct slice replies = buffer_slice(&request->reply);
        struct shard_identity process = survey_identity(replies);
        is_other = !shard_identity_equal(&process, &publisher->shard.identity);
        publisher->facts = survey_read(replies);
        publisher->has_facts = true;
    }
    give(publisher, request);
    if (publisher->has_facts && !was_known) {
        publisher->events.on_surveyed(publisher->events.context);
    }
    if (is_other) {
        publisher->events.on_unfenced(publisher->events.context, publisher->shard.name);
    }
}

void publisher_survey(struct publisher *publisher)
{
    if (publisher->is_surveying || backend_state(publisher->backend) != BACKEND_READY) {
        return;
    }
    publisher->is_surveying = true;
    buffer_add_text(backend_begin(publisher->backend), survey_question);
    backend_commit(publisher->backend, take_request(publisher, on_survey_answered), SURVEY_REPLIES);
}

const struct fleet_facts *publisher_facts(const struct publisher *publisher)
{
    return publisher->has_facts ? &publisher->facts : NULL;
}

/* --- replication ----------------------------------------------------------------------------- */

static uint64_t adopted_epoch(const struct publisher *publisher)
{
    const struct backend_hello *hello = &publisher->shared->hello;
    return hello->epoch(hello->context);
}

static void on_replication(struct request *request)
{
    struct publisher *publisher = request->owner;
    uint64_t asked_us = publisher->replication_asked_us;
    publisher->replication_asked_us = 0;
    if (request->outcome == OUTCOME_REPLY && !request->is_error &&
        publisher->replication_epoch == adopted_epoch(publisher)) {
        publisher->events.on_replication(publisher->events.context,
                                         backend_index(publisher->backend), asked_us,
                                         buffer_slice(&request->reply));
    }
    give(publisher, request);
}

void publisher_ask_replication(struct publisher *publisher)
{
    if (publisher->replication_asked_us != 0 ||
        backend_state(publisher->backend) != BACKEND_READY) {
        return;
    }
    publisher->replication_asked_us = loop_now_us(publisher->shared->loop);
    publisher->replication_epoch = adopted_epoch(publisher);
    buffer_add_text(backend_begin(publisher->backend), replication_question);
    backend_commit(publisher->backend, take_request(publisher, on_replication), 1);
}

/* --- the connection -------------------------------------------------------------------------- */

static void on_ready(void *context, struct backend *backend)
{
    struct publisher *publisher = context;
    (void)backend;
    publisher->published = 0; /* a barrier may have removed the peer: say it again */
    learn(publisher);
    publisher_survey(publisher);
    send_kills(publisher);
    publish(publisher);
}

static void on_down(void *context, struct backend *backend)
{
    struct publisher *publisher = context;
    (void)backend;
    publisher->has_facts = false;
}

struct publisher *publisher_new(const struct backend_shared *shared, unsigned nworkers,
                                const struct publisher_events *events)
{
    struct publisher *publisher = mem_zalloc(sizeof(*publisher));
    /* It sends nothing that could be in flight for a slot. */
    struct backend_events backend = {
        .on_ready = on_ready, .on_down = on_down, .context = publisher};
    publisher->shared = shared;
    publisher->events = *events;
    publisher->nworkers = nworkers;
    publisher->drained = mem_zalloc(nworkers * sizeof(*publisher->drained));
    publisher->backend = backend_new(shared, &backend);
    return publisher;
}

void publisher_free(struct publisher *publisher)
{
    backend_free(publisher->backend);
    while (publisher->kills != NULL) {
        remove_kill(publisher, publisher->kills);
    }
    mem_free(publisher->drained);
    mem_free(publisher);
}

void publisher_set_target(struct publisher *publisher, unsigned index,
                          const struct topology_shard *shard, const struct endpoint *endpoint)
{
    publisher->shard = *shard;
    backend_set_target(publisher->backend, index, shard->name, endpoint, &shard->identity);
}

void publisher_retry(struct publisher *publisher)
{
    backend_retry(publisher->backend);
}

void publisher_tick(struct publisher *publisher, uint64_t now_us)
{
    backend_tick(publisher->backend, now_us);
    send_kills(publisher);
    publish(publisher);
    /* Saying it again is how the fence is looked at: it is there, and names this process. */
    if (publisher->published > 0 && now_us > publisher->asked_at_us + LOOK_US) {
        send_publish(publisher, publisher->published);
    }
}

const char *publisher_shard(const struct publisher *publisher)
{
    return publisher->shard.name;
}

bool publisher_is_ready(const struct publisher *publisher)
{
    return backend_state(publisher->backend) == BACKEND_READY;
}

uint64_t publisher_published(const struct publisher *publisher)
{
    return publisher->published;
}
