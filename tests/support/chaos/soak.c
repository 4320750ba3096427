#include "tests/support/chaos/soak.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "tests/support/bank_run.h"
#include "tests/support/chaos/trend.h"
#include "tests/support/migrations.h"
#include "tests/support/vitals.h"
#include "tests/support/wait.h"

#define SHARDS        2
#define PROXIES       2
#define NSLOTS        64
#define BANK_ACCOUNTS 200
#define BANK_RATE     150
#define BANK_DOUBT_MS 5000
#define WINDOW        8    /* migrations, until the histories are judged and forgotten, ... */
#define WINDOW_MS     8000 /* ... unless this is over before */
#define HEADER_EVERY  24
#define SERIES_MAX    16
#define CLOSED_MS     600000 /* a machine with others on it may starve the copying */

const struct soak_options soak_defaults = {.duration_ms = 60000, .clients = 6, .rate = 250};

/* One number, sampled after every migration. */
struct series {
    char name[24];
    bool is_bytes; /* printed as KiB */
    struct tolerance tolerance;
    uint64_t *values;
    size_t count, capacity;
};

/* What may come and go with the load: an allocator keeps some free pages, buffers grow. */
static const struct tolerance memory_tolerance = {.percent = 5, .margin = 1 << 20};
/* A command of the operator or a reading of the journal may be under way. */
static const struct tolerance descriptor_tolerance = {.percent = 0, .margin = 2};
/* The test's own: a window's history is as long as the machine is fast. */
static const struct tolerance own_tolerance = {.percent = 50, .margin = 4 << 20};

struct soak {
    const struct soak_options *options;
    struct soak_result *result;
    FILE *out;
    uint64_t start_us;
    struct cluster *cluster;
    struct bank_run *bank;
    struct client *shards[SHARDS];
    bool is_away; /* the slots that go to and fro are on s2 */
    unsigned long long last_ms;
    struct series series[SERIES_MAX];
    unsigned nseries;
};

/* --- series ---------------------------------------------------------------------------------- */

static void add_series(struct soak *soak, const char *who, const char *what,
                       struct tolerance tolerance)
{
    ASSERT(soak->nseries < SERIES_MAX);
    struct series *series = &soak->series[soak->nseries++];
    (void)snprintf(series->name, sizeof(series->name), "%s %s", who, what);
    series->is_bytes = strcmp(what, "fds") != 0;
    series->tolerance = tolerance;
}

static void add_program(struct soak *soak, const char *who, struct tolerance memory)
{
    add_series(soak, who, "rss", memory);
    add_series(soak, who, "fds", descriptor_tolerance);
}

/* In the order of sample(). */
static void name_series(struct soak *soak)
{
    char who[16];
    for (unsigned i = 0; i < PROXIES; i++) {
        (void)snprintf(who, sizeof(who), "p%u", i + 1);
        add_program(soak, who, memory_tolerance);
    }
    add_program(soak, "migrator", memory_tolerance);
    for (unsigned i = 0; i < SHARDS; i++) {
        (void)snprintf(who, sizeof(who), "s%u", i + 1);
        add_series(soak, who, "used", memory_tolerance);
    }
    add_program(soak, "soak", own_tolerance);
}

static void put(struct soak *soak, unsigned *next, uint64_t value)
{
    struct series *series = &soak->series[(*next)++];
    MEM_GROW(series->values, series->count, series->capacity);
    series->values[series->count++] = value;
}

static void put_program(struct soak *soak, unsigned *next, pid_t pid)
{
    put(soak, next, vitals_resident_bytes(pid));
    put(soak, next, vitals_descriptors(pid));
}

static void sample(struct soak *soak)
{
    unsigned next = 0;
    for (unsigned i = 0; i < PROXIES; i++) {
        put_program(soak, &next, process_pid(cluster_proxy(soak->cluster, i)));
    }
    put_program(soak, &next, process_pid(cluster_migrator(soak->cluster)));
    for (unsigned i = 0; i < SHARDS; i++) {
        put(soak, &next, vitals_info_number(soak->shards[i], "memory", "used_memory"));
    }
    put_program(soak, &next, getpid());
    ASSERT(next == soak->nseries);
}

static uint64_t shown(const struct series *series, uint64_t value)
{
    return series->is_bytes ? value / 1024 : value;
}

static void print_header(struct soak *soak)
{
    (void)fprintf(soak->out, "%9s %5s %-11s %7s", "at s", "no.", "end", "ms");
    for (unsigned i = 0; i < soak->nseries; i++) {
        (void)fprintf(soak->out, " %12s", soak->series[i].name);
    }
    (void)fprintf(soak->out, " (memory in KiB)\n");
}

