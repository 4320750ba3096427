/* Finds what only the copy has: keys of the migration's slots that SCAN meets on the copy, and of
 * which the authority, asked behind that, has none. */
#ifndef MIGRATOR_COPY_EXTRA_H
#define MIGRATOR_COPY_EXTRA_H

#include "migrator/copy/scanner.h"

/* Goes from where `over_copy` stands to its end, and leaves it behind the last page that is
 * settled, also when it is interrupted or fails. Adds the keys of those pages to `keys`, and to
 * `findings` what it tells hooks->found. No reply is outstanding behind it but after a broken
 * connection. */
enum copy_status extra_find(struct copy_pair *pair, struct scanner *over_copy, uint64_t *keys,
                            uint64_t *findings);

#endif
