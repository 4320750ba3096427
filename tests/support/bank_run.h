/* The bank at work in a cluster: a process (tests/tools/bank) that knows every value it has
 * written. Main thread. */
#ifndef TESTS_SUPPORT_BANK_RUN_H
#define TESTS_SUPPORT_BANK_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/cluster.h"

struct bank_run;

/* Starts tests/tools/bank over all proxies and waits until its accounts are loaded. */
struct bank_run *bank_run_start(struct cluster *cluster, unsigned accounts, unsigned rate);
/* The same, where what a client gave up may still be executed `doubt_ms` later. */
struct bank_run *bank_run_start_patiently(struct cluster *cluster, unsigned accounts, unsigned rate,
                                          unsigned doubt_ms);
/* "pause", "resume", "mark NAME": waits for the answer. */
void bank_run_tell(struct bank_run *run, const char *line);
bool bank_run_is_alive(struct bank_run *run);

struct bank_result {
    uint64_t operations;
    uint64_t errors; /* that clients have seen, of every kind */
    uint64_t violations;
};

/* Ends it and frees it. Fails the test, printing its summary, when a value was lost or stale, or
 * the money is not what it was. Errors to clients are for the caller to judge. */
struct bank_result bank_run_end(struct bank_run *run);

#endif
