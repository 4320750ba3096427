/* A thread that carries out one migration until it is closed, or the program ends. */
#ifndef MIGRATOR_RUN_RUNNER_H
#define MIGRATOR_RUN_RUNNER_H

#include "migrator/engine/engine.h"

struct runner;

/* Null with a message when there is no thread to be had. */
struct runner *runner_start(const struct migrator_settings *settings, uint64_t id,
                            const atomic_bool *is_stopping, struct error *err)
    __attribute__((warn_unused_result));
/* The thread has returned, or is about to. Any thread. */
bool runner_is_done(const struct runner *runner);
/* Waits for the thread, until `deadline_us` of clock_now_us at the latest, then frees it. False: it
 * still runs and nothing was freed. */
bool runner_end(struct runner *runner, uint64_t deadline_us);

uint64_t runner_migration(const struct runner *runner);
/* Read by any thread. */
const struct progress *runner_progress(const struct runner *runner);

#endif
