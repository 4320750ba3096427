/* The running proxies and migrators, as they registered themselves in the store. */
#ifndef CTL_COMMAND_MEMBERS_H
#define CTL_COMMAND_MEMBERS_H

#include "ctl/command/command.h"

/* [{kind, id, incarnation, address, admin, pid, epoch, heartbeat_age_ms, alive}] of one kind. Null
 * with a message. Owned by the caller. */
json_t *members_view(struct store *store, const char *kind, struct error *err);
/* True when a migrator's lease has not run out. */
bool members_has_migrator(struct store *store);
/* A remark that nothing will happen, when no migrator is running. */
void members_note_no_migrator(const struct command_run *run);

#endif
