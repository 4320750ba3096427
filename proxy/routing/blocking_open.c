/* XREAD's "$": the last id of the stream when the command is called. It is asked for once, so that
 * what is added while the command goes from one shard to another is not missed. */
#include "lib/resp/writer.h"
#include "proxy/routing/blocking_internal.h"
#include "proxy/routing/reply_cursor.h"

#define NO_STREAM "0-0"

/* From the reply to XINFO STREAM. False: it is an error, which XREAD would have given as well. */
static bool last_id(struct slice info, struct slice *id)
{
    struct slice value;
    if (slice_starts_with(reply_error(info), SLICE("ERR no such key"))) {
        *id = SLICE(NO_STREAM);
        return true;
    }
    return reply_field(info, "last-generated-id", &value) && reply_bulk(value, id);
}

/* Writes the command anew. False: *error is what the client is to be told. */
static bool fill_in(struct blocking *blocking, struct slice reply, struct buffer *bytes,
                    struct slice *error)
{
    const struct wait_command *form = &blocking->form;
    struct slice elements, info, id;
    *error = reply;
    if (reply_array(reply, &elements) < 0) {
        return false;
    }
    write_array(bytes, blocking->argc);
    for (unsigned i = 0; i < blocking->argc; i++) {
        bool is_open =
            i >= form->first_id && wait_command_is_open(form, blocking->argv, i - form->first_id);
        id = blocking->argv[i];
        if (is_open && (!reply_next(&elements, &info) || !last_id(info, &id))) {
            *error = info;
            return false;
        }
        write_bulk(bytes, id);
    }
    return true;
}

static void on_opened(struct request *exchange)
{
    struct blocking *blocking = exchange->owner;
    struct buffer bytes;
    struct slice error;
    blocking_end_exchange(blocking);
    buffer_init(&bytes, SIZE_MAX);
    if (blocking->request == NULL) {
        blocking_free(blocking);
    } else if (fill_in(blocking, buffer_slice(&exchange->reply), &bytes, &error)) {
        blocking_set_command(blocking, buffer_slice(&bytes));
        blocking_decide(blocking);
    } else {
        blocking_answer(blocking, error);
    }
    buffer_fini(&bytes);
    request_give(router_pool(exchange->sender), exchange);
}

void blocking_open(struct blocking *blocking)
{
    struct request *exchange = blocking_take_exchange(blocking, BLOCKING_OPENING);
    const struct wait_command *form = &blocking->form;
    unsigned count = 0;
    exchange->done = on_opened;
    for (unsigned key = 0; key < form->nkeys; key++) {
        if (wait_command_is_open(form, blocking->argv, key)) {
            const struct slice ask[] = {SLICE("XINFO"), SLICE("STREAM"),
                                        blocking->argv[form->first_key + key]};
            write_command(&exchange->bytes, ask, 3);
            count++;
        }
    }
    exchange->unit = unit_new(count, NULL);
    router_dispatch(blocking->router, exchange, buffer_slice(&exchange->bytes));
}
