/* What the names that replicas announce stand for: the control thread must not wait for a name
 * server, so a name is asked for elsewhere, and known some time later.
 *
 *   replica_names_find -- not known: ask --> steward ---> replica_names_take; found the next time
 *
 * A name that is forgotten is asked for anew. One thread: the control thread. */
#ifndef PROXY_CONTROL_REPLICA_NAMES_H
#define PROXY_CONTROL_REPLICA_NAMES_H

#include "lib/net/address.h"

struct replica_names;

/* To be answered by replica_names_take, or not at all. */
typedef void replica_name_ask_fn(void *context, const struct address *address);

struct replica_names *replica_names_new(replica_name_ask_fn *ask, void *context);
void replica_names_free(struct replica_names *names);

/* False: it is not known, and is asked for, every two seconds while somebody wants it. */
bool replica_names_find(struct replica_names *names, const struct address *address, uint64_t now_us,
                        struct endpoint *endpoint);
void replica_names_take(struct replica_names *names, const char *host,
                        const struct endpoint *endpoint);
/* Nobody answers there: it may stand for another address by now. */
void replica_names_forget(struct replica_names *names, const char *host);

#endif
