/* A store's topology and journal, carried to another store or into a file and back. The epochs stay
 * as they are: shards know them. Blocking (stores, files). */
#ifndef LIB_CLUSTER_BACKUP_H
#define LIB_CLUSTER_BACKUP_H

#include "lib/store/store.h"

/* What was carried. */
struct backup_extent {
    uint64_t epoch;
    uint64_t records; /* of the journal */
};

/* `to` must be empty. The journal goes first: a copy that was cut short has no topology, and nobody
 * starts on it. */
bool backup_copy(struct store *from, struct store *to, struct backup_extent *extent,
                 struct error *err) __attribute__((warn_unused_result));
/* Writes the file whole, or not at all. */
bool backup_write(struct store *from, const char *path, struct backup_extent *extent,
                  struct error *err) __attribute__((warn_unused_result));
/* As backup_copy, from a file of backup_write. */
bool backup_restore(const char *path, struct store *to, struct backup_extent *extent,
                    struct error *err) __attribute__((warn_unused_result));

#endif
