/* What is said on a new connection before a client's request may use it; see backend.h. */
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "lib/shard/credentials.h"
#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "proxy/backend/backend_internal.h"

static struct request *greeting_request(struct backend *backend, request_fn *on_reply)
{
    struct request *request = request_take(backend->shared->pool);
    request->owner = backend;
    request->on_reply = on_reply;
    return request;
}

static bool has_replied(const struct request *request)
{
    return request->outcome == OUTCOME_REPLY;
}

static void give(struct request *request)
{
    const struct backend *backend = request->owner;
    request_give(backend->shared->pool, request);
}

/* --- third: what the data path needs works, and its scripts are there ----------------------- */

static void on_prepared(struct request *request)
{
    struct backend *backend = request->owner;
    struct slice reply = buffer_slice(&request->reply);
    static const struct slice multi_exec = {"+OK\r\n*0\r\n", 9};
    if (has_replied(request)) {
        backend->has_multi = slice_starts_with(reply, multi_exec);
        if (!backend->has_multi) {
            log_warn("shard refuses MULTI shard=%s", backend->name);
        }
        backend_become_ready(backend);
    }
    give(request);
}

static void prepare(struct backend *backend)
{
    const struct slice load[] = {SLICE("SCRIPT"), SLICE("LOAD"), script_text(SCRIPT_APPLY)};
    struct buffer *out = backend_begin(backend);
    buffer_add_text(out, "*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\n");
    write_command(out, load, 3);
    backend_commit(backend, greeting_request(backend, on_prepared), 3);
}

/* --- second: hello, alone ------------------------------------------------------------------- */

static void refuse(struct backend *backend, struct slice reply)
{
    const struct backend_hello *hello = &backend->shared->hello;
    bool is_fenced = slice_starts_with(reply, SLICE("-FENCED"));
    bool is_unfenced = slice_starts_with(reply, SLICE("-UNFENCED"));
    backend->refusal = is_fenced ? REFUSAL_FENCED : is_unfenced ? REFUSAL_UNFENCED : REFUSAL_OTHER;
    int length = reply.len > 2 ? (int)reply.len - 2 : 0;
    log_info("shard refused hello shard=%s answer=\"%.*s\"", backend->name, length, reply.data);
    backend_lose(backend, "hello was refused");
    if (backend->is_freed) {
        return; /* by what has just been told */
    }
    if (is_fenced) {
        hello->on_fenced(hello->context);
    } else if (is_unfenced) {
        hello->on_unfenced(hello->context, backend->name);
    }
}

/* Nothing is sent before this answer. Model: HELLOPIPE. */
static void on_hello(struct request *request)
{
    struct backend *backend = request->owner;
    if (has_replied(request)) {
        if (request->is_error) {
            refuse(backend, buffer_slice(&request->reply));
        } else if (backend->on_value != NULL) {
            backend_become_ready(backend); /* it will write nothing */
        } else {
            prepare(backend);
        }
    }
    give(request);
}

static void say_hello(struct backend *backend)
{
    const struct backend_hello *hello = &backend->shared->hello;
    char epoch[20], connection[20];
    struct slice epoch_text = {epoch, number_format_u64(epoch, hello->epoch(hello->context))};
    struct slice id_text = {connection, number_format_u64(connection, backend->connection_id)};
    const struct slice argv[] = {SLICE("EVAL"),
                                 script_text(SCRIPT_HELLO),
                                 SLICE("1"),
                                 SLICE(METADATA_FENCE),
                                 slice_of(backend->identity.run_id),
                                 slice_of(backend->identity.replid),
                                 epoch_text,
                                 slice_of(backend->shared->peer),
                                 id_text};
    write_command(backend_begin(backend), argv, sizeof(argv) / sizeof(argv[0]));
    backend_commit(backend, greeting_request(backend, on_hello), 1);
}

/* --- first: a name that the barrier finds in CLIENT LIST, the id that it kills, the protocol -- */

static bool has_password(void)
{
    return shard_credentials()->password.len > 0;
}

/* "+OK" of AUTH, "+OK", ":id", and in RESP3 what HELLO says: a map. */
static bool read_connection_id(const struct backend *backend, struct slice reply, uint64_t *id)
{
    const struct slice named = has_password() ? SLICE("+OK\r\n+OK\r\n:") : SLICE("+OK\r\n:");
    const char *end = slice_starts_with(reply, named)
                          ? memchr(reply.data + named.len, '\r', reply.len - named.len)
                          : NULL;
    if (end == NULL) {
        return false;
    }
    struct slice digits = {reply.data + named.len, (size_t)(end - reply.data) - named.len};
    struct slice rest = {end + 2, reply.len - (size_t)(end - reply.data) - 2};
    bool is_greeted = backend->protocol == 3 ? slice_starts_with(rest, SLICE("%")) : rest.len == 0;
    return is_greeted && number_parse_u64(digits, id);
}

/* Of the replies the first that is an error, without its '-'; empty: none is. */
static struct slice find_error(struct slice replies)
{
    while (replies.len > 0 && replies.data[0] != '-') {
        const char *end = memchr(replies.data, '\n', replies.len);
        size_t length = end != NULL ? (size_t)(end - replies.data) + 1 : replies.len;
        replies = (struct slice){replies.data + length, replies.len - length};
    }
    const char *end = replies.len > 0 ? memchr(replies.data, '\r', replies.len) : NULL;
    return end != NULL ? (struct slice){replies.data + 1, (size_t)(end - replies.data) - 1}
                       : SLICE("");
}

/* Said once for a shard that stays so: a wrong password, or too few rights. */
static void be_refused(struct backend *backend, struct slice replies)
{
    struct slice why = find_error(replies);
    if (backend->failures == 0) {
        log_warn("shard does not let this proxy in shard=%s why=\"%.*s\"", backend->name,
                 (int)why.len, why.data);
    }
    backend->refusal = REFUSAL_OTHER;
    backend_lose(backend, "AUTH, CLIENT SETNAME, CLIENT ID or HELLO failed");
}

static void on_named(struct request *request)
{
    struct backend *backend = request->owner;
    if (has_replied(request)) {
        if (!read_connection_id(backend, buffer_slice(&request->reply), &backend->connection_id)) {
            be_refused(backend, buffer_slice(&request->reply));
        } else if (backend->greeting == GREETING_NAMED) {
            backend_become_ready(backend);
        } else {
            say_hello(backend);
        }
    }
    give(request);
}

void backend_greet(struct backend *backend)
{
    char name[sizeof(backend->shared->peer) + 8];
    int length = snprintf(name, sizeof(name), "sluice:%s", backend->shared->peer);
    const struct slice setname[] = {SLICE("CLIENT"), SLICE("SETNAME"), {name, (size_t)length}};
    const struct slice id[] = {SLICE("CLIENT"), SLICE("ID")};
    const struct slice auth[] = {SLICE("AUTH"), shard_credentials()->user,
                                 shard_credentials()->password};
    struct buffer *out = backend_begin(backend);
    uint32_t replies = 2;
    if (has_password()) {
        write_command(out, auth, 3);
        replies++;
    }
    write_command(out, setname, 3);
    write_command(out, id, 2);
    if (backend->protocol == 3) {
        buffer_add_text(out, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n");
        replies++;
    }
    backend_commit(backend, greeting_request(backend, on_named), replies);
}
