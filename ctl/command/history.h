/* The journal folded into what became of each migration. One JSON object a migration:
 *   created    the record of who asked for what          phases     [{time, from, to}]
 *   preflight  the last record                           bases      [record]
 *   backfills, barriers, verifies, holds, requests       [record]
 *   cutover    the last record                           progress   the last record
 *   findings, repairs    counts over all passes          finding_list  the first HISTORY_LIST_MAX
 *   slots      {"<slot>": {slot, source: {keys, bytes, digest}, target: {...}}}
 *   purged_keys, closed, last_error, errors
 * Absent what never happened. */
#ifndef CTL_COMMAND_HISTORY_H
#define CTL_COMMAND_HISTORY_H

#include "ctl/command/command.h"

#define HISTORY_LIST_MAX 1000 /* findings that are kept by name; all are counted */

/* Adds one journal record to its migration's object in `history`. Pure. */
void history_add(json_t *history, const json_t *record);
/* {"m42": {...}, ...} of one migration, or of all (0). Null with a message. Owned by the caller. */
json_t *history_read(struct store *store, uint64_t migration, struct error *err);
/* Only the last progress, preflight and error records of each: cheap enough to ask every second. */
json_t *history_read_progress(struct store *store, struct error *err);
/* One migration's object; null when the journal knows nothing of it. Borrowed. */
const json_t *history_of(const json_t *history, uint64_t migration);

#endif
