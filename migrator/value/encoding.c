#include "migrator/value/encoding.h"

#include <math.h>

#include "migrator/value/intset.h"
#include "migrator/value/listpack.h"
#include "migrator/value/stream_value.h"
#include "migrator/value/ziplist.h"

static bool read_string(const struct encoding *encoding, struct dump_reader *reader,
                        struct value_fold *fold)
{
    (void)encoding;
    struct element text;
    if (!dump_read_text(reader, &text)) {
        return false;
    }
    fold_unordered(fold, digest_text(element_text(&text)));
    return true;
}

static bool fold_source(const struct encoding *encoding, struct dump_reader *reader,
                        struct element_source *source, struct value_fold *fold)
{
    return encoding->fold(source, fold) || dump_fail(reader, source->problem);
}

/* A number of texts, or of pairs of them. */
static bool read_texts(const struct encoding *encoding, struct dump_reader *reader,
                       struct value_fold *fold)
{
    uint64_t texts_each = encoding->type == VALUE_HASH ? 2 : 1;
    uint64_t count;
    if (!dump_read_count(reader, texts_each, &count)) {
        return false;
    }
    struct element_source source;
    dump_texts_open(reader, count * texts_each, &source);
    return fold_source(encoding, reader, &source, fold);
}

/* All elements in one text. */
static bool read_packed(const struct encoding *encoding, struct dump_reader *reader,
                        struct value_fold *fold)
{
    struct element text;
    struct element_source source;
    if (!dump_read_text(reader, &text)) {
        return false;
    }
    if (text.is_integer || !encoding->open(&source, text.text)) {
        return dump_fail(reader, "its packed elements are damaged");
    }
    return fold_source(encoding, reader, &source, fold);
}

static bool read_ziplist_nodes(const struct encoding *encoding, struct dump_reader *reader,
                               struct value_fold *fold)
{
    uint64_t nodes;
    if (!dump_read_count(reader, 1, &nodes)) {
        return false;
    }
    for (; nodes > 0; nodes--) {
        if (!read_packed(encoding, reader, fold)) {
            return false;
        }
    }
    return true;
}

enum node_form {
    NODE_PLAIN = 1, /* one large element */
    NODE_PACKED = 2
};

static bool read_list_node(const struct encoding *encoding, struct dump_reader *reader,
                           struct value_fold *fold)
{
    uint64_t form;
    if (!dump_read_length(reader, &form)) {
        return false;
    }
    if (form == NODE_PACKED) {
        return read_packed(encoding, reader, fold);
    }
    struct element element;
    if (form != NODE_PLAIN) {
        return dump_fail(reader, "a list node has no known form");
    }
    if (!dump_read_text(reader, &element)) {
        return false;
    }
    fold_in_order(fold, digest_text(element_text(&element)));
    return true;
}

static bool read_list_nodes(const struct encoding *encoding, struct dump_reader *reader,
                            struct value_fold *fold)
{
    uint64_t nodes;
    if (!dump_read_count(reader, 2, &nodes)) {
        return false;
    }
    for (; nodes > 0; nodes--) {
        if (!read_list_node(encoding, reader, fold)) {
            return false;
        }
    }
    return true;
}

typedef bool (*read_score_fn)(struct dump_reader *reader, double *score);

static bool read_binary_score(struct dump_reader *reader, double *score)
{
    uint64_t bits;
    if (!dump_read_fixed(reader, &bits)) {
        return false;
    }
    memcpy(score, &bits, sizeof(*score));
    return true;
}

/* A length of one byte and the digits; 253 to 255 stand for what has none. */
static bool read_decimal_score(struct dump_reader *reader, double *score)
{
    unsigned length;
    struct slice digits;
    if (!dump_read_byte(reader, &length)) {
        return false;
    }
    if (length >= 253) {
        *score = length == 253 ? (double)NAN : length == 254 ? HUGE_VAL : -HUGE_VAL;
        return true;
    }
    if (!dump_read_bytes(reader, length, &digits)) {
        return false;
    }
    return fold_parse_score(digits, score) || dump_fail(reader, "a score is no number");
}

