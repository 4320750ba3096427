/* What an implementation of the store gives to store.c, and helpers that implementations share.
 * Only for lib/store. */
#ifndef LIB_STORE_STORE_INTERNAL_H
#define LIB_STORE_STORE_INTERNAL_H

#include "lib/store/store.h"

#define KEPT_EPOCHS 64 /* of the newest so many it is still known what was written */
/* A member that was not renewed for so long is not listed any more. */
#define GONE_MS ((uint64_t)10 * STORE_LEASE_MS)

/* Where the newest topology stands. */
enum newest_result {
    NEWEST_FOUND,
    NEWEST_NONE,  /* the cluster was never initialised */
    NEWEST_FAILED /* err says why */
};

/* One implementation. store.c has checked the arguments; each function has the contract of the
 * public function of the same name. */
struct store_operations {
    void (*close)(struct store *store);
    enum newest_result (*newest)(struct store *store, uint64_t *epoch, struct error *err);
    /* As newest, from what a watch told a moment ago. Null: newest is cheap enough. */
    enum newest_result (*peek)(struct store *store, uint64_t *epoch, struct error *err);
    struct topology *(*read)(struct store *store, bool *is_missing, struct error *err);
    bool (*may_write)(struct store *store, struct error *err); /* null: only writing tells */
    /* Prepares the place for epoch 1. */
    bool (*prepare)(struct store *store, struct error *err);
    enum cas_result (*cas)(struct store *store, const struct topology *next, struct error *err);
    void (*stage)(struct store *store, const struct topology *next); /* null: no use */
    int (*watch_fd)(struct store *store);
    void (*watch_clear)(struct store *store);
    bool (*renew)(struct store *store, const struct store_member *member, struct error *err);
    bool (*unregister)(struct store *store, const struct store_member *member, struct error *err);
    bool (*members)(struct store *store, struct store_member **members, unsigned *count,
                    struct error *err);
    bool (*lead)(struct store *store, const struct store_member *member, bool *leads,
                 struct error *err);
    bool (*yield)(struct store *store, const struct store_member *member, struct error *err);
    /* Null: members has filled the ages. */
    bool (*ages)(struct store *store, struct store_member *members, unsigned count,
                 struct error *err);
    bool (*append)(struct store *store, struct slice record, struct error *err);
    /* As store_journal_from. */
    bool (*journal)(struct store *store, uint64_t *position, journal_read_fn *read, void *context,
                    struct error *err);
};

/* The first member of every implementation's struct. */
struct store {
    const struct store_operations *operations;
    char *url; /* owned by store.c */
};

/* `place` is what stands behind "file:". Never fails: nothing is touched yet. */
struct store *file_store_open(const char *place);

/* Null with a message when the URL is not one of etcd's. Nothing is touched yet. */
struct store *etcd_store_open(const char *url, struct error *err)
    __attribute__((warn_unused_result));

/* "no topology in URL: run `sluicectl init` first". */
bool store_is_missing(const struct store *store, struct error *err);

/* Members as JSON texts; false when it is none. */
void member_format(const struct store_member *member, struct buffer *text);
bool member_parse(struct slice text, struct store_member *member)
    __attribute__((warn_unused_result));

/* A growing list of them, in the order of kind, id and incarnation once it is sorted. */
struct member_list {
    struct store_member *members;
    unsigned count;
    size_t capacity;
};

void member_list_add(struct member_list *list, const struct store_member *member);
void member_list_sort(struct member_list *list);

#endif
