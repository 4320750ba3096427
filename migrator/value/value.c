#include "migrator/value/value.h"

#include "lib/base/assert.h"
#include "migrator/value/encoding.h"
#include "migrator/value/value_internal.h"

#define SUMMARY_PURPOSE UINT64_C(0x76616c7565)
#define KEY_PURPOSE     UINT64_C(0x6b6579)

static const char *const type_names[] = {
    [VALUE_STRING] = "string", [VALUE_LIST] = "list", [VALUE_SET] = "set",
    [VALUE_ZSET] = "zset",     [VALUE_HASH] = "hash", [VALUE_STREAM] = "stream",
    [VALUE_OPAQUE] = "opaque",
};

static const char *type_name(enum value_type type)
{
    ASSERT(type <= VALUE_OPAQUE);
    return type_names[type];
}

static void finish(enum value_type type, const struct value_fold *fold,
                   struct value_summary *summary)
{
    const uint64_t numbers[] = {type, fold->elements, fold->sum.low, fold->sum.high};
    *summary = (struct value_summary){.type = type,
                                      .digest = digest_numbers(SUMMARY_PURPOSE, numbers, 4),
                                      .elements = fold->elements};
}

static bool read_body(const struct encoding *encoding, struct slice body, struct value_fold *fold,
                      struct error *err)
{
    struct dump_reader reader;
    dump_reader_init(&reader, (struct slice){body.data + 1, body.len - 1});
    bool is_read = encoding->read(encoding, &reader, fold);
    if (is_read && dump_left(&reader) > 0) {
        is_read = dump_fail(&reader, "there are bytes behind its end");
    }
    if (!is_read) {
        ASSERT(reader.problem != NULL);
        (void)error_set(err, "cannot read a DUMP payload of %zu bytes, a %s (%s): %s", body.len,
                        type_name(encoding->type), encoding->name, reader.problem);
    }
    dump_reader_fini(&reader);
    return is_read;
}

bool value_summarize_body(struct slice body, struct value_summary *summary, struct error *err)
{
    if (body.len == 0) {
        return error_set(err, "cannot read a DUMP payload: it has no type");
    }
    struct value_fold fold = {0};
    const struct encoding *encoding = encoding_of((unsigned char)body.data[0]);
    if (encoding == NULL) {
        fold_unordered(&fold, digest_text(body));
        finish(VALUE_OPAQUE, &fold, summary);
        return true;
    }
    if (!read_body(encoding, body, &fold, err)) {
        return false;
    }
    finish(encoding->type, &fold, summary);
    return true;
}

bool value_summarize(struct slice dump, struct value_summary *summary, struct error *err)
{
    struct slice body = {0};
    return dump_open(dump, &body, err) && value_summarize_body(body, summary, err);
}

void value_summarize_string(struct slice text, struct value_summary *summary)
{
    struct value_fold fold = {0};
    fold_unordered(&fold, digest_text(text));
    finish(VALUE_STRING, &fold, summary);
}

bool value_equal(struct slice dump_a, struct slice dump_b, bool *equal, struct error *err)
{
    if (slice_equal(dump_a, dump_b)) {
        *equal = true;
        return true;
    }
    struct value_summary a = {0};
    struct value_summary b = {0};
    if (!value_summarize(dump_a, &a, err) || !value_summarize(dump_b, &b, err)) {
        return false;
    }
    *equal = a.type == b.type && value_digest_equal(a.digest, b.digest);
    return true;
}

struct value_digest value_key_digest(struct slice key, const struct value_summary *summary,
                                     int64_t expires_at_ms)
{
    struct value_digest name = digest_text(key);
    const uint64_t numbers[] = {name.low,
                                name.high,
                                summary->type,
                                summary->digest.low,
                                summary->digest.high,
                                (uint64_t)expires_at_ms};
    return digest_numbers(KEY_PURPOSE, numbers, 6);
}
