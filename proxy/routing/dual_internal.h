/* Shared by dual_write.c, known_state.c, marked_script.c and mirror.c only: one write on its way
 * through both shards. */
#ifndef PROXY_ROUTING_DUAL_INTERNAL_H
#define PROXY_ROUTING_DUAL_INTERNAL_H

#include "lib/shard/metadata.h"
#include "lib/shard/script.h"
#include "proxy/routing/router_internal.h"

#define NEVER_EXPIRES "-1"

struct dual_key {
    struct slice key; /* in the request's bytes, which stay until the mirror is written */
    uint64_t seq;
    /* DUMP's bytes in the exchange's reply, empty where the key is absent; or the string itself, in
     * the reply or in the request's bytes. */
    struct slice payload;
    bool is_string;
    struct slice expires_at; /* digits */
    bool is_large;
};

/* What a unit reads behind the client's command. */
enum dual_reading {
    DUAL_READS_SIZE,   /* how large the value is; a second unit reads it */
    DUAL_READS_STRING, /* the value, which is a small string, or absent */
    DUAL_READS_EXPIRY, /* when it expires; the value is known from the request */
    DUAL_READS_NOTHING /* after SET k v the key is v, without expiry */
};

struct dual_write {
    struct router *router;
    struct request *request;  /* the client's; null once it is answered */
    struct request *exchange; /* the one that is with a backend */
    struct snapshot *snapshot;
    const struct slot_entry *entry; /* in the snapshot; null for a unit without keys */
    struct metadata_names names;
    enum dual_reading reading;
    bool reads_again;   /* the unit's reading was none */
    unsigned ncommands; /* of the client's transaction; 1 for a plain command */
    unsigned nkeys;     /* to be marked and mirrored; 0 where the slot has no copy */
    struct dual_key *keys;
    struct buffer reply; /* the command's own */
    bool is_error;
    uint64_t deadline_us;
    struct dual_write *next; /* among those whose clients wait for the mirror */
    bool is_waiting;
};

/* dual_write.c */
/* RESP2's: what is read here for ourselves has the same form for all clients. */
struct lane *dual_lane(const struct dual_write *dual, unsigned shard);
void dual_answer(struct dual_write *dual);        /* the client gets dual->reply, once */
void dual_finish(struct dual_write *dual);        /* answers, if that was not done yet, and frees */
void dual_mirror_failed(struct dual_write *dual); /* counts, then finishes: the mark stays */
/* The array that EXEC answered, behind +OK and `queued` times +QUEUED. */
bool dual_exec_array(struct slice reply, unsigned queued, struct slice *elements)
    __attribute__((warn_unused_result));

/* known_state.c: of a command that leaves a small string, or nothing, in its keys: what is known of
 * their states without reading them. */
void dual_note_known_state(struct dual_write *dual, const struct command *command);

/* marked_script.c: a client's command as it stands in the unit, which is itself unless it is a
 * script that may write keys it does not declare. */
void write_guarded(struct buffer *out, const struct dual_write *dual,
                   const struct command *command);

/* mirror.c: what follows a unit that was executed. Both end in dual_finish. */
void mirror_read_and_send(struct dual_write *dual); /* the state is to be read first */
void mirror_send(struct dual_write *dual);          /* it has been read into dual->keys */
/* PEXPIRETIME of a key whose value is known; a key that has expired by now is absent. */
bool mirror_take_expiry(struct slice *elements, struct dual_key *key)
    __attribute__((warn_unused_result));
/* DUMP (of a string: GET) and PEXPIRETIME, which stand one behind the other in *elements. */
bool mirror_take_state(struct slice *elements, bool is_string, struct dual_key *key)
    __attribute__((warn_unused_result));

#endif
