#include "lib/shard/reply.h"

#include <hiredis/hiredis.h>

#include "lib/base/arena.h"
#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/shard/reply_reader.h"

/* No shard is asked for more; a header of a few bytes takes no more than that much memory. */
#define ELEMENTS_MAX (1 << 20)

struct shard_reply {
    enum reply_type type;

    union {
        int64_t integer;
        struct slice text;

        struct {
            struct shard_reply *elements;
            size_t count;
        };
    };
};

/* In its own arena. */
struct whole {
    struct shard_reply reply; /* first: its address is the whole's */
    struct arena arena;
};

struct reply_reader {
    redisReader *reader;
    struct whole *whole; /* being read; hiredis has it, too */
};

static struct whole *whole_new(void)
{
    struct arena arena = {NULL};
    struct whole *whole = arena_cut(&arena, sizeof(*whole));
    whole->arena = arena;
    return whole;
}

void shard_reply_free(struct shard_reply *reply)
{
    if (reply != NULL) {
        struct arena arena = ((struct whole *)reply)->arena;
        arena_free(&arena);
    }
}

/* --- what hiredis calls ----------------------------------------------------------------------- */

/* The place of a value: the whole's own, or that of an element. */
static struct shard_reply *place_of(const redisReadTask *task)
{
    struct reply_reader *reader = task->privdata;
    if (task->parent == NULL) {
        reader->whole = whole_new();
        return &reader->whole->reply;
    }
    const struct shard_reply *parent = task->parent->obj;
    return &parent->elements[task->idx];
}

static void *create_string(const redisReadTask *task, char *bytes, size_t length)
{
    struct shard_reply *reply = place_of(task);
    const struct reply_reader *reader = task->privdata;
    const char *copy = arena_text(&reader->whole->arena, (struct slice){bytes, length});
    reply->type = task->type == REDIS_REPLY_STATUS  ? REPLY_STATUS
                  : task->type == REDIS_REPLY_ERROR ? REPLY_ERROR
                                                    : REPLY_BULK;
    reply->text = (struct slice){copy, length};
    return reply;
}

#if HIREDIS_MAJOR < 1
typedef int element_count;
#else
typedef size_t element_count;

/* RESP3's, which nobody asks a shard for: an error. */
static void *refuse_double(const redisReadTask *task, double value, char *text, size_t length)
{
    (void)task, (void)value, (void)text, (void)length;
    return NULL;
}

static void *refuse_bool(const redisReadTask *task, int value)
{
    (void)task, (void)value;
    return NULL;
}
#endif

static void *create_array(const redisReadTask *task, element_count count)
{
    if (count > ELEMENTS_MAX) {
        return NULL; /* hiredis: out of memory */
    }
    struct shard_reply *reply = place_of(task);
    const struct reply_reader *reader = task->privdata;
    reply->type = REPLY_ARRAY;
    reply->count = (size_t)count;
    reply->elements = arena_cut(&reader->whole->arena, reply->count * sizeof(*reply->elements));
    return reply;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    struct shard_reply *reply = place_of(task);
    reply->type = REPLY_INTEGER;
    reply->integer = value;
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    struct shard_reply *reply = place_of(task);
    reply->type = REPLY_NIL;
    return reply;
}

static void free_whole(void *reply)
{
    shard_reply_free(reply);
}

/* --- the reader ------------------------------------------------------------------------------- */

struct reply_reader *reply_reader_new(void)
{
    static redisReplyObjectFunctions functions = {
        .createString = create_string,
        .createArray = create_array,
        .createInteger = create_integer,
        .createNil = create_nil,
#if HIREDIS_MAJOR >= 1
        .createDouble = refuse_double,
        .createBool = refuse_bool,
#endif
        .freeObject = free_whole,
    };
    struct reply_reader *reader = mem_zalloc(sizeof(*reader));
    reader->reader = redisReaderCreateWithFunctions(&functions);
    ASSERT(reader->reader != NULL);
    reader->reader->privdata = reader;
    return reader;
}

void reply_reader_free(struct reply_reader *reader)
{
    if (reader != NULL) {
        redisReaderFree(reader->reader);
        mem_free(reader);
    }
}

bool reply_reader_feed(struct reply_reader *reader, const char *bytes, size_t count)
{
    return redisReaderFeed(reader->reader, bytes, count) == REDIS_OK;
}

bool reply_reader_next(struct reply_reader *reader, struct shard_reply **reply)
{
    void *whole = NULL;
    bool is_good = redisReaderGetReply(reader->reader, &whole) == REDIS_OK;
    *reply = is_good ? whole : NULL;
    return is_good;
}

const char *reply_reader_why(const struct reply_reader *reader)
{
    return reader->reader->errstr;
}

/* --- looking at one --------------------------------------------------------------------------- */

enum reply_type shard_reply_type(const struct shard_reply *reply)
{
    return reply->type;
}

int64_t shard_reply_integer(const struct shard_reply *reply)
{
    return reply->type == REPLY_INTEGER ? reply->integer : 0;
}

struct slice shard_reply_text(const struct shard_reply *reply)
{
    bool has_text =
        reply->type == REPLY_STATUS || reply->type == REPLY_ERROR || reply->type == REPLY_BULK;
    return has_text ? reply->text : SLICE("");
}

size_t shard_reply_count(const struct shard_reply *reply)
{
    return reply->type == REPLY_ARRAY ? reply->count : 0;
}

const struct shard_reply *shard_reply_at(const struct shard_reply *reply, size_t index)
{
    ASSERT(index < shard_reply_count(reply));
    return &reply->elements[index];
}
