/* What goes on in a cluster while a test moves its slots: the bank (a process that knows every
 * value), churn (threads that change keys of every type at random), and the zoo (keys of every type
 * and encoding that stay as they are). Main thread, but for the churn's own threads. */
#ifndef TESTS_SUPPORT_WORKLOAD_H
#define TESTS_SUPPORT_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/cluster.h"

/* --- bank ----------------------------------------------------------------------------------- */
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

/* --- churn ---------------------------------------------------------------------------------- */
struct churn;

/* `threads` connections, spread over the proxies, that change keys of every type: writes, deletes,
 * expiries, renames. */
struct churn *churn_start(struct cluster *cluster, unsigned threads, uint64_t seed);
/* Returns when none of its commands is under way. */
void churn_pause(struct churn *churn);
void churn_resume(struct churn *churn);
/* Ends and frees it. *refused: -UNAVAILABLE and -UNKNOWN replies and lost connections. Returns how
 * many commands were answered. */
uint64_t churn_end(struct churn *churn, uint64_t *refused);

/* --- zoo ------------------------------------------------------------------------------------ */
/* Loads keys of every type and encoding through the first proxy. */
void zoo_load(struct cluster *cluster);
/* Fails the test unless every key is as it was loaded, read through proxy `proxy`. */
void zoo_check(struct cluster *cluster, unsigned proxy);

/* --- migrations ----------------------------------------------------------------------------- */
/* The phase of a migration's name ("m42"), "closed" when it is not open; freed with mem_free. */
char *migration_phase(struct cluster *cluster, const char *id) __attribute__((warn_unused_result));
bool migration_is_in(struct cluster *cluster, const char *id, const char *phase);
/* Every key has compared equal since its base. */
bool migration_is_verified(struct cluster *cluster, const char *id);
/* The epoch that its metadata count from: what was verified before is void. 0: it is not open. */
uint64_t migration_base(struct cluster *cluster, const char *id);
/* Opens one; `words` as for sluicectl ("split s1 --to s3"). Its id, freed with mem_free. */
char *migration_open_by_ctl(struct cluster *cluster, const char *words)
    __attribute__((warn_unused_result));

#endif
