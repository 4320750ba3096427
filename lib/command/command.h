/* What the proxy knows of a command: learnt from a real server, plus our own decisions.
 *
 * A table is immutable once made and may be read by any thread. The built-in one comes from
 * table.def, which scripts/gen-command-table wrote from a real server's COMMAND;
 * command_table_learn makes another from what a shard reports, so that modules and newer servers
 * route as well. overrides.def holds our decisions (routed, split, answered here, refused), each
 * with its reason. */
#ifndef LIB_COMMAND_COMMAND_H
#define LIB_COMMAND_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/slice.h"

/* How the proxy treats a command. X(ENUM, "word in overrides.def and docs") */
#define COMMAND_HANDLERS(X)                                                                       \
    X(HANDLER_ROUTE, "route")           /* by its keys, all in one slot; the default with keys */ \
    X(HANDLER_REFUSE, "refuse")         /* an error that says why; the default without keys */    \
    X(HANDLER_SPLIT, "split")           /* by its keys over shards, and back by its policy */     \
    X(HANDLER_ANY_SHARD, "any-shard")   /* sent to one shard as it is: COMMAND LOLWUT */          \
    X(HANDLER_ALL_SHARDS, "all-shards") /* sent to every shard, and back by its policy */         \
    X(HANDLER_TEXTS, "texts")           /* all shards, each one's text below its name */          \
    X(HANDLER_DBSIZE, "dbsize")         /* all shards, less what is Sluice's own */               \
    X(HANDLER_KEYS, "keys")             /* all shards, names that are no client's left out */     \
    X(HANDLER_RANDOMKEY, "randomkey")   /* drawn by the sizes of the shards */                    \
    X(HANDLER_FLUSH, "flush")           /* all shards, but for what is Sluice's own */            \
    X(HANDLER_WAIT, "wait")             /* all shards, the fewest replicas */                     \
    X(HANDLER_SCRIPT, "script")         /* EVAL and its kin: by its keys, loaded where missing */ \
    X(HANDLER_SCRIPT_LOAD, "script-load")                                                         \
    X(HANDLER_SCRIPT_EXISTS, "script-exists")                                                     \
    X(HANDLER_SCRIPT_KILL, "script-kill") /* on connections of their own */                       \
    X(HANDLER_SCRIPT_FLUSH, "script-flush")                                                       \
    X(HANDLER_SCAN, "scan")                                                                       \
    X(HANDLER_PING, "ping")                                                                       \
    X(HANDLER_ECHO, "echo")                                                                       \
    X(HANDLER_SELECT, "select")                                                                   \
    X(HANDLER_HELLO, "hello")                                                                     \
    X(HANDLER_AUTH, "auth")                                                                       \
    X(HANDLER_CLIENT, "client")                                                                   \
    X(HANDLER_CLIENTS, "clients") /* asks the clients of all workers: CLIENT UNBLOCK */           \
    X(HANDLER_CONFIG, "config")                                                                   \
    X(HANDLER_ACL, "acl")                                                                         \
    X(HANDLER_USERS, "users") /* concerns the users of all workers: ACL LOAD */                   \
    X(HANDLER_ROLE, "role")                                                                       \
    X(HANDLER_INFO, "info")                                                                       \
    X(HANDLER_QUIT, "quit")                                                                       \
    X(HANDLER_RESET, "reset")                                                                     \
    X(HANDLER_TIME, "time")                                                                       \
    X(HANDLER_MULTI, "multi")                                                                     \
    X(HANDLER_EXEC, "exec")                                                                       \
    X(HANDLER_DISCARD, "discard")                                                                 \
    X(HANDLER_WATCH, "watch")                                                                     \
    X(HANDLER_UNWATCH, "unwatch")                                                                 \
    X(HANDLER_BLOCK, "block")         /* waits on a connection of its own: BLPOP and its kin */   \
    X(HANDLER_SUBSCRIBE, "subscribe") /* to every shard, and PSUBSCRIBE, SSUBSCRIBE */            \
    X(HANDLER_UNSUBSCRIBE, "unsubscribe") /* and its kin */                                       \
    X(HANDLER_PUBLISH, "publish")         /* by the channel's slot, as if it were a key */

enum command_handler {
#define X(symbol, word) symbol,
    COMMAND_HANDLERS(X)
#undef X
    HANDLER_COUNT
};

enum command_flag {
    COMMAND_WRITE = 1 << 0,
    COMMAND_READONLY = 1 << 1,
    COMMAND_DENYOOM = 1 << 2,
    COMMAND_BLOCKING = 1 << 3,
    COMMAND_MOVABLE_KEYS = 1 << 4,
    COMMAND_NOSCRIPT = 1 << 5,
    COMMAND_NO_MANDATORY_KEYS = 1 << 6, /* EVAL and the like: "numkeys 0" is allowed */
    COMMAND_SMALL_RESULT =
        1 << 7,               /* ours: the value after it is bounded by the request (SET ...) */
    COMMAND_NO_AUTH = 1 << 8, /* everybody may: AUTH, HELLO, QUIT, RESET */
    COMMAND_PRIMARY = 1 << 9, /* ours: only reads, and yet a replica's answer would not do */
};

