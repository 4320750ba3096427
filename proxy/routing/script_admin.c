#include "proxy/routing/script_admin.h"

#include <ctype.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "proxy/routing/fanout.h"
#include "proxy/routing/router_internal.h"
#include "proxy/routing/scatter.h"
#include "proxy/routing/script_memory.h"
#include "proxy/routing/script_supply.h"

struct admin {
    struct router *router;
    struct request *request; /* its bytes are what is sent next */
    char sha[SHA1_HEX_LENGTH + 1];
};

static struct admin *admin_new(struct router *router, struct request *request)
{
    struct admin *admin = mem_zalloc(sizeof(*admin));
    admin->router = router;
    admin->request = request;
    buffer_clear(&request->bytes);
    return admin;
}

static void finish(struct admin *admin)
{
    struct request *request = admin->request;
    mem_free(admin);
    router_answer(request);
}

static void ask(struct admin *admin, scatter_fn *done)
{
    struct slice bytes = buffer_slice(&admin->request->bytes);
    scatter_send(admin->router, admin->request, &bytes, 1, done, admin);
}

/* Answers with the failure if there is one. */
static bool fails(struct admin *admin, const struct scatter *scatter, enum response_policy policy)
{
    unsigned count = scatter_shards(scatter);
    struct shard_answer *answers = scatter_answers(scatter, 0);
    const struct shard_answer *failure = aggregate_failure(policy, answers, count);
    bool has_failed = failure != NULL;
    if (has_failed) {
        admin->request->is_error = true;
        (void)aggregate_error(failure, answers, count, true, request_answer(admin->request));
        finish(admin);
    }
    mem_free(answers);
    return has_failed;
}

/* --- LOAD ------------------------------------------------------------------------------------ */

/* A shard that cannot keep it (no memory) has it all the same. */
static void on_kept(void *context, const struct scatter *scatter)
{
    struct admin *admin = context;
    (void)scatter;
    write_bulk(request_answer(admin->request), slice_of(admin->sha));
    finish(admin);
}

static void on_loaded(void *context, const struct scatter *scatter)
{
    struct admin *admin = context;
    if (fails(admin, scatter, RESPONSE_ONE_SUCCEEDED)) {
        return;
    }
    for (unsigned i = 0; i < scatter_shards(scatter) && !scatter_is_outdated(scatter); i++) {
        if (!scatter_answer(scatter, i, 0).is_error) {
            script_note_loaded(admin->router, i, slice_of(admin->sha));
        }
    }
    /* Kept, now that it is known to compile. */
    struct command command;
    struct slice bytes = buffer_slice(&admin->request->bytes);
    struct buffer keep;
    enum parse_status status =
        command_parse(&admin->router->parser, bytes.data, bytes.len, &command);
    ASSERT(status == PARSE_OK);
    buffer_init(&keep, SIZE_MAX);
    supply_write_keep(&keep, command.argv[2]);
    struct slice keep_bytes = buffer_slice(&keep);
    scatter_send(admin->router, admin->request, &keep_bytes, 1, on_kept, admin);
    buffer_fini(&keep);
}

static void script_load(struct router *router, struct request *request,
                        const struct command *command)
{
    struct admin *admin = admin_new(router, request);
    sha1_hex(command->argv[2], admin->sha);
    supply_write_load(&request->bytes, command->argv[2]);
    ask(admin, on_loaded);
}

/* --- EXISTS ---------------------------------------------------------------------------------- */

/* Each shard answers for all names with one list: the bodies' lengths, 0 for those it lacks. */
static void on_exists(void *context, const struct scatter *scatter)
{
    struct admin *admin = context;
    if (fails(admin, scatter, RESPONSE_ALL_SUCCEEDED)) {
        return;
    }
    struct shard_answer *answers = scatter_answers(scatter, 0);
    aggregate(RESPONSE_AGG_LOGICAL_OR, answers, scatter_shards(scatter),
              request_answer(admin->request));
    mem_free(answers);
    finish(admin);
}

