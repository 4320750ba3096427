#include "lib/store/etcd_json.h"

#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* --- base64 -------------------------------------------------------------------------------- */

static json_t *base64(struct slice bytes)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    for (size_t at = 0; at < bytes.len; at += 3) {
        size_t count = bytes.len - at < 3 ? bytes.len - at : 3;
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; i++) {
            bits = bits << 8 | (i < count ? (unsigned char)bytes.data[at + i] : 0u);
        }
        char digits[4];
        for (unsigned i = 0; i < 4; i++) {
            digits[i] = i <= count ? alphabet[bits >> (18 - 6 * i) & 63] : '=';
        }
        buffer_add(&text, digits, sizeof(digits));
    }
    struct slice all = buffer_slice(&text);
    json_t *value = json_stringn(all.data, all.len);
    ASSERT(value != NULL);
    buffer_fini(&text);
    return value;
}

/* Decodes 2 to 4 digits to 1 to 3 bytes. */
static bool decode_group(const char *digits, size_t count, struct buffer *bytes)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        const char *digit =
            i < count ? memchr(alphabet, digits[i], sizeof(alphabet) - 1) : alphabet;
        if (digit == NULL) {
            return false;
        }
        bits = bits << 6 | (uint32_t)(digit - alphabet);
    }
    char decoded[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
    return count >= 2 && buffer_append(bytes, decoded, count - 1);
}

bool etcd_bytes_of(const json_t *object, const char *name, struct buffer *bytes)
{
    const json_t *value = json_object_get(object, name);
    if (value == NULL) {
        return true;
    }
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    while (length > 0 && text[length - 1] == '=') {
        length--;
    }
    bool ok = text != NULL;
    for (size_t at = 0; ok && at < length; at += 4) {
        ok = decode_group(text + at, length - at < 4 ? length - at : 4, bytes);
    }
    return ok;
}

/* --- requests ------------------------------------------------------------------------------ */

json_t *etcd_number(uint64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    return json_string(text);
}

static json_t *packed(json_t *object)
{
    ASSERT(object != NULL);
    return object;
}

/* {"key": ...[, "range_end": ...]} */
static json_t *keys(const char *key, const char *end)
{
    json_t *object = packed(json_pack("{s:o}", "key", base64(slice_of(key))));
    if (end != NULL) {
        (void)json_object_set_new(object, "range_end", base64(slice_of(end)));
    }
    return object;
}

json_t *etcd_put(const char *key, struct slice value, uint64_t lease)
{
    json_t *object = keys(key, NULL);
    (void)json_object_set_new(object, "value", base64(value));
    if (lease != 0) {
        (void)json_object_set_new(object, "lease", etcd_number(lease));
    }
    return packed(json_pack("{s:o}", "request_put", object));
}

json_t *etcd_range(const char *key, const char *end, unsigned limit)
{
    json_t *object = keys(key, end);
    if (limit > 0) {
        (void)json_object_set_new(object, "limit", etcd_number(limit));
    }
    return packed(json_pack("{s:o}", "request_range", object));
}

json_t *etcd_delete(const char *key, const char *end)
{
    return packed(json_pack("{s:o}", "request_delete_range", keys(key, end)));
}

json_t *etcd_is_at(const char *key, uint64_t revision)
{
    return packed(json_pack("{s:s, s:s, s:o, s:o}", "target", "MOD", "result", "EQUAL", "key",
                            base64(slice_of(key)), "mod_revision", etcd_number(revision)));
}

json_t *etcd_txn(json_t *conditions, json_t *then, json_t *otherwise)
{
    return packed(json_pack("{s:o, s:o, s:o}", "compare", conditions, "success", then, "failure",
                            otherwise != NULL ? otherwise : json_array()));
}

char *etcd_end_of(const char *prefix)
{
    char *end = mem_strdup(prefix);
    end[strlen(end) - 1]++;
    return end;
}

/* --- answers ------------------------------------------------------------------------------- */

uint64_t etcd_number_of(const json_t *object, const char *name)
{
    uint64_t number = 0;
    const json_t *value = json_object_get(object, name);
    if (json_is_string(value)) {
        struct slice text = {json_string_value(value), json_string_length(value)};
        return number_parse_u64(text, &number) ? number : 0;
    }
    return (uint64_t)json_integer_value(value);
}

const json_t *etcd_found(const json_t *answer, size_t index)
{
    const json_t *response = json_array_get(json_object_get(answer, "responses"), index);
    return json_object_get(json_object_get(response, "response_range"), "kvs");
}
