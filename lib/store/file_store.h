/* The parts of the file store: file_store.c (epochs), file_watch.c, file_members.c, file_lead.c,
 * file_journal.c.
 *
 *   DIR/topology.<epoch>   one file an epoch, made by link(2), never removed: its name is what a
 *                          late writer of that epoch runs into. Old ones are emptied.
 *   DIR/tmp.<random>       being written, or left behind by a crash
 *   DIR/journal            one record a line
 *   DIR/members/           one file a running proxy or migrator
 *   DIR/leaders/           one file a term of leadership; the highest counts
 *
 * Only for lib/store. */
#ifndef LIB_STORE_FILE_STORE_H
#define LIB_STORE_FILE_STORE_H

#include "lib/store/store_internal.h"

struct file_store {
    struct store store;
    char *folder;
    uint64_t newest;   /* the last known epoch; 0: none */
    uint64_t durable;  /* the folder was synced since this epoch was seen in it */
    int watch_fd;      /* inotify */
    int watch;         /* its descriptor for the folder, or -1: the folder is not there yet */
    int journal_fd;    /* -1: not opened for appending yet */
    char *staged_path; /* a document written in advance; null: none */
    uint64_t staged_epoch;
    struct buffer staged;
    int lead_fd; /* of the term that we hold, locked; -1: none */
    uint64_t lead_term;
};

/* FOLDER/name, freed by the caller. */
char *file_store_path(const struct file_store *store, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

void file_watch_open(struct file_store *store);
/* Watches the folder if it is there and is not watched yet. */
void file_watch_folder(struct file_store *store);
void file_watch_close(struct file_store *store);
int file_watch_fd(struct store *base);
void file_watch_clear(struct store *base);

bool file_renew(struct store *base, const struct store_member *member, struct error *err);
bool file_unregister(struct store *base, const struct store_member *member, struct error *err);
bool file_members(struct store *base, struct store_member **members, unsigned *count,
                  struct error *err);

bool file_lead(struct store *base, const struct store_member *member, bool *leads,
               struct error *err);
bool file_yield(struct store *base, const struct store_member *member, struct error *err);
void file_lead_let_go(struct file_store *store);

bool file_append(struct store *base, struct slice record, struct error *err);
bool file_journal(struct store *base, uint64_t *position, journal_read_fn *read, void *context,
                  struct error *err);

#endif
