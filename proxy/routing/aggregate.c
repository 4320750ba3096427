#include "proxy/routing/aggregate.h"

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "proxy/routing/histograms.h"
#include "proxy/routing/reply_cursor.h"

#define MISFIT "ERR the shards answered with replies that do not fit together"

/* --- errors ---------------------------------------------------------------------------------- */

static bool begins_with(const struct shard_answer *answer, struct slice word)
{
    return answer->is_error && slice_starts_with(answer->reply, word);
}

static bool is_any_done(const struct shard_answer *answers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!answers[i].is_error) {
            return true;
        }
    }
    return false;
}

const struct shard_answer *aggregate_failure(enum response_policy policy,
                                             const struct shard_answer *answers, unsigned count)
{
    const struct shard_answer *failure = NULL;
    if (policy == RESPONSE_ONE_SUCCEEDED && is_any_done(answers, count)) {
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        if (begins_with(&answers[i], SLICE("-UNKNOWN"))) {
            return &answers[i];
        }
        failure = failure == NULL && answers[i].is_error ? &answers[i] : failure;
    }
    return failure;
}

bool aggregate_error(const struct shard_answer *failure, const struct shard_answer *answers,
                     unsigned count, bool is_write, struct buffer *out)
{
    bool is_half_done =
        is_write && begins_with(failure, SLICE("-UNAVAILABLE")) && is_any_done(answers, count);
    if (is_half_done) {
        write_error(out, "UNKNOWN a shard could not be reached: the command was executed on "
                         "others, but not there");
    } else {
        buffer_add(out, failure->reply.data, failure->reply.len);
    }
    return is_half_done;
}

/* --- numbers --------------------------------------------------------------------------------- */

static int64_t combine(enum response_policy policy, int64_t left, int64_t right)
{
    switch (policy) {
    case RESPONSE_AGG_LOGICAL_AND:
        return left != 0 && right != 0;
    case RESPONSE_AGG_LOGICAL_OR:
        return left != 0 || right != 0;
    case RESPONSE_AGG_MIN:
        return left < right ? left : right;
    case RESPONSE_AGG_MAX:
        return left > right ? left : right;
    default:
        return left + right;
    }
}

static void add_number(enum response_policy policy, const struct shard_answer *answers,
                       unsigned count, struct buffer *out)
{
    int64_t total = 0, number;
    for (unsigned i = 0; i < count; i++) {
        if (!reply_integer(answers[i].reply, &number)) {
            write_error(out, MISFIT);
            return;
        }
        total = i == 0 ? number : combine(policy, total, number);
    }
    write_integer(out, total);
}

/* SCRIPT EXISTS: a list of numbers from each, put together place by place. Each call takes one
 * place off the front of every rest. */
static bool add_place(enum response_policy policy, struct slice *rests, unsigned count,
                      struct buffer *out)
{
    int64_t total = 0, number;
    struct slice value;
    for (unsigned i = 0; i < count; i++) {
        if (!reply_next(&rests[i], &value) || !reply_integer(value, &number)) {
            return false;
        }
        total = i == 0 ? number : combine(policy, total, number);
    }
    write_integer(out, total);
    return true;
}

static void add_numbers(enum response_policy policy, const struct shard_answer *answers,
                        unsigned count, struct buffer *out)
{
    struct slice *rests = mem_alloc(count * sizeof(*rests));
    struct buffer numbers;
    int64_t length = reply_array(answers[0].reply, &rests[0]);
    bool fits = length >= 0;
    buffer_init(&numbers, SIZE_MAX);
    for (unsigned i = 1; i < count && fits; i++) {
        fits = reply_array(answers[i].reply, &rests[i]) == length;
    }
    for (int64_t i = 0; i < length && fits; i++) {
        fits = add_place(policy, rests, count, &numbers);
    }
    if (fits) {
        write_array(out, (uint64_t)length);
        buffer_add(out, buffer_slice(&numbers).data, buffer_length(&numbers));
    } else {
        write_error(out, MISFIT);
    }
    buffer_fini(&numbers);
    mem_free(rests);
}

/* --- the rest -------------------------------------------------------------------------------- */

static void add_first_success(const struct shard_answer *answers, unsigned count,
                              struct buffer *out)
{
    unsigned i = 0;
    while (i + 1 < count && answers[i].is_error) {
        i++;
    }
    buffer_add(out, answers[i].reply.data, answers[i].reply.len);
}

/* Lists become one list. What is no list is the same from every shard. */
static void join(const struct shard_answer *answers, unsigned count, struct buffer *out)
{
    struct slice elements;
    uint64_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        int64_t length = reply_array(answers[i].reply, &elements);
        if (length < 0) {
            add_first_success(answers, count, out);
            return;
        }
        total += (uint64_t)length;
    }
    write_array(out, total);
    for (unsigned i = 0; i < count; i++) {
        (void)reply_array(answers[i].reply, &elements); /* it was one above */
        buffer_add(out, elements.data, elements.len);
    }
}

void aggregate(enum response_policy policy, const struct shard_answer *answers, unsigned count,
               struct buffer *out)
{
    ASSERT(count > 0);
    switch (policy) {
    case RESPONSE_DEFAULT:
        join(answers, count, out);
        break;
    case RESPONSE_ONE_SUCCEEDED:
    case RESPONSE_ALL_SUCCEEDED:
    case RESPONSE_SPECIAL:
        add_first_success(answers, count, out);
        break;
    case RESPONSE_HISTOGRAMS:
        if (!histograms_add(answers, count, out)) {
            write_error(out, MISFIT);
        }
        break;
    case RESPONSE_AGG_LOGICAL_AND:
    case RESPONSE_AGG_LOGICAL_OR:
    case RESPONSE_AGG_MIN:
    case RESPONSE_AGG_MAX:
    case RESPONSE_AGG_SUM:
        if (answers[0].reply.len > 0 && answers[0].reply.data[0] == '*') {
            add_numbers(policy, answers, count, out);
        } else {
            add_number(policy, answers, count, out);
        }
        break;
    }
}
