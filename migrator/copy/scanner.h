/* Walks SCAN on one shard and keeps the keys of the migration's slots, page by page. A walk can be
 * taken up again where it stopped, on the same process. One thread. */
#ifndef MIGRATOR_COPY_SCANNER_H
#define MIGRATOR_COPY_SCANNER_H

#include "migrator/copy/key_list.h"
#include "migrator/copy/pair.h"

struct scanner {
    char cursor[24];
    bool is_done;
};

void scanner_init(struct scanner *scanner);
/* Queues the next page. */
void scanner_append(const struct scanner *scanner, struct copy_pair *pair, bool on_copy);
/* Takes it: fills `keys` (cleared first), which may stay empty before the end. */
enum copy_status scanner_take(struct scanner *scanner, struct copy_pair *pair, bool on_copy,
                              struct key_list *keys);
/* Both in one. */
enum copy_status scanner_next(struct scanner *scanner, struct copy_pair *pair, bool on_copy,
                              struct key_list *keys);
/* MEMORY USAGE of all keys of the list, pipelined; tells pair->hooks->large of those above
 * large_key_bytes. */
enum copy_status scanner_measure(struct copy_pair *pair, bool on_copy, const struct key_list *keys);

#endif
