/* SUBSCRIBE and its kin, and the messages that come of them.
 *
 *   (UN)SUBSCRIBE -> the client's sets -> subscriber: every shard -> all have confirmed -> answer
 *   message       <- in the set? an event of the key's own shard?  <- whichever shard
 *
 * The first subscription opens the connections, the end of the last closes them. The answers are
 * the proxy's own, so that their counts are the client's whichever shard was how fast. One thread.
 */
#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"
#include "proxy/pubsub/channel_set.h"
#include "proxy/pubsub/keyspace_event.h"
#include "proxy/routing/reply_cursor.h"
#include "proxy/routing/subscriber.h"

#define MESSAGE_MAX_BYTES      ((size_t)32 << 20) /* more, and a shard itself would cut us off */
#define CLIENT_NAMES_MAX_BYTES ((size_t)64 << 20)
#define TOO_MANY               "ERR too many subscriptions"

enum kind {
    KIND_CHANNEL,
    KIND_PATTERN,
    KIND_SHARD_CHANNEL,
    KINDS
};

static const struct {
    const char *subscribe, *unsubscribe;
} words[KINDS] = {
    {"subscribe", "unsubscribe"}, {"psubscribe", "punsubscribe"}, {"ssubscribe", "sunsubscribe"}};

struct subscriptions {
    struct client *client;
    struct subscriber *subscriber;
    struct channel_set sets[KINDS];
    unsigned confirming; /* commands at the front of the pipeline that the shards have to confirm */
};

/* --- the sets --------------------------------------------------------------------------------- */

static enum kind kind_of(const struct command *command)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (slice_equal_nocase(command->argv[0], slice_of(words[kind].subscribe)) ||
            slice_equal_nocase(command->argv[0], slice_of(words[kind].unsubscribe))) {
            return (enum kind)kind;
        }
    }
    ASSERT(!"a command that this file handles");
    return KINDS;
}

static unsigned count_all(const struct subscriptions *subscriptions)
{
    unsigned count = 0;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        count += subscriptions->sets[kind].count;
    }
    return count;
}

/* What Redis counts in a confirmation. */
static unsigned count_shown(const struct subscriptions *subscriptions, enum kind kind)
{
    if (subscriptions == NULL) {
        return 0;
    }
    unsigned in_shards = subscriptions->sets[KIND_SHARD_CHANNEL].count;
    return kind == KIND_SHARD_CHANNEL ? in_shards : count_all(subscriptions) - in_shards;
}

static size_t bytes_of_names(const struct subscriptions *subscriptions)
{
    size_t bytes = 0;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        bytes += subscriptions->sets[kind].bytes;
    }
    return bytes;
}

static void count_change(const struct client *client, unsigned before, unsigned after)
{
    struct counters *counters = client->host->counters;
    counter_add(&counters->subscriptions, after);
    counter_subtract(&counters->subscriptions, before);
}

/* --- what a subscribed client may do ---------------------------------------------------------- */

bool subscription_is_confirming(const struct client *client)
{
    return client->subscriptions != NULL && client->subscriptions->confirming > 0;
}

bool subscription_delays(const struct client *client, const struct command_info *info)
{
    unsigned confirming = client->subscriptions != NULL ? client->subscriptions->confirming : 0;
    if (info == NULL) {
        return false;
    }
    switch (info->handler) {
    case HANDLER_SUBSCRIBE:
        return client->pending > confirming; /* its answer tells when messages begin */
    case HANDLER_UNSUBSCRIBE:
        return client->pending > 0; /* no message that waits may come behind its answer */
    case HANDLER_RESET:
        return confirming > 0;
    default:
        return false;
    }
}

bool subscription_is_exclusive(const struct client *client)
{
    return client->subscriptions != NULL && client->protocol == 2 &&
           count_all(client->subscriptions) > 0;
}

bool subscription_forbids(const struct client *client, const struct command_info *info)
{
    if (!subscription_is_exclusive(client)) {
        return false;
    }
    switch (info->handler) {
    case HANDLER_SUBSCRIBE:
    case HANDLER_UNSUBSCRIBE:
    case HANDLER_PING:
    case HANDLER_QUIT:
    case HANDLER_RESET:
        return false;
    default:
        return true;
    }
}

void subscription_describe(const struct client *client, struct buffer *text)
{
    static const char *const labels[KINDS] = {"sub", "psub", "ssub"};
    for (unsigned kind = 0; kind < KINDS; kind++) {
        unsigned count =
            client->subscriptions != NULL ? client->subscriptions->sets[kind].count : 0;
        buffer_printf(text, " %s=%u", labels[kind], count);
    }
}

/* --- messages --------------------------------------------------------------------------------- */

struct message {
    enum kind kind;
    struct slice subscription; /* the channel, or the pattern that it fits */
    struct slice channel, text;
};

static bool take_bulk(struct slice *rest, struct slice *text)
{
    struct slice value;
    return reply_next(rest, &value) && reply_bulk(value, text);
}

