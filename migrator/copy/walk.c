#include "migrator/copy/walk.h"

#include "lib/base/assert.h"

/* Being found, being read, being visited, and the one whose last group the copy is applying. */
#define PAGES 4u

struct page {
    struct key_list keys;
    struct key_list unread; /* of them: to be read in full */
    size_t keys_asked, keys_visited;
    size_t unread_asked, unread_visited;
    struct scanner behind; /* where SCAN stands behind the page */
    uint64_t last_visit;   /* which was its last, so far */
};

/* One walk under way. SCAN and the groups share the authority's link, and are answered in the order
 * in which they were asked for. */
struct run {
    const struct walk *walk;
    struct copy_pair *pair;
    struct scanner *position; /* behind what has been visited and settled */
    struct scanner reached;   /* behind the newest page */
    struct page pages[PAGES]; /* a ring */
    unsigned first, count;
    struct state_stream stream;
    bool is_scanning;
    unsigned before_scan; /* groups whose answers come first */
    uint64_t visits;
};

static void run_init(struct run *run, const struct walk *walk, struct scanner *position)
{
    *run =
        (struct run){.walk = walk, .pair = walk->pair, .position = position, .reached = *position};
    state_stream_init(&run->stream, walk->pair, walk->with_copy);
    for (unsigned i = 0; i < PAGES; i++) {
        key_list_init(&run->pages[i].keys);
        key_list_init(&run->pages[i].unread);
    }
}

static void run_fini(struct run *run)
{
    state_stream_fini(&run->stream);
    for (unsigned i = 0; i < PAGES; i++) {
        key_list_fini(&run->pages[i].keys);
        key_list_fini(&run->pages[i].unread);
    }
}

static struct page *page_at(struct run *run, unsigned i)
{
    return &run->pages[(run->first + i) % PAGES];
}

static bool is_visited(const struct page *page)
{
    return page->keys_visited == page->keys.count && page->unread_visited == page->unread.count;
}

