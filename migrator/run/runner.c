#include "migrator/run/runner.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "migrator/phase/phase.h"

#define BACK_OFF_FIRST_MS UINT64_C(20)
#define BACK_OFF_MAX_MS   UINT64_C(2000)
#define SLEEP_PIECE_MS    UINT64_C(100)

struct runner {
    pthread_t thread;
    const struct migrator_settings *settings;
    const atomic_bool *is_stopping;
    atomic_bool is_done;
    uint64_t id;
    struct progress progress;
};

/* The thread's own: failures in a row, and what was said of them. */
struct failing {
    uint64_t back_off_ms;
    char said[256]; /* the beginning of the last message: a failure is journalled once */
    uint64_t advanced_epoch;
    unsigned advanced_in_vain;
};

/* Until the time is over, the topology is newer, or the program ends. */
static void wait_for(struct engine *engine, uint64_t ms, bool until_newer)
{
    uint64_t until_us = clock_now_us() + ms * 1000;
    uint64_t now_us = clock_now_us();
    while (now_us < until_us && !atomic_load(engine->is_stopping)) {
        uint64_t left_ms = (until_us - now_us + 999) / 1000;
        uint64_t piece_ms = left_ms < SLEEP_PIECE_MS ? left_ms : SLEEP_PIECE_MS;
        if (!until_newer) {
            clock_sleep_ms(piece_ms);
        } else if (store_wait(engine->store, engine->view.epoch, piece_ms)) {
            return;
        }
        now_us = clock_now_us();
    }
}

static void note_failure(struct engine *engine, struct failing *failing)
{
    counter_add(&engine->progress->errors, 1);
    if (strncmp(failing->said, engine->why.text, sizeof(failing->said) - 1) == 0) {
        return;
    }
    (void)snprintf(failing->said, sizeof(failing->said), "%.255s", engine->why.text);
    log_warn("migration has to try again migration=m%llu phase=%s why=\"%s\"",
             (unsigned long long)engine->id, phase_name(engine->view.migration.phase),
             engine->why.text);
    if (engine->view.is_set) {
        journal_clean(engine->why.text);
        ENGINE_NOTE(engine, "error", "{s:s}", "text", engine->why.text);
    }
}

static void back_off(struct engine *engine, struct failing *failing)
{
    note_failure(engine, failing);
    failing->back_off_ms = failing->back_off_ms == 0 ? BACK_OFF_FIRST_MS : failing->back_off_ms * 2;
    if (failing->back_off_ms > BACK_OFF_MAX_MS) {
        failing->back_off_ms = BACK_OFF_MAX_MS;
    }
    wait_for(engine, failing->back_off_ms, true);
}

/* A phase that says "advanced" without a newer topology is not to spin. */
static void after_advance(struct engine *engine, struct failing *failing)
{
    if (failing->advanced_epoch != engine->view.epoch) {
        failing->advanced_epoch = engine->view.epoch;
        failing->advanced_in_vain = 0;
        return;
    }
    if (++failing->advanced_in_vain > 2) {
        wait_for(engine, BACK_OFF_FIRST_MS, true);
    }
}

static void handle(struct engine *engine, enum step_result result, struct failing *failing)
{
    if (result == STEP_RETRY) {
        back_off(engine, failing);
        return;
    }
    failing->back_off_ms = 0;
    if (result == STEP_WAIT) {
        failing->said[0] = '\0';
        wait_for(engine, engine->wait_ms, true);
        return;
    }
    after_advance(engine, failing);
}

/* Somebody else has closed it: an operator who aborted it in `planned`, or another migrator. */
static void note_gone(struct engine *engine)
{
    if (engine->is_closed) {
        return;
    }
    log_info("migration is gone migration=m%llu", (unsigned long long)engine->id);
    struct journal_place place = {.migration = engine->id,
                                  .phase = (enum phase)counter_read(&engine->progress->phase)};
    struct error err;
    if (place.phase == PHASE_PLANNED &&
        !journal_append(engine->store, &place, &err, "closed", "{s:s}", "outcome", "aborted")) {
        log_error("journal cannot be written kind=closed why=\"%s\"", err.text);
    }
}

static void carry_out(struct engine *engine)
{
    struct failing failing = {.back_off_ms = 0};
    while (!atomic_load(engine->is_stopping)) {
        bool is_gone = false;
        if (!engine_refresh(engine, &is_gone, &engine->why)) {
            back_off(engine, &failing);
            continue;
        }
        if (is_gone) {
            note_gone(engine);
            return;
        }
        handle(engine, phase_run(engine), &failing);
    }
}

static struct engine *open_engine(struct runner *runner)
{
    struct engine *engine = NULL;
    while (engine == NULL && !atomic_load(runner->is_stopping)) {
        struct error err;
        engine =
            engine_new(runner->settings, runner->id, &runner->progress, runner->is_stopping, &err);
        if (engine == NULL) {
            log_error("store cannot be used why=\"%s\"", err.text);
            clock_sleep_ms(SLEEP_PIECE_MS);
        }
    }
    return engine;
}

static void *run(void *context)
{
    struct runner *runner = context;
    struct engine *engine = open_engine(runner);
    if (engine != NULL) {
        carry_out(engine);
        engine_free(engine);
    }
    atomic_store(&runner->is_done, true);
    return NULL;
}

struct runner *runner_start(const struct migrator_settings *settings, uint64_t id,
                            const atomic_bool *is_stopping, struct error *err)
{
    struct runner *runner = mem_zalloc(sizeof(*runner));
    runner->settings = settings;
    runner->id = id;
    runner->is_stopping = is_stopping;
    int failed = pthread_create(&runner->thread, NULL, run, runner);
    if (failed != 0) {
        (void)error_set(err, "cannot start a thread for m%llu: %s", (unsigned long long)id,
                        strerror(failed));
        mem_free(runner);
        return NULL;
    }
    return runner;
}

bool runner_is_done(const struct runner *runner)
{
    return atomic_load(&runner->is_done);
}

bool runner_end(struct runner *runner, uint64_t deadline_us)
{
    while (!runner_is_done(runner)) {
        if (clock_now_us() > deadline_us) {
            return false;
        }
        clock_sleep_ms(2);
    }
    (void)pthread_join(runner->thread, NULL);
    mem_free(runner);
    return true;
}

uint64_t runner_migration(const struct runner *runner)
{
    return runner->id;
}

const struct progress *runner_progress(const struct runner *runner)
{
    return &runner->progress;
}
