#include "proxy/routing/wait.h"

#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/routing/aside.h"
#include "proxy/routing/reply_cursor.h"
#include "proxy/routing/router_internal.h"

#define SLACK_US 1000000u /* the shards keep the time; this is for one that hangs */

/* What was written before, by whomever, is waited for: any command before WAIT moves the offset
 * that it waits for to the present one. */
static const char ping[] = "*1\r\n$4\r\nPING\r\n";

/* 0: it could not be asked. */
static int64_t count_replicas(const struct request *exchange)
{
    struct slice rest = buffer_slice(&exchange->reply), pong, count;
    int64_t number;
    bool has_number = exchange->outcome == OUTCOME_REPLY && reply_next(&rest, &pong) &&
                      reply_next(&rest, &count) && reply_integer(count, &number);
    return has_number ? number : 0;
}

static void on_waited(const struct aside *aside, struct request *request)
{
    int64_t fewest = INT64_MAX;
    for (unsigned i = 0; i < aside_shards(aside); i++) {
        int64_t count = count_replicas(aside_exchange(aside, i));
        fewest = count < fewest ? count : fewest;
    }
    write_integer(request_answer(request), fewest);
}

static void send_wait(struct router *router, struct request *request, const struct command *command,
                      uint64_t deadline_us)
{
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX); /* two numbers */
    buffer_add_text(&bytes, ping);
    write_command(&bytes, command->argv, command->argc);
    aside_send(router, request, buffer_slice(&bytes), 2, deadline_us, on_waited);
    buffer_fini(&bytes);
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
    uint64_t wait_us = (uint64_t)timeout_ms * 1000 + SLACK_US;
    send_wait(router, request, command, timeout_ms > 0 ? router_now_us(router) + wait_us : 0);
}
