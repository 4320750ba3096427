#include "proxy/routing/histograms.h"

#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "proxy/routing/reply_cursor.h"

#define BUCKETS_MAX 32u /* Redis has one for each power of two up to a second */

struct bucket {
    int64_t limit_us;
    int64_t calls; /* that took so long; a reply tells them with those of the buckets before */
};

struct histogram {
    struct slice name;
    int64_t calls;
    unsigned nbuckets;
    struct bucket buckets[BUCKETS_MAX]; /* by their limits */
};

struct histograms {
    struct histogram *list;
    size_t count, capacity;
};

/* --- reading --------------------------------------------------------------------------------- */

/* A place for it, where there is none yet: in front of the first with a larger limit. */
static struct bucket *bucket_of(struct histogram *histogram, int64_t limit_us)
{
    unsigned at = 0;
    while (at < histogram->nbuckets && histogram->buckets[at].limit_us < limit_us) {
        at++;
    }
    struct bucket *bucket = &histogram->buckets[at];
    if (at < histogram->nbuckets && bucket->limit_us == limit_us) {
        return bucket;
    }
    if (histogram->nbuckets == BUCKETS_MAX) {
        return NULL;
    }
    memmove(bucket + 1, bucket, (histogram->nbuckets - at) * sizeof(*bucket));
    *bucket = (struct bucket){.limit_us = limit_us};
    histogram->nbuckets++;
    return bucket;
}

static bool take_integer(struct slice *rest, int64_t *number)
{
    struct slice value;
    return reply_next(rest, &value) && reply_integer(value, number);
}

static bool add_buckets(struct histogram *histogram, struct slice map)
{
    struct slice rest;
    int64_t count = reply_map(map, &rest), limit_us, total, before = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!take_integer(&rest, &limit_us) || !take_integer(&rest, &total)) {
            return false;
        }
        struct bucket *bucket = bucket_of(histogram, limit_us);
        if (bucket == NULL) {
            return false;
        }
        bucket->calls += total - before;
        before = total;
    }
    return count >= 0;
}

/* "calls" and "histogram_usec" */
static bool add_histogram(struct histogram *histogram, struct slice map)
{
    struct slice rest, name, value;
    int64_t calls;
    bool has_calls = reply_map(map, &rest) == 2 && reply_next(&rest, &name) &&
                     take_integer(&rest, &calls) && reply_next(&rest, &name) &&
                     reply_next(&rest, &value);
    histogram->calls += has_calls ? calls : 0;
    return has_calls && add_buckets(histogram, value);
}

static struct histogram *histogram_of(struct histograms *histograms, struct slice name)
{
    for (size_t i = 0; i < histograms->count; i++) {
        if (slice_equal(histograms->list[i].name, name)) {
            return &histograms->list[i];
        }
    }
    MEM_GROW(histograms->list, histograms->count, histograms->capacity);
    struct histogram *added = &histograms->list[histograms->count++];
    *added = (struct histogram){.name = name};
    return added;
}

static bool add_answer(struct histograms *histograms, struct slice reply)
{
    struct slice rest, value, name;
    int64_t count = reply_map(reply, &rest);
    for (int64_t i = 0; i < count; i++) {
        if (!reply_next(&rest, &value) || !reply_bulk(value, &name) || !reply_next(&rest, &value) ||
            !add_histogram(histogram_of(histograms, name), value)) {
            return false;
        }
    }
    return count >= 0;
}

/* --- writing --------------------------------------------------------------------------------- */

static void write_histogram(struct buffer *out, unsigned protocol,
                            const struct histogram *histogram)
{
    int64_t total = 0;
    write_bulk(out, histogram->name);
    write_map_header(out, protocol, 2);
    write_bulk(out, SLICE("calls"));
    write_integer(out, histogram->calls);
    write_bulk(out, SLICE("histogram_usec"));
    write_map_header(out, protocol, histogram->nbuckets);
    for (unsigned i = 0; i < histogram->nbuckets; i++) {
        total += histogram->buckets[i].calls;
        write_integer(out, histogram->buckets[i].limit_us);
        write_integer(out, total);
    }
}

bool histograms_add(const struct shard_answer *answers, unsigned count, struct buffer *out)
{
    struct histograms histograms = {NULL, 0, 0};
    bool fits = true;
    for (unsigned i = 0; i < count && fits; i++) {
        fits = add_answer(&histograms, answers[i].reply);
    }
    unsigned protocol = fits && answers[0].reply.data[0] == '%' ? 3 : 2;
    if (fits) {
        write_map_header(out, protocol, histograms.count);
    }
    for (size_t i = 0; i < histograms.count && fits; i++) {
        write_histogram(out, protocol, &histograms.list[i]);
    }
    mem_free(histograms.list);
    return fits;
}
