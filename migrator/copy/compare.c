#include "migrator/copy/compare.h"

/* So long after the other the second shard may have been read. */
#define READ_APART_MS 2000u

static bool has_expired(const struct key_state *state, uint64_t latest_clock_ms,
                        uint64_t max_skew_ms)
{
    return state->expires_ms >= 0 && (uint64_t)state->expires_ms <= latest_clock_ms + max_skew_ms;
}

bool state_summarize(const struct key_state *state, struct value_summary *summary)
{
    struct error ignored;
    if (state->is_string) {
        value_summarize_string(state->payload, summary);
        return true;
    }
    return value_summarize(state->payload, summary, &ignored);
}

/* Strings that are not dumped need no decoding; a payload that cannot be read is not equal to
 * another: the repair writes it anew. */
static bool values_equal(const struct key_state *a, const struct key_state *b)
{
    bool are_alike = a->is_string == b->is_string;
    if (are_alike && (a->is_string || slice_equal(a->payload, b->payload))) {
        return slice_equal(a->payload, b->payload);
    }
    struct value_summary of_a;
    struct value_summary of_b;
    return state_summarize(a, &of_a) && state_summarize(b, &of_b) && of_a.type == of_b.type &&
           value_digest_equal(of_a.digest, of_b.digest);
}

bool states_equal(const struct key_state *a, const struct key_state *b, uint64_t latest_clock_ms,
                  uint64_t max_skew_ms)
{
    if (!a->exists || !b->exists) {
        const struct key_state *present = a->exists ? a : b;
        return a->exists == b->exists || has_expired(present, latest_clock_ms, max_skew_ms);
    }
    return a->expires_ms == b->expires_ms && values_equal(a, b);
}

/* A clock that is far ahead lets keys expire that live on by the other, and may be set right before
 * anybody has measured it: it does not say what has expired. */
static uint64_t latest_of(uint64_t a_ms, uint64_t b_ms)
{
    uint64_t earliest_ms = a_ms < b_ms ? a_ms : b_ms;
    uint64_t latest_ms = a_ms < b_ms ? b_ms : a_ms;
    return latest_ms - earliest_ms <= READ_APART_MS ? latest_ms : earliest_ms + READ_APART_MS;
}

bool groups_equal_at(const struct state_group *authority, const struct state_group *copy, size_t i,
                     uint64_t max_skew_ms)
{
    uint64_t latest_ms = latest_of(authority->time_ms, copy->time_ms);
    return states_equal(&authority->states[i], &copy->states[i], latest_ms, max_skew_ms);
}

bool groups_verified_at(const struct state_group *authority, const struct state_group *copy,
                        size_t i, uint64_t max_skew_ms)
{
    /* Equal is not enough. Model: ABACLEAR, BFNOENTER. */
    return copy->states[i].number >= authority->states[i].number &&
           groups_equal_at(authority, copy, i, max_skew_ms);
}
