#include "proxy/request/request.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"

#define KEPT_REQUESTS 4096u
#define KEPT_BYTES    ((size_t)2048)

bool request_has_followers(const struct request *request)
{
    while (request->origin != NULL) {
        request = request->origin;
    }
    return request->pipeline_next != NULL;
}

struct unit *unit_new(unsigned count, const struct command_info *command)
{
    struct unit *unit = mem_zalloc(sizeof(*unit));
    unit->commands = mem_alloc(count * sizeof(*unit->commands));
    unit->count = unit->capacity = count;
    for (unsigned i = 0; i < count; i++) {
        unit->commands[i] = command;
    }
    return unit;
}

void unit_free(struct unit *unit)
{
    if (unit != NULL) {
        mem_free(unit->commands);
        mem_free(unit);
    }
}

static void request_free(struct request *request)
{
    buffer_fini(&request->reply);
    buffer_fini(&request->bytes);
    mem_free(request);
}

void request_pool_fini(struct request_pool *pool)
{
    while (pool->free != NULL) {
        struct request *request = pool->free;
        pool->free = request->next;
        request_free(request);
    }
    pool->nfree = 0;
}

static struct request *request_new(void)
{
    struct request *request = mem_zalloc(sizeof(*request));
    /* What may go in here is bounded by the largest request and by what a shard answers. */
    buffer_init(&request->reply, SIZE_MAX);
    buffer_init(&request->bytes, SIZE_MAX);
    return request;
}

/* In pieces that the compiler clears with a few plain stores: for the whole it takes a string
 * instruction, which is slow to start. */
static inline void clear(struct request *request)
{
    enum {
        PIECE = 64,
        CLEARED = offsetof(struct request, reply)
    };

    static_assert(CLEARED % PIECE == 0, "else the rest is not cleared");
#pragma GCC unroll 4
    for (size_t at = 0; at < CLEARED; at += PIECE) {
        memset((char *)request + at, 0, PIECE);
    }
}

/* On the data path, and called from several places: only what is declared inline does link-time
 * optimisation put into its callers then. So is what else is inline though others call it. */
inline struct request *request_take(struct request_pool *pool)
{
    struct request *request = pool->free;
    pool->taken++;
    if (request == NULL) {
        request = request_new();
    } else {
        pool->free = request->next;
        pool->nfree--;
        clear(request);
    }
    request->sink = &request->reply;
    return request;
}

inline void request_give(struct request_pool *pool, struct request *request)
{
    ASSERT(pool->taken > 0);
    ASSERT(request->work == NULL);
    pool->taken--;
    unit_free(request->unit);
    request->unit = NULL;
    if (pool->nfree >= KEPT_REQUESTS) {
        request_free(request);
        return;
    }
    buffer_recycle(&request->reply, KEPT_BYTES);
    buffer_recycle(&request->bytes, KEPT_BYTES);
    request->next = pool->free;
    pool->free = request;
    pool->nfree++;
}

void request_queue_push(struct request_queue *queue, struct request *request)
{
    request->next = NULL;
    if (queue->last == NULL) {
        queue->first = request;
    } else {
        queue->last->next = request;
    }
    queue->last = request;
    queue->count++;
}

struct request *request_queue_pop(struct request_queue *queue)
{
    struct request *request = queue->first;
    if (request == NULL) {
        return NULL;
    }
    queue->first = request->next;
    if (queue->first == NULL) {
        queue->last = NULL;
    }
    queue->count--;
    request->next = NULL;
    return request;
}

void request_queue_append(struct request_queue *to, struct request_queue *from)
{
    if (from->first == NULL) {
        return;
    }
    if (to->last == NULL) {
        *to = *from;
    } else {
        to->last->next = from->first;
        to->last = from->last;
        to->count += from->count;
    }
    *from = (struct request_queue){.count = 0};
}
