/* Two judges of a cluster at once. Main thread. */
#ifndef TESTS_SUPPORT_QUIET_H
#define TESTS_SUPPORT_QUIET_H

#include "tests/support/bank_run.h"
#include "tests/support/churn.h"

/* cluster_compare while nobody writes; `churn` may be null. */
void compare_quietly(struct cluster *cluster, struct bank_run *bank, struct churn *churn);

#endif
