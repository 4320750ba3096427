/* PREFIX/members/<name> with what a member says of itself, under a lease of GONE_MS, and
 * PREFIX/alive/<name>, under a lease of STORE_LEASE_MS: whoever is listed and not alive is missed.
 *
 * A renewal keeps both leases alive, which costs etcd no write; only when the member has something
 * new to say, or its leases ran out meanwhile (it was stopped), the keys are written again. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/store/etcd_store.h"

#define MEMBER_MAX_BYTES ((size_t)65536)

struct etcd_registration {
    struct etcd_registration *next;
    char *name;
    struct buffer text;   /* what the store has of it; empty: nothing */
    uint64_t alive_lease; /* 0: none */
    uint64_t listed_lease;
    uint64_t lead_lease;
};

static struct etcd_registration *registration_of(struct etcd_store *store,
                                                 const struct store_member *member)
{
    char *name = mem_printf("%s/%s/%s", member->kind, member->id, member->incarnation);
    struct etcd_registration *found = store->registrations;
    while (found != NULL && strcmp(found->name, name) != 0) {
        found = found->next;
    }
    if (found != NULL) {
        mem_free(name);
        return found;
    }
    found = mem_zalloc(sizeof(*found));
    found->name = name;
    found->next = store->registrations;
    buffer_init(&found->text, SIZE_MAX);
    store->registrations = found;
    return found;
}

static void free_registration(struct etcd_registration *registration)
{
    buffer_fini(&registration->text);
    mem_free(registration->name);
    mem_free(registration);
}

void etcd_members_close(struct etcd_store *store)
{
    while (store->registrations != NULL) {
        struct etcd_registration *registration = store->registrations;
        store->registrations = registration->next;
        free_registration(registration);
    }
}

/* --- leases -------------------------------------------------------------------------------- */

static bool grant(struct etcd_store *store, uint64_t ttl_ms, uint64_t *lease, struct error *err)
{
    json_t *answer = NULL;
    json_t *question = json_pack("{s:o}", "TTL", etcd_number(ttl_ms / 1000));
    bool ok = etcd_ask(store->http, "/v3/lease/grant", question, &answer, err) == ETCD_ANSWERED;
    *lease = etcd_number_of(answer, "ID");
    json_decref(answer);
    return ok && (*lease != 0 || error_set(err, "etcd granted no lease"));
}

/* *is_lost when it ran out: etcd answers without a time to live. */
static bool keep_alive(struct etcd_store *store, uint64_t lease, bool *is_lost, struct error *err)
{
    json_t *answer = NULL;
    json_t *question = json_pack("{s:o}", "ID", etcd_number(lease));
    bool ok = etcd_ask(store->http, "/v3/lease/keepalive", question, &answer, err) == ETCD_ANSWERED;
    *is_lost = *is_lost || etcd_number_of(json_object_get(answer, "result"), "TTL") == 0;
    json_decref(answer);
    return ok;
}

static bool keep_both(struct etcd_store *store, struct etcd_registration *registration,
                      struct error *err)
{
    bool is_lost = registration->alive_lease == 0 || registration->listed_lease == 0;
    bool ok = is_lost || (keep_alive(store, registration->alive_lease, &is_lost, err) &&
                          keep_alive(store, registration->listed_lease, &is_lost, err));
    if (ok && is_lost) {
        buffer_clear(&registration->text);
        ok = grant(store, STORE_LEASE_MS, &registration->alive_lease, err) &&
             grant(store, GONE_MS, &registration->listed_lease, err);
    }
    return ok;
}

/* --- renewing ------------------------------------------------------------------------------ */

