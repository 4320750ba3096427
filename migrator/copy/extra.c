#include "migrator/copy/extra.h"

#include "lib/base/assert.h"
#include "migrator/copy/judge.h"
#include "migrator/copy/state.h"

/* So many pages are with the authority, while the copy finds the next one. */
#define LOOKED_UP_MAX 2u
#define PAGES         (LOOKED_UP_MAX + 1)

struct page {
    struct key_list keys;
    struct scanner behind; /* where SCAN stands behind the page */
};

struct search {
    struct copy_pair *pair;
    struct scanner reached;   /* behind the newest page */
    struct scanner walked;    /* behind the last page whose answers were taken */
    uint64_t keys_walked;     /* of such pages that are not settled */
    struct page pages[PAGES]; /* a ring; behind those looked up is the one being found */
    unsigned first, looked_up;
    bool is_scanning;
    struct key_list suspects; /* of the pages walked */
};

static void search_init(struct search *search, struct copy_pair *pair, const struct scanner *from)
{
    *search = (struct search){.pair = pair, .reached = *from, .walked = *from};
    key_list_init(&search->suspects);
    for (unsigned i = 0; i < PAGES; i++) {
        key_list_init(&search->pages[i].keys);
    }
}

static void search_fini(struct search *search)
{
    key_list_fini(&search->suspects);
    for (unsigned i = 0; i < PAGES; i++) {
        key_list_fini(&search->pages[i].keys);
    }
}

static struct page *page_being_found(struct search *search)
{
    return &search->pages[(search->first + search->looked_up) % PAGES];
}

/* The oldest of those looked up; no longer one of them. */
static struct page *leave_first(struct search *search)
{
    struct page *page = &search->pages[search->first];
    search->first = (search->first + 1) % PAGES;
    search->looked_up--;
    return page;
}

/* --- asking ----------------------------------------------------------------------------------- */

/* Nothing new is begun while there are suspects: they are judged on links at rest. */
static enum copy_status ask_scan(struct search *search)
{
    if (search->is_scanning || search->reached.is_done || search->suspects.count > 0) {
        return COPY_OK;
    }
    scanner_append(&search->reached, search->pair, true);
    search->is_scanning = true;
    return pair_flush(search->pair, true);
}

static void append_exists(struct copy_pair *pair, const struct key_group *keys)
{
    struct slice argv[1 + GROUP_KEYS_MAX] = {SLICE("EXISTS")};
    for (size_t i = 0; i < keys->count; i++) {
        argv[1 + i] = key_list_at(keys->list, keys->first + i);
    }
    shard_append(pair->authority.link, argv, 1 + (unsigned)keys->count);
}

static enum copy_status ask_authority(struct copy_pair *pair, const struct key_list *keys)
{
    for (size_t next = 0; next < keys->count; next += GROUP_KEYS_MAX) {
        struct key_group group = key_list_group(keys, next, GROUP_KEYS_MAX);
        append_exists(pair, &group);
    }
    return keys->count > 0 ? pair_flush(pair, false) : COPY_OK;
}

/* --- taking ----------------------------------------------------------------------------------- */

static enum copy_status take_scan(struct search *search)
{
    struct page *page = page_being_found(search);
    search->is_scanning = false;
    enum copy_status status = scanner_take(&search->reached, search->pair, true, &page->keys);
    if (status != COPY_OK) {
        return status;
    }
    page->behind = search->reached;
    search->looked_up++;
    return ask_authority(search->pair, &page->keys);
}

/* The keys that the authority may not have: all of a group of which it does not have all. They are
 * read again anyway. Every answer that comes is taken, to stay in step. */
static enum copy_status suspect_extra(struct search *search, const struct key_list *keys)
{
    enum copy_status status = COPY_OK;
    const struct shard_link *link = search->pair->authority.link;
    for (size_t next = 0; next < keys->count && !shard_is_broken(link); next += GROUP_KEYS_MAX) {
        struct key_group group = key_list_group(keys, next, GROUP_KEYS_MAX);
        struct shard_reply *reply = pair_take(search->pair, false, "EXISTS");
        if (reply == NULL) {
            status = COPY_FAILED;
            continue;
        }
        size_t count = (size_t)shard_reply_integer(reply);
        shard_reply_free(reply);
        for (size_t i = 0; count < group.count && i < group.count; i++) {
            key_list_add(&search->suspects, key_list_at(keys, group.first + i));
        }
    }
    return shard_is_broken(link) ? COPY_FAILED : status;
}

static enum copy_status take_answers(struct search *search)
{
    struct page *page = leave_first(search);
    enum copy_status status = suspect_extra(search, &page->keys);
    if (status == COPY_OK) {
        search->walked = page->behind;
        search->keys_walked += page->keys.count;
        status = pair_rest(search->pair);
    }
    return status;
}

/* --- the whole -------------------------------------------------------------------------------- */

static enum copy_status go_on(struct search *search, uint64_t *findings)
{
    enum copy_status status = pair_check(search->pair);
    status = status == COPY_OK ? ask_scan(search) : status;
    if (status != COPY_OK) {
        return status;
    }
    if (search->is_scanning && search->looked_up < LOOKED_UP_MAX) {
        return take_scan(search);
    }
    if (search->looked_up > 0) {
        return take_answers(search);
    }
    ASSERT(search->suspects.count > 0);
    status = judge_keys(search->pair, &search->suspects, findings);
    key_list_clear(&search->suspects);
    return status;
}

/* Takes what is outstanding, so that the links can be used again; nobody wants it any more. */
static void abandon(struct search *search)
{
    struct copy_failure failure = search->pair->failure;
    if (search->is_scanning) {
        (void)scanner_take(&search->reached, search->pair, true, &page_being_found(search)->keys);
    }
    while (search->looked_up > 0) {
        (void)suspect_extra(search, &leave_first(search)->keys);
    }
    search->pair->failure = failure;
}

/* The pages walked are done with, unless there are suspects among them. */
static void settle(struct search *search, struct scanner *over_copy, uint64_t *keys)
{
    if (search->suspects.count == 0) {
        *over_copy = search->walked;
        *keys += search->keys_walked;
        search->keys_walked = 0;
    }
}

enum copy_status extra_find(struct copy_pair *pair, struct scanner *over_copy, uint64_t *keys,
                            uint64_t *findings)
{
    struct search search;
    enum copy_status status = COPY_OK;
    search_init(&search, pair, over_copy);
    while (status == COPY_OK && !over_copy->is_done) {
        status = go_on(&search, findings);
        if (status == COPY_OK) {
            settle(&search, over_copy, keys);
        }
    }
    if (status != COPY_OK) {
        abandon(&search);
    }
    search_fini(&search);
    return status;
}