/* The categories of ACL rules: "+@read". X(ENUM, "name") */
#define COMMAND_CATEGORIES(X)              \
    X(CATEGORY_KEYSPACE, "keyspace")       \
    X(CATEGORY_READ, "read")               \
    X(CATEGORY_WRITE, "write")             \
    X(CATEGORY_SET, "set")                 \
    X(CATEGORY_SORTEDSET, "sortedset")     \
    X(CATEGORY_LIST, "list")               \
    X(CATEGORY_HASH, "hash")               \
    X(CATEGORY_STRING, "string")           \
    X(CATEGORY_BITMAP, "bitmap")           \
    X(CATEGORY_HYPERLOGLOG, "hyperloglog") \
    X(CATEGORY_GEO, "geo")                 \
    X(CATEGORY_STREAM, "stream")           \
    X(CATEGORY_PUBSUB, "pubsub")           \
    X(CATEGORY_ADMIN, "admin")             \
    X(CATEGORY_FAST, "fast")               \
    X(CATEGORY_SLOW, "slow")               \
    X(CATEGORY_BLOCKING, "blocking")       \
    X(CATEGORY_DANGEROUS, "dangerous")     \
    X(CATEGORY_CONNECTION, "connection")   \
    X(CATEGORY_TRANSACTION, "transaction") \
    X(CATEGORY_SCRIPTING, "scripting")

enum command_category {
#define X(symbol, word) symbol,
    COMMAND_CATEGORIES(X)
#undef X
    CATEGORY_COUNT
};

extern const char *const command_category_names[CATEGORY_COUNT];

/* Where our own code finds the keys, since the server's specs cannot or do so loosely. */
enum command_finder {
    FINDER_SPECS,
    FINDER_SORT,      /* the key, and that of the last STORE */
    FINDER_GEORADIUS, /* the key, and those of every STORE and STOREDIST */
    FINDER_XREAD      /* behind the STREAMS that is an option, not a group's or consumer's name */
};

/* Commands some of whose forms are refused; see command_refused_form. */
enum command_form {
    FORM_ANY,
    FORM_COPY, /* not to another database */
    FORM_SORT, /* not BY or GET a pattern: keys that nobody named */
};

/* To whom a command goes that names no key, or keys of several shards; and how their replies become
 * one: the tips that a server publishes with its commands. X(ENUM, "word of the tip")
 * (https://redis.io/docs/latest/develop/reference/command-tips). */
#define REQUEST_POLICIES(X)                                                      \
    X(REQUEST_DEFAULT, "")                                                       \
    X(REQUEST_ALL_NODES,                                                         \
      "all_nodes") /* replicas too, which are no concern of ours: as the next */ \
    X(REQUEST_ALL_SHARDS, "all_shards")                                          \
    X(REQUEST_MULTI_SHARD, "multi_shard")                                        \
    X(REQUEST_SPECIAL, "special")

#define RESPONSE_POLICIES(X)                                                          \
    X(RESPONSE_DEFAULT, "") /* with keys: elements in their order; without: joined */ \
    X(RESPONSE_ONE_SUCCEEDED, "one_succeeded")                                        \
    X(RESPONSE_ALL_SUCCEEDED, "all_succeeded")                                        \
    X(RESPONSE_AGG_LOGICAL_AND, "agg_logical_and")                                    \
    X(RESPONSE_AGG_LOGICAL_OR, "agg_logical_or")                                      \
    X(RESPONSE_AGG_MIN, "agg_min")                                                    \
    X(RESPONSE_AGG_MAX, "agg_max")                                                    \
    X(RESPONSE_AGG_SUM, "agg_sum")                                                    \
    X(RESPONSE_HISTOGRAMS, "sluice_histograms") /* no server's: LATENCY HISTOGRAM */  \
    X(RESPONSE_SPECIAL, "special")

enum request_policy {
#define X(symbol, word) symbol,
    REQUEST_POLICIES(X)
#undef X
};

enum response_policy {
#define X(symbol, word) symbol,
    RESPONSE_POLICIES(X)
#undef X
};

enum key_begin {
    KEY_BEGIN_INDEX,
    KEY_BEGIN_KEYWORD,
    KEY_BEGIN_UNKNOWN
};

enum key_find {
    KEY_FIND_RANGE,
    KEY_FIND_KEYNUM,
    KEY_FIND_UNKNOWN
};

/* One key specification, as COMMAND reports it
 * (https://redis.io/docs/reference/key-specs). */
