/* bank: a workload that knows at every moment what each balance must be.
 *
 *   bank --proxies HOST:PORT[,HOST:PORT...] [--accounts 10000] [--connections 16] [--writes 50]
 *        [--rate 0] [--seconds 10] [--timeout-ms 30000] [--doubt-ms 3000] [--seed N]
 *        [--summary FILE]
 *
 * Loads the accounts (tests/support/bank/account.h), then moves money between and inside them until
 * the seconds are over, or, with --seconds 0, until told to stop. Every reply must be exactly what
 * the account's only writer expects. --rate is for all connections together; 0 is as fast as it
 * goes. Lines on standard input, each answered on standard error with "bank: LINE":
 *
 *   mark NAME     latencies count for the interval NAME from now on (the first is "start")
 *   pause         answered when no operation is under way any more
 *   resume
 *   stop          also SIGTERM and SIGINT
 *
 * "bank: loaded" on standard error says that the workload has begun. At the end every account is
 * read once more. The summary is JSON, on standard output or in FILE. Exit code 0: no violation,
 * all accounts as they must be, and the sum of all money is what it was. */
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/base/random.h"
#include "tests/support/bank/worker.h"

#define CONNECTIONS_MAX 1024
#define POLL_MS         20
#define USAGE           2

struct interval {
    char name[64];
    uint64_t started_us;
    uint64_t ended_us;
};

struct program {
    struct bank bank;
    uint64_t seconds;
    uint64_t seed;
    const char *summary_path;
    struct worker **workers;
    pthread_t *threads;
    unsigned nintervals;
    struct interval intervals[BANK_INTERVALS_MAX];
    char line[256]; /* of standard input, as far as it was read */
    size_t line_length;
    bool is_input_over;
    uint64_t load_us;
};

static volatile sig_atomic_t was_signalled;

static void on_signal(int signal)
{
    (void)signal;
    was_signalled = 1;
}

/* --- command line --------------------------------------------------------------------------- */

static int usage(void)
{
    (void)fprintf(stderr, "usage: bank --proxies HOST:PORT[,...] [--accounts N] [--connections N] "
                          "[--writes PERCENT] [--rate N] [--seconds N] [--timeout-ms N] "
                          "[--doubt-ms N] [--seed N] [--summary FILE]\n");
    return USAGE;
}

static bool parse_proxies(struct bank *bank, char *text)
{
    char *rest = NULL;
    for (char *part = strtok_r(text, ",", &rest); part != NULL; part = strtok_r(NULL, ",", &rest)) {
        char *colon = strrchr(part, ':');
        uint64_t port = 0;
        if (colon == NULL || bank->nproxies == BANK_PROXIES_MAX ||
            !number_parse_u64(slice_of(colon + 1), &port) || port > UINT16_MAX) {
            return false;
        }
        (void)snprintf(bank->proxies[bank->nproxies].host, sizeof(bank->proxies[0].host), "%.*s",
                       (int)(colon - part), part);
        bank->proxies[bank->nproxies++].port = (int)port;
    }
    return bank->nproxies > 0;
}

static bool set_number(struct program *program, int option, uint64_t value)
{
    struct bank *bank = &program->bank;
    switch (option) {
    case 'a':
        bank->accounts = (uint32_t)value;
        return value >= 1 && value <= UINT32_MAX / 2;
    case 'c':
        bank->connections = (unsigned)value;
        return value >= 1 && value <= CONNECTIONS_MAX;
    case 'w':
        bank->write_percent = (unsigned)value;
        return value <= 100;
    case 'r':
        bank->operations_per_second = (unsigned)value;
        return value <= 10000000;
    case 's':
        program->seconds = value;
        return true;
    case 't':
        bank->timeout_ms = (unsigned)value;
        return value >= 1 && value <= 3600000;
    case 'd':
        bank->doubt_ms = (unsigned)value;
        return value <= 3600000;
    case 'e':
        program->seed = value;
        return true;
    default:
        return false;
    }
}

