/* A member as JSON, for all implementations. What cannot be read is no member: nothing safe hangs
 * on it. */
#include <stdlib.h>

#include <jansson.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/store/store_internal.h"

bool store_check_id(const char *id, struct error *err)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "_.-:[]";
    size_t length = strlen(id);
    return (length > 0 && length <= STORE_ID_MAX && strspn(id, allowed) == length) ||
           error_set(err, "\"id\" must be 1 to %d of A-Z a-z 0-9 _ . - : [ ], not \"%s\"",
                     STORE_ID_MAX, id);
}

static int append_to_buffer(const char *data, size_t size_bytes, void *buffer)
{
    buffer_add(buffer, data, size_bytes);
    return 0;
}

static void put(json_t *object, const char *name, json_t *value)
{
    int failed = json_object_set_new(object, name, value);
    ASSERT(!failed);
}

/* What is not UTF-8 cannot stand in JSON: left empty. */
static void put_text(json_t *object, const char *name, const char *text)
{
    json_t *value = json_string(text);
    put(object, name, value != NULL ? value : json_string(""));
}

void member_format(const struct store_member *member, struct buffer *text)
{
    json_t *object = json_object();
    put_text(object, "kind", member->kind);
    put_text(object, "id", member->id);
    put_text(object, "incarnation", member->incarnation);
    put_text(object, "address", member->address);
    put_text(object, "admin", member->admin);
    put(object, "pid", json_integer((json_int_t)member->pid));
    put(object, "epoch", json_integer((json_int_t)member->epoch));
    int failed = json_dump_callback(object, append_to_buffer, text, JSON_COMPACT);
    ASSERT(!failed);
    json_decref(object);
}

static bool read_text(const json_t *object, const char *name, char *text, size_t size)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value) || json_string_length(value) >= size) {
        return false;
    }
    memcpy(text, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static bool read_number(const json_t *object, const char *name, uint64_t *number)
{
    const json_t *value = json_object_get(object, name);
    *number = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

bool member_parse(struct slice text, struct store_member *member)
{
    *member = (struct store_member){.kind = ""};
    json_t *object = json_loadb(text.len > 0 ? text.data : "", text.len, 0, NULL);
    bool ok =
        json_is_object(object) && read_text(object, "kind", member->kind, sizeof(member->kind)) &&
        read_text(object, "id", member->id, sizeof(member->id)) &&
        read_text(object, "incarnation", member->incarnation, sizeof(member->incarnation)) &&
        read_text(object, "address", member->address, sizeof(member->address)) &&
        read_text(object, "admin", member->admin, sizeof(member->admin)) &&
        read_number(object, "pid", &member->pid) && read_number(object, "epoch", &member->epoch);
    json_decref(object);
    return ok;
}

static int compare_members(const void *left, const void *right)
{
    const struct store_member *a = left, *b = right;
    int order = strcmp(a->kind, b->kind);
    order = order != 0 ? order : strcmp(a->id, b->id);
    return order != 0 ? order : strcmp(a->incarnation, b->incarnation);
}

void member_list_add(struct member_list *list, const struct store_member *member)
{
    MEM_GROW(list->members, list->count, list->capacity);
    list->members[list->count++] = *member;
}

void member_list_sort(struct member_list *list)
{
    if (list->count > 0) {
        qsort(list->members, list->count, sizeof(*list->members), compare_members);
    }
}
