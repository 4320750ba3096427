#include "tests/support/quiet.h"

#include <stddef.h>

void compare_quietly(struct cluster *cluster, struct bank_run *bank, struct churn *churn)
{
    bank_run_tell(bank, "pause");
    if (churn != NULL) {
        churn_pause(churn);
    }
    cluster_compare(cluster, "");
    if (churn != NULL) {
        churn_resume(churn);
    }
    bank_run_tell(bank, "resume");
}