static void script_exists(struct router *router, struct request *request,
                          const struct command *command)
{
    static const char existing[] = "#!lua flags=no-writes,allow-oom,allow-stale\n"
                                   "local found = {}\n"
                                   "for i = 1, #ARGV do\n"
                                   "    found[i] = redis.call('HEXISTS', KEYS[1], ARGV[i])\n"
                                   "end\n"
                                   "return found";
    struct admin *admin = admin_new(router, request);
    struct buffer *out = &request->bytes;
    write_array(out, 4 + (uint64_t)command->argc - 2);
    write_bulk(out, SLICE("EVAL_RO"));
    write_bulk(out, SLICE(existing));
    write_bulk(out, SLICE("1"));
    write_bulk(out, SLICE(METADATA_SCRIPTS));
    for (unsigned i = 2; i < command->argc; i++) {
        char sha[SHA1_HEX_LENGTH];
        struct slice name = command->argv[i];
        for (size_t j = 0; j < name.len && j < sizeof(sha); j++) {
            sha[j] = (char)tolower((unsigned char)name.data[j]);
        }
        write_bulk(out, name.len == sizeof(sha) ? (struct slice){sha, sizeof(sha)} : name);
    }
    ask(admin, on_exists);
}

/* --- FLUSH ----------------------------------------------------------------------------------- */

static void on_flushed(void *context, const struct scatter *scatter)
{
    struct admin *admin = context;
    if (fails(admin, scatter, RESPONSE_ALL_SUCCEEDED)) {
        return;
    }
    write_status(request_answer(admin->request), "OK");
    finish(admin);
}

/* Behind it comes what the mirrors use, or each worker's next one would fail. */
static void on_unkept(void *context, const struct scatter *scatter)
{
    struct admin *admin = context;
    if (fails(admin, scatter, RESPONSE_ALL_SUCCEEDED)) {
        return;
    }
    struct buffer load;
    buffer_init(&load, SIZE_MAX);
    supply_write_load(&load, script_text(SCRIPT_APPLY));
    const struct slice commands[] = {buffer_slice(&admin->request->bytes), buffer_slice(&load)};
    script_forget_all(admin->router);
    scatter_send(admin->router, admin->request, commands, 2, on_flushed, admin);
    buffer_fini(&load);
}

/* What is kept goes first: else a script that is flushed would be loaded again from there. */
static void script_flush(struct router *router, struct request *request,
                         const struct command *command)
{
    static const struct slice unkeep[] = {{"UNLINK", 6},
                                          {METADATA_SCRIPTS, sizeof(METADATA_SCRIPTS) - 1}};
    bool is_valid = command->argc == 2 ||
                    (command->argc == 3 && (slice_equal_nocase(command->argv[2], SLICE("SYNC")) ||
                                            slice_equal_nocase(command->argv[2], SLICE("ASYNC"))));
    if (!is_valid) {
        /* Written anew: Redis may read an inline command otherwise than we do, and close. */
        write_command(&request->bytes, command->argv, command->argc);
        fanout_any_shard(router, request, buffer_slice(&request->bytes)); /* which refuses it */
        return;
    }
    struct admin *admin = admin_new(router, request);
    struct buffer unlink;
    write_command(&request->bytes, command->argv, command->argc);
    buffer_init(&unlink, SIZE_MAX);
    write_command(&unlink, unkeep, 2);
    struct slice bytes = buffer_slice(&unlink);
    scatter_send(router, request, &bytes, 1, on_unkept, admin);
    buffer_fini(&unlink);
}

void script_admin_dispatch(struct router *router, struct request *request,
                           const struct command *command)
{
    switch (request->command->handler) {
    case HANDLER_SCRIPT_LOAD:
        script_load(router, request, command);
        break;
    case HANDLER_SCRIPT_EXISTS:
        script_exists(router, request, command);
        break;
    default:
        ASSERT(request->command->handler == HANDLER_SCRIPT_FLUSH);
        script_flush(router, request, command);
        break;
    }
}
