#include "migrator/copy/scanner.h"

#include <stdio.h>

/* A page costs the shard well below a millisecond. */
#define PAGE_KEYS   500u
#define NUMBER_TEXT 12

void scanner_init(struct scanner *scanner)
{
    *scanner = (struct scanner){.cursor = "0"};
}

enum copy_status scanner_measure(struct copy_pair *pair, bool on_copy, const struct key_list *keys)
{
    struct shard_link *link = pair_side(pair, on_copy)->link;
    for (size_t i = 0; i < keys->count; i++) {
        struct slice argv[] = {SLICE("MEMORY"), SLICE("USAGE"), key_list_at(keys, i)};
        shard_append(link, argv, 3);
    }
    enum copy_status status = keys->count > 0 ? pair_flush(pair, on_copy) : COPY_OK;
    for (size_t i = 0; i < keys->count && !shard_is_broken(link); i++) {
        struct shard_reply *reply = pair_take(pair, on_copy, "MEMORY USAGE");
        if (reply == NULL) {
            status = COPY_FAILED;
            continue;
        }
        uint64_t size_bytes = (uint64_t)shard_reply_integer(reply);
        shard_reply_free(reply);
        if (size_bytes > pair->large_key_bytes && pair->hooks->large != NULL) {
            pair->hooks->large(pair->hooks->context, key_list_at(keys, i), size_bytes);
        }
    }
    return shard_is_broken(link) ? COPY_FAILED : status;
}

static void keep_ours(const struct copy_pair *pair, const struct shard_reply *names,
                      struct key_list *keys)
{
    for (size_t i = 0; i < shard_reply_count(names); i++) {
        struct slice key = shard_reply_text(shard_reply_at(names, i));
        if (pair_has_key(pair, key)) {
            key_list_add(keys, key);
        }
    }
}

void scanner_append(const struct scanner *scanner, struct copy_pair *pair, bool on_copy)
{
    char count[NUMBER_TEXT];
    (void)snprintf(count, sizeof(count), "%u", pair_step(pair, PAGE_KEYS));
    struct slice argv[] = {SLICE("SCAN"), slice_of(scanner->cursor), SLICE("COUNT"),
                           slice_of(count)};
    shard_append(pair_side(pair, on_copy)->link, argv, 4);
}

enum copy_status scanner_take(struct scanner *scanner, struct copy_pair *pair, bool on_copy,
                              struct key_list *keys)
{
    key_list_clear(keys);
    struct shard_reply *reply = pair_take(pair, on_copy, "SCAN");
    if (reply == NULL) {
        return COPY_FAILED;
    }
    struct slice cursor = shard_reply_text(shard_reply_at(reply, 0));
    (void)snprintf(scanner->cursor, sizeof(scanner->cursor), "%.*s", (int)cursor.len, cursor.data);
    scanner->is_done = slice_equal(cursor, SLICE("0"));
    keep_ours(pair, shard_reply_at(reply, 1), keys);
    shard_reply_free(reply);
    return COPY_OK;
}

enum copy_status scanner_next(struct scanner *scanner, struct copy_pair *pair, bool on_copy,
                              struct key_list *keys)
{
    scanner_append(scanner, pair, on_copy);
    return scanner_take(scanner, pair, on_copy, keys);
}
