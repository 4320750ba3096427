/* Which clients CLIENT LIST shows and CLIENT KILL closes. Made from a command, and asked about each
 * client by the thread that has it. Pure. */
#ifndef PROXY_CLIENT_CLIENT_FILTER_H
#define PROXY_CLIENT_CLIENT_FILTER_H

#include "lib/acl/acl.h"
#include "lib/base/buffer.h"
#include "lib/resp/command_parser.h"

#define CLIENT_ADDRESS_MAX 64 /* "[IPv6]:port" and its end; what lib/net/socket.h writes fits */

/* Redis' classes. A proxy has no replicas and no master among its clients. */
enum client_class {
    CLIENT_CLASS_NORMAL,
    CLIENT_CLASS_MASTER,
    CLIENT_CLASS_REPLICA,
    CLIENT_CLASS_PUBSUB,
    CLIENT_CLASS_ANY
};

/* What is not set lets every client pass. One block of memory, so that it can be handed from thread
 * to thread. */
struct client_filter {
    enum client_class class;
    uint64_t asker_id, spared_id; /* 0: none */
    bool is_old_kill;             /* CLIENT KILL address: OK or an error, not a number */
    char user[ACL_NAME_MAX + 1];
    char address[CLIENT_ADDRESS_MAX];
    char local_address[CLIENT_ADDRESS_MAX];
    unsigned nids;
    uint64_t ids[]; /* any of them */
};

/* What is asked about one client. */
struct client_facts {
    uint64_t id;
    enum client_class class;
    const char *address, *local_address;
    const char *user;
};

/* CLIENT LIST [TYPE class] [ID id ...], and CLIENT KILL in its two forms; `own_id` is the asking
 * client's. Freed with mem_free. Null, with Redis' error in `reply`, when it is none. */
struct client_filter *client_filter_of_list(const struct command *command, struct buffer *reply)
    __attribute__((warn_unused_result));
struct client_filter *client_filter_of_kill(const struct command *command, uint64_t own_id,
                                            const struct acl *acl, struct buffer *reply)
    __attribute__((warn_unused_result));
bool client_filter_passes(const struct client_filter *filter, const struct client_facts *client);

#endif
