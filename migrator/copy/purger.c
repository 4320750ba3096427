#include "migrator/copy/purger.h"

#include <stdio.h>

#include "migrator/copy/scanner.h"

#define PURGE_KEYS_MAX 256u

static enum copy_status check_authority(struct copy_pair *pair)
{
    if (pair->authority.link == NULL) {
        return COPY_OK;
    }
    struct fence_state fence;
    struct error err;
    if (!fence_read(pair->authority.link, &fence, &err)) {
        return pair_fail(pair, false, FENCE_FAILED, &err);
    }
    if (!fence.exists || !shard_identity_equal(&fence.identity, pair->authority.identity)) {
        (void)error_set(&err, "%s: the fence is absent or names another process",
                        shard_address(pair->authority.link));
        return pair_fail(pair, false, FENCE_UNFENCED, &err);
    }
    return COPY_OK;
}

static unsigned purge_arguments(const struct copy_pair *pair, const struct key_list *keys,
                                size_t first, struct slice *argv)
{
    unsigned argc = 0;
    argv[argc++] = SLICE(METADATA_FENCE);
    for (size_t i = first; i < keys->count && i < first + PURGE_KEYS_MAX; i++) {
        argv[argc++] = key_list_at(keys, i);
    }
    argv[argc] = slice_of(pair->copy.identity->run_id);
    argv[argc + 1] = slice_of(pair->copy.identity->replid);
    return argc;
}

static enum copy_status purge_some(struct copy_pair *pair, const struct key_list *keys,
                                   size_t first, uint64_t *purged)
{
    struct slice argv[PURGE_KEYS_MAX + 5];
    char migration[24];
    char generation[24];
    unsigned nkeys = purge_arguments(pair, keys, first, argv);
    (void)snprintf(migration, sizeof(migration), "%llu", (unsigned long long)pair->migration);
    (void)snprintf(generation, sizeof(generation), "%llu", (unsigned long long)pair->generation);
    argv[nkeys + 2] = slice_of(migration);
    argv[nkeys + 3] = slice_of(generation);
    shard_append_script(pair->copy.link, SCRIPT_PURGE, argv, nkeys + 4, nkeys);
    if (pair_flush(pair, true) != COPY_OK) {
        return COPY_FAILED;
    }
    struct shard_reply *reply = pair_take(pair, true, "purge");
    if (reply == NULL) {
        return COPY_FAILED;
    }
    *purged += (uint64_t)shard_reply_integer(reply);
    shard_reply_free(reply);
    return COPY_OK;
}

static enum copy_status purge_page(struct copy_pair *pair, const struct key_list *keys,
                                   uint64_t *purged)
{
    enum copy_status status = keys->count > 0 ? check_authority(pair) : COPY_OK;
    for (size_t first = 0; status == COPY_OK && first < keys->count; first += PURGE_KEYS_MAX) {
        status = purge_some(pair, keys, first, purged);
    }
    return status;
}

static enum copy_status purge_walk(struct copy_pair *pair, struct key_list *keys, uint64_t *purged)
{
    struct scanner scanner;
    scanner_init(&scanner);
    enum copy_status status = check_authority(pair);
    while (status == COPY_OK && !scanner.is_done) {
        status = scanner_next(&scanner, pair, true, keys);
        if (status == COPY_OK) {
            status = purge_page(pair, keys, purged);
        }
        if (status == COPY_OK) {
            status = pair_rest(pair);
        }
        status = status == COPY_OK ? pair_check(pair) : status;
    }
    return status;
}

enum copy_status purge_run(struct copy_pair *pair, uint64_t *purged)
{
    struct key_list keys;
    key_list_init(&keys);
    uint64_t before;
    enum copy_status status;
    do {
        before = *purged;
        status = purge_walk(pair, &keys, purged);
    } while (status == COPY_OK && *purged > before);
    key_list_fini(&keys);
    return status;
}
