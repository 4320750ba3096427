#include "proxy/routing/upload.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "proxy/routing/private_lane.h"
#include "proxy/routing/router_internal.h"

#define UPLOADS_MAX  64u /* of one thread: each is a connection to a shard */
#define WINDOW_BYTES ((size_t)256 << 10)

#define CUT_SHORT    "the connection to the shard was lost before it had the whole command"
#define MOVED        "the slot changed before the shard had the whole command"

struct upload {
    struct router *router;
    struct request *request;
    struct private_lane *lane;
    bool is_whole; /* its last byte is on its way */
};

/* --- its end --------------------------------------------------------------------------------- */

static void note_whole(struct upload *upload)
{
    upload->is_whole = true;
    upload->router->nuploads--;
}

static void ignore(struct request *request)
{
    (void)request;
}

/* The request is the caller's again. */
static void end(struct upload *upload)
{
    struct request *request = upload->request;
    request->work = NULL;
    request->cancel = NULL;
    request->on_reply = ignore; /* closing the lane tells it */
    if (!upload->is_whole) {
        note_whole(upload);
    }
    private_lane_close(upload->lane);
    mem_free(upload);
}

/* An error of the shard may have begun. */
static void answer_unavailable(struct router *router, struct request *request, const char *why)
{
    buffer_clear(&request->reply);
    router_answer_unavailable(router, request, why);
}

static void on_reply(struct request *request)
{
    struct upload *upload = request->work;
    struct router *router = upload->router;
    enum outcome outcome = request->outcome;
    bool is_answer = outcome == OUTCOME_REPLY && (upload->is_whole || request->is_error);
    end(upload);
    request->outcome = outcome;
    if (is_answer) {
        request->done(request); /* an error may come early: the shard refuses to read on */
    } else if (outcome == OUTCOME_UNKNOWN) {
        router_answer_unknown(router, request);
    } else {
        answer_unavailable(router, request, CUT_SHORT);
    }
}

/* What is whole is waited for, as any write. */
static void on_stale(void *context)
{
    struct upload *upload = context;
    struct router *router = upload->router;
    struct request *request = upload->request;
    if (!upload->is_whole) {
        end(upload);
        answer_unavailable(router, request, MOVED);
    }
}

static void on_cancel(struct request *request)
{
    const struct upload *upload = request->work;
    if (!upload->is_whole) {
        upload_abandon(request);
        request->done(request);
    }
}

void upload_abandon(struct request *request)
{
    struct upload *upload = request->work;
    ASSERT(!upload->is_whole);
    end(upload);
}

/* --- its way --------------------------------------------------------------------------------- */

static void on_room(void *context)
{
    const struct upload *upload = context;
    if (upload->request->progress != NULL) {
        upload->request->progress(upload->request);
    }
}

bool upload_may_begin(const struct router *router, unsigned slot)
{
    const struct slot_entry *entry = snapshot_entry(router->snapshot, slot);
    return !entry->is_held && !entry->is_dual && entry->authority < router->nlanes &&
           router->nuploads < UPLOADS_MAX;
}

void upload_begin(struct router *router, struct request *request, struct slice bytes)
{
    struct upload *upload = mem_zalloc(sizeof(*upload));
    const struct private_lane_events events = {
        .on_stale = on_stale, .on_room = on_room, .context = upload};
    upload->router = router;
    upload->request = request;
    router->nuploads++;
    request->work = upload;
    request->cancel = on_cancel;
    request->on_reply = on_reply;
    request->sender = router;
    upload->lane =
        private_lane_open(router, request->slot, request->protocol, PRIVATE_LANE_UPLOADS, &events);
    private_lane_send(upload->lane, request, bytes);
}

bool upload_has_room(const struct request *request)
{
    const struct upload *upload = request->work;
    struct backend *backend = private_lane_backend(upload->lane);
    return private_lane_is_ready(upload->lane) && backend_backlog(backend) < WINDOW_BYTES;
}

void upload_add(struct request *request, struct slice bytes, bool is_last)
{
    struct upload *upload = request->work;
    ASSERT(!upload->is_whole);
    backend_send_more(private_lane_backend(upload->lane), bytes, is_last);
    if (is_last) {
        note_whole(upload);
    }
}
