/* The epochs of the etcd store: etcd_store.h has the keys, etcd_head.c the compare-and-swap. */
#include "lib/store/etcd_store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/fail_point.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/topology/document.h"

#define DOCUMENT_MAX_BYTES ((size_t)64 << 20)
#define READ_TRIES         10
/* What the watch told is believed for so long without asking. Nothing safe hangs on it: fences and
 * compare-and-swaps do not believe it. */
#define BELIEVED_US UINT64_C(500000)

char *etcd_key(const struct etcd_store *store, const char *format, ...)
{
    char *name = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&name, format, args);
    va_end(args);
    ASSERT(length >= 0);
    char *key = mem_printf("%s/%s", store->place.prefix, name);
    free(name);
    return key;
}

/* --- reading ------------------------------------------------------------------------------- */

static void compare_watches(struct etcd_store *store, uint64_t epoch)
{
    if (store->watch != NULL) {
        etcd_watch_compare(store->watch, epoch);
    }
    if (store->other != NULL) {
        etcd_watch_compare(store->other, epoch);
    }
}

static enum newest_result newest_of(struct etcd_store *store, const json_t *answer, uint64_t *epoch,
                                    struct error *err)
{
    if (!etcd_head_take(&store->epoch, etcd_found(answer, 0))) {
        (void)error_set(err, "the key %s/epoch is not what Sluice writes there",
                        store->place.prefix);
        return NEWEST_FAILED;
    }
    store->asked_us = clock_now_us();
    *epoch = store->epoch.number;
    compare_watches(store, *epoch);
    return *epoch > 0 ? NEWEST_FOUND : NEWEST_NONE;
}

/* The head, and the document if it is wanted, as they stand at one moment. A transaction reads
 * linearizably. */
static enum newest_result ask_newest(struct etcd_store *store, bool with_document, json_t **answer,
                                     struct error *err)
{
    char *head = etcd_key(store, "epoch"), *document = etcd_key(store, "topology");
    json_t *then = json_array();
    (void)json_array_append_new(then, etcd_range(head, NULL, 0));
    if (with_document) {
        (void)json_array_append_new(then, etcd_range(document, NULL, 0));
    }
    mem_free(head);
    mem_free(document);
    uint64_t epoch = 0;
    enum etcd_outcome outcome =
        etcd_ask(store->http, "/v3/kv/txn", etcd_txn(json_array(), then, NULL), answer, err);
    return outcome == ETCD_ANSWERED ? newest_of(store, *answer, &epoch, err) : NEWEST_FAILED;
}

static enum newest_result etcd_newest(struct store *base, uint64_t *epoch, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    json_t *answer = NULL;
    enum newest_result result = ask_newest(store, false, &answer, err);
    *epoch = store->epoch.number;
    json_decref(answer);
    return result;
}

/* Takes what has come; the newest epoch that either told of. 0: none yet. */
static uint64_t watched_epoch(struct etcd_store *store)
{
    uint64_t epoch = 0;
    if (store->watch != NULL) {
        etcd_watch_clear(store->watch);
        epoch = etcd_watch_epoch(store->watch);
    }
    if (store->other != NULL) {
        etcd_watch_clear(store->other);
        uint64_t told = etcd_watch_epoch(store->other);
        epoch = told > epoch ? told : epoch;
    }
    return epoch;
}

static enum newest_result etcd_peek(struct store *base, uint64_t *epoch, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    *epoch = watched_epoch(store);
    if (*epoch == 0 || clock_now_us() - store->asked_us > BELIEVED_US) {
        return etcd_newest(base, epoch, err);
    }
    *epoch = *epoch > store->epoch.number ? *epoch : store->epoch.number;
    return NEWEST_FOUND;
}

static struct topology *parse(const struct etcd_store *store, struct slice text, struct error *err)
{
    struct topology *topology = document_parse(text, err);
    if (topology == NULL) {
        (void)error_prefix(err, "%s/topology", store->place.prefix);
    } else if (topology->epoch != store->epoch.number) {
        (void)error_set(err, "%s/topology says it is epoch %llu, and the newest is %llu",
                        store->place.prefix, (unsigned long long)topology->epoch,
                        (unsigned long long)store->epoch.number);
        topology_free(topology);
        topology = NULL;
    }
    return topology;
}

