#include "migrator/copy/state_stream.h"

#include "lib/base/assert.h"

void state_stream_init(struct state_stream *stream, struct copy_pair *pair, bool with_copy)
{
    *stream = (struct state_stream){.pair = pair, .with_copy = with_copy};
}

static void give_back(struct state_both **group)
{
    if (*group != NULL) {
        state_both_free(*group);
        *group = NULL;
    }
}

void state_stream_fini(struct state_stream *stream)
{
    ASSERT(stream->asked == 0);
    give_back(&stream->before);
    give_back(&stream->taken);
}

bool state_stream_is_full(const struct state_stream *stream)
{
    return stream->asked == STREAM_ASKED;
}

enum copy_status state_stream_ask(struct state_stream *stream, enum state_reading reading,
                                  const struct key_group *keys)
{
    struct copy_pair *pair = stream->pair;
    struct state_both *group = &stream->groups[(stream->first + stream->asked) % STREAM_GROUPS];
    ASSERT(!state_stream_is_full(stream));
    stream->asked++;
    if (stream->with_copy) {
        return state_append_both(pair, reading, keys, group);
    }
    state_append(pair, false, reading, keys, &group->authority);
    return pair_flush(pair, false);
}

enum copy_status state_stream_take(struct state_stream *stream, struct state_both **group)
{
    ASSERT(stream->asked > 0);
    give_back(&stream->before);
    stream->before = stream->taken;
    stream->taken = *group = &stream->groups[stream->first];
    stream->first = (stream->first + 1) % STREAM_GROUPS;
    stream->asked--;
    return stream->with_copy ? state_take_both(stream->pair, *group)
                             : state_take(stream->pair, &(*group)->authority);
}
