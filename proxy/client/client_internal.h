/* Shared by the files of proxy/client only. */
#ifndef PROXY_CLIENT_CLIENT_INTERNAL_H
#define PROXY_CLIENT_CLIENT_INTERNAL_H

#include "lib/net/stream.h"
#include "lib/resp/command_parser.h"
#include "proxy/client/client.h"

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
    uint64_t id;
    uint64_t connected_us;
    bool is_paused;
    bool is_draining; /* nothing more is read; close when all is answered and written */
    bool is_closed;   /* freed at the end of the turn */
    char name[64];
    char library[64], library_version[32]; /* CLIENT SETINFO */
};

/* client.c: a request at the end of the pipeline, not yet dispatched. */
struct request *client_begin(struct client *client, const struct command_info *info,
                             const struct command *command);
/* After what is in the pipeline now, close. */
void client_drain(struct client *client);

/* session.c */
void session_handle(struct client *client, const struct command *command);
/* Redis' error for bytes that are no command. */
void session_protocol_error(struct client *client, const char *error);

/* local.c: answers commands that no shard is asked for. */
void local_answer(struct client *client, struct request *request, const struct command *command);
/* client_command.c */
void local_client(struct client *client, struct buffer *out, const struct command *command);

#endif
