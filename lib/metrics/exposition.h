/* Writes metrics in the Prometheus text format, version 0.0.4.
 *
 * One family after the other: exposition_metric opens it, then all its samples follow. The rules
 * of the format (names, one HELP and TYPE for each family, samples together) are asserted; label
 * values may be any bytes and are escaped. One thread. */
#ifndef LIB_METRICS_EXPOSITION_H
#define LIB_METRICS_EXPOSITION_H

#include "lib/base/buffer.h"
#include "lib/metrics/histogram.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metric_type {
    METRIC_COUNTER, /* its name ends in _total */
    METRIC_GAUGE,
    METRIC_HISTOGRAM /* its name ends in _seconds */
};

struct label {
    const char *name;
    const char *value;
};

/* LABELS({"shard", name}, {"command", "get"}): a list that ends with a null name. */
// clang-format off
#define LABELS(...) (const struct label[]) { __VA_ARGS__, { NULL, NULL } }
// clang-format on
#define NO_LABELS NULL

struct exposition {
    struct buffer *text; /* the caller's; its limit must not be in reach */
    const char *name;    /* of the open family */
    enum metric_type type;
};

void exposition_init(struct exposition *exposition, struct buffer *text);

/* Opens a family. `name` must live until the next one is opened, and must not come twice. */
void exposition_metric(struct exposition *exposition, const char *name, enum metric_type type,
                       const char *help);
/* One sample of the open counter or gauge. Whole numbers are written without a fraction. */
void exposition_sample(struct exposition *exposition, const struct label *labels, double value);
/* The open histogram's le buckets (seconds, cumulative, 50 us .. 10 s), _sum and _count. */
void exposition_histogram(struct exposition *exposition, const struct label *labels,
                          const struct histogram *histogram);

#endif
