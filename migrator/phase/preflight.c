#include "migrator/phase/preflight.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/number.h"
#include "migrator/phase/phase_internal.h"

// clang-format off
static const struct {
    const char *name;
    preflight_fn *check;
} checks[] = {
    {"versions",     preflight_versions},
    {"fences",       preflight_fences},
    {"permissions",  preflight_permissions},
    {"eviction",     preflight_eviction},
    {"durability",   preflight_durability},
    {"clocks",       preflight_clocks},
    {"memory",       preflight_memory},
    {"backlog",      preflight_backlog},
    {"payloads",     preflight_payloads},
    {"target-empty", preflight_target_empty},
    {"functions",    preflight_functions},
    {"scripts",      preflight_scripts},
    {"large-keys",   preflight_large_keys},
};

// clang-format on

bool preflight_note(struct preflight *preflight, bool ok, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(preflight->note, sizeof(preflight->note), format, arguments);
    va_end(arguments);
    return ok;
}

struct shard_link *preflight_link(struct preflight *preflight, enum side side)
{
    return preflight->engine->links[side];
}

const char *preflight_name(const struct preflight *preflight, enum side side)
{
    return preflight->engine->view.shards[side].name;
}

bool preflight_config(struct preflight *preflight, enum side side, const char *parameter,
                      char *value, size_t size)
{
    struct error err;
    struct shard_reply *reply =
        shard_commandf(preflight_link(preflight, side), &err, "CONFIG GET %s", parameter);
    if (reply == NULL) {
        return preflight_note(preflight, false, "%s", err.text);
    }
    bool is_there = shard_reply_count(reply) == 2;
    struct slice text = is_there ? shard_reply_text(shard_reply_at(reply, 1)) : SLICE("");
    is_there = is_there && text.len < size;
    if (is_there) {
        (void)snprintf(value, size, "%.*s", (int)text.len, text.data);
    }
    shard_reply_free(reply);
    return is_there || preflight_note(preflight, false, "shard \"%s\" does not tell its %s",
                                      preflight_name(preflight, side), parameter);
}

bool preflight_info(struct preflight *preflight, enum side side, const char *section,
                    const char *field, uint64_t *value)
{
    char text[64];
    struct error err;
    if (!shard_info(preflight_link(preflight, side), section, field, text, sizeof(text), &err)) {
        return preflight_note(preflight, false, "%s", err.text);
    }
    return number_parse_u64(slice_of(text), value) ||
           preflight_note(preflight, false, "shard \"%s\": %s is \"%s\"",
                          preflight_name(preflight, side), field, text);
}

static void run_check(struct preflight *preflight, size_t i, struct journal_checks *list,
                      bool *passed)
{
    preflight->note[0] = '\0';
    bool ok = checks[i].check(preflight);
    journal_clean(preflight->note);
    journal_checks_add(list, checks[i].name, ok, preflight->note);
    if (!ok && *passed) {
        (void)error_set(&preflight->engine->why, "preflight, %s: %s", checks[i].name,
                        preflight->note);
        *passed = false;
    }
}

bool phase_preflight(struct engine *engine, bool *passed, enum step_result *result)
{
    struct preflight preflight = {.engine = engine};
    struct journal_checks *list = journal_checks_new();
    struct error err;
    bool links_live = true;
    *passed = true;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && links_live; i++) {
        run_check(&preflight, i, list, passed);
        links_live = !shard_is_broken(engine->links[SIDE_SOURCE]) &&
                     !shard_is_broken(engine->links[SIDE_TARGET]);
        if (!*passed) {
            engine->epoch_asked_us = 0; /* What another leader has done since is no finding. */
        }
        if (preflight.is_interrupted || !engine_may_go_on(engine)) {
            journal_checks_free(list);
            *result = STEP_ADVANCED;
            return false;
        }
    }
    /* A preflight that refuses is repeated until somebody acts: one record for each finding. */
    uint64_t digest = journal_checks_digest(list);
    if (!*passed && digest == engine->preflight_digest) {
        journal_checks_free(list);
        return true;
    }
    struct journal_place place = engine_place(engine);
    if (!journal_checks_append(list, engine->store, &place, *passed, &err)) {
        *result = engine_retry(engine, &err);
        return false;
    }
    engine->preflight_digest = digest;
    return true;
}