struct key_spec {
    enum key_begin begin;
    enum key_find find;
    bool is_written;    /* K of DESIGN.md section 6: not read-only, or one of our exceptions */
    bool is_incomplete; /* the server says that this spec does not find all keys */
    bool needs_read, needs_write; /* which of them an ACL must grant */
    bool has_variable_needs;      /* they depend on the arguments: SET with GET */
    const char *keyword;
    int index;             /* begin: argument index, or where the search for the keyword starts */
    int last, step, limit; /* KEY_FIND_RANGE */
    int keynum, first, keynum_step; /* KEY_FIND_KEYNUM */
};

struct command_info {
    char name[48]; /* lower case; of a subcommand "object|encoding" */
    int arity;     /* as in COMMAND: negative is a minimum */
    uint32_t flags;
    uint32_t categories; /* bits, 1 << enum command_category */
    enum command_handler handler;
    enum command_finder finder;
    enum command_form form;
    enum request_policy request_policy;
    enum response_policy response_policy;
    const char *reason; /* for HANDLER_REFUSE: what the client is told after "ERR "; else null */
    const char *why;    /* why we decided so, for docs; null where the default rules decided */
    const char *limit;  /* which forms are refused, and why, for docs; else null */
    unsigned id;        /* dense, 0 .. command_table_count - 1: index for counters */
    const struct key_spec *specs;
    unsigned nspecs;
    unsigned single_key; /* where the only key stands; 0: it has none, or more, or somewhere else */
    bool is_plain; /* with the right number of arguments it is routed by its only key, whatever they
                      are: what nearly all requests are */
    unsigned nsubcommands;
    const struct command_info *subcommands;
};

struct command_table;

/* Static; lives for ever. */
const struct command_table *command_table_builtin(void);
/* From the bytes of a server's reply to COMMAND (RESP2 or RESP3). What the server reports wins for
 * arity, flags and key specs; our overrides win for handlers. Commands that the built-in table
 * knows keep their ids, and stay when the server does not report them; new ones come behind: with
 * keys they are routed, without keys sent to all shards if the server's tips say so, else refused.
 * Null with a message when the bytes are not such a
 * reply. */
struct command_table *command_table_learn(struct slice reply, struct error *err)
    __attribute__((warn_unused_result));
void command_table_free(struct command_table *table);
unsigned command_table_count(const struct command_table *table);
const struct command_info *command_table_at(const struct command_table *table, unsigned id);

/* The command that argv[0] (and, for a container, argv[1]) names; letters of either case. Null:
 * unknown. For a container with an unknown or missing subcommand: the container itself. */
const struct command_info *command_find(const struct command_table *table, const struct slice *argv,
                                        unsigned argc);

/* With its keys in the dataset it reads nothing else, and changes nothing. */
static inline bool command_only_reads(const struct command_info *info)
{
    return (info->flags & (COMMAND_READONLY | COMMAND_PRIMARY)) == COMMAND_READONLY;
}

static inline bool command_arity_fits(const struct command_info *info, unsigned argc)
{
    return info->arity >= 0 ? argc == (unsigned)info->arity : argc >= (unsigned)-info->arity;
}

struct command_key {
    unsigned position; /* in argv */
    bool is_written;
    bool needs_read, needs_write; /* which of them an ACL must grant: Redis' view, not ours */
};

/* Finds the keys by the specs, or by our own finder. Writes at most `capacity` of them, in argument
 * order; returns how many there are (which may be more than capacity, and 0 where the arguments
 * name none), or -1 when the arguments do not fit the specs (a bad numkeys): the server's own error
 * is then the right answer, from any shard. The arity must fit. */
int command_keys(const struct command_info *info, const struct slice *argv, unsigned argc,
                 struct command_key *keys, unsigned capacity);

/* The same as an ACL judges it: of a command that no server would run, what Redis 7.0 takes for its
 * keys, so that both give the same error. */
int command_acl_keys(const struct command_info *info, const struct slice *argv, unsigned argc,
                     struct command_key *keys, unsigned capacity);

/* Whether a shard may hold back its reply until something happens: BLPOP and the like, and XREAD
 * and XREADGROUP only with BLOCK. */
bool command_blocks(const struct command_info *info, const struct slice *argv, unsigned argc);

/* The positions of the options of XREAD and XREADGROUP that come before its keys; argc: not there.
 */
struct xread_options {
    unsigned streams, block, group;
};

struct xread_options command_xread_options(const struct slice *argv, unsigned argc);

const char *command_refused_form_of(const struct command_info *info, const struct slice *argv,
                                    unsigned argc);

/* Null; or, for a form of a routed command that this proxy does not serve (COPY ... DB, SORT BY
 * pattern), what the client is told, as command_info.reason. */
static inline const char *command_refused_form(const struct command_info *info,
                                               const struct slice *argv, unsigned argc)
{
    return info->form == FORM_ANY ? NULL : command_refused_form_of(info, argv, argc);
}

#endif
