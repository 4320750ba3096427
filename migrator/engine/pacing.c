/* When the engine watches the shards' latency: from the preflight to the end of the copying, and
 * while it purges. */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "migrator/engine/engine.h"

/* So long the copying waits to learn what is usual, where nothing watched before: too long is
 * nothing to a migration, but without it one on slow shards would rest nearly all the time. */
#define USUAL_WAIT_MS  UINT64_C(5000)
#define USUAL_PIECE_MS UINT64_C(5)

void engine_watch_latency(struct engine *engine)
{
    const struct topology_shard *shards = engine->view.shards;
    struct error err;
    if (option_flag(&engine->settings->is_full_rate)) {
        return;
    }
    if (engine->pacing.probe != NULL &&
        !probe_is_of(engine->pacing.probe, &shards[SIDE_SOURCE], &shards[SIDE_TARGET])) {
        engine_end_pacing(engine);
    }
    if (engine->pacing.probe != NULL) {
        return;
    }
    engine->pacing.probe = probe_start(&shards[SIDE_SOURCE], &shards[SIDE_TARGET],
                                       option_number(&engine->settings->shard_timeout_ms), &err);
    if (engine->pacing.probe == NULL) {
        log_warn("copying will not spare the clients why=\"%s\"", err.text);
    }
}

static uint64_t learn_usual(struct engine *engine)
{
    uint64_t usual_us = 0;
    uint64_t until_us = clock_now_us() + USUAL_WAIT_MS * 1000;
    bool is_known = probe_read(engine->pacing.probe, &usual_us);
    while (!is_known && clock_now_us() < until_us && engine_may_go_on(engine)) {
        clock_sleep_ms(USUAL_PIECE_MS);
        is_known = probe_read(engine->pacing.probe, &usual_us);
    }
    return usual_us;
}

static void set_pace(struct engine *engine)
{
    struct pacing *pacing = &engine->pacing;
    pace_init(&pacing->pace, pacing->usual_us);
    pacing->is_paced = true;
    log_info("copying and purging rest, longer when the shards answer slower migration=m%llu "
             "usual_us=%llu limit_us=%llu",
             (unsigned long long)engine->id, (unsigned long long)pacing->usual_us,
             (unsigned long long)pacing->pace.limit_us);
}

void engine_begin_pacing(struct engine *engine)
{
    engine_watch_latency(engine);
    if (engine->pacing.probe != NULL && !engine->pacing.is_paced) {
        engine->pacing.usual_us = learn_usual(engine);
        set_pace(engine);
    }
}

void engine_go_on_pacing(struct engine *engine)
{
    engine_watch_latency(engine);
    if (engine->pacing.probe != NULL && !engine->pacing.is_paced) {
        set_pace(engine);
    }
}

void engine_end_pacing(struct engine *engine)
{
    probe_stop(engine->pacing.probe);
    engine->pacing.probe = NULL;
    engine->pacing.is_paced = false;
}
