/* Shared by blocking.c and blocking_poll.c only: one command that waits. */
#ifndef PROXY_ROUTING_BLOCKING_INTERNAL_H
#define PROXY_ROUTING_BLOCKING_INTERNAL_H

#include "proxy/routing/blocking.h"
#include "proxy/routing/private_lane.h"
#include "proxy/routing/router_internal.h"
#include "proxy/routing/wait_command.h"
#include "proxy/routing/waiters.h"

/* idle: the next tick, or the deadline, looks where it stands.
 * opening: the ids that "$" stands for are asked for.
 * waiting: the command is with its shard.
 * looking: what its keys hold is asked for. trying: the command is, where it does not wait. */
enum blocking_state {
    BLOCKING_IDLE,
    BLOCKING_OPENING,
    BLOCKING_WAITING,
    BLOCKING_LOOKING,
    BLOCKING_TRYING
};

struct blocking {
    struct blocking *next, *previous; /* in the order of their coming */
    struct blocking *next_promoted;
    struct router *router;
    struct request *request;  /* the client's; null: cancelled */
    struct request *exchange; /* with a shard, unless idle */
    struct private_lane *lane;
    enum blocking_state state;
    uint64_t woken_at_us; /* when it was last sent */
    bool is_woken;        /* CLIENT UNBLOCK was sent: an empty answer is not the client's */
    bool is_promoted;     /* in the router's list of those */
    bool has_run;     /* some shard has had the whole command: consumers are made, types checked */
    bool has_looked;  /* it has been asked for what is there: it may end with nothing */
    bool has_timeout; /* else its words are wrong, and the shard says so */
    struct unblocking unblocking; /* by another client; told is null: by none */
    bool was_unblocked;
    uint64_t deadline_us;
    struct timer timer;  /* for the deadline */
    struct buffer bytes; /* the command as the client sent it, but for "$" */
    struct slice *argv;  /* in it */
    unsigned argc;
    struct wait_command form;    /* nkeys is 0 when it could not be read */
    bool is_open;                /* it has a "$" still */
    struct waiter_place *places; /* one a key; null where nothing is taken away from others */
    const struct command_info *command;
    unsigned slot;
    bool has_written_keys;
    uint8_t protocol; /* of the client's replies */
};

/* --- blocking.c --- */
/* A request of its own, in RESP2 unless it asks for the client's reply. */
struct request *blocking_take_exchange(struct blocking *blocking, enum blocking_state state);
/* After this the exchange's reply may still be read until request_give. */
void blocking_end_exchange(struct blocking *blocking);
/* Answers the client and frees it. */
void blocking_answer(struct blocking *blocking, struct slice reply);
void blocking_free(struct blocking *blocking);
/* The exchange brought nothing: its time may be up, or somebody may have unblocked it. */
void blocking_settle(struct blocking *blocking);
/* What to do next; may free it. */
void blocking_decide(struct blocking *blocking);
/* The command as it is to be sent from now on. */
void blocking_set_command(struct blocking *blocking, struct slice bytes);
/* XREAD: what it is given is not gone for others, and it may be sent again. */
bool blocking_only_reads(const struct blocking *blocking);

/* --- blocking_open.c --- */
void blocking_open(struct blocking *blocking);

/* --- blocking_poll.c --- */
/* In a slot with a copy, which is not held. */
void blocking_poll(struct blocking *blocking);
/* Nobody of those that take turns with it came before it, for none of its keys. */
bool blocking_is_first(const struct blocking *blocking);
/* The whole command at once, wherever its slot is. */
void blocking_try(struct blocking *blocking);

#endif
