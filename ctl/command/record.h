/* What sluicectl itself writes to the journal: who asked for what. */
#ifndef CTL_COMMAND_RECORD_H
#define CTL_COMMAND_RECORD_H

#include "ctl/command/command.h"

/* {"time", "migration", "kind"}: add to it, then record_append. */
json_t *record_new(uint64_t migration, const char *kind);
/* Consumes the record, after adding who asked and the command line. The change that it tells of is
 * done already, so a journal that cannot be written is a remark and not a failure. */
void record_append(const struct command_run *run, json_t *record);

#endif
