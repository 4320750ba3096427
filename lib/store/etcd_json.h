/* The words of etcd's v3 JSON gateway: keys and values in base64, 64-bit numbers as texts. Pure.
 * Requests are new references; what is passed to them is consumed where it says so. */
#ifndef LIB_STORE_ETCD_JSON_H
#define LIB_STORE_ETCD_JSON_H

#include <stdint.h>

#include <jansson.h>

#include "lib/base/buffer.h"

/* The operations of a transaction. `lease` 0: none. `end` null: one key; else all below it. */
json_t *etcd_put(const char *key, struct slice value, uint64_t lease);
json_t *etcd_range(const char *key, const char *end, unsigned limit);
json_t *etcd_delete(const char *key, const char *end);
/* A transaction's condition: the key was last changed at that revision; 0: it is not there. */
json_t *etcd_is_at(const char *key, uint64_t revision);
/* Consumes all three arrays; `otherwise` may be null. */
json_t *etcd_txn(json_t *conditions, json_t *then, json_t *otherwise);

/* The first key behind all that begin with `prefix`. Freed by the caller. */
char *etcd_end_of(const char *prefix) __attribute__((warn_unused_result));

json_t *etcd_number(uint64_t number);
/* 0 when it is not there: that is how the gateway writes a zero. */
uint64_t etcd_number_of(const json_t *object, const char *name);
/* Appends the bytes of a base64 member; false when they are none, or pass the buffer's limit. An
 * absent one is empty. */
bool etcd_bytes_of(const json_t *object, const char *name, struct buffer *bytes)
    __attribute__((warn_unused_result));
/* The keys that the operation at `index` of a transaction's answer found. Borrowed; null: none. */
const json_t *etcd_found(const json_t *answer, size_t index);

#endif
