/* Real redis-sentinels on free ports of 127.0.0.1. They know no shard until they are told, and
 * notice a dead primary within half a second. Fails the test when one does not start. Main thread
 * only. */
#ifndef TESTS_SUPPORT_SENTINELS_H
#define TESTS_SUPPORT_SENTINELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/process.h"

#define SENTINELS_GROUP_MAX 3

struct sentinel_group;

struct sentinel_group *sentinel_group_start(unsigned count) __attribute__((warn_unused_result));
/* With TLS, by the folder's certificates (certificates.h), to each other, to shards, and at the
 * port that sentinel_group_place says; and with a password. */
struct sentinel_group *sentinel_group_start_secured(unsigned count, const char *certificates,
                                                    const char *password)
    __attribute__((warn_unused_result));
/* Ends and frees it; null is allowed. */
void sentinel_group_stop(struct sentinel_group *group);
/* "sentinel://NAME@HOST:PORT,..." with all of them. */
void sentinel_group_place(const struct sentinel_group *group, const char *name, char *place,
                          size_t size);
struct process *sentinel_group_member(struct sentinel_group *group, unsigned member);

/* The shard's primary is on that port, until they make another one. A majority of them is needed
 * for that. */
void sentinel_group_monitor(struct sentinel_group *group, const char *name, uint16_t port);
/* The same for one of them, whatever it believed before. */
void sentinel_group_mislead(struct sentinel_group *group, unsigned member, const char *name,
                            uint16_t port);
/* Whether a primary that does not answer is just slow, as on a busy machine; else it counts as dead
 * after half a second. All of them must run. */
void sentinel_group_be_patient(struct sentinel_group *group, const char *name, bool is_patient);
/* Until each of them knows the others, and has seen the shard's replica on that port alive. */
void sentinel_group_wait(struct sentinel_group *group, const char *name, uint16_t replica);
/* Whether none of them calls the primary dead, or is about to make another one. */
bool sentinel_group_is_content(struct sentinel_group *group, const char *name);
/* What the first of them names. */
uint16_t sentinel_group_primary(struct sentinel_group *group, const char *name);

#endif
