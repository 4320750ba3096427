#include "tests/support/chaos/storm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "tests/support/bank_run.h"
#include "tests/support/chaos/faults.h"
#include "tests/support/wait.h"

#define BANK_ACCOUNTS 150
#define BANK_RATE     120
#define BANK_DOUBT_MS 15000
#define GAP_MIN_MS    400
#define GAP_MAX_MS    2500
#define SETTLE_MS     180000
#define BOTH_ONE_IN   5
#define ACTIVE_MAX    2
#define NSLOTS        64
#define RECOVER_MS    60000

const struct storm_options storm_defaults = {
    .duration_ms = 30000, .proxies = 3, .shards = 3, .clients = 8, .rate = 250, .has_bank = true};

struct active {
    const struct fault *fault;
    struct fault_place place;
    uint64_t began_us, ended_us;
    char text[64];
};

struct storm {
    const struct storm_options *options;
    struct storm_result *result;
    struct random random;
    struct cluster *cluster;
    struct traffic *traffic;
    uint64_t start_us;
    const struct fault *chosen[STORM_FAULTS_MAX];
    unsigned nchosen;
};

/* --- choosing -------------------------------------------------------------------------------- */

static void choose_faults(struct storm *storm)
{
    const char *list = storm->options->faults;
    if (list == NULL) {
        for (const struct fault *fault = faults; fault->name != NULL; fault++) {
            ASSERT(storm->nchosen < STORM_FAULTS_MAX);
            storm->chosen[storm->nchosen++] = fault;
        }
        return;
    }
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        char *name = mem_strndup(list, length);
        const struct fault *fault = fault_find(name);
        if (fault == NULL) {
            fail_msg("there is no fault \"%s\"", name);
        }
        mem_free(name);
        storm->chosen[storm->nchosen++] = fault;
        list += length + (list[length] == ',');
    }
}

/* Two of these at once could bring a process back while the other takes it for gone, wait for a
 * store that hangs, or kill a shard that has put off its writes. */
static bool is_alone(const struct fault *fault)
{
    return strncmp(fault->name, "kill-", 5) == 0 || strncmp(fault->name, "stop-", 5) == 0 ||
           strncmp(fault->name, "full-", 5) == 0 || strncmp(fault->name, "hung-", 5) == 0;
}

static unsigned draw(struct storm *storm, struct active *active)
{
    unsigned count = random_below(&storm->random, BOTH_ONE_IN) == 0 ? ACTIVE_MAX : 1;
    for (unsigned i = 0; i < count; i++) {
        active[i].fault = storm->chosen[random_below(&storm->random, storm->nchosen)];
        active[i].place = (struct fault_place){.cluster = storm->cluster,
                                               .shards = storm->options->shards,
                                               .proxies = storm->options->proxies};
        fault_draw(&active[i].place, active[i].fault, &storm->random);
        fault_describe(active[i].fault, &active[i].place, active[i].text, sizeof(active[i].text));
    }
    bool collide = count == 2 && (active[0].fault == active[1].fault ||
                                  (is_alone(active[0].fault) && is_alone(active[1].fault)));
    return collide ? 1 : count;
}

/* --- programs that must not end by themselves ------------------------------------------------- */

static bool has_ended(struct storm *storm, struct process *process)
{
    if (process_is_running(process)) {
        return false;
    }
    (void)fprintf(stderr, "CRASHED: a program has ended by itself\n");
    process_print_log(process, 40);
    storm->result->crashes++;
    return true;
}

static void look_after_programs(struct storm *storm)
{
    if (has_ended(storm, cluster_migrator(storm->cluster))) {
        cluster_restart_migrator(storm->cluster, storm->options->migrator_environment);
    }
    for (unsigned i = 0; i < storm->options->proxies; i++) {
        if (has_ended(storm, cluster_proxy(storm->cluster, i))) {
            cluster_restart_proxy(storm->cluster, i);
        }
    }
}

/* --- one round ------------------------------------------------------------------------------- */

