/* Reads what shards answer to INFO and CONFIG GET, and adds it up (proxy/client/fleet_facts.h).
 * Pure. */
#ifndef PROXY_CONTROL_SURVEY_H
#define PROXY_CONTROL_SURVEY_H

#include "lib/base/slice.h"
#include "lib/topology/topology.h"
#include "proxy/client/fleet_facts.h"

/* One shard's, from the replies to survey_question, one behind the other. */
struct fleet_facts survey_read(struct slice replies);
/* Adds a shard's to those before it; `is_first` says that there are none. */
void survey_add(struct fleet_facts *sum, const struct fleet_facts *shard, bool is_first);

/* The process that answered, out of the same replies. */
struct shard_identity survey_identity(struct slice replies);

/* Two commands, as RESP. */
extern const char survey_question[];
#define SURVEY_REPLIES 2

#endif
