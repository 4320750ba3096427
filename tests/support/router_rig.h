/* One worker of the proxy without its thread: a loop, a router and clients on socket pairs, over
 * real redis-servers that carry fences. The test turns the loop and adopts what topologies it
 * wants. Fails the test when it cannot go on. Main thread. */
#ifndef TESTS_SUPPORT_ROUTER_RIG_H
#define TESTS_SUPPORT_ROUTER_RIG_H

#include "lib/net/loop.h"
#include "lib/topology/migration_state.h"
#include "proxy/client/client.h"
#include "proxy/routing/router.h"
#include "tests/support/client.h"
#include "tests/support/process.h"
#include "tests/support/redis.h"
#include "tests/support/wait.h"

#define RIG_SHARDS_MAX 3
#define RIG_SLOTS      64u /* slot n belongs to shard n % shards at first */

struct rig_options {
    unsigned shards;                              /* 0: 2 */
    unsigned protocol;                            /* 3: clients say HELLO 3; 0: they say nothing */
    const char *const *redis_options;             /* as redis_server_start, for all */
    uint64_t timeout_ms, wait_ms;                 /* of a shard; for a shard. 0: 5 s, 2 s */
    uint64_t mirror_timeout_ms, store_timeout_ms; /* 0: 2 s, 0 */
    uint64_t queue_max;                           /* requests under way to a shard; 0: no limit */
    uint64_t replica_lag_max_ms;                  /* 0: no replica is read */
    struct client_limits limits;                  /* bulk_max 0: 512 MB, request_max 0: 256 MB */
    struct migration_options migration;           /* all zero: the defaults */
};

struct rig_given_up {
    char shard[SHARD_NAME_MAX + 1];
    uint64_t connection_id;
};

struct router_rig {
    struct rig_options options;
    struct redis_server *servers[RIG_SHARDS_MAX]; /* shard i is named "s<i + 1>" */
    struct client *direct[RIG_SHARDS_MAX];        /* straight to the shard */
    struct topology *topology;                    /* adopted last */
    struct loop *loop;
    struct timer timer;
    struct request_pool pool;
    struct counters counters;
    struct router *router;
    struct client_host clients;
    struct client_limits limits;
    char scratch[65536];
    /* What the router has told. */
    unsigned fenced, unfenced, ngiven_up;
    struct rig_given_up given_up[64];
    uint64_t drained[RIG_SHARDS_MAX]; /* by shard, the newest */
};

/* Adopts epoch 1 and waits until all shards are ready. */
void router_rig_start(struct router_rig *rig, const struct rig_options *options);
void router_rig_stop(struct router_rig *rig);
/* About a millisecond of the loop, then the ticks. */
void rig_turn(struct router_rig *rig);

void rig_turn_a_while(struct router_rig *rig);
/* SIGSTOP and the like to its server. */
void rig_signal(struct router_rig *rig, unsigned shard, int signal);

/* `words` and the key straight to the shard. */
void rig_expect_direct(struct router_rig *rig, unsigned shard, const char *words, const char *key,
                       const char *reply);

/* Turns until it is true; fails the test when it is not in time. */
#define RIG_UNTIL(rig, condition, ms)                                                     \
    do {                                                                                  \
        uint64_t rig_deadline_us = deadline_after_ms(ms);                                 \
        while (!(condition)) {                                                            \
            if (deadline_is_over(rig_deadline_us)) {                                      \
                fail_msg("not within %llu ms: %s", (unsigned long long)(ms), #condition); \
            }                                                                             \
            rig_turn(rig);                                                                \
        }                                                                                 \
    } while (0)

/* The next topology, to be changed and adopted. */
struct topology *rig_next(const struct router_rig *rig) __attribute__((warn_unused_result));
/* Consumes it; adopted at once. Its epoch. */
uint64_t rig_adopt(struct router_rig *rig, struct topology *next);
/* Opens a migration of all slots of `source`, in dual-write, its metadata made on both. */
void rig_begin_dual_write(struct router_rig *rig, unsigned source, unsigned target);
/* As if verified. The guards and the other direction's metadata too. */
void rig_enter_phase(struct router_rig *rig, enum phase phase);
bool rig_is_ready(const struct router_rig *rig);

/* "kN" whose slot is this shard's (of the topology adopted last); the n-th of them. The text holds
 * for 16 calls. */
const char *rig_key(const struct router_rig *rig, unsigned shard, unsigned n);

/* --- clients: sockets that do not block, whose other end the loop serves ---------------------- */
int rig_connect(struct router_rig *rig);
/* What such a client gets for a string that is not there. */
const char *rig_null(const struct router_rig *rig);

/* A test that runs twice, its setup with each protocol in turn: each has its own connections to the
 * shards. */
#define RIG_IN_BOTH(test, setup, teardown)                                              \
    cmocka_unit_test_prestate_setup_teardown(test, setup, teardown, &rig_protocols[0]), \
        cmocka_unit_test_prestate_setup_teardown(test, setup, teardown, &rig_protocols[1])
extern unsigned rig_protocols[2];
unsigned rig_protocol_of(void **state); /* of the test that is being set up */
/* Puts bytes into the socket; turns when it is full. */
void rig_write(struct router_rig *rig, int fd, struct slice bytes);
/* A command as words split at spaces ("%s" and the like as printf). */
void rig_send(struct router_rig *rig, int fd, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The bytes of the next reply, zero-terminated, mem_free; "closed" when the connection ended. */
char *rig_reply(struct router_rig *rig, int fd, size_t *length) __attribute__((warn_unused_result));
/* True when nothing comes within a few turns. */
bool rig_is_silent(struct router_rig *rig, int fd);
#define rig_expect(rig, fd, reply) rig_expect_at((rig), (fd), (reply), __FILE__, __LINE__)
/* A prefix of the reply's bytes, CRLFs and all. */
void rig_expect_at(struct router_rig *rig, int fd, const char *reply, const char *file, int line);

#endif
