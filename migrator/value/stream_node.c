/* <entries> <deleted> <fields> <field>... 0, then each entry:
 *   <flags> <ms> <sequence>, both counted from the node's id
 *   same fields as the node's:  <value>...                         <elements of this entry>
 *   else:                       <fields> <field> <value> ...       <elements of this entry> */
#include "migrator/value/stream_node.h"

#define FLAG_DELETED     1
#define FLAG_SAME_FIELDS 2

#define PURPOSE_ENTRY    UINT64_C(0x656e747279)

struct node {
    struct stream_id first;
    uint64_t field_count;
    struct element_source fields; /* a bookmark at the node's first field */
};

struct stream_id stream_id_at(const unsigned char *at)
{
    struct stream_id id = {0};
    for (unsigned i = 0; i < 8; i++) {
        id.ms = id.ms << 8 | at[i];
        id.sequence = id.sequence << 8 | at[8 + i];
    }
    return id;
}

static bool read_integer(struct element_source *source, int64_t *integer)
{
    struct element element;
    if (element_next(source, &element) != ELEMENT_READ || !element.is_integer) {
        return false;
    }
    *integer = element.integer;
    return true;
}

static bool read_text(struct element_source *source, struct value_digest *digest)
{
    struct element element;
    if (element_next(source, &element) != ELEMENT_READ) {
        return false;
    }
    *digest = digest_text(element_text(&element));
    return true;
}

static bool read_field_count(struct element_source *source, uint64_t *count)
{
    int64_t integer;
    if (!read_integer(source, &integer) || integer < 0) {
        return false;
    }
    *count = (uint64_t)integer;
    return true;
}

static bool read_head(struct element_source *source, struct node *node)
{
    int64_t entries;
    int64_t deleted;
    int64_t end;
    if (!read_integer(source, &entries) || !read_integer(source, &deleted) ||
        !read_field_count(source, &node->field_count)) {
        return false;
    }
    node->fields = *source;
    struct element field;
    for (uint64_t i = 0; i < node->field_count; i++) {
        if (element_next(source, &field) != ELEMENT_READ) {
            return false;
        }
    }
    return read_integer(source, &end);
}

/* Chains `count` fields and values to the digest of the entry. */
static bool read_pairs(struct element_source *fields, struct element_source *values, uint64_t count,
                       struct value_digest *entry)
{
    struct value_digest field;
    struct value_digest value;
    for (; count > 0; count--) {
        if (!read_text(fields, &field) || !read_text(values, &value)) {
            return false;
        }
        *entry = digest_pair(*entry, digest_pair(field, value));
    }
    return true;
}

static bool read_entry(struct element_source *source, const struct node *node, int64_t flags,
                       struct value_fold *fold)
{
    int64_t ms;
    int64_t sequence;
    int64_t elements;
    if (!read_integer(source, &ms) || !read_integer(source, &sequence)) {
        return false;
    }
    bool has_same_fields = (flags & FLAG_SAME_FIELDS) != 0;
    uint64_t count = node->field_count;
    if (!has_same_fields && !read_field_count(source, &count)) {
        return false;
    }
    const uint64_t head[] = {node->first.ms + (uint64_t)ms,
                             node->first.sequence + (uint64_t)sequence, count};
    struct value_digest entry = digest_numbers(PURPOSE_ENTRY, head, 3);
    struct element_source fields = node->fields;
    if (!read_pairs(has_same_fields ? &fields : source, source, count, &entry) ||
        !read_integer(source, &elements)) {
        return false;
    }
    if ((flags & FLAG_DELETED) == 0) {
        fold_in_order(fold, entry);
    }
    return true;
}

bool stream_node_fold(struct element_source *source, struct stream_id first,
                      struct value_fold *fold)
{
    struct node node = {.first = first};
    if (!read_head(source, &node)) {
        return false;
    }
    struct element flags;
    enum element_status status;
    while ((status = element_next(source, &flags)) == ELEMENT_READ) {
        if (!flags.is_integer || !read_entry(source, &node, flags.integer, fold)) {
            return false;
        }
    }
    return status == ELEMENT_NONE;
}
