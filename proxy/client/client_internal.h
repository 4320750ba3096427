/* Shared by the files of proxy/client only. */
#ifndef PROXY_CLIENT_CLIENT_INTERNAL_H
#define PROXY_CLIENT_CLIENT_INTERNAL_H

#include "lib/net/stream.h"
#include "lib/resp/command_parser.h"
#include "proxy/client/acl_log.h"
#include "proxy/client/client.h"
#include "proxy/client/client_filter.h"

/* CLIENT REPLY. */
enum reply_mode {
    REPLY_ON,
    REPLY_OFF,
    REPLY_SKIP_NEXT
};

struct client {
    struct client_host *host;
    struct client *next, *previous;
    struct client *next_paused, *previous_paused;
    struct stream stream;
    struct io io;
    struct turn_task task; /* write, go on reading, or be freed */
    struct buffer in;      /* begun commands */
    struct buffer out;
    struct command_parser parser;
    struct request *first, *last; /* the pipeline */
    unsigned pending;             /* requests in it */
    size_t pending_bytes;         /* of their commands */
    size_t parked_bytes;          /* of whole replies that wait for those before them */
    size_t unread_max;            /* bytes of replies; it is not read while it leaves as many */
    uint64_t id;
    uint64_t connected_us;
    unsigned char protocol;      /* 2 or 3: of the replies it gets */
    struct request *blocked;     /* nothing behind it is looked at until it is answered */
    struct large_request *large; /* it is `blocked`, and is passed on as it comes; else null */
    struct private_lane *lane;   /* of WATCH; else null */
    bool is_watching;
    unsigned watched_slot;
    bool is_waiting_for_more; /* its replies wait one turn for those behind them */
    bool has_backlog;         /* whole commands in `in` that wait for `blocked` */
    bool is_paused;
    bool is_draining; /* nothing more is read; close when all is answered and written */
    bool is_closed;   /* freed at the end of the turn */
    struct subscriptions *subscriptions; /* null: none */
    struct buffer pushes;                /* they wait for the end of a reply */
    struct transaction *transaction;     /* between MULTI and EXEC; else null */
    const struct acl_user *user;         /* of host->acl */
    bool is_authenticated;
    bool is_guarded; /* its commands are looked at: see users_deny */
    enum reply_mode reply_mode;
    bool is_kept_from_eviction, is_untouching; /* CLIENT NO-EVICT, NO-TOUCH: shown, no more */
    uint64_t active_us;                        /* when it last sent or took something */
    uint64_t above_soft_us;                    /* since when; 0: it is below its soft limit */
    const struct command_info *last_command;   /* null: none yet */
    char name[64];
    char library[64], library_version[32]; /* CLIENT SETINFO */
};

/* It is blocked by BLPOP or its kin, and by nothing that is over soon. */
bool client_waits_for_an_element(const struct client *client);

/* client.c: a request at the end of the pipeline, not yet dispatched. */
struct request *client_begin(struct client *client, const struct command_info *info,
                             const struct command *command);
/* After what is in the pipeline now, close. */
void client_drain(struct client *client);
/* At once; it is freed at the end of the turn. */
void client_cut_off(struct client *client);
/* The first request of the pipeline writes to `out` from now on, behind what it has so far. */
void client_begin_head(struct client *client);
/* What it may cost: less while it is a stranger, who has to log in first. */
void client_bound(struct client *client, bool is_stranger);
/* Replies from now on; the request that came last is answered as well. */
void client_unmute(struct client *client);
/* Where a push is to be appended: pushes go out between two replies. It is sent soon. */
struct buffer *client_push(struct client *client);
/* Pushes that had to wait go out, if they may. */
void client_flush_pushes(struct client *client);

/* session.c */
/* False: not now; what is under way has to be answered first. */
bool session_handle(struct client *client, const struct command *command)
    __attribute__((warn_unused_result));

/* What is there of a command that is not whole: as far as can be told, it is handled as any. Only
 * with BEGUN_PASSES its bytes are used up, and what comes is for large_request_take. */
enum begun {
    BEGUN_IS_KEPT, /* until it is whole */
    BEGUN_WAITS,   /* what is under way has to be answered first */
    BEGUN_PASSES,
};
enum begun session_handle_begun(struct client *client, const struct command *command)
    __attribute__((warn_unused_result));
/* CLIENT PAUSE holds this command up. Null: one that is not known. */
bool session_waits_for_pause(const struct client *client, const struct command_info *info);
/* Redis' error for bytes that are no command. */
void session_protocol_error(struct client *client, const char *error);

/* What a client may ask without naming more than one slot: which slot, whether keys are written.
 * Answers the request with its error and returns false otherwise. */
bool session_find_slot(struct client *client, struct request *request,
                       const struct command *command);
struct slice session_bytes_of_inline(struct request *request, const struct command *command);

