#include "proxy/routing/fanout.h"

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/base/random.h"
#include "lib/resp/writer.h"
#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "proxy/routing/reply_cursor.h"
#include "proxy/routing/router_internal.h"
#include "proxy/routing/scatter.h"
#include "proxy/routing/visible.h"

/* Each asks the shards, perhaps more than once, and answers the client's request. */
struct fanout {
    struct router *router;
    struct request *request; /* its bytes are the command, where they are needed again */
    unsigned draws;          /* of RANDOMKEY */
};

static struct fanout *fanout_new(struct router *router, struct request *request)
{
    struct fanout *fanout = mem_alloc(sizeof(*fanout));
    *fanout = (struct fanout){.router = router, .request = request};
    return fanout;
}

static void finish(struct fanout *fanout)
{
    struct request *request = fanout->request;
    mem_free(fanout);
    router_answer(request);
}

/* True: some shard failed, and the client has its error. */
static bool fails(struct fanout *fanout, const struct scatter *scatter, unsigned command,
                  enum response_policy policy)
{
    struct request *request = fanout->request;
    unsigned count = scatter_shards(scatter);
    struct shard_answer *answers = scatter_answers(scatter, command);
    const struct shard_answer *failure = aggregate_failure(policy, answers, count);
    bool has_failed = failure != NULL;
    if (has_failed) {
        request->is_error = true;
        bool is_half_done = aggregate_error(failure, answers, count,
                                            (request->command->flags & COMMAND_READONLY) == 0,
                                            request_answer(request));
        counter_add(&router_counters(fanout->router)->errors_unknown, is_half_done ? 1 : 0);
        finish(fanout);
    }
    mem_free(answers);
    return has_failed;
}

/* --- by policy ------------------------------------------------------------------------------- */

void fanout_any_shard(struct router *router, struct request *request, struct slice bytes)
{
    request->slot = SLOT_NONE;
    request->shard = router_usable_shard(router);
    router_dispatch(router, request, bytes);
}

static void on_all_shards(void *context, const struct scatter *scatter)
{
    struct fanout *fanout = context;
    struct request *request = fanout->request;
    enum response_policy policy = request->command->response_policy;
    if (fails(fanout, scatter, 0, policy)) {
        return;
    }
    struct shard_answer *answers = scatter_answers(scatter, 0);
    aggregate(policy, answers, scatter_shards(scatter), request_answer(request));
    mem_free(answers);
    finish(fanout);
}

void fanout_all_shards(struct router *router, struct request *request, struct slice bytes)
{
    scatter_send(router, request, &bytes, 1, on_all_shards, fanout_new(router, request));
}

/* --- texts ----------------------------------------------------------------------------------- */

static void on_texts(void *context, const struct scatter *scatter);

static void ask_texts(struct fanout *fanout)
{
    struct slice bytes = buffer_slice(&fanout->request->bytes);
    scatter_send(fanout->router, fanout->request, &bytes, 1, on_texts, fanout);
}

/* A shard that has nothing to tell says so with an error, which is its text. */
static void add_text(struct buffer *texts, const char *shard, struct slice reply)
{
    struct slice text = reply_error(reply);
    if (text.len == 0 && !reply_bulk(reply, &text) && !reply_verbatim(reply, &text)) {
        text = SLICE("(not a text)");
    }
    buffer_printf(texts, "%s# shard %s\n", buffer_length(texts) > 0 ? "\n" : "", shard);
    buffer_add(texts, text.data, text.len);
    bool ends_line = text.len > 0 && text.data[text.len - 1] == '\n';
    buffer_add_text(texts, ends_line ? "" : "\n");
}

static void on_texts(void *context, const struct scatter *scatter)
{
    struct fanout *fanout = context;
    const struct topology *topology = router_snapshot(fanout->router)->topology;
    struct buffer texts;
    if (scatter_is_outdated(scatter)) {
        ask_texts(fanout); /* each time needs another change */
        return;
    }
    if (fails(fanout, scatter, 0, RESPONSE_ONE_SUCCEEDED)) {
        return;
    }
    buffer_init(&texts, SIZE_MAX);
    for (unsigned i = 0; i < scatter_shards(scatter); i++) {
        add_text(&texts, topology->shards[i].name, scatter_answer(scatter, i, 0).reply);
    }
    write_verbatim(request_answer(fanout->request), fanout->request->protocol,
                   buffer_slice(&texts));
    buffer_fini(&texts);
    finish(fanout);
}

