#include "migrator/engine/steps.h"

#include "lib/base/assert.h"

const char *fail_step_name(enum fail_step step)
{
    static const char *const names[] = {
#define X(symbol, name) name,
#include "migrator/engine/steps.def"
#undef X
    };

    ASSERT(step < FAIL_STEP_COUNT);
    return names[step];
}