static bool write_keys(struct etcd_store *store, struct etcd_registration *registration,
                       struct slice text, struct error *err)
{
    json_t *answer = NULL, *then = json_array();
    char *listed = etcd_key(store, "members/%s", registration->name);
    char *alive = etcd_key(store, "alive/%s", registration->name);
    (void)json_array_append_new(then, etcd_put(listed, text, registration->listed_lease));
    (void)json_array_append_new(then, etcd_put(alive, SLICE(""), registration->alive_lease));
    bool ok = etcd_ask(store->http, "/v3/kv/txn", etcd_txn(json_array(), then, NULL), &answer,
                       err) == ETCD_ANSWERED;
    buffer_clear(&registration->text);
    if (ok) {
        buffer_add(&registration->text, text.data, text.len);
    }
    json_decref(answer);
    mem_free(listed);
    mem_free(alive);
    return ok;
}

bool etcd_renew(struct store *base, const struct store_member *member, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    struct etcd_registration *registration = registration_of(store, member);
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    member_format(member, &text);
    bool ok = keep_both(store, registration, err);
    if (ok && !slice_equal(buffer_slice(&text), buffer_slice(&registration->text))) {
        ok = write_keys(store, registration, buffer_slice(&text), err);
    }
    buffer_fini(&text);
    return ok || error_prefix(err, "cannot register in %s", base->url);
}

static bool revoke(struct etcd_store *store, uint64_t lease, struct error *err)
{
    json_t *answer = NULL;
    json_t *question = json_pack("{s:o}", "ID", etcd_number(lease));
    enum etcd_outcome outcome = etcd_ask(store->http, "/v3/lease/revoke", question, &answer, err);
    json_decref(answer);
    return outcome == ETCD_ANSWERED || outcome == ETCD_REFUSED; /* it ran out already */
}

static void forget(struct etcd_store *store, struct etcd_registration *registration)
{
    struct etcd_registration **at = &store->registrations;
    while (*at != registration) {
        at = &(*at)->next;
    }
    *at = registration->next;
    free_registration(registration);
}

bool etcd_unregister(struct store *base, const struct store_member *member, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    struct etcd_registration *registration = registration_of(store, member);
    bool ok = (registration->alive_lease == 0 || revoke(store, registration->alive_lease, err)) &&
              (registration->listed_lease == 0 || revoke(store, registration->listed_lease, err));
    forget(store, registration);
    return ok;
}

/* --- leading ------------------------------------------------------------------------------- */

/* Takes the key when it is not there; else looks whose it is. */
static bool take_lead(struct etcd_store *store, const struct etcd_registration *registration,
                      const char *key, bool *leads, struct error *err)
{
    json_t *answer = NULL, *conditions = json_array(), *then = json_array(),
           *otherwise = json_array();
    struct slice name = slice_of(registration->name);
    (void)json_array_append_new(conditions, etcd_is_at(key, 0));
    (void)json_array_append_new(then, etcd_put(key, name, registration->lead_lease));
    (void)json_array_append_new(otherwise, etcd_range(key, NULL, 0));
    bool ok = etcd_ask(store->http, "/v3/kv/txn", etcd_txn(conditions, then, otherwise), &answer,
                       err) == ETCD_ANSWERED;
    if (ok) {
        struct buffer holder;
        buffer_init(&holder, MEMBER_MAX_BYTES);
        const json_t *found = json_array_get(etcd_found(answer, 0), 0);
        *leads =
            json_is_true(json_object_get(answer, "succeeded")) ||
            (etcd_bytes_of(found, "value", &holder) && slice_equal(buffer_slice(&holder), name));
        buffer_fini(&holder);
    }
    json_decref(answer);
    return ok;
}

bool etcd_lead(struct store *base, const struct store_member *member, bool *leads,
               struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    struct etcd_registration *registration = registration_of(store, member);
    bool is_lost = registration->lead_lease == 0;
    if ((!is_lost && !keep_alive(store, registration->lead_lease, &is_lost, err)) ||
        (is_lost && !grant(store, STORE_LEAD_MS, &registration->lead_lease, err))) {
        return false;
    }
    char *key = etcd_key(store, "leader/%s", member->kind);
    bool ok = take_lead(store, registration, key, leads, err);
    mem_free(key);
    return ok;
}

