/* A blocking connection to one shard, for the control plane (migrator, sluicectl, takeover).
 * The only user of hiredis, of its reader (in reply.c) and its formatter: the bytes go through
 * lib/net/stream, plain or TLS. The proxy's data path has its own (proxy/backend). One thread.
 * Programs ignore SIGPIPE: OpenSSL writes with write(2). */
#ifndef LIB_SHARD_SHARD_H
#define LIB_SHARD_SHARD_H

#include "lib/base/error.h"
#include "lib/base/slice.h"
#include "lib/net/tls.h"
#include "lib/shard/reply.h"
#include "lib/shard/script.h"
#include "lib/topology/topology.h"

struct shard_link;

/* With what links to shards that speak TLS are opened, in the whole process. Before threads that
 * open links start; the context must outlive their links. Null: such shards cannot be reached. */
void shard_use_tls(struct tls_context *context);

/* Connects, names the connection "sluice:<role>", reads the process's identity. Every call ends
 * after timeout_ms at the latest; then the link is broken and only fit for shard_close. */
struct shard_link *shard_open(const struct topology_shard *place, const char *role,
                              uint64_t timeout_ms, struct error *err)
    __attribute__((warn_unused_result));
/* The same to a Sentinel: as whom Sentinels know us, and its identity is not asked for. */
struct shard_link *shard_open_sentinel(const struct topology_shard *place, const char *role,
                                       uint64_t timeout_ms, struct error *err)
    __attribute__((warn_unused_result));
void shard_close(struct shard_link *link); /* null is allowed */
/* For poll(2): readable when the server has said something, or closed. */
int shard_fd(const struct shard_link *link);
/* "HOST:PORT" or "tls:HOST:PORT", for messages. */
const char *shard_address(const struct shard_link *link);
/* Of the process this link is connected to, as read when it was opened. */
const struct shard_identity *shard_link_identity(const struct shard_link *link);
bool shard_is_broken(const struct shard_link *link);

/* Pipelining: append any number, then take as many replies in order. Appending only queues;
 * shard_flush hands everything queued to the kernel without waiting for replies. */
void shard_append(struct shard_link *link, const struct slice *argv, unsigned argc);
/* printf-like words: "HGET %s %b" as hiredis formats them. */
void shard_appendf(struct shard_link *link, const char *format, ...);
/* EVALSHA of one of ours. argv: KEYS then ARGV. */
void shard_append_script(struct shard_link *link, enum shard_script script,
                         const struct slice *argv, unsigned argc, unsigned nkeys);
bool shard_flush(struct shard_link *link, struct error *err) __attribute__((warn_unused_result));
/* Null when the connection broke (the outcome of everything outstanding is unknown). An error reply
 * is a reply: look at its type. */
struct shard_reply *shard_take(struct shard_link *link, struct error *err)
    __attribute__((warn_unused_result));

/* One command and its reply. Error replies become errors ("ADDRESS: COMMAND: text"). */
struct shard_reply *shard_commandf(struct shard_link *link, struct error *err, const char *format,
                                   ...) __attribute__((warn_unused_result));
struct shard_reply *shard_command(struct shard_link *link, const struct slice *argv, unsigned argc,
                                  struct error *err) __attribute__((warn_unused_result));
/* One script: EVALSHA, and after NOSCRIPT (proof that nothing ran) SCRIPT LOAD and once more.
 * Error replies become errors whose text begins with the script's word: "FENCED ...". */
struct shard_reply *shard_script(struct shard_link *link, enum shard_script script,
                                 const struct slice *argv, unsigned argc, unsigned nkeys,
                                 struct error *err) __attribute__((warn_unused_result));
/* SCRIPT LOAD of one, or all, of ours, for links that will use shard_append_script. */
bool shard_load_script(struct shard_link *link, enum shard_script script, struct error *err)
    __attribute__((warn_unused_result));
bool shard_load_scripts(struct shard_link *link, struct error *err)
    __attribute__((warn_unused_result));

/* INFO's value of a field ("used_memory"), copied to text; false when it is not there. */
bool shard_info(struct shard_link *link, const char *section, const char *field, char *text,
                size_t size, struct error *err) __attribute__((warn_unused_result));

#endif
