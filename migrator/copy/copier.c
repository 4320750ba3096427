#include "migrator/copy/copier.h"

#include "migrator/copy/change.h"

/* A group on its way: read on the authority, then being applied on the copy. */
struct shipment {
    struct state_group group;
    struct key_choice choice; /* all of it */
};

static enum copy_status read_group(struct copy_pair *pair, const struct key_group *keys,
                                   struct shipment *shipment)
{
    state_group_free(&shipment->group);
    state_append(pair, false, keys);
    enum copy_status status = pair_flush(pair, false);
    if (status == COPY_OK) {
        status = state_take(pair, false, keys, &shipment->group);
    }
    shipment->choice = (struct key_choice){.group = &shipment->group};
    for (size_t i = 0; status == COPY_OK && i < keys->count; i++) {
        key_choice_add(&shipment->choice, i);
    }
    return status;
}

static enum copy_status begin_apply(struct copy_pair *pair, const struct shipment *shipment)
{
    change_append_apply(pair, &shipment->choice);
    return pair_flush(pair, true);
}

static uint64_t payload_bytes(const struct state_group *group)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < group->keys.count; i++) {
        bytes += group->states[i].payload.len;
    }
    return bytes;
}

static enum copy_status end_apply(struct copy_pair *pair, const struct shipment *shipment)
{
    uint64_t refused = 0; /* found again by the verification, and given a mark */
    enum copy_status status = change_take_apply(pair, &shipment->choice, &refused);
    if (status != COPY_OK) {
        return status;
    }
    uint64_t keys = shipment->group.keys.count;
    uint64_t bytes = payload_bytes(&shipment->group);
    pair->hooks->moved(pair->hooks->context, keys, bytes);
    return pair_pay(pair, keys, bytes);
}

/* One page in groups: while the copy applies group n, group n + 1 is read. The link to the copy is
 * always left without an outstanding reply, whatever happened. */
static enum copy_status copy_page(struct copy_pair *pair, const struct key_list *keys,
                                  struct shipment *shipments)
{
    size_t next = 0;
    unsigned at = 0;
    struct key_group group = key_list_group(keys, next);
    enum copy_status status = group.count > 0 ? read_group(pair, &group, &shipments[at]) : COPY_OK;
    while (status == COPY_OK && group.count > 0) {
        const struct shipment *applied = &shipments[at];
        status = pair_await_room(pair);
        if (status != COPY_OK) {
            return status;
        }
        status = begin_apply(pair, applied);
        if (status != COPY_OK) {
            return status;
        }
        next += group.count;
        group = key_list_group(keys, next);
        at = 1 - at;
        enum copy_status read =
            group.count > 0 ? read_group(pair, &group, &shipments[at]) : COPY_OK;
        struct copy_failure failure = pair->failure;
        status = end_apply(pair, applied);
        if (status == COPY_OK && read != COPY_OK) {
            pair->failure = failure;
            status = read;
        }
        if (status == COPY_OK) {
            status = pair_check(pair);
        }
    }
    return status;
}

enum copy_status copier_run(struct copy_pair *pair, struct scanner *scanner)
{
    struct key_list keys;
    struct shipment shipments[2];
    shipments[0].group.reply = shipments[1].group.reply = NULL;
    key_list_init(&keys);
    enum copy_status status = pair_check(pair);
    while (status == COPY_OK && !scanner->is_done) {
        struct scanner page = *scanner;
        status = scanner_next(&page, pair, false, true, &keys);
        if (status == COPY_OK) {
            status = copy_page(pair, &keys, shipments);
        }
        if (status == COPY_OK) {
            *scanner = page;
        }
        if (status == COPY_OK) {
            status = pair_check(pair);
        }
    }
    state_group_free(&shipments[0].group);
    state_group_free(&shipments[1].group);
    key_list_fini(&keys);
    return status;
}
