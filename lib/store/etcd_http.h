/* Questions to a cluster of etcd members over the v3 JSON gateway, and nothing of what they mean.
 * The only place with libcurl (curl_library.h), beside etcd_watch.c. One thread a handle.
 *
 * A question goes to the member that answered last. When that one is silent for a moment, or its
 * answer says that it cannot serve, it goes to the next as well: the first good answer counts. So
 * everything that is asked must be safe to be done twice, and late. */
#ifndef LIB_STORE_ETCD_HTTP_H
#define LIB_STORE_ETCD_HTTP_H

#include <jansson.h>

#include "lib/base/buffer.h"
#include "lib/store/curl_library.h"
#include "lib/store/etcd_place.h"

struct etcd_http;

enum etcd_outcome {
    ETCD_ANSWERED, /* it was done; *answer is the body */
    ETCD_REFUSED,  /* it was certainly not done: etcd said why */
    ETCD_UNSENT,   /* it was certainly not done: nobody could be reached */
    ETCD_UNKNOWN   /* it may have been done, or may be done later */
};

/* `place` is borrowed. libcurl is loaded. Never fails: nothing is touched yet. */
struct etcd_http *etcd_http_new(const struct etcd_place *place);
void etcd_http_free(struct etcd_http *http);

/* POSTs `question` (consumed) to `path` ("/v3/kv/txn"). *answer is a new reference. */
enum etcd_outcome etcd_ask(struct etcd_http *http, const char *path, json_t *question,
                           json_t **answer, struct error *err) __attribute__((warn_unused_result));

/* For etcd_watch.c: a handle set up for a member but for what is done with the answer. The body
 * must outlive it. Logs in first when that is needed and not done yet; null when it fails. */
CURL *etcd_http_open(struct etcd_http *http, unsigned endpoint, const char *path,
                     const struct buffer *body, struct error *err)
    __attribute__((warn_unused_result));
/* The member that answered last. */
unsigned etcd_http_preferred(const struct etcd_http *http);
/* What logged us in does not count any more. */
void etcd_http_forget_login(struct etcd_http *http);

#endif
