/* One cell of the matrix: a migration whose migrator stops itself at a named step; there a fault
 * strikes, and then it goes on (or another one does), with clients at work all the while. In the
 * end the migration must be closed, its slots where they were, every history linearizable, and both
 * sides compare. Main thread only. */
#ifndef TESTS_SUPPORT_CHAOS_CELL_H
#define TESTS_SUPPORT_CHAOS_CELL_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/cluster.h"

/* X(SYMBOL, "name"). A hang lasts longer than hold_max, the barrier's and the shards' time-outs. */
#define CELL_FAULTS(X)                                                                    \
    X(CELL_KILL, "kill")           /* the migrator; a new one goes on */                  \
    X(CELL_HANG, "hang")           /* the migrator, then it goes on */                    \
    X(CELL_SUCCESSOR, "late")      /* it wakes when another has done it all */            \
    X(CELL_ERROR, "error")         /* its connections are reset */                        \
    X(CELL_STORE_ERROR, "store")   /* the store is gone for a while */                    \
    X(CELL_RIVAL, "rival")         /* another one comes, and both go on */                \
    X(CELL_OVERTAKEN, "overtaken") /* it hangs past its lease and wakes beside another */ \
    X(CELL_FULL_STORE, "full store")                                                      \
    X(CELL_HUNG_STORE, "hung store")   /* who reads it does not come back */              \
    X(CELL_FULL_SOURCE, "full source") /* its disk: -MISCONF */                           \
    X(CELL_FULL_TARGET, "full target")                                                    \
    X(CELL_READONLY_SOURCE, "replica source") /* -READONLY; then another identity */      \
    X(CELL_READONLY_TARGET, "replica target")                                             \
    X(CELL_KILL_PROXY, "kill proxy")                                                      \
    X(CELL_HANG_PROXY, "hang proxy")                                                      \
    X(CELL_KILL_PROXIES, "kill proxies")                                                  \
    X(CELL_HANG_PROXIES, "hang proxies")                                                  \
    X(CELL_KILL_SOURCE, "kill source")                                                    \
    X(CELL_HANG_SOURCE, "hang source")                                                    \
    X(CELL_KILL_TARGET, "kill target")                                                    \
    X(CELL_HANG_TARGET, "hang target")

enum cell_fault {
#define X(symbol, name) symbol,
    CELL_FAULTS(X)
#undef X
    CELL_FAULT_COUNT
};

const char *cell_fault_name(enum cell_fault fault);
bool cell_fault_parse(const char *name, enum cell_fault *fault);

struct cell_result {
    bool was_passed;     /* the step; else nothing was tried */
    bool is_well;        /* all invariants held, and it came to an end */
    char end[16];        /* "rolled back", "finalized", "aborted" */
    uint64_t took_ms;    /* the whole migration */
    uint64_t service_ms; /* from the fault's end until clients met no more errors or slow answers */
    uint64_t unknown, refused;
};

/* The cluster for cells: two shards with links, two proxies that give a shard up soon. */
struct cluster *cell_cluster_start(void) __attribute__((warn_unused_result));
/* The same with proxies that wait for longer than a machine can be slow: they refuse nothing but
 * for the fault's sake. */
struct cluster *cell_cluster_start_patient(void) __attribute__((warn_unused_result));
/* `step`: a fail point of the migrator. Prints on standard error what is not well. */
void cell_run(struct cluster *cluster, const char *step, enum cell_fault fault, uint64_t hang_ms,
              uint64_t seed, struct cell_result *result);

#endif
