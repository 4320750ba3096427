#include "migrator/copy/tally.h"

#include "lib/base/memory.h"
#include "migrator/copy/compare.h"

void tally_init(struct tally *tally, unsigned nslots)
{
    *tally = (struct tally){.nslots = nslots};
    tally->authority = mem_zalloc(nslots * sizeof(*tally->authority));
    tally->copy = mem_zalloc(nslots * sizeof(*tally->copy));
}

void tally_fini(struct tally *tally)
{
    mem_free(tally->authority);
    mem_free(tally->copy);
    *tally = (struct tally){.nslots = 0};
}

static void add_side(struct tally_side *side, struct slice key, const struct key_state *state,
                     const struct value_summary *summary)
{
    struct value_digest digest = value_key_digest(key, summary, state->expires_ms);
    side->keys++;
    side->bytes += state->payload.len;
    value_digest_add(&side->digest, &digest);
}

void tally_add(struct tally *tally, struct slice key, const struct key_state *authority,
               const struct key_state *copy)
{
    struct value_summary of_authority;
    struct value_summary of_copy;
    if (!state_summarize(authority, &of_authority)) {
        return; /* Equal as bytes, yet unreadable: counted in no slot, so the report shows it. */
    }
    if (authority->is_string == copy->is_string && slice_equal(authority->payload, copy->payload)) {
        of_copy = of_authority;
    } else if (!state_summarize(copy, &of_copy)) {
        return;
    }
    unsigned slot = slot_of_key(key, tally->nslots);
    add_side(&tally->authority[slot], key, authority, &of_authority);
    add_side(&tally->copy[slot], key, copy, &of_copy);
    tally->keys++;
}