/* The key goes with its lease. */
bool etcd_yield(struct store *base, const struct store_member *member, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    struct etcd_registration *registration = registration_of(store, member);
    bool ok = registration->lead_lease == 0 || revoke(store, registration->lead_lease, err);
    registration->lead_lease = 0;
    return ok;
}

/* --- listing ------------------------------------------------------------------------------- */

/* The key's last `skip` bytes are those of PREFIX/members/ or PREFIX/alive/. */
static bool has_name(const json_t *keys, struct slice name, size_t skip)
{
    size_t index;
    const json_t *found;
    bool is_there = false;
    json_array_foreach(keys, index, found)
    {
        struct buffer key;
        buffer_init(&key, SIZE_MAX);
        if (!is_there && etcd_bytes_of(found, "key", &key) && buffer_length(&key) > skip) {
            struct slice text = buffer_slice(&key);
            is_there = slice_equal((struct slice){text.data + skip, text.len - skip}, name);
        }
        buffer_fini(&key);
    }
    return is_there;
}

static void add_found(const struct etcd_store *store, struct member_list *list, const json_t *found,
                      const json_t *alive)
{
    struct buffer text, key;
    struct store_member member;
    size_t skip = strlen(store->place.prefix);
    buffer_init(&text, MEMBER_MAX_BYTES);
    buffer_init(&key, SIZE_MAX);
    if (etcd_bytes_of(found, "value", &text) && member_parse(buffer_slice(&text), &member) &&
        etcd_bytes_of(found, "key", &key)) {
        struct slice name = buffer_slice(&key);
        size_t listed = skip + sizeof("/members/") - 1;
        name = (struct slice){name.data + listed, name.len - listed};
        member.lease = etcd_number_of(found, "lease");
        member.is_alive = has_name(alive, name, skip + sizeof("/alive/") - 1);
        member_list_add(list, &member);
    }
    buffer_fini(&text);
    buffer_fini(&key);
}

static json_t *list_question(const struct etcd_store *store)
{
    static const char *const names[] = {"members/", "alive/"};
    json_t *then = json_array();
    for (unsigned i = 0; i < 2; i++) {
        char *key = etcd_key(store, "%s", names[i]), *end = etcd_end_of(key);
        (void)json_array_append_new(then, etcd_range(key, end, 0));
        mem_free(key);
        mem_free(end);
    }
    return etcd_txn(json_array(), then, NULL);
}

bool etcd_members(struct store *base, struct store_member **members, unsigned *count,
                  struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    struct member_list list = {NULL, 0, 0};
    json_t *answer = NULL;
    bool ok =
        etcd_ask(store->http, "/v3/kv/txn", list_question(store), &answer, err) == ETCD_ANSWERED;
    size_t index;
    const json_t *found;
    json_array_foreach(etcd_found(answer, 0), index, found)
    {
        add_found(store, &list, found, etcd_found(answer, 1));
    }
    json_decref(answer);
    member_list_sort(&list);
    *members = list.members;
    *count = list.count;
    return ok;
}

/* By the time that is left of the lease, in whole seconds. */
bool etcd_ages(struct store *base, struct store_member *members, unsigned count, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    bool ok = true;
    for (unsigned i = 0; ok && i < count; i++) {
        json_t *answer = NULL;
        json_t *question = json_pack("{s:o}", "ID", etcd_number(members[i].lease));
        ok = etcd_ask(store->http, "/v3/lease/timetolive", question, &answer, err) == ETCD_ANSWERED;
        uint64_t left_ms = etcd_number_of(answer, "TTL") * 1000;
        members[i].heartbeat_age_ms = left_ms < GONE_MS ? GONE_MS - left_ms : 0;
        json_decref(answer);
    }
    return ok;
}
