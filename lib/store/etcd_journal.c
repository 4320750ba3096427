/* PREFIX/journal/<number>: the head PREFIX/journal gives each record the next number, so that they
 * have one order, whoever appends. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fail_point.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/base/random.h"
#include "lib/store/etcd_store.h"

#define APPEND_TRIES     1000 /* each lost one is somebody else's record */
#define PAGE_RECORDS     128u
#define NUMBER_DIGITS    20u
#define RECORD_MAX_BYTES ((size_t)64 << 20)

static enum cas_result append_as(struct etcd_store *store, const char *token, struct slice value,
                                 struct error *err)
{
    char name[48];
    (void)snprintf(name, sizeof(name), "journal/%020llu",
                   (unsigned long long)store->journal.number + 1);
    char *key = etcd_key(store, "%s", name);
    json_t *operations = json_array();
    (void)json_array_append_new(operations, etcd_put(key, value, 0));
    mem_free(key);
    struct etcd_move move = {
        .head = &store->journal, .token = token, .witness = name, .also = operations};
    return etcd_head_move(store, &move, err);
}

/* A record that is LOST is appended behind the one that won; an UNKNOWN one may stand, or come
 * later: the caller is told that it failed, and may append it twice. */
bool etcd_append(struct store *base, struct slice record, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    char token[ETCD_TOKEN_SIZE];
    struct buffer value;
    if (FAIL_POINT("store.append.before")) {
        return error_set(err, "cannot append to the journal: failed on purpose");
    }
    random_hex(token, ETCD_TOKEN_SIZE - 1);
    buffer_init(&value, SIZE_MAX);
    enum cas_result result = CAS_LOST;
    if (!etcd_text_write(store, token, record, &value, err)) {
        result = CAS_FAILED;
    }
    for (unsigned tries = 0; result == CAS_LOST && tries < APPEND_TRIES; tries++) {
        result = append_as(store, token, buffer_slice(&value), err);
    }
    buffer_fini(&value);
    return result == CAS_DONE || error_prefix(err, "cannot append to the journal in %s", base->url);
}

/* --- reading ------------------------------------------------------------------------------- */

struct reading {
    struct etcd_store *store;
    journal_read_fn *read;
    void *context;
    uint64_t position; /* number of the last record that was handed over */
    char *end;         /* the key behind all of them */
    bool goes_on;
};

static bool hand_over(struct reading *reading, const json_t *found, struct error *err)
{
    struct buffer record;
    buffer_init(&record, RECORD_MAX_BYTES);
    bool ok = etcd_text_read(reading->store, found, &record, err);
    if (ok) {
        reading->goes_on = reading->read(reading->context, buffer_slice(&record));
    }
    buffer_fini(&record);
    return ok;
}

/* "PREFIX/journal/<20 digits>" */
static bool number_of(const json_t *found, uint64_t *number)
{
    struct buffer key;
    buffer_init(&key, SIZE_MAX);
    bool ok = etcd_bytes_of(found, "key", &key) && buffer_length(&key) > NUMBER_DIGITS;
    if (ok) {
        struct slice text = buffer_slice(&key);
        ok = number_parse_u64((struct slice){text.data + text.len - NUMBER_DIGITS, NUMBER_DIGITS},
                              number);
    }
    buffer_fini(&key);
    return ok;
}

static bool read_page(struct reading *reading, struct error *err)
{
    json_t *answer = NULL, *then = json_array();
    char *from =
        etcd_key(reading->store, "journal/%020llu", (unsigned long long)reading->position + 1);
    (void)json_array_append_new(then, etcd_range(from, reading->end, PAGE_RECORDS));
    mem_free(from);
    bool ok = etcd_ask(reading->store->http, "/v3/kv/txn", etcd_txn(json_array(), then, NULL),
                       &answer, err) == ETCD_ANSWERED;
    const json_t *found = etcd_found(answer, 0);
    size_t count = json_array_size(found);
    for (size_t i = 0; ok && reading->goes_on && i < count; i++) {
        const json_t *record = json_array_get(found, i);
        ok = hand_over(reading, record, err) &&
             (number_of(record, &reading->position) ||
              error_set(err, "the journal in %s has a record without a number",
                        reading->store->store.url));
    }
    reading->goes_on = reading->goes_on && count == PAGE_RECORDS;
    json_decref(answer);
    return ok;
}

bool etcd_journal(struct store *base, uint64_t *position, journal_read_fn *read, void *context,
                  struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    struct reading reading = {
        .store = store, .read = read, .context = context, .position = *position, .goes_on = true};
    char *all = etcd_key(store, "journal/");
    reading.end = etcd_end_of(all);
    mem_free(all);
    bool ok = true;
    while (ok && reading.goes_on) {
        ok = read_page(&reading, err);
    }
    *position = reading.position;
    mem_free(reading.end);
    return ok;
}