static bool read_message(struct slice value, struct message *message)
{
    struct slice rest, word;
    if (reply_array(value, &rest) < 3 || !take_bulk(&rest, &word) ||
        !take_bulk(&rest, &message->subscription)) {
        return false;
    }
    message->kind = word.data[0] == 'p'   ? KIND_PATTERN
                    : word.data[0] == 's' ? KIND_SHARD_CHANNEL
                                          : KIND_CHANNEL;
    message->channel = message->subscription;
    bool has_channel = message->kind != KIND_PATTERN || take_bulk(&rest, &message->channel);
    return has_channel && take_bulk(&rest, &message->text);
}

static void on_message(void *context, unsigned shard, struct slice value)
{
    const struct subscriptions *subscriptions = context;
    struct client *client = subscriptions->client;
    struct message message;
    /* A shard may not have heard yet that the client wants it no more. */
    if (!read_message(value, &message) ||
        !channel_set_has(&subscriptions->sets[message.kind], message.subscription) ||
        !message_is_visible(router_snapshot(client->host->router), shard, message.channel,
                            message.text)) {
        return;
    }
    struct buffer *out = client_push(client);
    write_push_header(out, client->protocol, message.kind == KIND_PATTERN ? 4 : 3);
    struct slice elements;
    int64_t count = reply_array(value, &elements);
    ASSERT(count > 0);
    buffer_add(out, elements.data, elements.len);
    counter_add(&client->host->counters->messages, 1);
}

/* --- what the shards are told ----------------------------------------------------------------- */

static void write_names(struct buffer *out, const char *word, const struct buffer *names,
                        unsigned count)
{
    struct slice bulks = buffer_slice(names);
    write_array(out, 1 + (uint64_t)count);
    write_bulk(out, slice_of(word));
    buffer_add(out, bulks.data, bulks.len);
}

static unsigned on_line_ready(void *context, struct buffer *out)
{
    const struct subscriptions *subscriptions = context;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        const struct channel_set *set = &subscriptions->sets[kind];
        if (set->count == 0) {
            continue;
        }
        write_array(out, 1 + (uint64_t)set->count);
        write_bulk(out, slice_of(words[kind].subscribe));
        for (const struct channel *it = channel_set_first(set); it != NULL; it = channel_next(it)) {
            write_bulk(out, channel_name(it));
        }
    }
    return count_all(subscriptions);
}

static void say(const struct subscriptions *subscriptions, const char *word,
                const struct buffer *names, unsigned count)
{
    struct buffer command;
    if (count == 0) {
        return;
    }
    buffer_init(&command, SIZE_MAX);
    write_names(&command, word, names, count);
    subscriber_say(subscriptions->subscriber, buffer_slice(&command), count);
    buffer_fini(&command);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void write_change(struct buffer *out, const struct client *client, const char *word,
                         struct slice name, unsigned count)
{
    write_push_header(out, client->protocol, 3);
    write_bulk(out, slice_of(word));
    write_bulk(out, name);
    write_integer(out, count);
}

/* The first of the pipeline is answered. To the client's output itself: a confirmation is a push,
 * which CLIENT REPLY OFF does not keep back. */
static void answer(struct request *request, struct slice bytes)
{
    struct client *client = request->owner;
    ASSERT(request == client->first);
    buffer_add(&client->out, bytes.data, bytes.len);
    request->cancel = NULL;
    router_answer(request);
}

/* The client has gone. */
static void on_cancel(struct request *request)
{
    request->done(request);
}

/* All that wait are answered; with the error, if there is one. */
static void answer_confirming(struct subscriptions *subscriptions, const struct slice *error)
{
    struct client *client = subscriptions->client;
    for (unsigned i = 0; i < subscriptions->confirming; i++) {
        struct request *request = client->first;
        ASSERT(request != NULL && request->cancel == on_cancel);
        request->is_error = error != NULL;
        answer(request, error != NULL ? *error : buffer_slice(&request->bytes));
    }
    subscriptions->confirming = 0;
    client_flush_pushes(client);
}

static void on_settled(void *context)
{
    answer_confirming(context, NULL);
}

/* It would never hear what that shard publishes: better it knows. */
static void on_refused(void *context, struct slice error)
{
    struct subscriptions *subscriptions = context;
    answer_confirming(subscriptions, &error);
    client_drain(subscriptions->client);
}

void subscription_confirm(struct client *client, struct request *request)
{
    struct subscriptions *subscriptions = client->subscriptions;
    if (subscriptions == NULL) {
        answer(request, buffer_slice(&request->bytes));
        return;
    }
    bool has_settled = subscriber_settle(subscriptions->subscriber);
    request->cancel = on_cancel;
    subscriptions->confirming++;
    if (has_settled) {
        answer_confirming(subscriptions, NULL);
    }
}

/* --- commands --------------------------------------------------------------------------------- */

static struct subscriptions *begin(struct client *client)
{
    struct subscriptions *subscriptions = mem_zalloc(sizeof(*subscriptions));
    const struct subscriber_events events = {.on_ready = on_line_ready,
                                             .on_message = on_message,
                                             .on_settled = on_settled,
                                             .on_refused = on_refused,
                                             .context = subscriptions};
    subscriptions->client = client;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        channel_set_init(&subscriptions->sets[kind]);
    }
    client->subscriptions = subscriptions;
    counter_add(&client->host->counters->subscribers, 1);
    subscriptions->subscriber = subscriber_open(client->host->router, &events, MESSAGE_MAX_BYTES);
    return subscriptions;
}

