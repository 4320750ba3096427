/* The control thread's hand for what blocks: leases, taking over a shard's process, undoing a hold
 * that lasts too long, names. One thread of its own, with its own store handle; jobs come through a
 * queue, a job that already waits is not put in twice. */
#ifndef PROXY_CONTROL_STEWARD_H
#define PROXY_CONTROL_STEWARD_H

#include "lib/net/mailbox.h"
#include "lib/net/socket.h"
#include "lib/store/store.h"

struct steward;

/* Null with a message when the store cannot be opened. */
struct steward *steward_start(const char *store_url, struct error *err)
    __attribute__((warn_unused_result));
/* Ends the thread after the job it is at; unregisters the member. */
void steward_stop(struct steward *steward);

/* Any thread; copied. Renews the lease now. */
void steward_renew(struct steward *steward, const struct store_member *member);
/* The shard's process is not the one that the topology names, or its fence is gone. */
void steward_take_over(struct steward *steward, const char *shard);
/* The hold that was entered at this epoch has outlasted hold_max. */
void steward_undo_hold(struct steward *steward, uint64_t migration, uint64_t entry_epoch);

/* What a name stands for now. */
struct lookup {
    struct mail mail;
    char host[SHARD_HOST_MAX + 1];
    uint16_t port;
    struct endpoint endpoint; /* without tls_host */
};

/* Asks the name server again, and posts a struct lookup to `mailbox`, which `deliver` then owns
 * (mem_free). A name that is not known is tried at the next call. */
void steward_look_up(struct steward *steward, const char *host, uint16_t port,
                     struct mailbox *mailbox, void (*deliver)(struct mail *mail, void *receiver));

/* The last renewal reached the store. Any thread. */
bool steward_store_answers(const struct steward *steward);

#endif