static bool wants_pause(const struct run *run)
{
    return run->walk->wants_pause != NULL && run->walk->wants_pause(run->walk->context);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void ask_scan(struct run *run)
{
    scanner_append(&run->reached, run->pair, false);
    run->is_scanning = true;
    run->before_scan = run->stream.asked;
}

/* What of the page is asked for next; empty: nothing now. What was left unread waits for the
 * last of the strings, so that its groups are large. */
static struct key_group take_next_group(const struct run *run, struct page *page,
                                        enum state_reading *reading)
{
    struct key_group group = {.list = &page->keys, .count = 0};
    if (page->keys_asked < page->keys.count) {
        *reading = READ_STRINGS;
        group = state_next_group(run->pair, *reading, &page->keys, page->keys_asked);
        page->keys_asked += group.count;
    } else if (page->keys_visited == page->keys.count && page->unread_asked < page->unread.count) {
        *reading = READ_ALL;
        group = state_next_group(run->pair, *reading, &page->unread, page->unread_asked);
        page->unread_asked += group.count;
    }
    return group;
}

/* The oldest page first. */
static enum copy_status ask_group(struct run *run, bool *has_asked)
{
    *has_asked = false;
    for (unsigned i = 0; i < run->count; i++) {
        enum state_reading reading = READ_STRINGS;
        struct key_group group = take_next_group(run, page_at(run, i), &reading);
        if (group.count > 0) {
            *has_asked = true;
            return state_stream_ask(&run->stream, reading, &group);
        }
    }
    return COPY_OK;
}

static enum copy_status ask_for_more(struct run *run)
{
    enum copy_status status = COPY_OK;
    bool has_asked = true;
    if (wants_pause(run)) {
        return COPY_OK;
    }
    if (!run->is_scanning && !run->reached.is_done && run->count < PAGES) {
        ask_scan(run);
    }
    while (status == COPY_OK && has_asked && !state_stream_is_full(&run->stream)) {
        status = ask_group(run, &has_asked);
    }
    return status == COPY_OK ? pair_flush(run->pair, false) : status;
}

/* --- taking ----------------------------------------------------------------------------------- */

static enum copy_status take_scan(struct run *run)
{
    struct page *page = page_at(run, run->count);
    run->is_scanning = false;
    key_list_clear(&page->unread);
    page->keys_asked = page->keys_visited = page->unread_asked = page->unread_visited = 0;
    page->last_visit = run->visits;
    enum copy_status status = scanner_take(&run->reached, run->pair, false, &page->keys);
    if (status == COPY_OK) {
        page->behind = run->reached;
        run->count++;
    }
    return status;
}

static enum copy_status take_group(struct run *run, struct state_both **group)
{
    run->before_scan -= run->is_scanning ? 1 : 0;
    return state_stream_take(&run->stream, group);
}

static void note_visit(struct run *run, const struct state_both *group)
{
    const struct key_group *keys = &group->authority.keys;
    unsigned i = 0;
    while (keys->list != &page_at(run, i)->keys && keys->list != &page_at(run, i)->unread) {
        i++;
        ASSERT(i < run->count);
    }
    struct page *page = page_at(run, i);
    page->last_visit = ++run->visits;
    if (keys->list == &page->unread) {
        page->unread_visited += keys->count;
        return;
    }
    page->keys_visited += keys->count;
    for (size_t k = 0; k < keys->count; k++) {
        if (state_both_unread_at(group, k)) {
            key_list_add(&page->unread, key_list_at(keys->list, keys->first + k));
        }
    }
}

/* Lets go of the pages that are done with; the last visit may not be settled. */
static void leave_pages(struct run *run, bool is_settled)
{
    while (!wants_pause(run) && run->count > 0) {
        struct page *page = page_at(run, 0);
        if (!is_visited(page) || (!is_settled && page->last_visit == run->visits)) {
            return;
        }
        *run->position = page->behind;
        run->first = (run->first + 1) % PAGES;
        run->count--;
    }
}

static enum copy_status visit(struct run *run)
{
    struct state_both *group = NULL;
    enum copy_status status = take_group(run, &group);
    if (status == COPY_OK) {
        note_visit(run, group);
        status = ask_for_more(run);
    }
    status = status == COPY_OK ? run->walk->visit(run->walk->context, group) : status;
    if (status == COPY_OK) {
        leave_pages(run, false);
    }
    return status;
}

static enum copy_status settle(struct run *run)
{
    enum copy_status status =
        run->walk->settle != NULL ? run->walk->settle(run->walk->context) : COPY_OK;
    if (status == COPY_OK && wants_pause(run)) {
        status = run->walk->pause(run->walk->context);
        ASSERT(status != COPY_OK || !wants_pause(run));
    }
    if (status == COPY_OK) {
        leave_pages(run, true);
    }
    return status;
}

/* --- the whole -------------------------------------------------------------------------------- */

static enum copy_status go_on(struct run *run)
{
    enum copy_status status = pair_check(run->pair);
    status = status == COPY_OK ? ask_for_more(run) : status;
    if (status != COPY_OK) {
        return status;
    }
    if (run->is_scanning && run->before_scan == 0) {
        return take_scan(run);
    }
    return run->stream.asked > 0 ? visit(run) : settle(run);
}

/* Takes what is outstanding, so that the links can be used again; nobody wants it any more. */
static void abandon(struct run *run)
{
    struct copy_failure failure = run->pair->failure;
    struct state_both *group;
    if (run->walk->settle != NULL) {
        (void)run->walk->settle(run->walk->context);
    }
    while (run->is_scanning || run->stream.asked > 0) {
        if (run->is_scanning && run->before_scan == 0) {
            (void)take_scan(run);
        } else {
            (void)take_group(run, &group);
        }
    }
    run->pair->failure = failure;
}

enum copy_status walk_run(const struct walk *walk, struct scanner *scanner)
{
    struct run run;
    enum copy_status status = COPY_OK;
    ASSERT(walk->settle == NULL || !walk->with_copy);
    run_init(&run, walk, scanner);
    while (status == COPY_OK && !scanner->is_done) {
        status = go_on(&run);
    }
    if (status != COPY_OK) {
        abandon(&run);
    }
    run_fini(&run);
    return status;
}
