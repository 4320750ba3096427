/* The one door into a loop's thread: any thread posts, the loop delivers in order.
 * After h2o's multithread messages. */
#ifndef LIB_NET_MAILBOX_H
#define LIB_NET_MAILBOX_H

#include "lib/net/loop.h"

struct mailbox;

/* Embedded first in what is sent. `deliver` runs on the loop's thread and then owns the mail.
 * `drop` frees what comes too late to be delivered; null: mem_free does. */
struct mail {
    struct mail *next;
    void (*deliver)(struct mail *mail, void *receiver);
    void (*drop)(struct mail *mail);
};

/* `receiver` is handed to every delivery. */
struct mailbox *mailbox_new(struct loop *loop, void *receiver);
/* On the loop's thread, when nobody posts any more; what was not delivered is dropped. */
void mailbox_free(struct mailbox *mailbox);
/* Any thread. Consumes the mail (from mem_alloc). */
void mailbox_post(struct mailbox *mailbox, struct mail *mail);

#endif
