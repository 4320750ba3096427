/* One connection of the bank, with the accounts that only it writes. So it knows at every moment
 * what each of them must be, and every reply must be exactly that.
 *
 * When the outcome of a write is unknown (-UNKNOWN, or the connection ended), its account is in
 * doubt: it is not used until a reading shows the new state (executed), or has shown the old one
 * for doubt_ms (not executed). Anything else is a violation.
 *
 * Thread: worker_run is the thread's function; the rest is for the main thread, and the report
 * only after the threads have ended. */
#ifndef TESTS_SUPPORT_BANK_WORKER_H
#define TESTS_SUPPORT_BANK_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/random.h"
#include "lib/metrics/histogram.h"
#include "tests/support/bank/account.h"

#define BANK_INTERVALS_MAX 16
#define BANK_PROXIES_MAX   16
#define BANK_SAMPLES_MAX   5

/* What the operator gave, and the switches that the main thread turns; shared by all workers. */
struct bank {
    uint32_t accounts;
    unsigned connections;
    unsigned write_percent;
    unsigned operations_per_second; /* of all connections together; 0: as fast as it goes */
    unsigned timeout_ms;
    unsigned doubt_ms; /* a write of unknown outcome may still be executed for so long */
    bool has_eval;
    unsigned nproxies;

    struct {
        char host[64];
        int port;
    } proxies[BANK_PROXIES_MAX];

    pthread_barrier_t phase_ended; /* all workers and the main thread meet between phases */
    atomic_uint interval;
    atomic_bool is_paused;
    atomic_bool is_stopped;
    atomic_uint idle; /* workers that have noticed the pause */
};

/* Errors to clients by kind. */
#define BANK_ERRORS(X)                                              \
    X(ERROR_UNAVAILABLE, "unavailable") /* -UNAVAILABLE */          \
    X(ERROR_UNKNOWN, "unknown")         /* -UNKNOWN */              \
    X(ERROR_OTHER, "other")             /* any other error reply */ \
    X(ERROR_CLOSED, "closed")           /* the connection ended */  \
    X(ERROR_TIMEOUT, "timeout")         /* no reply in time */      \
    X(ERROR_REFUSED, "refused")         /* nobody accepts connections */

enum bank_error {
#define X(symbol, name) symbol,
    BANK_ERRORS(X)
#undef X
    ERRORS_COUNT
};

const char *bank_error_name(enum bank_error kind);

struct worker_report {
    uint64_t operations;
    uint64_t writes;
    uint64_t account_reads; /* whole accounts read and compared while the workload ran */
    uint64_t keys_loaded;
    uint64_t errors[ERRORS_COUNT];
    uint64_t doubts_executed;
    uint64_t doubts_not_executed;
    uint64_t doubts_open; /* could not be settled before the end */
    uint64_t violations;
    unsigned nsamples;
    char samples[BANK_SAMPLES_MAX][512]; /* of violations and of other errors */
    int64_t money_start;                 /* as read after the load */
    int64_t money_end;                   /* as read by the final check */
    int64_t pot;                         /* still in the worker's hand */
    uint64_t accounts_equal;             /* of the final check */
};

struct worker;

/* Worker `index` owns the accounts whose number is index modulo bank->connections. */
struct worker *worker_new(struct bank *bank, unsigned index, uint64_t seed);
void worker_free(struct worker *worker);
/* The thread: load, read the money, [workload], settle, check; a barrier behind each. */
void *worker_run(void *argument);

const struct worker_report *worker_report(const struct worker *worker);
const struct histogram *worker_histogram(const struct worker *worker, unsigned interval);

#endif