void fanout_texts(struct router *router, struct request *request, struct slice bytes)
{
    router_keep_bytes(request, bytes);
    ask_texts(fanout_new(router, request));
}

/* --- KEYS ------------------------------------------------------------------------------------ */

static void on_keys(void *context, const struct scatter *scatter);

static void ask_keys(struct fanout *fanout)
{
    struct slice bytes = buffer_slice(&fanout->request->bytes);
    scatter_send(fanout->router, fanout->request, &bytes, 1, on_keys, fanout);
}

static void on_keys(void *context, const struct scatter *scatter)
{
    struct fanout *fanout = context;
    struct buffer keys, *out = request_answer(fanout->request);
    struct slice elements;
    uint64_t count = 0;
    if (scatter_is_outdated(scatter)) {
        ask_keys(fanout); /* each time needs another change */
        return;
    }
    if (fails(fanout, scatter, 0, RESPONSE_DEFAULT)) {
        return;
    }
    buffer_init(&keys, SIZE_MAX);
    for (unsigned i = 0; i < scatter_shards(scatter); i++) {
        if (reply_array(scatter_answer(scatter, i, 0).reply, &elements) > 0) {
            count += add_visible_keys(router_snapshot(fanout->router), i, elements, &keys);
        }
    }
    write_array(out, count);
    buffer_add(out, buffer_slice(&keys).data, buffer_length(&keys));
    buffer_fini(&keys);
    finish(fanout);
}

void fanout_keys(struct router *router, struct request *request, struct slice bytes)
{
    router_keep_bytes(request, bytes);
    ask_keys(fanout_new(router, request));
}

/* --- DBSIZE ---------------------------------------------------------------------------------- */

/* EXISTS of everything that Sluice may keep on a shard now. */
static void write_own_keys(const struct topology *topology, struct buffer *out)
{
    struct metadata_names names;
    write_array(out, 1 + METADATA_LASTING + 6 * (uint64_t)topology->nmigrations);
    write_bulk(out, SLICE("EXISTS"));
    write_bulk(out, SLICE(METADATA_FENCE));
    write_bulk(out, SLICE(METADATA_SCRIPTS));
    for (unsigned i = 0; i < topology->nmigrations; i++) {
        const struct migration *migration = &topology->migrations[i];
        for (unsigned j = 0; j < 2; j++) {
            metadata_names_of(migration->id, migration->base,
                              j == 0 ? DIRECTION_FORWARD : DIRECTION_REVERSE, &names);
            write_bulk(out, slice_of(names.seq));
            write_bulk(out, slice_of(names.dirty));
            write_bulk(out, slice_of(names.ver));
        }
    }
}

/* Keys of clients on a shard, from its answers to DBSIZE and to write_own_keys. Copies count. */
static uint64_t client_keys(const struct scatter *scatter, unsigned shard)
{
    int64_t all, own;
    bool is_counted = reply_integer(scatter_answer(scatter, shard, 0).reply, &all) &&
                      reply_integer(scatter_answer(scatter, shard, 1).reply, &own);
    return is_counted && all > own ? (uint64_t)(all - own) : 0;
}

/* DBSIZE, what is to be subtracted, and perhaps another command. */
static void ask_sizes(struct fanout *fanout, const struct slice *more, scatter_fn *done)
{
    struct buffer own;
    buffer_init(&own, SIZE_MAX);
    write_own_keys(router_snapshot(fanout->router)->topology, &own);
    struct slice commands[3] = {SLICE("*1\r\n$6\r\nDBSIZE\r\n"), buffer_slice(&own)};
    if (more != NULL) {
        commands[2] = *more;
    }
    scatter_send(fanout->router, fanout->request, commands, more != NULL ? 3 : 2, done, fanout);
    buffer_fini(&own);
}

static void on_dbsize(void *context, const struct scatter *scatter)
{
    struct fanout *fanout = context;
    uint64_t sum = 0;
    if (scatter_is_outdated(scatter)) {
        ask_sizes(fanout, NULL, on_dbsize);
        return;
    }
    if (fails(fanout, scatter, 0, RESPONSE_AGG_SUM) ||
        fails(fanout, scatter, 1, RESPONSE_AGG_SUM)) {
        return;
    }
    for (unsigned i = 0; i < scatter_shards(scatter); i++) {
        sum += client_keys(scatter, i);
    }
    write_integer(request_answer(fanout->request), (int64_t)sum);
    finish(fanout);
}