static bool parse_arguments(struct program *program, int argc, char **argv)
{
    static const struct option options[] = {
        {"doubt-ms", required_argument, NULL, 'd'},
        {"proxies", required_argument, NULL, 'p'},
        {"accounts", required_argument, NULL, 'a'},
        {"connections", required_argument, NULL, 'c'},
        {"writes", required_argument, NULL, 'w'},
        {"rate", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'},
        {"timeout-ms", required_argument, NULL, 't'},
        {"seed", required_argument, NULL, 'e'},
        {"summary", required_argument, NULL, 'f'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        uint64_t value = 0;
        if (option == 'p') {
            if (!parse_proxies(&program->bank, optarg)) {
                return false;
            }
        } else if (option == 'f') {
            program->summary_path = optarg;
        } else if (option == '?' || !number_parse_u64(slice_of(optarg), &value) ||
                   !set_number(program, option, value)) {
            return false;
        }
    }
    return optind == argc && program->bank.nproxies > 0;
}

/* Whether EVAL is served: an answer other than an error. */
static bool try_eval(const struct bank *bank)
{
    redisContext *context = redisConnect(bank->proxies[0].host, bank->proxies[0].port);
    bool is_served = false;
    if (context != NULL && context->err == 0) {
        redisReply *reply = redisCommand(context, "EVAL %s 1 {acct:0}:balance", "return 1");
        is_served = reply != NULL && reply->type == REDIS_REPLY_INTEGER;
        if (reply != NULL) {
            freeReplyObject(reply);
        }
    }
    if (context != NULL) {
        redisFree(context);
    }
    return is_served;
}

/* --- standard input ------------------------------------------------------------------------- */

static void begin_interval(struct program *program, const char *name)
{
    uint64_t now_us = clock_now_us();
    if (program->nintervals == BANK_INTERVALS_MAX) {
        (void)fprintf(stderr, "bank: no more than %d intervals\n", BANK_INTERVALS_MAX);
        return;
    }
    if (program->nintervals > 0) {
        program->intervals[program->nintervals - 1].ended_us = now_us;
    }
    struct interval *interval = &program->intervals[program->nintervals];
    (void)snprintf(interval->name, sizeof(interval->name), "%s", name);
    interval->started_us = now_us;
    atomic_store(&program->bank.interval, program->nintervals++);
}

static void pause_workers(struct bank *bank)
{
    atomic_store(&bank->is_paused, true);
    unsigned busy = bank->connections < bank->accounts ? bank->connections : bank->accounts;
    while (atomic_load(&bank->idle) < busy && !was_signalled) {
        clock_sleep_ms(1);
    }
}

static void obey(struct program *program, const char *line)
{
    struct bank *bank = &program->bank;
    if (strncmp(line, "mark ", 5) == 0) {
        begin_interval(program, line + 5);
    } else if (strcmp(line, "pause") == 0) {
        pause_workers(bank);
    } else if (strcmp(line, "resume") == 0) {
        atomic_store(&bank->is_paused, false);
    } else if (strcmp(line, "stop") == 0) {
        atomic_store(&bank->is_stopped, true);
    } else {
        (void)fprintf(stderr, "bank: unknown line \"%s\"\n", line);
        return;
    }
    (void)fprintf(stderr, "bank: %s\n", line);
}

static void take_input(struct program *program)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (program->is_input_over) {
        clock_sleep_ms(POLL_MS);
        return;
    }
    if (poll(&input, 1, POLL_MS) <= 0) {
        return;
    }
    char byte;
    if (read(STDIN_FILENO, &byte, 1) != 1) {
        program->is_input_over = true;
    } else if (byte == '\n') {
        program->line[program->line_length] = '\0';
        program->line_length = 0;
        obey(program, program->line);
    } else if (program->line_length + 1 < sizeof(program->line)) {
        program->line[program->line_length++] = byte;
    }
}

static void supervise(struct program *program)
{
    uint64_t start_us = clock_now_us();
    while (!atomic_load(&program->bank.is_stopped)) {
        take_input(program);
        bool is_over = program->seconds > 0 &&
                       clock_now_us() - start_us >= program->seconds * UINT64_C(1000000);
        if (is_over || was_signalled) {
            atomic_store(&program->bank.is_stopped, true);
        }
    }
    program->intervals[program->nintervals - 1].ended_us = clock_now_us();
}

/* --- summary -------------------------------------------------------------------------------- */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *summarise_interval(const struct program *program, unsigned i)
{
    struct histogram all = {0};
    const struct interval *interval = &program->intervals[i];
    for (unsigned w = 0; w < program->bank.connections; w++) {
        histogram_merge(&all, worker_histogram(program->workers[w], i));
    }
    double seconds = (double)(interval->ended_us - interval->started_us) / 1e6;
    return json_pack("{s:s, s:f, s:o, s:o, s:o, s:o, s:o}", "name", interval->name, "seconds",
                     seconds, "operations", number(histogram_count(&all)), "p50_us",
                     number(histogram_quantile_us(&all, 0.5)), "p99_us",
                     number(histogram_quantile_us(&all, 0.99)), "p999_us",
                     number(histogram_quantile_us(&all, 0.999)), "max_us",
                     number(histogram_max_us(&all)));
}

static void add_report(struct worker_report *sum, const struct worker_report *part)
{
    sum->operations += part->operations;
    sum->writes += part->writes;
    sum->account_reads += part->account_reads;
    sum->keys_loaded += part->keys_loaded;
    for (int i = 0; i < ERRORS_COUNT; i++) {
        sum->errors[i] += part->errors[i];
    }
    sum->doubts_executed += part->doubts_executed;
    sum->doubts_not_executed += part->doubts_not_executed;
    sum->doubts_open += part->doubts_open;
    sum->violations += part->violations;
    sum->money_start += part->money_start;
    sum->money_end += part->money_end;
    sum->pot += part->pot;
    sum->accounts_equal += part->accounts_equal;
    for (unsigned i = 0; i < part->nsamples && sum->nsamples < BANK_SAMPLES_MAX; i++) {
        (void)snprintf(sum->samples[sum->nsamples++], sizeof(sum->samples[0]), "%s",
                       part->samples[i]);
    }
}

static json_t *summarise_errors(const struct worker_report *sum)
{
    json_t *errors = json_object();
    uint64_t total = 0;
    for (int i = 0; i < ERRORS_COUNT; i++) {
        total += sum->errors[i];
        (void)json_object_set_new(errors, bank_error_name((enum bank_error)i),
                                  number(sum->errors[i]));
    }
    (void)json_object_set_new(errors, "total", number(total));
    return errors;
}

static bool is_well(const struct program *program, const struct worker_report *sum)
{
    int64_t expected = (int64_t)program->bank.accounts * ACCOUNT_START_MONEY;
    return sum->violations == 0 && sum->doubts_open == 0 && sum->pot == 0 &&
           sum->accounts_equal == program->bank.accounts && sum->money_start == expected &&
           sum->money_end == expected;
}

static json_t *summarise(const struct program *program, const struct worker_report *sum)
{
    json_t *intervals = json_array();
    json_t *samples = json_array();
    for (unsigned i = 0; i < program->nintervals; i++) {
        (void)json_array_append_new(intervals, summarise_interval(program, i));
    }
    for (unsigned i = 0; i < sum->nsamples; i++) {
        (void)json_array_append_new(samples, json_string(sum->samples[i]));
    }
    json_t *summary = json_pack(
        "{s:b, s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:b}", "ok", is_well(program, sum), "accounts",
        number(program->bank.accounts), "connections", number(program->bank.connections),
        "keys_loaded", number(sum->keys_loaded), "load_seconds", (double)program->load_us / 1e6,
        "operations", number(sum->operations), "writes", number(sum->writes), "account_reads",
        number(sum->account_reads), "eval", program->bank.has_eval);
    (void)json_object_set_new(summary, "seed", number(program->seed));
    (void)json_object_set_new(summary, "intervals", intervals);
    (void)json_object_set_new(summary, "errors", summarise_errors(sum));
    (void)json_object_set_new(summary, "unknown_outcomes",
                              json_pack("{s:o, s:o, s:o}", "executed", number(sum->doubts_executed),
                                        "not_executed", number(sum->doubts_not_executed), "open",
                                        number(sum->doubts_open)));
    (void)json_object_set_new(summary, "violations", number(sum->violations));
    (void)json_object_set_new(summary, "samples", samples);
    (void)json_object_set_new(summary, "money",
                              json_pack("{s:I, s:I, s:I, s:I}", "expected",
                                        (json_int_t)program->bank.accounts * ACCOUNT_START_MONEY,
                                        "start", (json_int_t)sum->money_start, "end",
                                        (json_int_t)sum->money_end, "in_flight",
                                        (json_int_t)sum->pot));
    (void)json_object_set_new(summary, "accounts_equal", number(sum->accounts_equal));
    return summary;
}

static bool write_summary(const struct program *program, json_t *summary)
{
    bool is_written;
    if (program->summary_path != NULL) {
        is_written = json_dump_file(summary, program->summary_path, JSON_INDENT(2)) == 0;
    } else {
        is_written = json_dumpf(summary, stdout, JSON_INDENT(2)) == 0 && puts("") >= 0;
    }
    json_decref(summary);
    return is_written;
}

/* --- main ----------------------------------------------------------------------------------- */

static void start_workers(struct program *program)
{
    struct bank *bank = &program->bank;
    (void)pthread_barrier_init(&bank->phase_ended, NULL, bank->connections + 1);
    program->workers = mem_zalloc(bank->connections * sizeof(*program->workers));
    program->threads = mem_zalloc(bank->connections * sizeof(*program->threads));
    for (unsigned i = 0; i < bank->connections; i++) {
        program->workers[i] = worker_new(bank, i, program->seed);
        if (pthread_create(&program->threads[i], NULL, worker_run, program->workers[i]) != 0) {
            (void)fprintf(stderr, "bank: cannot start %u threads\n", bank->connections);
            exit(EXIT_FAILURE);
        }
    }
}

static void run_phases(struct program *program)
{
    struct bank *bank = &program->bank;
    uint64_t start_us = clock_now_us();
    (void)pthread_barrier_wait(&bank->phase_ended); /* loaded */
    program->load_us = clock_now_us() - start_us;
    bank->has_eval = try_eval(bank);
    begin_interval(program, "start");
    (void)pthread_barrier_wait(&bank->phase_ended); /* the money was counted: off they go */
    program->intervals[0].started_us = clock_now_us();
    (void)fprintf(stderr, "bank: loaded\n");
    supervise(program);
    (void)pthread_barrier_wait(&bank->phase_ended); /* stopped */
    (void)fprintf(stderr, "bank: checking all accounts\n");
    (void)pthread_barrier_wait(&bank->phase_ended); /* checked */
}

static void end_workers(struct program *program, struct worker_report *sum)
{
    for (unsigned i = 0; i < program->bank.connections; i++) {
        (void)pthread_join(program->threads[i], NULL);
        add_report(sum, worker_report(program->workers[i]));
    }
}

static void free_workers(struct program *program)
{
    for (unsigned i = 0; i < program->bank.connections; i++) {
        worker_free(program->workers[i]);
    }
    mem_free(program->workers);
    mem_free(program->threads);
    (void)pthread_barrier_destroy(&program->bank.phase_ended);
}

int main(int argc, char **argv)
{
    static struct program program = {
        .bank = {.accounts = 10000,
                 .connections = 16,
                 .write_percent = 50,
                 .timeout_ms = 30000,
                 .doubt_ms = 3000},
        .seconds = 10,
    };
    static struct worker_report sum;
    program.seed = random_system() >> 16;
    if (!parse_arguments(&program, argc, argv)) {
        return usage();
    }
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)fprintf(stderr, "bank: seed %" PRIu64 "\n", program.seed);
    start_workers(&program);
    run_phases(&program);
    end_workers(&program, &sum);
    bool is_good = is_well(&program, &sum);
    is_good &= write_summary(&program, summarise(&program, &sum));
    free_workers(&program);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
