/* The journal folded into what became of each migration. One JSON object a migration:
 *   created    the record of who asked for what          phases     [{time, from, to}]
 *   preflight  the last record                           bases      [record]
 *   backfills, barriers, verifies, holds, requests       [record]
 *   cutover    the last record                           progress   the last record
 *   findings, repairs    counts over all passes          finding_list  the first HISTORY_LIST_MAX
 *   slots      {"<slot>": {slot, source: {keys, bytes, digest}, target: {...}}}
 *   waiting    the last record; its text is empty when that is over
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

/* What is read again and again: each time only what was appended since. Zeroed at first; with
 * `only_progress` the progress, preflight, waiting and error records. */
struct history_feed {
    bool only_progress;
    json_t *history;   /* as of history_read; owned, json_decref. Null before the first reading */
    uint64_t position; /* in the journal */
};

/* False with a message: what was read before stays. */
bool history_read_on(struct history_feed *feed, struct store *store, struct error *err)
    __attribute__((warn_unused_result));
/* One migration's object; null when the journal knows nothing of it. Borrowed. */
const json_t *history_of(const json_t *history, uint64_t migration);

#endif
