/* A whole Sluice cluster for a test: redis-servers, proxies, migrator, all on free ports of
 * 127.0.0.1, from the programs in $SLUICE_BIN. Fails the test when something does not start.
 * Shards are named s1, s2, ..., the spares last and outside of the first topology. Main thread. */
#ifndef TESTS_SUPPORT_CLUSTER_H
#define TESTS_SUPPORT_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/forwarder.h"
#include "tests/support/process.h"
#include "tests/support/redis.h"

#define CLUSTER_SHARDS_MAX  8
#define CLUSTER_PROXIES_MAX 8
#define CLUSTER_NSLOTS      1024

struct cluster_options {
    unsigned shards; /* 0 means 2 */
    unsigned spares;
    unsigned proxies; /* 0 means 1 */
    bool has_migrator;
    bool has_tls;             /* on all links but those of the test itself to shards */
    const char *certificates; /* for has_tls, a folder where they are already; null: made */
    bool has_reserve;         /* and a second migrator, m2 */
    const char *store;        /* a URL; null: files in the cluster's folder */
    const char *init; /* what sluicectl init is told ("s1=sentinel://..."), instead of shards that
                       * the  cluster starts; or null */
    bool has_links;   /* a forwarder before each shard, which the topology names */
    unsigned nslots;  /* 0 means 1024 */
    const char *const *redis_options;          /* as redis_server_start */
    const char *const *last_shard_environment; /* must stay as long as the cluster */
    const char *const *migrator_environment;
    const char *const *proxy_environment;
    const char *const *proxy_arguments; /* more words for each proxy, ended by null; or null */
};

/* For proxy_arguments and migrator_environment: proxies that wait for a slow shard, and a migrator
 * that waits for a slow proxy, for longer than a machine can be busy. For tests in which clients
 * must meet no error. */
extern const char *const cluster_patient_proxy[];
extern const char *const cluster_patient_migrator[];

struct cluster;

struct cluster *cluster_start(const struct cluster_options *options)
    __attribute__((warn_unused_result));
/* Ends and frees all of it; fails the test when a program ends badly (a sanitizer's report).
 * Null is allowed. */
void cluster_stop(struct cluster *cluster);

/* --- what it has; i counts from 0: s1 is shard 0 ------------------------------------------- */
unsigned cluster_proxies(struct cluster *cluster);
struct redis_server *cluster_shard(struct cluster *cluster, unsigned i);
uint16_t cluster_shard_port(struct cluster *cluster, unsigned i);
/* Null without has_links. */
struct forwarder *cluster_link(struct cluster *cluster, unsigned i);
/* What the topology knows it as: its own port, or that of its link. */
uint16_t cluster_shard_address(struct cluster *cluster, unsigned i);
uint16_t cluster_proxy_port(struct cluster *cluster, unsigned i);
uint16_t cluster_proxy_admin_port(struct cluster *cluster, unsigned i);
struct process *cluster_proxy(struct cluster *cluster, unsigned i);
struct process *cluster_migrator(struct cluster *cluster);
uint16_t cluster_migrator_admin_port(struct cluster *cluster);
struct process *cluster_reserve(struct cluster *cluster);
uint16_t cluster_reserve_admin_port(struct cluster *cluster);
const char *cluster_store(struct cluster *cluster); /* the URL */
/* With has_tls: where proxies listen for TLS, and the folder with ca.crt, node.crt and node.key. */
uint16_t cluster_proxy_tls_port(struct cluster *cluster, unsigned i);
const char *cluster_certificates(struct cluster *cluster);
const char *cluster_folder(struct cluster *cluster);

/* --- what a test does to it ----------------------------------------------------------------- */
/* After process_kill or process_stop of it: a new process with the same name and ports. */
void cluster_restart_proxy(struct cluster *cluster, unsigned i);
/* `environment` as in process_start. Ends one that still runs by SIGKILL first. */
void cluster_restart_migrator(struct cluster *cluster, const char *const *environment);
/* What is started from now on, and sluicectl, use that store; it has the cluster's topology. */
void cluster_use_store(struct cluster *cluster, const char *url);
/* A second migrator beside it; the caller's to stop. */
struct process *cluster_start_rival(struct cluster *cluster) __attribute__((warn_unused_result));
void cluster_wait_proxy_ready(struct cluster *cluster, unsigned i);

/* $SLUICE_BIN/NAME, or build/debug/NAME; freed with mem_free. */
char *program_path(const char *name) __attribute__((warn_unused_result));

/* sluicectl with `words` split at spaces. */
struct output cluster_ctl(struct cluster *cluster, const char *words)
    __attribute__((warn_unused_result));
/* Fails the test with what it said unless it exits 0; words by printf's format. Its standard
 * output, freed with mem_free. */
char *cluster_ctl_ok(struct cluster *cluster, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));
/* The same, for those who do not read what it said. */
void cluster_tell(struct cluster *cluster, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The spare shard i enters the topology. */
void cluster_add_spare(struct cluster *cluster, unsigned i);
/* As the store has it; fails the test when it has none. */
struct topology *cluster_topology(struct cluster *cluster) __attribute__((warn_unused_result));
/* "PREFIX<number>" whose slot is this shard's now; the n-th of them. The text holds for 16 calls.
 */
const char *cluster_key(struct cluster *cluster, unsigned shard, const char *prefix, unsigned n);

/* Runs the independent enumerator over all shards (tests/tools/compare) with `words` added; fails
 * the test with what it found unless all is well. */
void cluster_compare(struct cluster *cluster, const char *words);
/* The same, for those who count on faults: whether all is well; prints what is not. */
bool cluster_compares_well(struct cluster *cluster, const char *words);

#endif
