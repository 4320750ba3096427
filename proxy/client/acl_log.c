#include "proxy/client/acl_log.h"

#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "proxy/client/client_internal.h"

#define ENTRIES_MAX 128u
#define GROUP_US    60000000u
#define OBJECT_MAX  128u /* bytes of a key that are kept */

struct entry {
    struct entry *next; /* older */
    enum acl_log_reason reason;
    const char *context;
    char *user, *object, *client;
    size_t object_length;
    uint64_t count, at_us;
};

struct acl_log {
    struct entry *first;
    unsigned count;
};

struct acl_log *acl_log_new(void)
{
    return mem_zalloc(sizeof(struct acl_log));
}

static void entry_free(struct entry *entry)
{
    mem_free(entry->user);
    mem_free(entry->object);
    mem_free(entry->client);
    mem_free(entry);
}

void acl_log_clear(struct acl_log *log)
{
    while (log->first != NULL) {
        struct entry *entry = log->first;
        log->first = entry->next;
        entry_free(entry);
    }
    log->count = 0;
}

void acl_log_free(struct acl_log *log)
{
    acl_log_clear(log);
    mem_free(log);
}

static bool is_same(const struct entry *a, const struct entry *b)
{
    return a->reason == b->reason && a->context == b->context && strcmp(a->user, b->user) == 0 &&
           a->object_length == b->object_length &&
           memcmp(a->object, b->object, a->object_length) == 0 && b->at_us - a->at_us <= GROUP_US;
}

/* Takes what is the same denial out of the log; null: it is a new one. */
static struct entry *take_same(struct acl_log *log, const struct entry *entry)
{
    for (struct entry **link = &log->first; *link != NULL; link = &(*link)->next) {
        struct entry *same = *link;
        if (is_same(same, entry)) {
            *link = same->next;
            log->count--;
            return same;
        }
    }
    return NULL;
}

static void drop_oldest(struct acl_log *log)
{
    struct entry **link = &log->first;
    while ((*link)->next != NULL) {
        link = &(*link)->next;
    }
    entry_free(*link);
    *link = NULL;
    log->count--;
}

static char *describe(const struct client *client)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    client_describe(client, &text);
    size_t length = buffer_length(&text);
    char *copy = mem_strndup(buffer_slice(&text).data, length > 0 ? length - 1 : 0);
    buffer_fini(&text);
    return copy;
}

void acl_log_add(struct client *client, enum acl_log_reason reason, struct slice user,
                 struct slice object)
{
    struct acl_log *log = client->host->acl_log;
    struct entry *entry = mem_zalloc(sizeof(*entry));
    entry->reason = reason;
    entry->context = client->transaction != NULL ? "multi" : "toplevel";
    entry->user = mem_strndup(user.data, user.len < OBJECT_MAX ? user.len : OBJECT_MAX);
    entry->object_length = object.len < OBJECT_MAX ? object.len : OBJECT_MAX;
    entry->object = mem_strndup(object.data, entry->object_length);
    entry->client = describe(client);
    entry->at_us = loop_now_us(client->host->loop);
    entry->count = 1;
    struct entry *same = take_same(log, entry);
    if (same != NULL) {
        entry->count += same->count;
        entry_free(same);
    }
    entry->next = log->first;
    log->first = entry;
    if (++log->count > ENTRIES_MAX) {
        drop_oldest(log);
    }
    counter_add(&client->host->counters->denied, 1);
}

static void write_field(struct buffer *out, struct slice name, struct slice value)
{
    write_bulk(out, name);
    write_bulk(out, value);
}

static void write_entry(const struct entry *entry, unsigned protocol, uint64_t now_us,
                        struct buffer *out)
{
    static const char *const reasons[] = {[ACL_LOG_COMMAND] = "command",
                                          [ACL_LOG_KEY] = "key",
                                          [ACL_LOG_CHANNEL] = "channel",
                                          [ACL_LOG_AUTH] = "auth"};
    write_map_header(out, protocol, 7);
    write_bulk(out, SLICE("count"));
    write_integer(out, (int64_t)entry->count);
    write_field(out, SLICE("reason"), slice_of(reasons[entry->reason]));
    write_field(out, SLICE("context"), slice_of(entry->context));
    write_field(out, SLICE("object"), (struct slice){entry->object, entry->object_length});
    write_field(out, SLICE("username"), slice_of(entry->user));
    write_bulk(out, SLICE("age-seconds"));
    write_double(out, protocol, (double)((now_us - entry->at_us) / 1000) / 1000);
    write_field(out, SLICE("client-info"), slice_of(entry->client));
}

unsigned acl_log_write(const struct acl_log *log, unsigned protocol, unsigned most, uint64_t now_us,
                       struct buffer *out)
{
    unsigned count = 0;
    for (const struct entry *entry = log->first; entry != NULL && count < most;
         entry = entry->next) {
        write_entry(entry, protocol, now_us, out);
        count++;
    }
    return count;
}