void subscription_end(struct client *client)
{
    struct subscriptions *subscriptions = client->subscriptions;
    if (subscriptions == NULL) {
        return;
    }
    client->subscriptions = NULL;
    count_change(client, count_all(subscriptions), 0);
    counter_subtract(&client->host->counters->subscribers, 1);
    subscriber_close(subscriptions->subscriber);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        channel_set_fini(&subscriptions->sets[kind]);
    }
    mem_free(subscriptions);
}

static bool has_too_many(const struct client *client)
{
    return client->subscriptions != NULL &&
           bytes_of_names(client->subscriptions) > CLIENT_NAMES_MAX_BYTES;
}

/* Adds them to the set, says the new ones, writes the confirmations. */
static void add_names(struct client *client, const struct command *command, struct buffer *out)
{
    struct subscriptions *subscriptions =
        client->subscriptions != NULL ? client->subscriptions : begin(client);
    enum kind kind = kind_of(command);
    unsigned before = count_all(subscriptions);
    struct buffer names;
    buffer_init(&names, SIZE_MAX);
    for (unsigned i = 1; i < command->argc; i++) {
        struct slice name = command->argv[i];
        if (channel_set_add(&subscriptions->sets[kind], name)) {
            write_bulk(&names, name);
        }
        write_change(out, client, words[kind].subscribe, name, count_shown(subscriptions, kind));
    }
    unsigned after = count_all(subscriptions);
    say(subscriptions, words[kind].subscribe, &names, after - before);
    count_change(client, before, after);
    buffer_fini(&names);
}

void subscription_add(struct client *client, struct request *request, const struct command *command)
{
    if (has_too_many(client)) {
        write_error(request_answer(request), TOO_MANY);
        session_refuse(client, request);
        return;
    }
    add_names(client, command, &request->bytes);
    subscription_confirm(client, request);
}

void local_subscribe(struct client *client, struct buffer *out, const struct command *command)
{
    if (kind_of(command) == KIND_SHARD_CHANNEL) {
        write_error(out, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
    } else if (has_too_many(client)) {
        write_error(out, TOO_MANY);
    } else {
        add_names(client, command, out);
    }
}

/* Removes one, and writes its confirmation. */
static void remove_name(struct client *client, enum kind kind, struct slice name,
                        struct buffer *names, struct buffer *out)
{
    struct subscriptions *subscriptions = client->subscriptions;
    bool was_there = subscriptions != NULL && channel_set_remove(&subscriptions->sets[kind], name);
    if (was_there) {
        write_bulk(names, name);
    }
    write_change(out, client, words[kind].unsubscribe, name, count_shown(subscriptions, kind));
}

/* Without arguments: all of the kind, each with a confirmation; one without a name if there is
 * none.
 */
static void remove_all(struct client *client, enum kind kind, struct buffer *names,
                       struct buffer *out)
{
    struct subscriptions *subscriptions = client->subscriptions;
    if (subscriptions == NULL || subscriptions->sets[kind].count == 0) {
        write_push_header(out, client->protocol, 3);
        write_bulk(out, slice_of(words[kind].unsubscribe));
        write_null(out, client->protocol);
        write_integer(out, count_shown(subscriptions, kind));
        return;
    }
    while (subscriptions->sets[kind].count > 0) {
        struct slice first = channel_name(channel_set_first(&subscriptions->sets[kind]));
        char *name = mem_strndup(first.data, first.len);
        remove_name(client, kind, (struct slice){name, first.len}, names, out);
        mem_free(name);
    }
}

static void remove_names(struct client *client, const struct command *command, struct buffer *names,
                         struct buffer *out)
{
    enum kind kind = kind_of(command);
    for (unsigned i = 1; i < command->argc; i++) {
        remove_name(client, kind, command->argv[i], names, out);
    }
    if (command->argc == 1) {
        remove_all(client, kind, names, out);
    }
}

void local_unsubscribe(struct client *client, struct buffer *out, const struct command *command)
{
    struct subscriptions *subscriptions = client->subscriptions;
    unsigned before = subscriptions != NULL ? count_all(subscriptions) : 0;
    struct buffer names;
    buffer_init(&names, SIZE_MAX);
    remove_names(client, command, &names, out);
    if (subscriptions != NULL) {
        unsigned after = count_all(subscriptions);
        say(subscriptions, words[kind_of(command)].unsubscribe, &names, before - after);
        count_change(client, before, after);
    }
    buffer_fini(&names);
}

void subscription_remove(struct client *client, struct request *request,
                         const struct command *command)
{
    local_unsubscribe(client, &request->bytes, command);
    subscription_confirm(client, request);
}

void subscription_tidy(struct client *client)
{
    const struct subscriptions *subscriptions = client->subscriptions;
    if (subscriptions != NULL && subscriptions->confirming == 0 && count_all(subscriptions) == 0) {
        subscription_end(client);
    }
}
