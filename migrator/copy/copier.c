#include "migrator/copy/copier.h"

#include "migrator/copy/change.h"
#include "migrator/copy/walk.h"

/* What the copy is applying while the authority reads on. */
struct backfill {
    struct copy_pair *pair;
    /* Empty: nothing is on its way. */
    struct key_choice plain; /* see change_is_plain */
    struct key_choice others;
    uint64_t bytes;
};

static void choose_read(const struct state_group *group, struct backfill *backfill)
{
    backfill->plain = backfill->others = (struct key_choice){.group = group};
    backfill->bytes = 0;
    for (size_t i = 0; i < group->keys.count; i++) {
        const struct key_state *state = &group->states[i];
        if (!state->is_unread) {
            key_choice_add(change_is_plain(state) ? &backfill->plain : &backfill->others, i);
            backfill->bytes += state->payload.len;
        }
    }
}

static enum copy_status take_answers(struct backfill *backfill)
{
    struct copy_pair *pair = backfill->pair;
    uint64_t refused = 0; /* found again by the verification, and given a mark */
    struct copy_outcome filled = pair_keep(pair, change_take_fill(pair, &backfill->plain));
    enum copy_status applied = change_take_apply(pair, &backfill->others, &refused);
    backfill->plain.count = backfill->others.count = 0;
    return pair_first(pair, &filled, applied);
}

/* Takes the answers of the copy; the link is then without an outstanding reply. */
static enum copy_status settle(void *context)
{
    struct backfill *backfill = context;
    struct copy_pair *pair = backfill->pair;
    uint64_t keys = backfill->plain.count + backfill->others.count;
    enum copy_status status = take_answers(backfill);
    if (status != COPY_OK || keys == 0) {
        return status;
    }
    pair->hooks->moved(pair->hooks->context, keys, backfill->bytes);
    return pair_pay(pair, keys, backfill->bytes);
}

/* The group before has been applied by now, or nearly so. */
static enum copy_status ship(void *context, const struct state_both *states)
{
    struct backfill *backfill = context;
    enum copy_status status = settle(backfill);
    status = status == COPY_OK ? pair_await_room(backfill->pair) : status;
    if (status == COPY_OK) {
        choose_read(&states->authority, backfill);
        change_append_fill(backfill->pair, &backfill->plain);
        change_append_apply(backfill->pair, &backfill->others);
        status = pair_flush(backfill->pair, true);
    }
    return status;
}

enum copy_status copier_run(struct copy_pair *pair, struct scanner *scanner)
{
    struct backfill backfill = {.pair = pair};
    const struct walk walk = {.pair = pair, .visit = ship, .settle = settle, .context = &backfill};
    return walk_run(&walk, scanner);
}