void fanout_dbsize(struct router *router, struct request *request)
{
    ask_sizes(fanout_new(router, request), NULL, on_dbsize);
}

/* --- RANDOMKEY ------------------------------------------------------------------------------- */

#define DRAWS_MAX 64 /* a shard draws what is hidden as well: so often in a row it does not */

/* Each shard has drawn a key, and the shards are drawn by their sizes; null: none drew one that
 * clients may see. */
static bool draw(struct fanout *fanout, const struct scatter *scatter, struct slice *key)
{
    uint64_t seen = 0;
    struct slice drawn;
    for (unsigned i = 0; i < scatter_shards(scatter); i++) {
        uint64_t size = client_keys(scatter, i);
        if (size > 0 && reply_bulk(scatter_answer(scatter, i, 2).reply, &drawn) &&
            key_is_visible(router_snapshot(fanout->router), i, drawn)) {
            seen += size;
            *key = random_system() % seen < size ? drawn : *key;
        }
    }
    return seen > 0;
}

static bool is_empty(const struct scatter *scatter)
{
    for (unsigned i = 0; i < scatter_shards(scatter); i++) {
        if (client_keys(scatter, i) > 0) {
            return false;
        }
    }
    return true;
}

static void on_randomkey(void *context, const struct scatter *scatter);

static void ask_randomkey(struct fanout *fanout)
{
    struct slice bytes = buffer_slice(&fanout->request->bytes);
    ask_sizes(fanout, &bytes, on_randomkey);
}

static void on_randomkey(void *context, const struct scatter *scatter)
{
    struct fanout *fanout = context;
    struct slice key = SLICE("");
    if (scatter_is_outdated(scatter)) {
        ask_randomkey(fanout);
        return;
    }
    if (fails(fanout, scatter, 0, RESPONSE_AGG_SUM) ||
        fails(fanout, scatter, 1, RESPONSE_AGG_SUM) ||
        fails(fanout, scatter, 2, RESPONSE_DEFAULT)) {
        return;
    }
    if (draw(fanout, scatter, &key)) {
        write_bulk(request_answer(fanout->request), key);
    } else if (is_empty(scatter) || ++fanout->draws >= DRAWS_MAX) {
        write_null(request_answer(fanout->request), fanout->request->protocol);
    } else {
        ask_randomkey(fanout);
        return;
    }
    finish(fanout);
}

void fanout_randomkey(struct router *router, struct request *request, struct slice bytes)
{
    router_keep_bytes(request, bytes);
    ask_randomkey(fanout_new(router, request));
}

/* --- FLUSHALL, FLUSHDB ----------------------------------------------------------------------- */

/* Only one database exists, so both are the same. */
static void write_flush(struct buffer *out, struct slice mode, uint64_t epoch)
{
    char digits[20];
    const struct slice argv[] = {SLICE("EVAL"),
                                 script_text(SCRIPT_FLUSH),
                                 SLICE("2"),
                                 SLICE(METADATA_FENCE),
                                 SLICE(METADATA_SCRIPTS),
                                 mode,
                                 {digits, number_format_u64(digits, epoch)}};
    write_command(out, argv, sizeof(argv) / sizeof(argv[0]));
}

void fanout_flush(struct router *router, struct request *request, const struct command *command)
{
    const struct topology *topology = router_snapshot(router)->topology;
    struct slice mode = command->argc > 1 ? command->argv[1] : SLICE("");
    bool is_mode = command->argc == 1 || slice_equal_nocase(mode, SLICE("SYNC")) ||
                   slice_equal_nocase(mode, SLICE("ASYNC"));
    if (!is_mode || command->argc > 2) {
        router_answer_error(request, "ERR syntax error");
        return;
    }
    if (topology->nmigrations > 0 || topology->ndebts > 0) {
        router_answer_error(request, "ERR a migration is open: finalize or abort it first");
        return;
    }
    buffer_clear(&request->bytes);
    write_flush(&request->bytes, mode, topology->epoch);
    fanout_all_shards(router, request, buffer_slice(&request->bytes));
}
