#include "tests/support/bank/worker.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "tests/support/bank/link.h"
#include "tests/support/bank/operation.h"

#define BATCH_ACCOUNTS   20 /* pipelined while loading and checking */
#define DOUBT_POLL_US    50000
#define SETTLE_MS        60000
#define WHOLE_READ_EVERY 20 /* every so many operations a whole account is read */
#define MAX_LAG_US       1000000
#define LOAD_TRIES       20
#define REPLY_SLACK_MS   3000 /* for the times of a short-lived key whose write was in doubt */

/* An account whose last write may or may not have been executed. */
struct doubt {
    uint32_t index; /* into accounts */
    struct account next;
    int64_t pot_change;
    uint64_t since_us;
};

struct worker {
    struct bank *bank;
    unsigned index;
    struct random random;
    struct link link;
    uint32_t count;
    struct account *accounts; /* what each must be */
    bool *is_unusable;        /* in doubt, or violated */
    struct doubt *doubts;
    uint32_t ndoubts;
    size_t doubts_capacity;
    uint64_t doubts_polled_us;
    uint64_t next_start_us;
    struct worker_report report;
    struct histogram histograms[BANK_INTERVALS_MAX];
};

const char *bank_error_name(enum bank_error kind)
{
    static const char *const names[] = {
#define X(symbol, name) [symbol] = (name),
        BANK_ERRORS(X)
#undef X
    };
    return names[kind];
}

struct worker *worker_new(struct bank *bank, unsigned index, uint64_t seed)
{
    struct worker *worker = mem_zalloc(sizeof(*worker));
    worker->bank = bank;
    worker->index = index;
    random_seed(&worker->random, seed + index);
    worker->link = (struct link){.bank = bank, .report = &worker->report, .home = index};
    worker->count = (bank->accounts + bank->connections - 1 - index) / bank->connections;
    worker->accounts = mem_zalloc((worker->count + 1) * sizeof(*worker->accounts));
    worker->is_unusable = mem_zalloc(worker->count + 1);
    return worker;
}

void worker_free(struct worker *worker)
{
    link_close(&worker->link);
    mem_free(worker->accounts);
    mem_free(worker->is_unusable);
    mem_free(worker->doubts);
    mem_free(worker);
}

const struct worker_report *worker_report(const struct worker *worker)
{
    return &worker->report;
}

const struct histogram *worker_histogram(const struct worker *worker, unsigned interval)
{
    return &worker->histograms[interval];
}

static uint32_t account_id(const struct worker *worker, uint32_t index)
{
    return index * worker->bank->connections + worker->index;
}

static void violate(struct worker *worker, uint32_t index, const char *why)
{
    struct worker_report *report = &worker->report;
    report->violations++;
    worker->is_unusable[index] = true;
    if (report->nsamples < BANK_SAMPLES_MAX) {
        (void)snprintf(report->samples[report->nsamples++], sizeof(report->samples[0]), "%s", why);
    }
    (void)fprintf(stderr, "bank: violation: %s\n", why);
}

/* --- loading -------------------------------------------------------------------------------- */

/* False when any command of the batch failed. */
static bool load_batch(struct worker *worker, uint32_t from, uint32_t to)
{
    if (!link_open(&worker->link)) {
        return false;
    }
    unsigned expected = 0;
    for (uint32_t i = from; i < to; i++) {
        uint32_t id = account_id(worker, i);
        account_init(&worker->accounts[i], id, (int64_t)clock_wall_ms());
        expected += account_append_load(worker->link.context, id, &worker->accounts[i]);
    }
    bool is_good = true;
    while (expected-- > 0) {
        redisReply *reply = link_read(&worker->link);
        if (reply == NULL) {
            return false;
        }
        is_good &= reply->type != REDIS_REPLY_ERROR;
        freeReplyObject(reply);
    }
    return is_good;
}

