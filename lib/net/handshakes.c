#include "lib/net/handshakes.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"

struct handshake {
    struct handshakes *all;
    struct handshake *older, *newer;
    struct stream stream;
    struct io io;
    struct timer deadline;
};

struct handshakes {
    struct loop *loop;
    struct tls_context *context;
    struct handshake_events events;
    unsigned max, count;
    struct handshake *oldest, *newest;
};

struct handshakes *handshakes_new(struct loop *loop, struct tls_context *context, unsigned max,
                                  const struct handshake_events *events)
{
    ASSERT(max > 0);
    struct handshakes *handshakes = mem_alloc(sizeof(*handshakes));
    *handshakes =
        (struct handshakes){.loop = loop, .context = context, .events = *events, .max = max};
    return handshakes;
}

static void unlink_handshake(struct handshake *handshake)
{
    struct handshakes *all = handshake->all;
    *(handshake->older != NULL ? &handshake->older->newer : &all->oldest) = handshake->newer;
    *(handshake->newer != NULL ? &handshake->newer->older : &all->newest) = handshake->older;
    all->count--;
}

/* Its stream is the caller's to close or to hand on. */
static struct stream finish(struct handshake *handshake)
{
    struct stream stream = handshake->stream;
    io_stop(&handshake->io);
    timer_stop(&handshake->deadline);
    unlink_handshake(handshake);
    mem_free(handshake);
    return stream;
}

static void give_up(struct handshake *handshake, const char *why)
{
    const struct handshakes *all = handshake->all;
    struct stream stream = finish(handshake);
    all->events.on_failed(all->events.context, why);
    stream_close(&stream);
}

static void go_on(void *context)
{
    struct handshake *handshake = context;
    const struct handshakes *all = handshake->all;
    bool wants_write;
    enum stream_result result = stream_shake_hands(&handshake->stream, &wants_write);
    if (result == STREAM_AGAIN && wants_write) {
        io_want_write(&handshake->io);
    } else if (result == STREAM_END) {
        give_up(handshake, stream_why(&handshake->stream));
    } else if (result == STREAM_OK) {
        struct stream stream = finish(handshake);
        all->events.on_done(all->events.context, &stream);
    }
}

static void on_deadline(void *context)
{
    give_up(context, "TLS: the handshake took too long");
}

void handshakes_start(struct handshakes *handshakes, int fd)
{
    if (handshakes->count == handshakes->max) {
        give_up(handshakes->oldest, "TLS: too many handshakes under way, the oldest is dropped");
    }
    struct handshake *handshake = mem_zalloc(sizeof(*handshake));
    handshake->all = handshakes;
    handshake->older = handshakes->newest;
    *(handshakes->newest != NULL ? &handshakes->newest->newer : &handshakes->oldest) = handshake;
    handshakes->newest = handshake;
    handshakes->count++;
    stream_accept_tls(&handshake->stream, fd, handshakes->context);
    io_start(&handshake->io, handshakes->loop, fd, go_on, go_on, handshake);
    timer_init(&handshake->deadline, handshakes->loop, on_deadline, handshake);
    timer_start(&handshake->deadline, HANDSHAKE_TIMEOUT_MS);
}

void handshakes_free(struct handshakes *handshakes)
{
    if (handshakes == NULL) {
        return;
    }
    while (handshakes->oldest != NULL) {
        struct stream stream = finish(handshakes->oldest);
        stream_close(&stream);
    }
    mem_free(handshakes);
}
