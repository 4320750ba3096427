#include "proxy/client/local_queue.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"
#include "proxy/routing/reply_cursor.h"

/* INFO is short to ask and long to answer: EXEC's array is bounded by how many there may be. */
#define COMMANDS_MAX 1024u
#define BYTES_MAX    ((size_t)1 << 20)

struct local_queue {
    struct buffer bytes; /* the commands, one behind the other */
    unsigned count;

    struct {
        unsigned place;
        const struct command_info *info;
    } commands[COMMANDS_MAX];
};

struct local_queue *local_queue_new(void)
{
    struct local_queue *queue = mem_zalloc(sizeof(*queue));
    buffer_init(&queue->bytes, SIZE_MAX); /* local_queue_add keeps to BYTES_MAX */
    return queue;
}

void local_queue_free(struct local_queue *queue)
{
    if (queue != NULL) {
        buffer_fini(&queue->bytes);
        mem_free(queue);
    }
}

static bool changes_protocol(const struct client *client, const struct command *command)
{
    int64_t protocol;
    return command->argc > 1 && number_parse_i64(command->argv[1], &protocol) &&
           protocol != client->protocol;
}

bool local_queue_takes(const struct client *client, const struct command_info *info,
                       const struct command *command)
{
    switch (info->handler) {
    case HANDLER_SELECT:
    case HANDLER_AUTH:
    case HANDLER_INFO:
    case HANDLER_CONFIG:
    case HANDLER_ACL:
    case HANDLER_ROLE:
        return true;
    case HANDLER_SUBSCRIBE:
    case HANDLER_UNSUBSCRIBE:
        return client->reply_mode ==
               REPLY_ON; /* its confirmations would be answered all the same */
    case HANDLER_CLIENT:
        return strcmp(info->name, "client|reply") != 0;
    case HANDLER_HELLO:
        return !changes_protocol(client, command);
    default:
        return false;
    }
}

bool local_queue_add(struct local_queue *queue, unsigned place, const struct command_info *info,
                     const struct command *command)
{
    if (queue->count == COMMANDS_MAX ||
        command->raw.len > BYTES_MAX - buffer_length(&queue->bytes)) {
        return false;
    }
    ASSERT(queue->count == 0 || queue->commands[queue->count - 1].place < place);
    queue->commands[queue->count].place = place;
    queue->commands[queue->count].info = info;
    queue->count++;
    write_command(&queue->bytes, command->argv, command->argc);
    return true;
}

unsigned local_queue_count(const struct local_queue *queue)
{
    return queue != NULL ? queue->count : 0;
}

/* Executes the command at the front of the bytes. */
static void run_next(struct client *client, const struct command_info *info,
                     struct command_parser *parser, struct slice *bytes, struct buffer *out)
{
    struct command command;
    enum parse_status status = command_parse(parser, bytes->data, bytes->len, &command);
    ASSERT(status == PARSE_OK);
    local_write(client, info, out, &command);
    bytes->data += command.raw.len;
    bytes->len -= command.raw.len;
}

void local_queue_run(const struct local_queue *queue, struct client *client, struct slice replies,
                     uint64_t count, struct buffer *out)
{
    struct slice bytes = buffer_slice(&queue->bytes), value;
    struct command_parser parser; /* the client's own may be within a command */
    unsigned next = 0;
    command_parser_init(&parser, UINT64_MAX);
    write_array(out, count + queue->count);
    for (unsigned place = 0; place < count + queue->count; place++) {
        if (next < queue->count && queue->commands[next].place == place) {
            run_next(client, queue->commands[next].info, &parser, &bytes, out);
            next++;
        } else {
            bool is_there = reply_next(&replies, &value);
            ASSERT(is_there);
            buffer_add(out, value.data, value.len);
        }
    }
    command_parser_fini(&parser);
}
