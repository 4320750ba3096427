#include "ctl/command/record.h"

#include <pwd.h>
#include <unistd.h>

#include "lib/base/clock.h"

json_t *record_new(uint64_t migration, const char *kind)
{
    char id[MIGRATION_ID_TEXT_MAX];
    migration_id_format(migration, id);
    json_t *record = json_object();
    set_number(record, "time", clock_wall_ms());
    set_text(record, "migration", id);
    set_text(record, "kind", kind);
    return record;
}

/* "root@host", as an auditor would ask for it. */
static void add_author(json_t *record)
{
    char host[128] = "";
    char author[256];
    struct passwd entry;
    struct passwd *found = NULL;
    char memory[4096];
    (void)gethostname(host, sizeof(host) - 1);
    /* Without an entry the number must do. */
    (void)getpwuid_r(geteuid(), &entry, memory, sizeof(memory), &found);
    if (found != NULL) {
        (void)snprintf(author, sizeof(author), "%s@%s", entry.pw_name, host);
    } else {
        (void)snprintf(author, sizeof(author), "%u@%s", (unsigned)geteuid(), host);
    }
    set_text(record, "author", author);
}

void record_append(const struct command_run *run, json_t *record)
{
    struct error err;
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    add_author(record);
    set_text(record, "command", run->line);
    json_append_line(record, &text);
    if (!store_append(run->store, buffer_slice(&text), &err)) {
        note(run, "done, but not noted in the journal: %s", err.text);
    }
    buffer_fini(&text);
    json_decref(record);
}
