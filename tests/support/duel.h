/* The same script to Sluice over two shards and to one plain Redis: every reply must be the same,
 * byte for byte. A script is lines, ended by null; A to H are clients, connected when first used:
 *
 *   "A: SET k 1"   the client sends the words as a command, and its reply is compared
 *   "A| SET k 1"   the same, sent inline
 *   "A> BLPOP k 0" the command is sent; its reply is not waited for
 *   "A>| ..."      the same, sent inline; several inline commands may stand behind "\r\n"
 *   "A<"           one reply is read and compared
 *   "A close"      the client disconnects; "A half" closes its own half only
 *   "blocked N"    waits until N clients are blocked on either side
 *
 * Fails the test when it cannot go on. Main thread. */
#ifndef TESTS_SUPPORT_DUEL_H
#define TESTS_SUPPORT_DUEL_H

#include <stdint.h>

#include "lib/base/slice.h"
#include "tests/support/cluster.h"

struct duel;

/* A new cluster of two shards and one proxy, and a plain server. `proxy_arguments`: as in
 * cluster_options, kept; or null. */
struct duel *duel_start(const char *const *proxy_arguments) __attribute__((warn_unused_result));
/* The same, with options for the plain server: as redis_server_start. */
struct duel *duel_start_with(const char *const *proxy_arguments, const char *const *redis_options)
    __attribute__((warn_unused_result));
void duel_stop(struct duel *duel); /* null is allowed */
/* 3: clients that connect from now on say HELLO 3 first. */
void duel_set_protocol(struct duel *duel, unsigned protocol);
struct cluster *duel_cluster(struct duel *duel);
uint16_t duel_proxy_port(struct duel *duel);

void duel_run(struct duel *duel, const char *const *script);
#define DUEL(duel, ...) duel_run((duel), (const char *const[]){__VA_ARGS__, NULL})

/* All the bytes in one write of client `name`, then `replies` replies, compared one by one. */
void duel_bytes(struct duel *duel, char name, struct slice bytes, unsigned replies);
/* Every client disconnects. */
void duel_close_clients(struct duel *duel);

/* Clients that wait in a blocking command on this server. */
unsigned blocked_clients(uint16_t port);

#endif