static void load(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->count; i += BATCH_ACCOUNTS) {
        uint32_t end = i + BATCH_ACCOUNTS < worker->count ? i + BATCH_ACCOUNTS : worker->count;
        /* A batch that failed half-way cannot be told from one that did not: no second try. */
        if (!load_batch(worker, i, end)) {
            violate(worker, i, "the load failed: are the shards empty and the proxies up?");
            return;
        }
        for (uint32_t j = i; j < end; j++) {
            worker->report.keys_loaded += account_keys_loaded(&worker->accounts[j]);
        }
    }
}

/* --- reading whole accounts ----------------------------------------------------------------- */

struct whole {
    redisReply *replies[ACCOUNT_READ_REPLIES];
    int64_t from_ms, to_ms;
};

static void free_whole(struct whole *whole)
{
    for (size_t i = 0; i < ACCOUNT_READ_REPLIES; i++) {
        if (whole->replies[i] != NULL) {
            freeReplyObject(whole->replies[i]);
        }
    }
}

/* Takes the replies of one account_append_read. False when the connection was lost or a reply is
 * an error; `whole` is to be freed in either case. */
static bool take_whole(struct worker *worker, struct whole *whole)
{
    bool is_good = true;
    for (size_t i = 0; i < ACCOUNT_READ_REPLIES; i++) {
        whole->replies[i] = worker->link.context != NULL ? link_read(&worker->link) : NULL;
        is_good &= whole->replies[i] != NULL && whole->replies[i]->type != REDIS_REPLY_ERROR;
    }
    whole->to_ms = (int64_t)clock_wall_ms();
    return is_good;
}

static bool read_whole(struct worker *worker, uint32_t index, struct whole *whole)
{
    *whole = (struct whole){.from_ms = (int64_t)clock_wall_ms()};
    if (!link_open(&worker->link)) {
        return false;
    }
    account_append_read(worker->link.context, account_id(worker, index));
    return take_whole(worker, whole);
}

static bool whole_matches(struct worker *worker, uint32_t index, const struct account *account,
                          const struct whole *whole, char why[512])
{
    return account_matches(account, account_id(worker, index), whole->replies, whole->from_ms,
                           whole->to_ms, why, 512);
}

/* --- doubts --------------------------------------------------------------------------------- */

static void open_doubt(struct worker *worker, uint32_t index, const struct operation *operation)
{
    MEM_GROW(worker->doubts, worker->ndoubts, worker->doubts_capacity);
    struct doubt *doubt = &worker->doubts[worker->ndoubts++];
    *doubt = (struct doubt){.index = index,
                            .next = operation->next,
                            .pot_change = operation->pot_change,
                            .since_us = clock_now_us()};
    if (operation->code_ttl_ms != 0) {
        doubt->next.code_max_ms = (int64_t)clock_wall_ms() + operation->code_ttl_ms +
                                  worker->bank->doubt_ms + REPLY_SLACK_MS;
    }
    worker->is_unusable[index] = true;
}

/* True when the doubt is over. */
static bool look_at_doubt(struct worker *worker, const struct doubt *doubt)
{
    struct whole whole;
    char why_new[512] = "";
    char why_old[512] = "";
    bool is_over = false;
    if (!read_whole(worker, doubt->index, &whole)) {
        free_whole(&whole);
        return false;
    }
    if (whole_matches(worker, doubt->index, &doubt->next, &whole, why_new)) {
        worker->accounts[doubt->index] = doubt->next;
        worker->report.pot += doubt->pot_change;
        worker->report.doubts_executed++;
        is_over = true;
    } else if (whole_matches(worker, doubt->index, &worker->accounts[doubt->index], &whole,
                             why_old)) {
        is_over = clock_now_us() - doubt->since_us > worker->bank->doubt_ms * UINT64_C(1000);
        worker->report.doubts_not_executed += is_over;
    } else {
        char why[512];
        (void)snprintf(why, sizeof(why), "after an unknown outcome: %.220s; and %.220s", why_new,
                       why_old);
        violate(worker, doubt->index, why);
        free_whole(&whole);
        return true;
    }
    worker->is_unusable[doubt->index] = !is_over;
    free_whole(&whole);
    return is_over;
}