static void begin(struct storm *storm, struct active *active)
{
    double at = (double)(clock_now_us() - storm->start_us) / 1e6;
    (void)fprintf(stderr, "%7.2f s  %s for %llu ms\n", at, active->text,
                  (unsigned long long)active->place.duration_ms);
    active->began_us = clock_now_us();
    active->fault->begin(&active->place);
}

static void end(struct active *active)
{
    active->fault->end(&active->place);
    active->ended_us = clock_now_us();
}

static void note(struct storm *storm, const struct active *active, uint64_t until_us)
{
    struct storm_line *line = &storm->result->lines[active->fault - faults];
    struct traffic_view during =
        traffic_look(storm->traffic, active->began_us, active->ended_us + 1);
    struct traffic_view all = traffic_look(storm->traffic, active->began_us, until_us);
    uint64_t recovery_us =
        all.last_trouble_us > active->ended_us ? all.last_trouble_us - active->ended_us : 0;
    line->times++;
    line->refused += all.refused;
    line->unknown += all.unknown;
    if (during.p99_us > line->p99_us_max) {
        line->p99_us_max = during.p99_us;
    }
    if (recovery_us > line->recovery_us_max) {
        line->recovery_us_max = recovery_us;
    }
}

/* As many operations answered as there are clients, again and again: nobody is left behind. */
static void wait_for_service(struct storm *storm)
{
    uint64_t before = traffic_answered(storm->traffic);
    uint64_t deadline_us = deadline_after_ms(RECOVER_MS);
    while (traffic_answered(storm->traffic) < before + 2 * storm->options->clients) {
        if (deadline_is_over(deadline_us)) {
            for (unsigned i = 0; i < storm->options->proxies; i++) {
                process_print_log(cluster_proxy(storm->cluster, i), 15);
            }
            process_print_log(cluster_migrator(storm->cluster), 15);
            fail_msg("clients are not served again within %u ms", RECOVER_MS);
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
}

static void one_round(struct storm *storm)
{
    struct active active[ACTIVE_MAX];
    uint64_t gap_ms = GAP_MIN_MS + random_below(&storm->random, GAP_MAX_MS - GAP_MIN_MS);
    unsigned count = draw(storm, active);
    look_after_programs(storm);
    for (unsigned i = 0; i < count; i++) {
        begin(storm, &active[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        uint64_t until_us = active[i].began_us + active[i].place.duration_ms * 1000;
        while (!deadline_is_over(until_us)) {
            clock_sleep_ms(WAIT_POLL_MS);
        }
        end(&active[i]);
    }
    wait_for_service(storm);
    clock_sleep_ms(gap_ms); /* calm: so that a migration gets somewhere, too */
    for (unsigned i = 0; i < count; i++) {
        note(storm, &active[i], clock_now_us());
    }
}

/* --- the whole ------------------------------------------------------------------------------- */

static void start(struct storm *storm)
{
    static const char *const proxy_arguments[] = {"--shard-timeout", "1s", "--wait-max", "2s",
                                                  NULL};
    const struct storm_options *options = storm->options;
    const struct cluster_options cluster = {.shards = options->shards,
                                            .proxies = options->proxies,
                                            .has_migrator = true,
                                            .has_links = true,
                                            .nslots = NSLOTS,
                                            .proxy_arguments = proxy_arguments,
                                            .proxy_environment = options->proxy_environment,
                                            .migrator_environment = options->migrator_environment};
    storm->cluster = cluster_start(&cluster);
    storm->traffic = traffic_start(storm->cluster, options->clients, options->rate, options->seed);
}

/* The longest hold that the journal tells of. */
static uint64_t longest_hold_us(struct cluster *cluster)
{
    char *text = cluster_ctl_ok(cluster, "--json journal");
    json_t *root = json_loads(text, 0, NULL);
    double longest_ms = 0;
    size_t i;
    json_t *record;
    json_array_foreach(json_object_get(root, "records"), i, record)
    {
        const char *kind = json_string_value(json_object_get(record, "kind"));
        double ms = json_number_value(json_object_get(record, "ms"));
        if (kind != NULL && strcmp(kind, "hold") == 0 && ms > longest_ms) {
            longest_ms = ms;
        }
    }
    json_decref(root);
    mem_free(text);
    return (uint64_t)(longest_ms * 1000);
}

static void judge(struct storm *storm, struct bank_run *bank, struct mover *mover)
{
    struct storm_result *result = storm->result;
    look_after_programs(storm);
    result->mover = mover_end(mover, SETTLE_MS);
    uint64_t calm_us = clock_now_us();
    wait_for_service(storm);
    result->calm_p99_us = traffic_look(storm->traffic, calm_us, UINT64_MAX).p99_us;
    result->traffic = traffic_end(storm->traffic);
    if (bank != NULL) {
        result->bank_operations = bank_run_end(bank).operations;
    }
    result->hold_us_max = longest_hold_us(storm->cluster);
    result->compares_well = cluster_compares_well(storm->cluster, "");
    if (!storm_is_well(result)) {
        process_print_log(cluster_migrator(storm->cluster), 60);
    }
}

void storm_run(const struct storm_options *options, struct storm_result *result)
{
    struct storm storm = {.options = options, .result = result};
    *result = (struct storm_result){.crashes = 0};
    random_seed(&storm.random, options->seed);
    choose_faults(&storm);
    start(&storm);
    struct bank_run *bank = NULL;
    if (options->has_bank) {
        bank = bank_run_start_patiently(storm.cluster, BANK_ACCOUNTS, BANK_RATE, BANK_DOUBT_MS);
    }
    struct mover *mover = mover_start(storm.cluster, options->shards, options->seed);
    storm.start_us = clock_now_us();
    while (clock_now_us() - storm.start_us < options->duration_ms * 1000) {
        one_round(&storm);
    }
    judge(&storm, bank, mover);
    cluster_stop(storm.cluster);
}

bool storm_is_well(const struct storm_result *result)
{
    return result->traffic.broken == 0 && result->traffic.undecided == 0 &&
           result->traffic.strange == 0 && result->traffic.unread == 0 && result->crashes == 0 &&
           result->mover.is_settled && result->compares_well;
}

/* --- printing -------------------------------------------------------------------------------- */

void storm_print(const struct storm_result *result, FILE *out)
{
    const struct traffic_result *traffic = &result->traffic;
    const struct mover_result *mover = &result->mover;
    (void)fprintf(out,
                  "operations %llu, refused %llu, unknown %llu, keys %u; bank %llu\n"
                  "histories broken %u, undecided %u; strange errors %llu, unread keys %llu\n"
                  "migrations %u: finalized %u, rolled back %u, aborted %u; %s\n"
                  "programs crashed %u; shards compare %s\n"
                  "longest hold %.1f ms; p99 when calm %.1f ms\n",
                  (unsigned long long)traffic->operations, (unsigned long long)traffic->refused,
                  (unsigned long long)traffic->unknown, traffic->keys,
                  (unsigned long long)result->bank_operations, traffic->broken, traffic->undecided,
                  (unsigned long long)traffic->strange, (unsigned long long)traffic->unread,
                  mover->opened, mover->finalized, mover->rolled_back, mover->aborted,
                  mover->is_settled ? "all closed" : "NOT ALL CLOSED", result->crashes,
                  result->compares_well ? "well" : "BADLY", (double)result->hold_us_max / 1e3,
                  (double)result->calm_p99_us / 1e3);
}

void storm_print_table(const struct storm_result *result, FILE *out)
{
    (void)fprintf(out, "| fault | times | refused | unknown | p99 while it lasts | service again "
                       "within |\n| --- | ---: | ---: | ---: | ---: | ---: |\n");
    for (unsigned i = 0; faults[i].name != NULL; i++) {
        const struct storm_line *line = &result->lines[i];
        if (line->times > 0) {
            (void)fprintf(out, "| %s | %u | %llu | %llu | %.1f ms | %llu ms |\n", faults[i].name,
                          line->times, (unsigned long long)line->refused,
                          (unsigned long long)line->unknown, (double)line->p99_us_max / 1e3,
                          (unsigned long long)(line->recovery_us_max / 1000));
        }
    }
}
