#include "proxy/routing/wait.h"

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/routing/reply_cursor.h"
#include "proxy/routing/router_internal.h"
#include "proxy/routing/scatter.h"

#define ASK_AGAIN_US 20000u

struct wait {
    struct router *router;
    struct request *request; /* null: its client is gone */
    struct wait *next;       /* among those that ask again later */
    int64_t wanted;
    uint64_t deadline_us; /* 0: none */
    uint64_t ask_at_us;
    uint64_t *offsets; /* [noffsets] by shard: what a replica must have */
    unsigned noffsets;
    uint64_t owner_epoch; /* of the shards that the offsets belong to */
};

static void wait_free(struct wait *wait)
{
    mem_free(wait->offsets);
    mem_free(wait);
}

static void answer(struct wait *wait, int64_t replicas)
{
    struct request *request = wait->request;
    wait_free(wait);
    request->cancel = NULL;
    request->work = NULL;
    write_integer(request_answer(request), replicas);
    router_answer(request);
}

/* --- INFO replication ------------------------------------------------------------------------ */

/* The digits behind `name` in `text`. */
static bool find_number(struct slice text, struct slice name, uint64_t *number)
{
    const char *found = memmem(text.data, text.len, name.data, name.len);
    if (found == NULL) {
        return false;
    }
    struct slice digits = {found + name.len, 0};
    while (digits.data + digits.len < text.data + text.len && digits.data[digits.len] >= '0' &&
           digits.data[digits.len] <= '9') {
        digits.len++;
    }
    return number_parse_u64(digits, number);
}

/* Lines like "slave0:ip=127.0.0.1,port=7001,state=online,offset=1234,lag=0". */
static int64_t count_replicas(struct slice info, uint64_t wanted_offset)
{
    int64_t count = 0;
    while (info.len > 0) {
        const char *end = memchr(info.data, '\n', info.len);
        size_t length = end == NULL ? info.len : (size_t)(end - info.data) + 1;
        struct slice line = {info.data, length};
        uint64_t offset;
        if (slice_starts_with(line, SLICE("slave")) &&
            memmem(line.data, line.len, "state=online", 12) != NULL &&
            find_number(line, SLICE("offset="), &offset) && offset >= wanted_offset) {
            count++;
        }
        info = (struct slice){info.data + length, info.len - length};
    }
    return count;
}

/* --- asking ---------------------------------------------------------------------------------- */

static void on_info(void *context, const struct scatter *scatter);

static void ask(struct wait *wait)
{
    struct slice bytes = SLICE("*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n");
    scatter_send(wait->router, wait->request, &bytes, 1, on_info, wait);
}

/* What was written before the client asked has an offset up to the one that the shard has now. */
static void note_offsets(struct wait *wait, const struct scatter *scatter)
{
    uint64_t owner_epoch = router_snapshot(wait->router)->topology->owner_epoch;
    if (wait->offsets != NULL && wait->owner_epoch == owner_epoch) {
        return;
    }
    wait->noffsets = scatter_shards(scatter);
    wait->owner_epoch = owner_epoch;
    wait->offsets = mem_realloc(wait->offsets, wait->noffsets * sizeof(*wait->offsets));
    for (unsigned i = 0; i < wait->noffsets; i++) {
        struct slice info = scatter_answer(scatter, i, 0).reply;
        if (!find_number(info, SLICE("master_repl_offset:"), &wait->offsets[i])) {
            wait->offsets[i] = UINT64_MAX; /* the shard does not answer */
        }
    }
}

static void ask_later(struct wait *wait)
{
    struct router *router = wait->router;
    wait->ask_at_us = router_now_us(router) + ASK_AGAIN_US;
    wait->next = router->waits;
    router->waits = wait;
}

static void on_info(void *context, const struct scatter *scatter)
{
    struct wait *wait = context;
    int64_t fewest = INT64_MAX;
    if (wait->request == NULL) {
        wait_free(wait);
        return;
    }
    if (scatter_is_outdated(scatter)) {
        ask_later(wait);
        return;
    }
    note_offsets(wait, scatter);
    for (unsigned i = 0; i < wait->noffsets; i++) {
        struct shard_answer reply = scatter_answer(scatter, i, 0);
        int64_t count = reply.is_error ? 0 : count_replicas(reply.reply, wait->offsets[i]);
        fewest = count < fewest ? count : fewest;
    }
    bool is_late = wait->deadline_us != 0 && router_now_us(wait->router) >= wait->deadline_us;
    if (fewest >= wait->wanted || is_late) {
        answer(wait, fewest);
    } else {
        ask_later(wait);
    }
}

void wait_tick(struct router *router)
{
    struct wait *wait = router->waits;
    router->waits = NULL;
    while (wait != NULL) {
        struct wait *next = wait->next;
        if (wait->request == NULL) {
            wait_free(wait);
        } else if (router_now_us(router) < wait->ask_at_us) {
            wait->next = router->waits;
            router->waits = wait;
        } else {
            ask(wait);
        }
        wait = next;
    }
}

/* The shards were lost with the router; what they owe is answered by scatter already. */
void wait_forget_all(struct router *router)
{
    struct wait *wait;
    while ((wait = router->waits) != NULL) {
        router->waits = wait->next;
        if (wait->request != NULL) {
            answer(wait, 0);
        } else {
            wait_free(wait);
        }
    }
}

/* --- the client ------------------------------------------------------------------------------ */

/* The client is gone: its request is answered to nobody, and the wait ends at its next turn. */
static void cancel(struct request *request)
{
    struct wait *wait = request->work;
    wait->request = NULL;
    request->work = NULL;
    router_answer(request);
}

void wait_dispatch(struct router *router, struct request *request, const struct command *command)
{
    int64_t wanted, timeout_ms;
    if (!number_parse_i64(command->argv[1], &wanted)) {
        router_answer_error(request, "ERR value is not an integer or out of range");
        return;
    }
    if (!number_parse_i64(command->argv[2], &timeout_ms) || timeout_ms > INT64_MAX / 2000) {
        router_answer_error(request, "ERR timeout is not an integer or out of range");
        return;
    }
    if (timeout_ms < 0) {
        router_answer_error(request, "ERR timeout is negative");
        return;
    }
    struct wait *wait = mem_alloc(sizeof(*wait));
    *wait = (struct wait){.router = router, .request = request, .wanted = wanted};
    if (timeout_ms > 0) {
        wait->deadline_us = router_now_us(router) + (uint64_t)timeout_ms * 1000;
    }
    request->work = wait;
    request->cancel = cancel;
    ask(wait);
}
