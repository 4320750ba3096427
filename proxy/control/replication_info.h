/* What a server says of its replication: its answer to INFO replication. Pure. */
#ifndef PROXY_CONTROL_REPLICATION_INFO_H
#define PROXY_CONTROL_REPLICATION_INFO_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/slice.h"
#include "lib/net/address.h"
#include "lib/topology/topology.h"

#define REPLICAS_MAX 16 /* of one shard; more are not read from */

struct replication_info {
    bool is_primary;
    char replid[RUN_ID_LENGTH + 1]; /* whose data it has */
    uint64_t offset;                /* primary: of what it has written; replica: has carried out */
    bool is_following;              /* a replica that is linked to its primary, and whole */
    struct address replicas[REPLICAS_MAX]; /* of a primary: those that are whole */
    unsigned nreplicas;
};

/* The command, as RESP. */
extern const char replication_question[];

/* From the reply's bytes. What is not there is zero. */
void replication_info_read(struct slice reply, struct replication_info *info);

#endif
