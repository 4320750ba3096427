/* A wire that can be bad: forwards TCP connections from a port of 127.0.0.1 to another, and can cut
 * one or both directions, delay, and reset, for all connections or only those of one peer.
 *
 * While a direction is cut its bytes, and its end, are kept and delivered afterwards, as TCP does
 * when a partition heals: what a client sent before it gave up and closed arrives late. A peer is
 * known by what it calls itself in its first words: "sluice:p1:..." is "p1".
 *
 * It runs in a thread of its own; all calls from any thread. Allocates and fails as tests do. */
#ifndef TESTS_SUPPORT_FORWARDER_H
#define TESTS_SUPPORT_FORWARDER_H

#include <stdbool.h>
#include <stdint.h>

struct forwarder;

/* What happens to a peer's connections. All zero: nothing bad. */
struct weather {
    bool cuts_requests; /* towards the target */
    bool cuts_replies;
    uint64_t delay_us; /* each way */
};

struct forwarder *forwarder_start(uint16_t target_port) __attribute__((warn_unused_result));
uint16_t forwarder_port(const struct forwarder *forwarder);
/* From now on, for connections that stand and new ones; `peer` null: for all peers that have no
 * weather of their own. */
void forwarder_set(struct forwarder *forwarder, const char *peer, const struct weather *weather);
/* All is well again for everybody. */
void forwarder_heal(struct forwarder *forwarder);
/* Resets (RST) the connections of the peer, null: of all. What was on the wire is lost. Returns how
 * many there were. */
unsigned forwarder_reset(struct forwarder *forwarder, const char *peer);
/* Bytes of the peer's requests that are on the wire: sent, and not delivered. */
uint64_t forwarder_kept(struct forwarder *forwarder, const char *peer);
/* Whether a short text of the peer's requests is on the wire, as one of its writes had it. */
bool forwarder_has_kept(struct forwarder *forwarder, const char *peer, const char *text);
/* Closes all and frees it; null is allowed. */
void forwarder_stop(struct forwarder *forwarder);

#endif
