/* etcd takes requests of 1.5 MB: a longer text is written in parts first, under its token, and the
 * value that names them last. Parts that nobody came to name (a crash in between, a lost
 * compare-and-swap) only cost room; the latter are removed. */
#include <stdio.h>

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/store/etcd_store.h"

#define PART_BYTES ((size_t)1 << 20)

static bool write_part(struct etcd_store *store, const char *token, unsigned number,
                       struct slice part, struct error *err)
{
    json_t *answer = NULL;
    char *key = etcd_key(store, "parts/%s/%08u", token, number);
    json_t *then = json_array();
    (void)json_array_append_new(then, etcd_put(key, part, 0));
    mem_free(key);
    bool ok = etcd_ask(store->http, "/v3/kv/txn", etcd_txn(json_array(), then, NULL), &answer,
                       err) == ETCD_ANSWERED;
    json_decref(answer);
    return ok;
}

bool etcd_text_write(struct etcd_store *store, const char *token, struct slice text,
                     struct buffer *value, struct error *err)
{
    unsigned parts = 0;
    if (text.len > PART_BYTES) {
        for (size_t at = 0; at < text.len; at += PART_BYTES) {
            size_t length = text.len - at < PART_BYTES ? text.len - at : PART_BYTES;
            if (!write_part(store, token, parts++, (struct slice){text.data + at, length}, err)) {
                return false;
            }
        }
        text.len = 0;
    }
    buffer_printf(value, "%s %u\n", token, parts);
    buffer_add(value, text.data, text.len);
    return true;
}

json_t *etcd_text_drop(const struct etcd_store *store, const char *token)
{
    char *key = etcd_key(store, "parts/%s/", token), *end = etcd_end_of(key);
    json_t *operation = etcd_delete(key, end);
    mem_free(key);
    mem_free(end);
    return operation;
}

static bool read_part(struct etcd_store *store, const char *token, unsigned number,
                      struct buffer *text, struct error *err)
{
    json_t *answer = NULL;
    char *key = etcd_key(store, "parts/%s/%08u", token, number);
    json_t *then = json_array();
    (void)json_array_append_new(then, etcd_range(key, NULL, 0));
    bool ok = etcd_ask(store->http, "/v3/kv/txn", etcd_txn(json_array(), then, NULL), &answer,
                       err) == ETCD_ANSWERED;
    const json_t *found = json_array_get(etcd_found(answer, 0), 0);
    if (ok && (found == NULL || !etcd_bytes_of(found, "value", text))) {
        ok = error_set(err, "the key %s is missing or too long", key);
    }
    mem_free(key);
    json_decref(answer);
    return ok;
}

/* Splits "<token> <parts>\n<text>". */
static bool split(struct slice value, char *token, uint64_t *parts, struct slice *text)
{
    const char *line_end = value.len > 0 ? memchr(value.data, '\n', value.len) : NULL;
    size_t length = line_end != NULL ? (size_t)(line_end - value.data) : 0;
    if (length <= ETCD_TOKEN_SIZE || value.data[ETCD_TOKEN_SIZE - 1] != ' ') {
        return false;
    }
    memcpy(token, value.data, ETCD_TOKEN_SIZE - 1);
    token[ETCD_TOKEN_SIZE - 1] = '\0';
    *text = (struct slice){line_end + 1, value.len - length - 1};
    return number_parse_u64((struct slice){value.data + ETCD_TOKEN_SIZE, length - ETCD_TOKEN_SIZE},
                            parts);
}

bool etcd_text_read(struct etcd_store *store, const json_t *found, struct buffer *text,
                    struct error *err)
{
    struct buffer value;
    struct slice rest = {"", 0};
    char token[ETCD_TOKEN_SIZE];
    uint64_t parts = 0;
    buffer_init(&value, SIZE_MAX);
    bool ok = etcd_bytes_of(found, "value", &value) &&
              split(buffer_slice(&value), token, &parts, &rest) &&
              buffer_append(text, rest.data, rest.len);
    if (!ok) {
        (void)error_set(err, "a value below %s is not what Sluice writes there",
                        store->place.prefix);
    }
    for (unsigned i = 0; ok && i < parts; i++) {
        ok = read_part(store, token, i, text, err);
    }
    buffer_fini(&value);
    return ok;
}
