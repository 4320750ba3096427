/* The fail points of the migrator by name, in one table, so that a test can go through all. */
#ifndef MIGRATOR_ENGINE_STEPS_H
#define MIGRATOR_ENGINE_STEPS_H

#include "lib/base/fail_point.h"

enum fail_step {
#define X(symbol, name) symbol,
#include "migrator/engine/steps.def"
#undef X
    FAIL_STEP_COUNT
};

const char *fail_step_name(enum fail_step step);

/* Passes the point. Its "error" action is of no use to most steps: they are followed by something
 * that can fail by itself. */
#define PASS(step) ((void)FAIL_POINT(fail_step_name(step)))

#endif
