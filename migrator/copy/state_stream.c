#include "migrator/copy/state_stream.h"

#include "lib/base/assert.h"

static enum copy_status ask(struct state_stream *stream)
{
    struct copy_pair *pair = stream->pair;
    struct key_group keys = state_next_group(pair, stream->reading, stream->keys, stream->next);
    struct state_both *group = &stream->groups[(stream->first + stream->asked) % STREAM_GROUPS];
    stream->next += keys.count;
    stream->asked++;
    if (stream->with_copy) {
        return state_append_both(pair, stream->reading, &keys, group);
    }
    state_append(pair, false, stream->reading, &keys, &group->authority);
    return pair_flush(pair, false);
}

static enum copy_status ask_for_more(struct state_stream *stream)
{
    enum copy_status status = COPY_OK;
    while (status == COPY_OK && stream->asked < STREAM_ASKED &&
           stream->next < stream->keys->count) {
        status = ask(stream);
    }
    return status;
}

static void give_back(struct state_both **group)
{
    if (*group != NULL) {
        state_both_free(*group);
        *group = NULL;
    }
}

/* The oldest that was asked for becomes the caller's. */
static void shift(struct state_stream *stream)
{
    give_back(&stream->before);
    stream->before = stream->taken;
    stream->taken = NULL;
    if (stream->asked > 0) {
        stream->taken = &stream->groups[stream->first];
        stream->first = (stream->first + 1) % STREAM_GROUPS;
        stream->asked--;
    }
}

static enum copy_status take(struct state_stream *stream, struct state_both *group)
{
    return stream->with_copy ? state_take_both(stream->pair, group)
                             : state_take(stream->pair, &group->authority);
}

enum copy_status state_stream_start(struct state_stream *stream, struct copy_pair *pair,
                                    const struct key_list *keys, enum state_reading reading,
                                    bool with_copy)
{
    ASSERT(stream->asked == 0 && stream->taken == NULL);
    stream->pair = pair;
    stream->keys = keys;
    stream->reading = reading;
    stream->with_copy = with_copy;
    stream->next = 0;
    stream->first = 0;
    return ask_for_more(stream);
}

enum copy_status state_stream_next(struct state_stream *stream, struct state_both **group)
{
    *group = NULL;
    shift(stream);
    if (stream->taken == NULL) {
        return COPY_OK;
    }
    enum copy_status status = take(stream, stream->taken);
    if (status == COPY_OK) {
        *group = stream->taken;
        status = ask_for_more(stream);
    }
    return status;
}

void state_stream_stop(struct state_stream *stream)
{
    while (stream->asked > 0) {
        struct copy_failure failure = stream->pair->failure;
        shift(stream);
        (void)take(stream, stream->taken); /* nobody wants it any more */
        stream->pair->failure = failure;
    }
    give_back(&stream->before);
    give_back(&stream->taken);
}
