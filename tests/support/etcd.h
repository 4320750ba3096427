/* A real etcd cluster of one or more members on free ports of 127.0.0.1, in folders of its own.
 * Fails the test when it does not start. Main thread only. */
#ifndef TESTS_SUPPORT_ETCD_H
#define TESTS_SUPPORT_ETCD_H

#include <stddef.h>

#include "tests/support/forwarder.h"
#include "tests/support/process.h"

#define ETCD_MEMBERS_MAX 3

struct etcd_cluster;

/* What it is started with; all zero: plain HTTP, no wires. */
struct etcd_options {
    /* Each member is talked to, by clients and by the others, through wires that can be cut. */
    bool has_wires;
    /* Client TLS, with client certificates: files. Null: none. */
    const char *ca, *cert, *key;
};

struct etcd_cluster *etcd_cluster_start(unsigned members, const struct etcd_options *options)
    __attribute__((warn_unused_result));
/* Ends and frees it; null is allowed. */
void etcd_cluster_stop(struct etcd_cluster *cluster);
/* "etcd:HOST:PORT,.../prefix" with all members, the one at `first` first. */
void etcd_cluster_url(const struct etcd_cluster *cluster, unsigned first, const char *prefix,
                      char *url, size_t size);
struct process *etcd_cluster_member(struct etcd_cluster *cluster, unsigned member);
/* After a kill: again, with its data. Does not wait. */
void etcd_cluster_restart(struct etcd_cluster *cluster, unsigned member);
/* Nothing passes to or from the member, but for what it asks the others itself; or all is well
 * again. With wires only. */
void etcd_cluster_cut(struct etcd_cluster *cluster, unsigned member, bool is_cut);
/* The weather of what clients say to the member. With wires only. */
void etcd_cluster_weather(struct etcd_cluster *cluster, unsigned member,
                          const struct weather *weather);
/* Until each member answers. */
void etcd_cluster_wait(struct etcd_cluster *cluster);

#endif
