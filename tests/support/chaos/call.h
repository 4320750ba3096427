/* One command of the traffic: chosen, sent, and what its client may conclude. Any thread. */
#ifndef TESTS_SUPPORT_CHAOS_CALL_H
#define TESTS_SUPPORT_CHAOS_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "lib/base/random.h"

enum call_family {
    CALL_REGISTER, /* a string that is set, appended to, taken */
    CALL_COUNTER,
    CALL_HASH,
    CALL_LIST,
    CALL_FAMILIES
};

enum call_outcome {
    CALL_ANSWERED,
    CALL_REFUSED, /* did not happen: -UNAVAILABLE, -OOM, -BUSY, ..., or never sent */
    CALL_UNKNOWN, /* may happen at any later time, or never: -UNKNOWN, closed, timed out */
    CALL_STRANGE, /* an error that is none of these: a finding; taken as unknown by nobody */
    CALL_OUTCOMES
};

struct call {
    char *command;    /* without the key, as tests/support/history/model.h */
    bool is_scripted; /* sent as EVAL of the same command */
    enum call_outcome outcome;
    bool is_given_up; /* unknown, because the client did not wait any longer */
    char *result;     /* as one line of text; null when there is none */
    uint64_t called_us, returned_us;
    bool is_pipelined; /* then the times are made up */
};

const char *call_family_name(enum call_family family);
/* A command of the family with a value that nobody else writes. */
void call_choose(struct call *call, enum call_family family, struct random *random, unsigned client,
                 uint64_t sequence);
bool call_writes(const char *command);
/* The reads that together show all of a key; null behind the last. */
const char *call_final(enum call_family family, unsigned i);
/* Sends it with the key; fills outcome and result. A broken connection is freed and null. */
void call_send(struct call *call, redisContext **context, const char *key);
/* The two halves of it, for pipelines. */
void call_append(const struct call *call, redisContext *context, const char *key);
void call_take(struct call *call, redisContext **context);
void call_fini(struct call *call);

#endif