static struct topology *read_document(struct etcd_store *store, const json_t *answer,
                                      struct error *err)
{
    struct topology *topology = NULL;
    struct buffer text;
    buffer_init(&text, DOCUMENT_MAX_BYTES);
    const json_t *found = json_array_get(etcd_found(answer, 1), 0);
    if (found == NULL) {
        (void)error_set(err, "the key %s/topology is missing", store->place.prefix);
    } else if (etcd_text_read(store, found, &text, err)) {
        topology = parse(store, buffer_slice(&text), err);
    }
    buffer_fini(&text);
    return topology;
}

static struct topology *etcd_read(struct store *base, bool *is_missing, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    uint64_t failed = 0;
    for (unsigned tries = 0; tries < READ_TRIES; tries++) {
        json_t *answer = NULL;
        enum newest_result result = ask_newest(store, true, &answer, err);
        if (result == NEWEST_NONE) {
            (void)store_is_missing(base, err);
        }
        if (is_missing != NULL) {
            *is_missing = result == NEWEST_NONE;
        }
        struct topology *topology =
            result == NEWEST_FOUND ? read_document(store, answer, err) : NULL;
        json_decref(answer);
        /* The parts of a long document go when there is a newer one. */
        if (topology != NULL || result != NEWEST_FOUND || failed == store->epoch.number) {
            return topology;
        }
        failed = store->epoch.number;
    }
    return NULL;
}

/* --- writing ------------------------------------------------------------------------------- */

static bool etcd_prepare(struct store *base, struct error *err)
{
    (void)base;
    (void)err;
    return true;
}

static void add_put(json_t *operations, const char *key, struct slice value)
{
    (void)json_array_append_new(operations, etcd_put(key, value, 0));
}

/* What is written with the head: the document, who wrote it; and what is past is removed. */
static json_t *document_operations(const struct etcd_store *store, const char *token,
                                   struct slice document, uint64_t epoch)
{
    char *witness = etcd_key(store, "epochs/%020llu", (unsigned long long)epoch);
    char *topology = etcd_key(store, "topology");
    json_t *operations = json_array();
    add_put(operations, topology, document);
    add_put(operations, witness, slice_of(token));
    if (epoch > KEPT_EPOCHS) {
        char *old = etcd_key(store, "epochs/%020llu", (unsigned long long)(epoch - KEPT_EPOCHS));
        (void)json_array_append_new(operations, etcd_delete(old, NULL));
        mem_free(old);
    }
    if (store->epoch.token[0] != '\0') {
        (void)json_array_append_new(operations, etcd_text_drop(store, store->epoch.token));
    }
    mem_free(topology);
    mem_free(witness);
    return operations;
}

static enum cas_result move_epoch(struct etcd_store *store, const char *token,
                                  struct slice document, struct error *err)
{
    char witness[40];
    uint64_t epoch = store->epoch.number + 1;
    (void)snprintf(witness, sizeof(witness), "epochs/%020llu", (unsigned long long)epoch);
    struct etcd_move move = {.head = &store->epoch,
                             .token = token,
                             .witness = witness,
                             .also = document_operations(store, token, document, epoch)};
    return etcd_head_move(store, &move, err);
}

/* The parts of a document that did not become the newest. What cannot be removed costs room. */
static void drop_parts(struct etcd_store *store, const char *token)
{
    json_t *answer = NULL, *then = json_array();
    (void)json_array_append_new(then, etcd_text_drop(store, token));
    enum etcd_outcome outcome =
        etcd_ask(store->http, "/v3/kv/txn", etcd_txn(json_array(), then, NULL), &answer, NULL);
    (void)outcome;
    json_decref(answer);
}

static enum cas_result write_document(struct etcd_store *store, struct slice text,
                                      struct error *err)
{
    char token[ETCD_TOKEN_SIZE];
    struct buffer value;
    random_hex(token, ETCD_TOKEN_SIZE - 1);
    buffer_init(&value, SIZE_MAX);
    enum cas_result result = CAS_FAILED;
    if (etcd_text_write(store, token, text, &value, err)) {
        result = move_epoch(store, token, buffer_slice(&value), err);
    }
    bool has_parts = buffer_length(&value) < text.len;
    if (has_parts && (result == CAS_LOST || result == CAS_FAILED)) {
        drop_parts(store, token);
    }
    buffer_fini(&value);
    return result;
}

