/* One transaction: if HEAD was not changed since we read it, move it on and write what goes with
 * it; else tell where it stands now, and who did what we wanted to do.
 *
 * The same transaction may be sent again after a time-out: whichever arrives first is done, and the
 * others find its token. One that arrives when we have given up finds the head moved, or is the
 * write that the caller has called CAS_UNKNOWN. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/store/etcd_store.h"

#define SETTLE_US    UINT64_C(5000000) /* so long an unknown outcome is asked for */
#define TRY_AGAIN_MS 50

bool etcd_head_take(struct etcd_head *head, const json_t *kvs)
{
    const json_t *found = json_array_get(kvs, 0);
    head->number = 0;
    head->revision = 0;
    head->token[0] = '\0';
    if (found == NULL) {
        return true;
    }
    struct buffer value;
    buffer_init(&value, SIZE_MAX);
    bool ok = etcd_bytes_of(found, "value", &value);
    struct slice text = buffer_slice(&value);
    const char *space = text.len > 0 ? memchr(text.data, ' ', text.len) : NULL;
    size_t digits = space != NULL ? (size_t)(space - text.data) : 0;
    ok = ok && digits > 0 && text.len == digits + ETCD_TOKEN_SIZE &&
         number_parse_u64((struct slice){text.data, digits}, &head->number);
    if (ok) {
        memcpy(head->token, space + 1, ETCD_TOKEN_SIZE - 1);
        head->token[ETCD_TOKEN_SIZE - 1] = '\0';
        head->revision = etcd_number_of(found, "mod_revision");
    }
    buffer_fini(&value);
    return ok;
}

/* The whole of the move; *before is where the head has to stand. */
static json_t *question(const struct etcd_store *store, const struct etcd_move *move,
                        const struct etcd_head *before)
{
    char *head = etcd_key(store, "%s", before->name),
         *witness = etcd_key(store, "%s", move->witness);
    char *value = mem_printf("%llu %s", (unsigned long long)before->number + 1, move->token);
    json_t *then = json_copy(move->also);
    (void)json_array_append_new(then, etcd_put(head, slice_of(value), 0));
    json_t *otherwise = json_array();
    (void)json_array_append_new(otherwise, etcd_range(head, NULL, 0));
    (void)json_array_append_new(otherwise, etcd_range(witness, NULL, 0));
    json_t *conditions = json_array();
    (void)json_array_append_new(conditions, etcd_is_at(head, before->revision));
    mem_free(value);
    mem_free(head);
    mem_free(witness);
    return etcd_txn(conditions, then, otherwise);
}

static bool is_ours(const struct etcd_move *move, const json_t *kvs)
{
    struct buffer value;
    buffer_init(&value, SIZE_MAX);
    bool ok = etcd_bytes_of(json_array_get(kvs, 0), "value", &value) &&
              slice_starts_with(buffer_slice(&value), slice_of(move->token));
    buffer_fini(&value);
    return ok;
}

static enum cas_result take_answer(const struct etcd_store *store, const struct etcd_move *move,
                                   const json_t *answer, struct error *err)
{
    struct etcd_head *head = move->head;
    if (json_is_true(json_object_get(answer, "succeeded"))) {
        head->number++;
        head->revision = etcd_number_of(json_object_get(answer, "header"), "revision");
        memcpy(head->token, move->token, ETCD_TOKEN_SIZE);
        return CAS_DONE;
    }
    bool ours = is_ours(move, etcd_found(answer, 1));
    if (!etcd_head_take(head, etcd_found(answer, 0))) {
        (void)error_set(err, "the key %s/%s is not what Sluice writes there", store->place.prefix,
                        head->name);
        return ours ? CAS_DONE : CAS_FAILED;
    }
    if (!ours) {
        (void)error_set(err, "%s/%s has moved on to %llu", store->place.prefix, head->name,
                        (unsigned long long)head->number);
    }
    return ours ? CAS_DONE : CAS_LOST;
}

/* True: it is to be asked again, since nobody knows. */
static bool ask(struct etcd_store *store, const struct etcd_move *move,
                const struct etcd_head *before, enum cas_result *result, struct error *err)
{
    json_t *answer = NULL;
    enum etcd_outcome outcome =
        etcd_ask(store->http, "/v3/kv/txn", question(store, move, before), &answer, err);
    if (outcome == ETCD_ANSWERED) {
        *result = take_answer(store, move, answer, err);
    } else if (outcome == ETCD_UNKNOWN) {
        *result = CAS_UNKNOWN;
    } else if (*result != CAS_UNKNOWN) {
        *result = CAS_FAILED; /* and nobody has sent it before */
    }
    json_decref(answer);
    return *result == CAS_UNKNOWN;
}

enum cas_result etcd_head_move(struct etcd_store *store, const struct etcd_move *move,
                               struct error *err)
{
    const struct etcd_head before = *move->head;
    enum cas_result result = CAS_FAILED;
    uint64_t until_us = clock_now_us() + SETTLE_US;
    bool was_unknown = false;
    while (ask(store, move, &before, &result, err) && clock_now_us() < until_us) {
        was_unknown = true;
        clock_sleep_ms(TRY_AGAIN_MS);
    }
    /* So far on, the trace of it would be gone. */
    if (result == CAS_LOST && was_unknown && move->head->number > before.number + KEPT_EPOCHS) {
        result = CAS_UNKNOWN;
    }
    json_decref(move->also);
    return result;
}
