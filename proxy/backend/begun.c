/* A request that is sent piece by piece; see backend.h.
 *
 * What makes it safe to end it at any time: a shard executes a command when it has its last byte,
 * and forgets what it has of it when the connection ends. So `begun` stays set until that byte has
 * been handed to the kernel, and until then nothing of the request can have been executed. */
#include "lib/base/assert.h"
#include "proxy/backend/backend_internal.h"

void backend_send_begun(struct backend *backend, struct request *request, struct slice bytes)
{
    ASSERT(backend->in_flight.count == 0 && backend->events.on_written != NULL);
    backend_send(backend, request, bytes);
    backend->begun = request;
    backend->has_begun_last = false;
}

void backend_send_more(struct backend *backend, struct slice bytes, bool is_last)
{
    uint64_t now = loop_now_us(backend->shared->loop);
    ASSERT(backend->begun != NULL && !backend->has_begun_last);
    if (buffer_length(&backend->out) == 0) {
        backend->progress_us = now; /* it had nothing to do */
    }
    backend_append(backend, bytes);
    backend->appended = backend->written + buffer_length(&backend->out);
    backend->has_begun_last = is_last;
    if (is_last) {
        backend->begun->sent_at_us = now; /* its latency is the shard's, not the client's */
    }
}

void backend_begun_is_written(struct backend *backend)
{
    if (backend->has_begun_last) {
        backend->begun = NULL;
    } else {
        backend->events.on_written(backend->events.context, backend);
    }
}

bool backend_waits_for_more(const struct backend *backend)
{
    return backend->begun != NULL && buffer_length(&backend->out) == 0;
}

bool backend_has_begun(const struct backend *backend)
{
    return backend->begun != NULL;
}
