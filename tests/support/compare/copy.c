#include "tests/support/compare/copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes being written, and a piece of them. */
struct text {
    char *data;
    size_t length, capacity;
};

struct piece {
    const char *data;
    size_t length;
};

static void add(struct text *text, const void *data, size_t length)
{
    if (text->length + length > text->capacity) {
        text->capacity = (text->length + length) * 2;
        text->data = realloc(text->data, text->capacity);
        if (text->data == NULL) {
            abort();
        }
    }
    if (length > 0) {
        memcpy(text->data + text->length, data, length);
    }
    text->length += length;
}

static void add_piece(struct text *text, struct piece piece)
{
    char head[32];
    int length = snprintf(head, sizeof(head), "%zu:", piece.length);
    add(text, head, (size_t)length);
    add(text, piece.data, piece.length);
}

/* --- replies as canonical bytes ------------------------------------------------------------- */

static void add_in_order(struct text *text, const redisReply *reply)
{
    char head[48];
    int length = 0;
    switch (reply->type) {
    case REDIS_REPLY_ARRAY:
        length = snprintf(head, sizeof(head), "*%zu", reply->elements);
        add(text, head, (size_t)length);
        for (size_t i = 0; i < reply->elements; i++) {
            add_in_order(text, reply->element[i]);
        }
        break;
    case REDIS_REPLY_INTEGER:
        length = snprintf(head, sizeof(head), "i%lld;", reply->integer);
        add(text, head, (size_t)length);
        break;
    case REDIS_REPLY_NIL:
        add(text, "n;", 2);
        break;
    default:
        add_piece(text, (struct piece){reply->str, (size_t)reply->len});
    }
}

static int compare_pieces(const void *a, const void *b)
{
    const struct piece *first = a;
    const struct piece *second = b;
    size_t shorter = first->length < second->length ? first->length : second->length;
    int order = shorter > 0 ? memcmp(first->data, second->data, shorter) : 0;
    if (order != 0) {
        return order;
    }
    return (first->length > second->length) - (first->length < second->length);
}

/* Elements in groups of `group` (1: members, 2: fields with values), sorted by the first of each.
 */
static void add_sorted(struct text *text, const redisReply *reply, size_t group)
{
    size_t count = reply->elements / group;
    struct piece *pieces = calloc(reply->elements + 1, sizeof(*pieces));
    for (size_t i = 0; pieces != NULL && i < reply->elements; i++) {
        pieces[i] = (struct piece){reply->element[i]->str, (size_t)reply->element[i]->len};
    }
    if (pieces == NULL) {
        abort();
    }
    qsort(pieces, count, group * sizeof(*pieces), compare_pieces);
    for (size_t i = 0; i < count * group; i++) {
        add_piece(text, pieces[i]);
    }
    free(pieces);
}

/* XINFO STREAM FULL, but for how the server happens to store it. */
static void add_stream_info(struct text *text, const redisReply *reply)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i];
        if (name->str != NULL && strncmp(name->str, "radix-tree", strlen("radix-tree")) != 0) {
            add_in_order(text, name);
            add_in_order(text, reply->element[i + 1]);
        }
    }
}

/* --- the commands of each type -------------------------------------------------------------- */

struct type {
    const char *name;
    const char *read[2]; /* formats with the key as %b; the second may be null */
    void (*write)(struct text *text, const redisReply *reply, unsigned which);
};

static void write_plain(struct text *text, const redisReply *reply, unsigned which)
{
    (void)which;
    add_in_order(text, reply);
}

static void write_members(struct text *text, const redisReply *reply, unsigned which)
{
    (void)which;
    add_sorted(text, reply, 1);
}

static void write_fields(struct text *text, const redisReply *reply, unsigned which)
{
    (void)which;
    add_sorted(text, reply, 2);
}

static void write_stream(struct text *text, const redisReply *reply, unsigned which)
{
    if (which == 0) {
        add_in_order(text, reply);
    } else {
        add_stream_info(text, reply);
    }
}

