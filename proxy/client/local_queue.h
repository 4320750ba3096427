/* The commands of a transaction that the proxy answers itself, and their places among those that go
 * to the shard. They are executed when the shard has executed the others. One thread. */
#ifndef PROXY_CLIENT_LOCAL_QUEUE_H
#define PROXY_CLIENT_LOCAL_QUEUE_H

#include "lib/resp/command_parser.h"
#include "proxy/client/client.h"

struct local_queue;

struct local_queue *local_queue_new(void);
void local_queue_free(struct local_queue *queue); /* null is allowed */

/* What no shard is asked for, and what changes nothing of the replies that are under way: so not
 * CLIENT REPLY, nor a HELLO that changes the protocol. */
bool local_queue_takes(const struct client *client, const struct command_info *info,
                       const struct command *command);
/* `place`: in EXEC's array, larger than those before. Keeps a copy. False: there are too many, or
 * they are too large. */
bool local_queue_add(struct local_queue *queue, unsigned place, const struct command_info *info,
                     const struct command *command) __attribute__((warn_unused_result));
unsigned local_queue_count(const struct local_queue *queue); /* null has none */

/* Executes them and appends EXEC's array: `count` replies of the shard, one behind the other in
 * `replies`, and theirs in between. */
void local_queue_run(const struct local_queue *queue, struct client *client, struct slice replies,
                     uint64_t count, struct buffer *out);

#endif
