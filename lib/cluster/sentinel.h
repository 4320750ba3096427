/* Redis Sentinel, asked which server is the primary of a shard. Sentinels are named by a text
 * "NAME@HOST:PORT,tls:HOST:PORT", NAME being what they call the shard; `sentinel://` stands before
 * it on a command line. TLS is trusted as that of shards is (shard.h).
 *
 * What counts is the majority of the listed: one that was cut off from the others still names the
 * old primary. Each is given half a second. Blocking; one thread a handle. */
#ifndef LIB_CLUSTER_SENTINEL_H
#define LIB_CLUSTER_SENTINEL_H

#include "lib/base/error.h"
#include "lib/net/address.h"
#include "lib/topology/topology.h"

#define SENTINEL_SCHEME "sentinel://"

struct sentinels;

/* Null with a message when the text is not of the form. Connects when it is asked something. */
struct sentinels *sentinels_new(const char *text, struct error *err)
    __attribute__((warn_unused_result));
void sentinels_free(struct sentinels *sentinels); /* null is allowed */

/* What the majority names; false when none does, or too few answer. */
bool sentinels_primary(struct sentinels *sentinels, struct address *primary, struct error *err)
    __attribute__((warn_unused_result));

/* Subscribes at one of them to their announcements of a new primary, unless that stands. */
bool sentinels_listen(struct sentinels *sentinels, struct error *err)
    __attribute__((warn_unused_result));
/* Readable when there is news, or the one that is listened to has gone; -1: listens to none. */
int sentinels_fd(const struct sentinels *sentinels);
/* Forgets the subscription, and what came by it: ask after the next sentinels_listen. */
void sentinels_close_news(struct sentinels *sentinels);

/* Fills host and port of a shard that has Sentinels; others are left as they are. */
bool sentinel_locate(struct topology_shard *shard, struct error *err)
    __attribute__((warn_unused_result));

#endif
