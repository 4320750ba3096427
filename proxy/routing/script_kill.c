#include "proxy/routing/script_kill.h"

#include "proxy/routing/aside.h"
#include "proxy/routing/router_internal.h"

/* A shard begins to listen again when its script has run for busy-reply-threshold, 5 s unless it is
 * configured. */
#define WAIT_MAX_US 10000000u

static bool is_success(const struct request *exchange)
{
    return exchange->outcome == OUTCOME_REPLY && !exchange->is_error;
}

static bool has_nothing_to_kill(const struct request *exchange)
{
    return exchange->outcome == OUTCOME_REPLY &&
           slice_starts_with(buffer_slice(&exchange->reply), SLICE("-NOTBUSY"));
}

/* A success, else what kept a shard from killing, else that there was nothing to kill anywhere. */
static const struct request *choose(const struct aside *aside)
{
    const struct request *chosen = aside_exchange(aside, 0);
    for (unsigned i = 1; i < aside_shards(aside) && !is_success(chosen); i++) {
        const struct request *exchange = aside_exchange(aside, i);
        if (is_success(exchange) || has_nothing_to_kill(chosen)) {
            chosen = exchange;
        }
    }
    return chosen;
}

static void on_answered(const struct aside *aside, struct request *request)
{
    const struct request *chosen = choose(aside);
    struct slice reply = chosen->outcome == OUTCOME_REPLY
                             ? buffer_slice(&chosen->reply)
                             : SLICE("-UNAVAILABLE a shard cannot be reached; safe to retry\r\n");
    request->is_error = !is_success(chosen);
    buffer_add(request_answer(request), reply.data, reply.len);
}

void script_kill_dispatch(struct router *router, struct request *request, struct slice bytes)
{
    aside_send(router, request, bytes, 1, router_now_us(router) + WAIT_MAX_US, on_answered);
}
