/* Walks SCAN on one shard and keeps the keys of the migration's slots, page by page, with their
 * sizes. A walk can be taken up again where it stopped, on the same process. One thread. */
#ifndef MIGRATOR_COPY_SCANNER_H
#define MIGRATOR_COPY_SCANNER_H

#include "migrator/copy/key_list.h"
#include "migrator/copy/pair.h"

struct scanner {
    char cursor[24];
    bool is_done;
};

void scanner_init(struct scanner *scanner);
/* One page: fills `keys` (cleared first), which may stay empty before the end. `with_sizes` asks
 * MEMORY USAGE of each and tells pair->hooks->large. */
enum copy_status scanner_next(struct scanner *scanner, struct copy_pair *pair, bool on_copy,
                              bool with_sizes, struct key_list *keys);
/* MEMORY USAGE of all keys of the list, pipelined. */
enum copy_status scanner_measure(struct copy_pair *pair, bool on_copy, struct key_list *keys);

#endif
