/* The phases of a migration, one file each; table.c shows them all. A phase looks at the engine's
 * view and does the next thing: it may be called again at any time, from any point, and goes on. */
#ifndef MIGRATOR_PHASE_PHASE_H
#define MIGRATOR_PHASE_PHASE_H

#include "migrator/engine/engine.h"

/* The function of the view's phase. */
enum step_result phase_run(struct engine *engine);

#endif
