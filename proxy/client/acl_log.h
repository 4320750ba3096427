/* Who was denied what, newest first, as ACL LOG shows it: one for each worker. Equal denials within
 * a minute are one entry with a count. Bounded, in entries and in the bytes of each. */
#ifndef PROXY_CLIENT_ACL_LOG_H
#define PROXY_CLIENT_ACL_LOG_H

#include <stdint.h>

#include "lib/base/buffer.h"

struct acl_log;
struct client;

/* The first three are those of enum acl_verdict. */
enum acl_log_reason {
    ACL_LOG_COMMAND = 1,
    ACL_LOG_KEY,
    ACL_LOG_CHANNEL,
    ACL_LOG_AUTH
};

struct acl_log *acl_log_new(void) __attribute__((warn_unused_result));
void acl_log_free(struct acl_log *log);
/* To the log of the client's worker. `object`: the command, the key, the channel. */
void acl_log_add(struct client *client, enum acl_log_reason reason, struct slice user,
                 struct slice object);
void acl_log_clear(struct acl_log *log);
/* Appends up to `most` entries as RESP; returns how many. */
unsigned acl_log_write(const struct acl_log *log, unsigned protocol, unsigned most, uint64_t now_us,
                       struct buffer *out);

#endif
