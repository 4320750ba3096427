/* The parts of the etcd store: etcd_place.c (the URL), etcd_http.c (questions), etcd_json.c (their
 * words), etcd_head.c (compare-and-swap), etcd_text.c (long values), etcd_store.c (epochs),
 * etcd_watch.c, etcd_members.c, etcd_journal.c.
 *
 *   PREFIX/epoch             "<newest epoch> <token>": a head
 *   PREFIX/epochs/<epoch>    "<token>" of who wrote it; the newest 64
 *   PREFIX/topology          the newest document, as a text
 *   PREFIX/journal           "<number of the last record> <token>": a head
 *   PREFIX/journal/<number>  a record, as a text
 *   PREFIX/parts/<token>/<n> what does not fit into one request of a text
 *   PREFIX/members/<name>    a running proxy or migrator, under a lease of GONE_MS
 *   PREFIX/alive/<name>      it renews, under a lease of STORE_LEASE_MS
 *   PREFIX/leader/<kind>     "<name>" of the one that leads, under a lease of STORE_LEAD_MS
 *
 * A token is random and new for each write: by it a writer whose request timed out finds out
 * whether it was done. All reads are linearizable.
 *
 * Only for lib/store. */
#ifndef LIB_STORE_ETCD_STORE_H
#define LIB_STORE_ETCD_STORE_H

#include "lib/store/etcd_http.h"
#include "lib/store/etcd_json.h"
#include "lib/store/store_internal.h"

#define ETCD_TOKEN_SIZE 17 /* 16 hex digits and a zero */

/* A counter that only goes up, by compare-and-swap: the key that decides who wrote what. */
struct etcd_head {
    const char *name; /* the key below PREFIX */
    uint64_t number;  /* 0: the key is not there */
    uint64_t revision;
    char token[ETCD_TOKEN_SIZE];
};

struct etcd_watch;
struct etcd_registration;

struct etcd_store {
    struct store store;
    struct etcd_place place;
    struct etcd_http *http;
    struct etcd_head epoch;
    struct etcd_head journal;
    uint64_t asked_us;        /* when the epoch was last read; 0: never */
    struct etcd_watch *watch; /* null: nobody has asked for it yet */
    struct etcd_watch *other; /* a second one, with another member: one may hang unnoticed */
    int watch_fd;             /* an epoll of both */
    struct etcd_registration *registrations;
};

/* PREFIX/..., freed by the caller. */
char *etcd_key(const struct etcd_store *store, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

/* --- etcd_head.c --- */

/* Takes what is found of the head's key (`kvs` as of a range). False when that is no head. */
bool etcd_head_take(struct etcd_head *head, const json_t *kvs) __attribute__((warn_unused_result));

/* The head moves to number + 1 in one transaction with `also` (an array, consumed), one of whose
 * keys is `witness`, with a value that begins with `token`. Whoever finds the head moved looks
 * there. DONE: the head is known anew; LOST: likewise. */
struct etcd_move {
    struct etcd_head *head;
    const char *token;
    const char *witness;
    json_t *also;
};

enum cas_result etcd_head_move(struct etcd_store *store, const struct etcd_move *move,
                               struct error *err) __attribute__((warn_unused_result));

/* --- etcd_text.c: "<token> <parts>\n<text>"; with parts, the text is in PREFIX/parts --- */

/* Fills `value`; writes the parts, if the text needs them. */
bool etcd_text_write(struct etcd_store *store, const char *token, struct slice text,
                     struct buffer *value, struct error *err) __attribute__((warn_unused_result));
/* Appends the text of a found key (a member of kvs). */
bool etcd_text_read(struct etcd_store *store, const json_t *found, struct buffer *text,
                    struct error *err) __attribute__((warn_unused_result));
/* The operation that removes the parts of a text. */
json_t *etcd_text_drop(const struct etcd_store *store, const char *token);

/* --- etcd_watch.c --- */

/* Begins with the member `turn` places behind the one that answered last. */
struct etcd_watch *etcd_watch_open(struct etcd_store *store, unsigned turn);
void etcd_watch_close(struct etcd_watch *watch);
int etcd_watch_fd(const struct etcd_watch *watch);
/* Takes what has come; never blocks. */
void etcd_watch_clear(struct etcd_watch *watch);
/* The newest epoch that it told of; 0: none yet, or it does not run. */
uint64_t etcd_watch_epoch(const struct etcd_watch *watch);
/* The store was read: an epoch that the watch should have told of long ago restarts it. */
void etcd_watch_compare(struct etcd_watch *watch, uint64_t epoch);

/* --- etcd_members.c --- */

bool etcd_renew(struct store *base, const struct store_member *member, struct error *err);
bool etcd_unregister(struct store *base, const struct store_member *member, struct error *err);
bool etcd_members(struct store *base, struct store_member **members, unsigned *count,
                  struct error *err);
bool etcd_lead(struct store *base, const struct store_member *member, bool *leads,
               struct error *err);
bool etcd_yield(struct store *base, const struct store_member *member, struct error *err);
bool etcd_ages(struct store *base, struct store_member *members, unsigned count, struct error *err);
void etcd_members_close(struct etcd_store *store);

/* --- etcd_journal.c --- */

bool etcd_append(struct store *base, struct slice record, struct error *err);
bool etcd_journal(struct store *base, uint64_t *position, journal_read_fn *read, void *context,
                  struct error *err);

#endif
