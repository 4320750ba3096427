/* dual-write: the proxies write to both; the target's copy is kept up until the slots can be held.
 */
#include "migrator/phase/phase_internal.h"

enum step_result phase_dual_write(struct engine *engine)
{
    const struct migration *migration = &engine->view.migration;
    return phase_keep_copy(engine, !migration->options.manual_switch ||
                                       migration->request == REQUEST_SWITCH ||
                                       engine->memory.requested == REQUEST_SWITCH);
}
