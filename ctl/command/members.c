#include "ctl/command/members.h"

#include <string.h>

#include "lib/base/memory.h"

static json_t *member_view(const struct store_member *member)
{
    json_t *view = json_object();
    set_text(view, "kind", member->kind);
    set_text(view, "id", member->id);
    set_text(view, "incarnation", member->incarnation);
    set_text(view, "address", member->address);
    set_text(view, "admin", member->admin);
    set_number(view, "pid", member->pid);
    set_number(view, "epoch", member->epoch);
    set_number(view, "heartbeat_age_ms", member->heartbeat_age_ms);
    set_flag(view, "alive", member->is_alive);
    return view;
}

json_t *members_view(struct store *store, const char *kind, struct error *err)
{
    struct store_member *members = NULL;
    unsigned count = 0;
    if (!store_members(store, &members, &count, err) || !store_ages(store, members, count, err)) {
        mem_free(members);
        return NULL;
    }
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(members[i].kind, kind) == 0) {
            (void)json_array_append_new(list, member_view(&members[i]));
        }
    }
    mem_free(members);
    return list;
}

bool members_has_migrator(struct store *store)
{
    bool has_migrator = false;
    json_t *list = members_view(store, "migrator", NULL);
    size_t i;
    json_t *member;
    json_array_foreach(list, i, member)
    {
        has_migrator = has_migrator || view_flag(member, "alive");
    }
    json_decref(list);
    return has_migrator;
}

void members_note_no_migrator(const struct command_run *run)
{
    if (!members_has_migrator(run->store)) {
        note(run,
             "no sluice-migrator is running, so nothing goes on yet: start one with "
             "sluice-migrator --store %s",
             store_url(run->store));
    }
}