static void print_row(struct soak *soak, const char *end)
{
    double at = (double)(clock_now_us() - soak->start_us) / 1e6;
    if (soak->result->migrations % HEADER_EVERY == 1) {
        print_header(soak);
    }
    (void)fprintf(soak->out, "%9.1f %5u %-11s %7llu", at, soak->result->migrations, end,
                  soak->last_ms);
    for (unsigned i = 0; i < soak->nseries; i++) {
        const struct series *series = &soak->series[i];
        (void)fprintf(soak->out, " %12" PRIu64, shown(series, series->values[series->count - 1]));
    }
    (void)fprintf(soak->out, "\n");
    (void)fflush(soak->out);
}

/* --- one migration --------------------------------------------------------------------------- */

static void tell(struct soak *soak, const char *verb, const char *id)
{
    cluster_tell(soak->cluster, "%s %s --wait", verb, id);
}

/* Half of s1's slots, and the same number back. Large keys too, now and then. */
static char *open_one(struct soak *soak, const char *more)
{
    const char *move = soak->is_away ? "split s2 --to s1 --share 0.34" : "split s1 --to s2";
    char *words = mem_printf("%s --hold-max 1s %s %s", move, more,
                             soak->result->migrations % 3 == 0 ? "--large-key 500" : "");
    char *id = migration_open_by_ctl(soak->cluster, words);
    mem_free(words);
    return id;
}

static const char *switch_and_end(struct soak *soak, bool goes_back)
{
    char *id = open_one(soak, "--wait");
    tell(soak, goes_back ? "rollback" : "finalize", id);
    mem_free(id);
    soak->is_away = goes_back ? soak->is_away : !soak->is_away;
    soak->result->rolled_back += goes_back;
    soak->result->finalized += !goes_back;
    return goes_back ? "rolled back" : "finalized";
}

static const char *verify_and_abort(struct soak *soak)
{
    char *id = open_one(soak, "--manual-switch");
    WAIT_UNTIL(migration_is_verified(soak->cluster, id), CLOSED_MS);
    tell(soak, "abort", id);
    mem_free(id);
    soak->result->aborted++;
    return "aborted";
}

static const char *migrate(struct soak *soak)
{
    unsigned number = soak->result->migrations++ % WINDOW;
    if (number == WINDOW - 1) {
        return verify_and_abort(soak);
    }
    return switch_and_end(soak, number % 4 == 1);
}

static void look_for_metadata(struct soak *soak)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        unsigned left = vitals_metadata_keys(soak->shards[i]);
        if (left > 0) {
            (void)fprintf(soak->out, "s%u keeps %u keys of migrations that have ended\n", i + 1,
                          left);
        }
        soak->result->metadata_left += left;
    }
}

static void fail_if_ended(struct process *process)
{
    if (!process_is_running(process)) {
        process_print_log(process, 40);
        fail_msg("a program has ended by itself; its log is above");
    }
}

static void look_after_programs(struct soak *soak)
{
    for (unsigned i = 0; i < PROXIES; i++) {
        fail_if_ended(cluster_proxy(soak->cluster, i));
    }
    fail_if_ended(cluster_migrator(soak->cluster));
}

static void one_migration(struct soak *soak)
{
    uint64_t began_us = clock_now_us();
    const char *end = migrate(soak);
    soak->last_ms = (clock_now_us() - began_us) / 1000;
    look_after_programs(soak);
    look_for_metadata(soak);
    sample(soak);
    print_row(soak, end);
}

/* --- windows --------------------------------------------------------------------------------- */

static void add_traffic(struct traffic_result *sum, const struct traffic_result *window)
{
    sum->operations += window->operations;
    sum->refused += window->refused;
    sum->unknown += window->unknown;
    sum->given_up += window->given_up;
    sum->keys += window->keys;
    sum->broken += window->broken;
    sum->undecided += window->undecided;
    sum->strange += window->strange;
    sum->unread += window->unread;
}

static bool is_over(const struct soak *soak)
{
    return clock_now_us() - soak->start_us >= soak->options->duration_ms * 1000;
}

static void one_window(struct soak *soak)
{
    struct traffic *traffic =
        traffic_start(soak->cluster, soak->options->clients, soak->options->rate,
                      soak->options->seed + soak->result->windows++);
    uint64_t until_us = deadline_after_ms(WINDOW_MS);
    for (unsigned i = 0; i < WINDOW && !is_over(soak) && !deadline_is_over(until_us); i++) {
        one_migration(soak);
    }
    struct traffic_result result = traffic_end_and_remove(traffic);
    add_traffic(&soak->result->traffic, &result);
    bank_run_tell(soak->bank, "pause");
    soak->result->compared_badly += !cluster_compares_well(soak->cluster, "");
    bank_run_tell(soak->bank, "resume");
}