static bool read_scored(struct dump_reader *reader, read_score_fn read_score,
                        struct value_fold *fold)
{
    uint64_t count;
    if (!dump_read_count(reader, 2, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        struct element member;
        double score;
        if (!dump_read_text(reader, &member)) {
            return false;
        }
        struct value_digest digest = digest_text(element_text(&member));
        if (!read_score(reader, &score)) {
            return false;
        }
        if (!fold_scored(fold, digest, score)) {
            return dump_fail(reader, "a score is no number");
        }
    }
    return true;
}

static bool read_zset_decimal(const struct encoding *encoding, struct dump_reader *reader,
                              struct value_fold *fold)
{
    (void)encoding;
    return read_scored(reader, read_decimal_score, fold);
}

static bool read_zset_binary(const struct encoding *encoding, struct dump_reader *reader,
                             struct value_fold *fold)
{
    (void)encoding;
    return read_scored(reader, read_binary_score, fold);
}

static bool read_stream_5(const struct encoding *encoding, struct dump_reader *reader,
                          struct value_fold *fold)
{
    (void)encoding;
    return stream_value_read(reader, STREAM_FORMAT_5, fold);
}

static bool read_stream_7(const struct encoding *encoding, struct dump_reader *reader,
                          struct value_fold *fold)
{
    (void)encoding;
    return stream_value_read(reader, STREAM_FORMAT_7, fold);
}

static bool read_stream_7_2(const struct encoding *encoding, struct dump_reader *reader,
                            struct value_fold *fold)
{
    (void)encoding;
    return stream_value_read(reader, STREAM_FORMAT_7_2, fold);
}

// clang-format off
static const struct encoding encodings[] = {
    [0]  = {"text",                VALUE_STRING, read_string,        NULL,          NULL},
    [1]  = {"texts",               VALUE_LIST,   read_texts,         NULL,          fold_list},
    [2]  = {"hash table",          VALUE_SET,    read_texts,         NULL,          fold_set},
    [3]  = {"decimal scores",      VALUE_ZSET,   read_zset_decimal,  NULL,          NULL},
    [4]  = {"hash table",          VALUE_HASH,   read_texts,         NULL,          fold_hash},
    [5]  = {"binary scores",       VALUE_ZSET,   read_zset_binary,   NULL,          NULL},
    [10] = {"ziplist",             VALUE_LIST,   read_packed,        ziplist_open,  fold_list},
    [11] = {"intset",              VALUE_SET,    read_packed,        intset_open,   fold_set},
    [12] = {"ziplist",             VALUE_ZSET,   read_packed,        ziplist_open,  fold_zset},
    [13] = {"ziplist",             VALUE_HASH,   read_packed,        ziplist_open,  fold_hash},
    [14] = {"nodes of ziplists",   VALUE_LIST,   read_ziplist_nodes, ziplist_open,  fold_list},
    [15] = {"format of Redis 5",   VALUE_STREAM, read_stream_5,      NULL,          NULL},
    [16] = {"listpack",            VALUE_HASH,   read_packed,        listpack_open, fold_hash},
    [17] = {"listpack",            VALUE_ZSET,   read_packed,        listpack_open, fold_zset},
    [18] = {"nodes of listpacks",  VALUE_LIST,   read_list_nodes,    listpack_open, fold_list},
    [19] = {"format of Redis 7",   VALUE_STREAM, read_stream_7,      NULL,          NULL},
    [20] = {"listpack",            VALUE_SET,    read_packed,        listpack_open, fold_set},
    [21] = {"format of Redis 7.2", VALUE_STREAM, read_stream_7_2,    NULL,          NULL},
};

// clang-format on

const struct encoding *encoding_of(unsigned type_byte)
{
    size_t count = sizeof(encodings) / sizeof(encodings[0]);
    return type_byte < count && encodings[type_byte].read != NULL ? &encodings[type_byte] : NULL;
}
