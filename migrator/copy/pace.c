#include "migrator/copy/pace.h"

#define REST_FIRST_PERMILLE 250u
#define SLEEP_UNIT_US       1000u

void pace_init(struct pace *pace, uint64_t usual_us)
{
    uint64_t limit_us = 2 * usual_us;
    *pace =
        (struct pace){.limit_us = limit_us > PACE_LIMIT_LEAST_US ? limit_us : PACE_LIMIT_LEAST_US,
                      .rest_permille = PACE_REST_LEAST_PERMILLE};
}

/* Up fast, down slowly: clients feel the one, only the migration the other. */
void pace_learn(struct pace *pace, uint64_t latency_us)
{
    if (pace->limit_us == 0) {
        return;
    }
    uint64_t rest = latency_us > pace->limit_us ? 2 * pace->rest_permille + REST_FIRST_PERMILLE
                                                : pace->rest_permille * 3 / 4;
    rest = rest > PACE_REST_LEAST_PERMILLE ? rest : PACE_REST_LEAST_PERMILLE;
    pace->rest_permille = rest < PACE_REST_MAX_PERMILLE ? rest : PACE_REST_MAX_PERMILLE;
}

uint64_t pace_rest_us(struct pace *pace, uint64_t worked_us)
{
    worked_us = worked_us < PACE_WORK_MOST_US ? worked_us : PACE_WORK_MOST_US;
    pace->owed_us += worked_us * pace->rest_permille / 1000;
    uint64_t rest_us = pace->owed_us - pace->owed_us % SLEEP_UNIT_US;
    pace->owed_us -= rest_us;
    return rest_us;
}