static void look_at_doubts(struct worker *worker)
{
    uint64_t now_us = clock_now_us();
    if (worker->ndoubts == 0 || now_us - worker->doubts_polled_us < DOUBT_POLL_US) {
        return;
    }
    worker->doubts_polled_us = now_us;
    for (uint32_t i = worker->ndoubts; i-- > 0;) {
        if (look_at_doubt(worker, &worker->doubts[i])) {
            worker->doubts[i] = worker->doubts[--worker->ndoubts];
        }
    }
}

/* --- operations ----------------------------------------------------------------------------- */

static void adopt(struct worker *worker, uint32_t index, const struct operation *operation)
{
    if (!operation->is_write) {
        return;
    }
    worker->accounts[index] = operation->next;
    worker->report.pot += operation->pot_change;
    worker->report.writes++;
    if (operation->code_ttl_ms != 0) {
        worker->accounts[index].code_max_ms = (int64_t)clock_wall_ms() + operation->code_ttl_ms;
    }
}

static void judge(struct worker *worker, uint32_t index, const struct operation *operation,
                  const struct operation_choice *choice, const redisReply *reply)
{
    char why[512];
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        /* -UNAVAILABLE says that nothing was executed, and is taken at its word. */
        bool was_refused =
            reply != NULL && strncmp(reply->str, "UNAVAILABLE", strlen("UNAVAILABLE")) == 0;
        if (operation->is_write && !was_refused) {
            open_doubt(worker, index, operation);
        }
    } else if (operation_accepts(operation, choice, reply, why, sizeof(why))) {
        adopt(worker, index, operation);
    } else {
        violate(worker, index, why);
    }
}

static struct operation_choice choice_of(const struct worker *worker, uint32_t index)
{
    return (struct operation_choice){
        .id = account_id(worker, index),
        .account = &worker->accounts[index],
        .pot = worker->report.pot,
        .write_percent = worker->bank->write_percent,
        .has_eval = worker->bank->has_eval,
        .now_ms = (int64_t)clock_wall_ms(),
    };
}

static void perform(struct worker *worker, uint32_t index, const struct operation *operation,
                    const struct operation_choice *choice)
{
    unsigned interval = atomic_load(&worker->bank->interval);
    uint64_t start_us = clock_now_us();
    (void)redisAppendFormattedCommand(worker->link.context, operation->command,
                                      (size_t)operation->length);
    redisReply *reply = link_read(&worker->link);
    histogram_record(&worker->histograms[interval], clock_now_us() - start_us);
    worker->report.operations++;
    judge(worker, index, operation, choice, reply);
    if (reply != NULL) {
        freeReplyObject(reply);
    }
}

static void compare_whole(struct worker *worker, uint32_t index)
{
    struct whole whole;
    char why[512];
    if (read_whole(worker, index, &whole)) {
        worker->report.account_reads++;
        if (!whole_matches(worker, index, &worker->accounts[index], &whole, why)) {
            violate(worker, index, why);
        }
    }
    free_whole(&whole);
}

static void one_step(struct worker *worker)
{
    uint32_t index = (uint32_t)random_below(&worker->random, worker->count);
    if (worker->is_unusable[index] || !link_open(&worker->link)) {
        return;
    }
    if (random_below(&worker->random, WHOLE_READ_EVERY) == 0) {
        compare_whole(worker, index);
        return;
    }
    struct operation operation;
    struct operation_choice choice = choice_of(worker, index);
    operation_choose(&operation, &choice, &worker->random);
    perform(worker, index, &operation, &choice);
    operation_fini(&operation);
}

