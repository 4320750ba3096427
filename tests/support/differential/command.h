/* Random commands for the differential test: from templates of all groups of commands, valid and
 * not, with arguments of any bytes. What it makes follows from the seed alone. Main thread. */
#ifndef TESTS_SUPPORT_DIFFERENTIAL_COMMAND_H
#define TESTS_SUPPORT_DIFFERENTIAL_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/slice.h"

#define MADE_ARGUMENTS_MAX 24
#define MADE_COMMANDS_MAX  10 /* of one transaction */

/* How its two replies are compared: bit by bit unless one of these says else. */
enum comparison {
    COMPARE_BYTES = 0,
    COMPARE_UNORDERED = 1, /* elements come in the order of a server's hash seed */
    COMPARE_NEAR = 2,      /* integers tell the time: they may differ a little */
    COMPARE_KIND = 4       /* only the type of the reply */
};

struct made_command {
    const char *template;
    int argc;
    struct slice argv[MADE_ARGUMENTS_MAX]; /* until generator_end_batch */
    unsigned comparison;
    bool is_inline; /* sent as a line of words */
};

struct generator;

struct generator *generator_new(uint64_t seed) __attribute__((warn_unused_result));
void generator_free(struct generator *generator); /* null is allowed */
/* What DUMP said of some value, for RESTORE; copied. */
void generator_add_payload(struct generator *generator, struct slice payload);
/* While slots move: no commands that tell how a value is laid out in memory, and no WATCH. */
void generator_forbid_layout(struct generator *generator);

/* One command, or a transaction from MULTI to its end. Returns how many, at most
 * MADE_COMMANDS_MAX. */
size_t generator_make(struct generator *generator, struct made_command *commands);
/* As it is sent. */
void generator_write(struct generator *generator, const struct made_command *command,
                     struct buffer *bytes);
/* The arguments made so far are forgotten. */
void generator_end_batch(struct generator *generator);
/* 0 .. bound - 1, out of the same seed. */
uint64_t generator_below(struct generator *generator, uint64_t bound);

#endif
