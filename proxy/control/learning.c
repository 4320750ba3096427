/* What the shards say of themselves: their commands and their version. The oldest version among
 * the shards would be the honest one; the first that answers is taken, and a newer table replaces
 * an older one only when it differs. */
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "proxy/control/control_internal.h"
#include "proxy/control/survey.h"

#define LEARNT_MAX 64u /* tables kept for workers that may still look at them */
#define SURVEY_US  1000000u

/* "redis_version:7.0.15\r\n" in an INFO reply. */
static char *find_version(struct slice info)
{
    static const char field[] = "redis_version:";
    const char *found = memmem(info.data, info.len, field, sizeof(field) - 1);
    if (found == NULL) {
        return NULL;
    }
    const char *from = found + sizeof(field) - 1;
    const char *end = memchr(from, '\r', (size_t)(info.data + info.len - from));
    return end == NULL ? NULL : mem_strndup(from, (size_t)(end - from));
}

/* Keeps both. */
static void take(struct control *control, struct command_table *table, char *version)
{
    control->learnt_tables = mem_realloc(control->learnt_tables,
                                         (control->nlearnt + 1) * sizeof(*control->learnt_tables));
    control->learnt_tables[control->nlearnt++] = table;
    control->versions =
        mem_realloc(control->versions, (control->nversions + 1) * sizeof(*control->versions));
    control->versions[control->nversions++] = version;
    control->table = table;
    for (unsigned i = 0; i < control->nworkers; i++) {
        worker_learn(control->workers[i], table, version, acl_ref(control->acl));
    }
}

void learning_take(struct control *control, struct slice command_reply, struct slice info_reply)
{
    struct error err;
    if (control->nlearnt >= LEARNT_MAX) {
        return;
    }
    char *version = find_version(info_reply);
    const char *known = control->nversions > 0 ? control->versions[control->nversions - 1] : "";
    if (version == NULL || strcmp(version, known) == 0) {
        mem_free(version);
        return; /* the same server as before: nothing new */
    }
    struct command_table *table = command_table_learn(command_reply, &err);
    if (table == NULL || !users_learn(control, table, &err)) {
        log_warn("cannot learn the shard's commands why=\"%s\"", err.text);
        command_table_free(table);
        mem_free(version);
        return;
    }
    take(control, table, version);
    log_info("commands learnt version=%s count=%u", version, command_table_count(table));
}

static void tell_workers(struct control *control)
{
    for (unsigned i = 0; i < control->nworkers; i++) {
        worker_tell(control->workers[i], &control->facts);
    }
}

static uint64_t commands_so_far(const struct control *control)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < control->nworkers; i++) {
        count += histogram_count(&control->worker_counters[i].latency);
    }
    return count;
}

/* Adds up what the shards said to the last question, and puts the next. */
void learning_survey(struct control *control, uint64_t now)
{
    bool is_first = true;
    uint64_t passed_us = now - control->surveyed_us;
    if (passed_us == 0 || (passed_us < SURVEY_US && !control->is_survey_due)) {
        return;
    }
    control->facts = (struct fleet_facts){.keys = 0};
    for (unsigned i = 0; i < control->npublishers; i++) {
        const struct fleet_facts *facts = publisher_facts(control->publishers[i]);
        if (facts != NULL) {
            survey_add(&control->facts, facts, is_first);
            is_first = false;
        }
        publisher_survey(control->publishers[i]);
    }
    uint64_t commands = commands_so_far(control);
    control->facts.commands_per_second =
        (commands - control->surveyed_commands) * 1000000 / passed_us;
    control->surveyed_commands = commands;
    control->surveyed_us = now;
    control->is_survey_due = false;
    tell_workers(control);
}

void learning_fini(struct control *control)
{
    for (unsigned i = 0; i < control->nlearnt; i++) {
        command_table_free(control->learnt_tables[i]);
    }
    for (unsigned i = 0; i < control->nversions; i++) {
        mem_free(control->versions[i]);
    }
    mem_free(control->learnt_tables);
    mem_free(control->versions);
}