/* store.c has just called newest. */
static enum cas_result etcd_cas(struct store *base, const struct topology *next, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    struct buffer text;
    if (store->epoch.revision == 0) {
        store->epoch.number = next->epoch - 1; /* an import may begin anywhere */
    }
    ASSERT(store->epoch.number + 1 == next->epoch);
    if (FAIL_POINT("store.cas.before_link")) {
        (void)error_set(err, "cannot write epoch %llu: failed on purpose",
                        (unsigned long long)next->epoch);
        return CAS_FAILED;
    }
    buffer_init(&text, SIZE_MAX);
    document_format(next, &text);
    enum cas_result result = write_document(store, buffer_slice(&text), err);
    buffer_fini(&text);
    if (result == CAS_DONE && FAIL_POINT("store.cas.linked")) {
        (void)error_set(err, "cannot tell whether epoch %llu was written: failed on purpose",
                        (unsigned long long)next->epoch);
        result = CAS_UNKNOWN;
    }
    return result;
}

/* --- watching ------------------------------------------------------------------------------ */

static void add_watch(const struct etcd_store *store, const struct etcd_watch *watch)
{
    struct epoll_event event = {.events = EPOLLIN};
    int failed = epoll_ctl(store->watch_fd, EPOLL_CTL_ADD, etcd_watch_fd(watch), &event);
    ASSERT(failed == 0);
}

static void open_watches(struct etcd_store *store)
{
    store->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    ASSERT(store->watch_fd >= 0);
    store->watch = etcd_watch_open(store, 0);
    add_watch(store, store->watch);
    if (store->place.nendpoints > 1) {
        store->other = etcd_watch_open(store, 1);
        add_watch(store, store->other);
    }
}

static int etcd_store_watch_fd(struct store *base)
{
    struct etcd_store *store = (struct etcd_store *)base;
    if (store->watch == NULL) {
        open_watches(store);
    }
    return store->watch_fd;
}

static void etcd_store_watch_clear(struct store *base)
{
    (void)watched_epoch((struct etcd_store *)base);
}

static void close_watches(struct etcd_store *store)
{
    if (store->watch != NULL) {
        etcd_watch_close(store->watch);
        (void)close(store->watch_fd);
    }
    if (store->other != NULL) {
        etcd_watch_close(store->other);
    }
}

/* --- the handle ---------------------------------------------------------------------------- */

static void etcd_close(struct store *base)
{
    struct etcd_store *store = (struct etcd_store *)base;
    close_watches(store);
    etcd_members_close(store);
    etcd_http_free(store->http);
    etcd_place_fini(&store->place);
    mem_free(store);
}

/* Never true: what is written first has revision 2. But etcd looks at what a user is granted before
 * it looks at conditions. */
static json_t *never(const char *key)
{
    json_t *conditions = json_array();
    (void)json_array_append_new(conditions, etcd_is_at(key, 1));
    return conditions;
}

/* Asks for a write that is never done. */
static bool etcd_may_write(struct store *base, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    json_t *answer = NULL, *then = json_array();
    struct error why = {{0}};
    char *key = etcd_key(store, "probe");
    (void)json_array_append_new(then, etcd_put(key, SLICE(""), 0));
    enum etcd_outcome outcome =
        etcd_ask(store->http, "/v3/kv/txn", etcd_txn(never(key), then, NULL), &answer, &why);
    json_decref(answer);
    mem_free(key);
    return outcome != ETCD_REFUSED || strstr(why.text, "permission denied") == NULL ||
           error_set(err,
                     "this user of etcd cannot write below \"%s/\" (%s): etcdctl role "
                     "grant-permission ROLE readwrite %s/ --prefix=true",
                     store->place.prefix, why.text, store->place.prefix);
}

static const struct store_operations etcd_operations = {
    .close = etcd_close,
    .newest = etcd_newest,
    .peek = etcd_peek,
    .read = etcd_read,
    .may_write = etcd_may_write,
    .prepare = etcd_prepare,
    .cas = etcd_cas,
    .watch_fd = etcd_store_watch_fd,
    .watch_clear = etcd_store_watch_clear,
    .renew = etcd_renew,
    .unregister = etcd_unregister,
    .members = etcd_members,
    .lead = etcd_lead,
    .yield = etcd_yield,
    .ages = etcd_ages,
    .append = etcd_append,
    .journal = etcd_journal,
};

struct store *etcd_store_open(const char *url, struct error *err)
{
    struct etcd_store *store = mem_zalloc(sizeof(*store));
    if (!curl_library_load(err) || !etcd_place_init(&store->place, url, err)) {
        mem_free(store);
        return NULL;
    }
    store->store.operations = &etcd_operations;
    store->epoch.name = "epoch";
    store->journal.name = "journal";
    store->http = etcd_http_new(&store->place);
    return &store->store;
}