static const struct type types[] = {
    {"string", {"GET %b", NULL}, write_plain},
    {"list", {"LRANGE %b 0 -1", NULL}, write_plain},
    {"set", {"SMEMBERS %b", NULL}, write_members},
    {"hash", {"HGETALL %b", NULL}, write_fields},
    {"zset", {"ZRANGE %b 0 -1 WITHSCORES", NULL}, write_plain},
    {"stream", {"XRANGE %b - +", "XINFO STREAM %b FULL COUNT 0"}, write_stream},
};
static const struct type unknown_type = {"unknown", {"DUMP %b", NULL}, write_plain};

static const struct type *type_of(const struct copy *value)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i].name, value->type) == 0) {
            return &types[i];
        }
    }
    return strcmp(value->type, "none") == 0 ? NULL : &unknown_type;
}

/* --- reading -------------------------------------------------------------------------------- */

static redisReply *next_reply(redisContext *shard)
{
    void *reply = NULL;
    if (redisGetReply(shard, &reply) != REDIS_OK) {
        (void)fprintf(stderr, "compare: a shard does not answer: %s\n", shard->errstr);
        return NULL;
    }
    return reply;
}

static bool read_types(redisContext *shard, const struct key *const *keys, size_t count,
                       struct copy *values)
{
    for (size_t i = 0; i < count; i++) {
        (void)redisAppendCommand(shard, "TYPE %b", keys[i]->data, keys[i]->length);
        (void)redisAppendCommand(shard, "PEXPIRETIME %b", keys[i]->data, keys[i]->length);
    }
    for (size_t i = 0; i < count; i++) {
        redisReply *type = next_reply(shard);
        redisReply *expiry = type != NULL ? next_reply(shard) : NULL;
        if (expiry != NULL) {
            (void)snprintf(values[i].type, sizeof(values[i].type), "%s",
                           type->str != NULL ? type->str : "none");
            values[i].expires_ms = expiry->integer;
            freeReplyObject(expiry);
        }
        if (type != NULL) {
            freeReplyObject(type);
        }
        if (expiry == NULL) {
            return false;
        }
    }
    return true;
}

/* A reply of another kind than the type promised: the key changed since TYPE. */
static bool fits(const struct type *type, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR || reply->type == REDIS_REPLY_NIL) {
        return false;
    }
    return (type->write == write_plain) || reply->type == REDIS_REPLY_ARRAY;
}

static bool read_one(redisContext *shard, struct copy *value)
{
    const struct type *type = type_of(value);
    struct text text = {0};
    bool has_changed = false;
    for (unsigned which = 0; type != NULL && which < 2 && type->read[which] != NULL; which++) {
        redisReply *reply = next_reply(shard);
        if (reply == NULL) {
            free(text.data);
            return false;
        }
        if (fits(type, reply)) {
            type->write(&text, reply, which);
        } else {
            has_changed = true;
        }
        freeReplyObject(reply);
    }
    if (has_changed) {
        /* It was there at TYPE and is gone, or another type, now: "none" is true of some moment. */
        (void)snprintf(value->type, sizeof(value->type), "none");
        value->expires_ms = -2;
        text.length = 0;
    }
    value->data = text.data;
    value->length = text.length;
    return true;
}

bool copy_read(redisContext *shard, const struct key *const *keys, size_t count,
               struct copy *values)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = (struct copy){.type = "none", .expires_ms = -2};
    }
    if (!read_types(shard, keys, count, values)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct type *type = type_of(&values[i]);
        for (unsigned which = 0; type != NULL && which < 2 && type->read[which] != NULL; which++) {
            (void)redisAppendCommand(shard, type->read[which], keys[i]->data, keys[i]->length);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!read_one(shard, &values[i])) {
            return false;
        }
    }
    return true;
}

void copy_fini(struct copy *value)
{
    free(value->data);
    value->data = NULL;
}

bool copy_equal(const struct copy *a, const struct copy *b)
{
    return strcmp(a->type, b->type) == 0 && a->expires_ms == b->expires_ms &&
           a->length == b->length && (a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}
