#include "migrator/copy/walk.h"

/* The lists of one walk. */
struct pages {
    struct key_list now;    /* being read */
    struct key_list next;   /* what SCAN found meanwhile */
    struct key_list unread; /* of the page: to be read in full */
    struct state_stream stream;
};

static void pages_init(struct pages *pages)
{
    *pages = (struct pages){.stream = {.asked = 0}};
    key_list_init(&pages->now);
    key_list_init(&pages->next);
    key_list_init(&pages->unread);
}

static void pages_fini(struct pages *pages)
{
    key_list_fini(&pages->now);
    key_list_fini(&pages->next);
    key_list_fini(&pages->unread);
}

static void note_unread(struct key_list *unread, const struct state_both *group)
{
    const struct key_group *keys = &group->authority.keys;
    for (size_t i = 0; i < keys->count; i++) {
        if (state_both_unread_at(group, i)) {
            key_list_add(unread, key_list_at(keys->list, keys->first + i));
        }
    }
}

static enum copy_status visit_all(const struct walk *walk, struct pages *pages)
{
    struct state_both *group = NULL;
    enum copy_status status = state_stream_next(&pages->stream, &group);
    while (status == COPY_OK && group != NULL) {
        if (pages->stream.reading == READ_STRINGS) {
            note_unread(&pages->unread, group);
        }
        status = walk->visit(walk->context, group);
        status = status == COPY_OK ? pair_check(walk->pair) : status;
        status = status == COPY_OK ? state_stream_next(&pages->stream, &group) : status;
    }
    return status;
}

/* Settles whatever the status; the first failure is the one that counts. */
static enum copy_status settle(const struct walk *walk, enum copy_status status)
{
    struct copy_failure failure = walk->pair->failure;
    enum copy_status settled = walk->settle != NULL ? walk->settle(walk->context) : COPY_OK;
    if (status != COPY_OK) {
        walk->pair->failure = failure;
        return status;
    }
    return settled;
}

static enum copy_status read_unread(const struct walk *walk, struct pages *pages)
{
    enum copy_status status =
        state_stream_start(&pages->stream, walk->pair, &pages->unread, READ_ALL, walk->with_copy);
    status = status == COPY_OK ? visit_all(walk, pages) : status;
    status = settle(walk, status);
    state_stream_stop(&pages->stream);
    return status;
}

/* `ahead`, where it is not null, stands at the page behind and is moved over it: the shard looks
 * for its keys while it is asked for those of this page. */
static enum copy_status walk_page(const struct walk *walk, struct pages *pages,
                                  struct scanner *ahead)
{
    key_list_clear(&pages->unread);
    key_list_clear(&pages->next);
    if (ahead != NULL) {
        scanner_append(ahead, walk->pair, false);
    }
    enum copy_status status =
        state_stream_start(&pages->stream, walk->pair, &pages->now, READ_STRINGS, walk->with_copy);
    if (status == COPY_OK && ahead != NULL) {
        status = scanner_take(ahead, walk->pair, false, &pages->next);
    }
    status = status == COPY_OK ? visit_all(walk, pages) : status;
    status = settle(walk, status);
    state_stream_stop(&pages->stream);
    if (status == COPY_OK && pages->unread.count > 0) {
        status = read_unread(walk, pages);
    }
    return status == COPY_OK && walk->end_page != NULL ? walk->end_page(walk->context) : status;
}

enum copy_status walk_run(const struct walk *walk, struct scanner *scanner)
{
    struct pages pages;
    pages_init(&pages);
    struct scanner reached = *scanner; /* behind pages.now */
    enum copy_status status = pair_check(walk->pair);
    if (status == COPY_OK && !scanner->is_done) {
        status = scanner_next(&reached, walk->pair, false, &pages.now);
    }
    while (status == COPY_OK && !scanner->is_done) {
        struct scanner ahead = reached;
        status = walk_page(walk, &pages, reached.is_done ? NULL : &ahead);
        if (status == COPY_OK) {
            *scanner = reached;
            reached = ahead;
            key_list_swap(&pages.now, &pages.next);
            status = pair_check(walk->pair);
        }
    }
    pages_fini(&pages);
    return status;
}
