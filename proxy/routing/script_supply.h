/* Sees to it that a shard has a script or a function before it is called there. Each shard keeps
 * the bodies of clients' scripts in the hash `__sluice:scripts`, which outlives its script cache;
 * what one shard lacks another has. One thread. */
#ifndef PROXY_ROUTING_SCRIPT_SUPPLY_H
#define PROXY_ROUTING_SCRIPT_SUPPLY_H

#include "lib/base/sha1.h"
#include "proxy/routing/router.h"

#define SCRIPT_KEPT_BYTES_MAX ((size_t)1 << 20) /* a larger body is kept for SCRIPT LOAD only */
#define SCRIPT_KEPT_MAX       10000             /* bodies from EVAL that are kept; LOAD's always */

enum supply_result {
    SUPPLY_THERE,    /* the shard had it */
    SUPPLY_LOADED,   /* now it has */
    SUPPLY_DOUBTFUL, /* now it has, but its text could be mistaken for the error that is healed */
    SUPPLY_MISSING   /* nobody has it, or the shard refuses it, or cannot be asked */
};

/* Called once, perhaps at once. */
typedef void supply_fn(void *context, enum supply_result result);

/* `request` is the client's, only read now. */
struct supply_order {
    struct router *router;
    const struct request *request;
    unsigned shard;
    bool is_wary;        /* the script's text is wanted, though the shard may have it by now */
    bool is_kept_always; /* however many are kept already */
    supply_fn *done;
    void *context;
};

/* By its SHA-1, 40 digits in lower case. */
void supply_script(const struct supply_order *order, struct slice sha);
/* A body that a client sends with EVAL, or with SCRIPT LOAD in a transaction: loaded, and kept on
 * the shards. */
void supply_body(const struct supply_order *order, struct slice body);
/* The same, when it was kept a while ago: nobody waits for it. */
void supply_body_again(struct router *router, const struct request *request, struct slice body);
/* The library with a function that the shard does not know, from another. */
void supply_function(const struct supply_order *order, struct slice name);

/* HSETNX of a body under its SHA-1, and SCRIPT LOAD of it, as RESP. */
void supply_write_keep(struct buffer *out, struct slice body);
void supply_write_load(struct buffer *out, struct slice body);

#endif