/* --- the whole ------------------------------------------------------------------------------- */

static void start(struct soak *soak)
{
    const struct cluster_options cluster = {
        .shards = SHARDS, .proxies = PROXIES, .has_migrator = true, .nslots = NSLOTS};
    soak->cluster = cluster_start(&cluster);
    for (unsigned i = 0; i < SHARDS; i++) {
        soak->shards[i] = client_connect(cluster_shard_port(soak->cluster, i));
    }
    soak->bank = bank_run_start_patiently(soak->cluster, BANK_ACCOUNTS, BANK_RATE, BANK_DOUBT_MS);
    name_series(soak);
    soak->start_us = clock_now_us();
}

static void print_trend(struct soak *soak, const struct series *series)
{
    struct trend trend = trend_of(series->values, series->count, series->tolerance);
    (void)fprintf(soak->out, "| %s%s |", series->name, series->is_bytes ? " (KiB)" : "");
    for (unsigned i = 0; i < TREND_PARTS; i++) {
        (void)fprintf(soak->out, " %" PRIu64 " |", shown(series, trend.medians[i]));
    }
    (void)fprintf(soak->out, " %" PRIu64 " | %s |\n", shown(series, trend.limit),
                  trend.grows ? "GROWS" : "flat");
    soak->result->growing += trend.grows;
}

static void judge_series(struct soak *soak)
{
    soak->result->has_samples = soak->result->migrations >= TREND_SAMPLES_MIN;
    if (!soak->result->has_samples) {
        (void)fprintf(soak->out, "%u migrations are too few to say whether anything grows\n",
                      soak->result->migrations);
        return;
    }
    (void)fprintf(soak->out,
                  "\nMedians of each fifth of the samples; the last may be %u %% + %u KiB "
                  "(descriptors: %u) above the second\n\n"
                  "| | first | second | third | fourth | last | limit | |\n"
                  "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n",
                  memory_tolerance.percent, (unsigned)(memory_tolerance.margin / 1024),
                  (unsigned)descriptor_tolerance.margin);
    for (unsigned i = 0; i < soak->nseries; i++) {
        print_trend(soak, &soak->series[i]);
    }
}

static void print_result(const struct soak *soak)
{
    const struct soak_result *result = soak->result;
    const struct traffic_result *traffic = &result->traffic;
    (void)fprintf(
        soak->out,
        "\nseconds %.0f; migrations %u: finalized %u, rolled back %u, aborted %u\n"
        "operations %" PRIu64 ", refused %" PRIu64 ", unknown %" PRIu64
        " (to clients that waited no longer: %" PRIu64 "), keys %u; bank %" PRIu64
        ", its errors %" PRIu64 "\n"
        "histories broken %u, undecided %u; strange errors %" PRIu64 ", unread keys %" PRIu64 "\n"
        "windows %u, of which %u compared badly; keys of migrations left %u\n",
        (double)(clock_now_us() - soak->start_us) / 1e6, result->migrations, result->finalized,
        result->rolled_back, result->aborted, traffic->operations, traffic->refused,
        traffic->unknown, traffic->given_up, traffic->keys, result->bank_operations,
        result->bank_errors, traffic->broken, traffic->undecided, traffic->strange, traffic->unread,
        result->windows, result->compared_badly, result->metadata_left);
}

static void end(struct soak *soak)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        client_close(soak->shards[i]);
    }
    cluster_stop(soak->cluster);
    for (unsigned i = 0; i < soak->nseries; i++) {
        mem_free(soak->series[i].values);
    }
}

void soak_run(const struct soak_options *options, struct soak_result *result, FILE *out)
{
    struct soak soak = {.options = options, .result = result, .out = out};
    *result = (struct soak_result){.migrations = 0};
    start(&soak);
    while (!is_over(&soak)) {
        one_window(&soak);
    }
    struct bank_result bank = bank_run_end(soak.bank);
    result->bank_operations = bank.operations;
    result->bank_errors = bank.errors;
    judge_series(&soak);
    print_result(&soak);
    end(&soak);
}

/* Nothing dies here, so nobody is to meet an error but who waits no longer (invariant I6). */
static bool is_served(const struct soak_result *result)
{
    const struct traffic_result *traffic = &result->traffic;
    return traffic->refused == 0 && traffic->unknown == traffic->given_up &&
           result->bank_errors == 0;
}

bool soak_is_well(const struct soak_result *result)
{
    const struct traffic_result *traffic = &result->traffic;
    return is_served(result) && traffic->broken == 0 && traffic->undecided == 0 &&
           traffic->strange == 0 && traffic->unread == 0 && result->compared_badly == 0 &&
           result->metadata_left == 0 && result->has_samples && result->growing == 0;
}
