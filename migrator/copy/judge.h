/* Reads keys once more that were unequal when they were compared: those that still are, and carry
 * no mark, are findings. */
#ifndef MIGRATOR_COPY_JUDGE_H
#define MIGRATOR_COPY_JUDGE_H

#include "migrator/copy/key_list.h"
#include "migrator/copy/pair.h"

/* Tells hooks->found of each finding, adds to `findings`, and gives the key a new number and a mark
 * on the authority, so that the drain repairs it. Nothing may be outstanding on either link. */
enum copy_status judge_keys(struct copy_pair *pair, const struct key_list *suspects,
                            uint64_t *findings);

#endif