/* What goes to a shard: an inline command is sent as RESP. */
static inline struct slice session_wire_bytes(struct request *request,
                                              const struct command *command)
{
    return command->is_inline ? session_bytes_of_inline(request, command) : command->raw;
}

void session_refuse(struct client *client, struct request *request); /* the error is written */

/* large_request.c */
/* The client's request, whose `size` bytes so far are used up, is one from here on. */
void large_request_begin(struct client *client, struct request *request, size_t size);
/* More of it is to come, and may come now. */
bool large_request_wants_more(const struct client *client);
/* The client is slow to send it, nobody else is. */
bool large_request_waits_for_client(const struct client *client);
/* Returns how many bytes at the front of these it has taken: none where there is none. */
size_t large_request_take(struct client *client, const char *data, size_t size);
/* Where it is not there to its end: the rest will not come, and nobody is told. */
void large_request_abandon(struct client *client);
void large_request_forget(struct client *client); /* the client goes */

/* transaction.c */
void transaction_begin(struct client *client, struct request *request);
void transaction_queue(struct client *client, struct request *request,
                       const struct command *command);
void transaction_spoil(struct client *client); /* a command was refused: EXEC will abort */
void transaction_exec(struct client *client, struct request *request);
void transaction_discard(struct client *client, struct request *request);
void transaction_watch(struct client *client, struct request *request,
                       const struct command *command);
void transaction_unwatch(struct client *client); /* also when the client goes */
void transaction_forget(struct client *client);  /* the client goes, or RESET */
/* Commands that are queued; -1: outside of a transaction. */
int transaction_length(const struct client *client);
bool transaction_writes(const struct client *client); /* what is queued */
bool transaction_subscribes(const struct client *client);

/* users.c: the default user, as on a new connection and after RESET. */
void users_forget_login(struct client *client);
/* False: Redis' error is written. */
bool users_log_in(struct client *client, struct buffer *out, struct slice name,
                  struct slice password) __attribute__((warn_unused_result));
bool users_must_log_in(const struct client *client);
/* For a client that is guarded, and a command that is known and has enough arguments. True: it may
 * not do that, and the error is written. */
bool users_deny(struct client *client, struct request *request, const struct command *command)
    __attribute__((warn_unused_result));

/* subscription.c */
/* The shards have not confirmed all that the commands at the front of the pipeline ask: whatever is
 * pushed comes behind their answers. */
bool subscription_is_confirming(const struct client *client);
/* Until then this command is not looked at. */
bool subscription_delays(const struct client *client, const struct command_info *info);
/* In RESP2 a subscribed client may do little else. */
bool subscription_is_exclusive(const struct client *client);
bool subscription_forbids(const struct client *client, const struct command_info *info);
void subscription_add(struct client *client, struct request *request,
                      const struct command *command);
void subscription_remove(struct client *client, struct request *request,
                         const struct command *command);
/* request->bytes is the answer to the request that is the first of the pipeline; it is given when
 * the shards have confirmed what was changed. */
void subscription_confirm(struct client *client, struct request *request);
void subscription_end(struct client *client); /* RESET, or the client goes */
/* At the end of a turn: who is subscribed to nothing any more needs no connections. */
void subscription_tidy(struct client *client);
/* " sub=0 psub=0 ssub=0", for CLIENT LIST. */
void subscription_describe(const struct client *client, struct buffer *text);

/* local.c: answers commands that no shard is asked for. */
void local_answer(struct client *client, struct request *request, const struct command *command);

/* The same, to whoever wants the answer. */
void local_write(struct client *client, const struct command_info *info, struct buffer *out,
                 const struct command *command);

/* Writes the answer to `out`. */
typedef void local_fn(struct client *client, struct buffer *out, const struct command *command);

struct subcommand {
    const char *name;
    local_fn *answer;
};

/* The one that argv[1] names, or Redis' error. */
void local_answer_subcommand(const struct subcommand *subcommands, size_t count,
                             struct client *client, struct buffer *out,
                             const struct command *command);
local_fn local_client; /* client_command.c */
local_fn local_info;   /* info.c */
local_fn local_config; /* server_command.c */
local_fn local_acl;    /* acl_command.c */
local_fn local_role;
/* subscription.c: the confirmations; whoever asked waits by subscription_confirm */
local_fn local_subscribe, local_unsubscribe;
/* client_command.c: the client's name, for SETNAME. False: Redis' error for such a name is written.
 */
bool local_take_name(struct client *client, struct buffer *out, struct slice name)
    __attribute__((warn_unused_result));
/* One line of CLIENT LIST. */
void client_describe(const struct client *client, struct buffer *text);
enum client_class client_class_of(const struct client *client);
/* acl_command.c: ACL LOAD and LOG, which concern all workers */
void acl_dispatch(struct client *client, struct request *request, const struct command *command);
/* all_clients.c: CLIENT UNBLOCK, LIST, KILL, PAUSE, UNPAUSE */
void all_clients_dispatch(struct client *client, struct request *request,
                          const struct command *command);

#endif
