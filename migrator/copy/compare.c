#include "migrator/copy/compare.h"

#include "migrator/value/value.h"

/* So long after the other the second shard may have been read. */
#define READ_APART_MS 2000u

static bool has_expired(const struct key_state *state, uint64_t latest_clock_ms,
                        uint64_t max_skew_ms)
{
    return state->expires_ms >= 0 && (uint64_t)state->expires_ms <= latest_clock_ms + max_skew_ms;
}

bool states_equal(const struct key_state *a, const struct key_state *b, uint64_t latest_clock_ms,
                  uint64_t max_skew_ms)
{
    if (!a->exists || !b->exists) {
        const struct key_state *present = a->exists ? a : b;
        return a->exists == b->exists || has_expired(present, latest_clock_ms, max_skew_ms);
    }
    if (a->expires_ms != b->expires_ms) {
        return false;
    }
    bool equal = false;
    struct error ignored;
    /* A payload that cannot be read is not equal to another: the repair writes it anew. */
    return value_equal(a->payload, b->payload, &equal, &ignored) && equal;
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