static void keep_pace(struct worker *worker)
{
    const struct bank *bank = worker->bank;
    if (bank->operations_per_second == 0) {
        return;
    }
    uint64_t now_us = clock_now_us();
    if (worker->next_start_us + MAX_LAG_US < now_us) {
        worker->next_start_us = now_us;
    }
    if (worker->next_start_us > now_us + 1000) {
        clock_sleep_ms((worker->next_start_us - now_us) / 1000);
    }
    worker->next_start_us += UINT64_C(1000000) * bank->connections / bank->operations_per_second;
}

static void stay_idle(struct worker *worker)
{
    (void)atomic_fetch_add(&worker->bank->idle, 1);
    while (atomic_load(&worker->bank->is_paused) && !atomic_load(&worker->bank->is_stopped)) {
        clock_sleep_ms(1);
    }
    (void)atomic_fetch_sub(&worker->bank->idle, 1);
}

static void work(struct worker *worker)
{
    while (worker->count > 0 && !atomic_load(&worker->bank->is_stopped)) {
        if (atomic_load(&worker->bank->is_paused)) {
            stay_idle(worker);
        }
        keep_pace(worker);
        look_at_doubts(worker);
        one_step(worker);
    }
}

/* --- the end -------------------------------------------------------------------------------- */

/* Puts what is left in the worker's hand on its first good account. */
static void empty_pot(struct worker *worker)
{
    for (uint32_t index = 0; index < worker->count; index++) {
        if (!worker->is_unusable[index] && link_open(&worker->link)) {
            struct operation operation;
            struct operation_choice choice = choice_of(worker, index);
            if (operation_settle(&operation, &choice)) {
                perform(worker, index, &operation, &choice);
                operation_fini(&operation);
            }
            return;
        }
    }
}

static void settle(struct worker *worker)
{
    uint64_t deadline_us = clock_now_us() + SETTLE_MS * UINT64_C(1000);
    while (worker->count > 0 && (worker->ndoubts > 0 || worker->report.pot != 0) &&
           clock_now_us() < deadline_us) {
        look_at_doubts(worker);
        if (worker->ndoubts == 0) {
            empty_pot(worker);
        }
        clock_sleep_ms(1);
    }
    worker->report.doubts_open = worker->ndoubts;
}

/* Reads all accounts; adds up the money, and compares when `is_final`. */
static void read_all(struct worker *worker, bool is_final, int64_t *money)
{
    for (uint32_t i = 0; i < worker->count; i += BATCH_ACCOUNTS) {
        uint32_t end = i + BATCH_ACCOUNTS < worker->count ? i + BATCH_ACCOUNTS : worker->count;
        int64_t from_ms = (int64_t)clock_wall_ms();
        for (int tries = 0; tries < LOAD_TRIES && !link_open(&worker->link); tries++) {
        }
        for (uint32_t j = i; j < end && worker->link.context != NULL; j++) {
            account_append_read(worker->link.context, account_id(worker, j));
        }
        for (uint32_t j = i; j < end; j++) {
            struct whole whole = {.from_ms = from_ms};
            char why[512] = "an account cannot be read";
            bool is_read = take_whole(worker, &whole);
            *money += is_read ? account_money_read(whole.replies) : 0;
            bool is_equal = is_read && whole_matches(worker, j, &worker->accounts[j], &whole, why);
            worker->report.accounts_equal += is_equal && is_final;
            if (!is_equal) {
                violate(worker, j, why);
            }
            free_whole(&whole);
        }
    }
}

void *worker_run(void *argument)
{
    struct worker *worker = argument;
    struct bank *bank = worker->bank;
    load(worker);
    (void)pthread_barrier_wait(&bank->phase_ended);
    read_all(worker, false, &worker->report.money_start);
    (void)pthread_barrier_wait(&bank->phase_ended);
    worker->next_start_us = clock_now_us();
    work(worker);
    (void)pthread_barrier_wait(&bank->phase_ended);
    settle(worker);
    read_all(worker, true, &worker->report.money_end);
    (void)pthread_barrier_wait(&bank->phase_ended);
    return NULL;
}
