#include "proxy/client/client_filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/command/errors.h"
#include "lib/resp/writer.h"

#define SYNTAX_ERROR "ERR syntax error"
#define SHOWN_BYTES  128

static bool refuse(struct buffer *reply, const char *error)
{
    write_error(reply, error);
    return false;
}

/* Redis prints what the client sent as a C string. */
static bool refuse_word(struct buffer *reply, const char *format_start, struct slice word)
{
    char text[SHOWN_BYTES + 64];
    size_t most = word.len < SHOWN_BYTES ? word.len : SHOWN_BYTES;
    (void)snprintf(text, sizeof(text), "%s '%.*s'", format_start, (int)most, word.data);
    bool is_written = command_error_text(reply, text);
    ASSERT(is_written);
    return false;
}

static bool take_class(struct client_filter *filter, struct slice word, struct buffer *reply)
{
    static const struct {
        const char *name;
        enum client_class class;
    } classes[] = {{"normal", CLIENT_CLASS_NORMAL},
                   {"slave", CLIENT_CLASS_REPLICA},
                   {"replica", CLIENT_CLASS_REPLICA},
                   {"pubsub", CLIENT_CLASS_PUBSUB},
                   {"master", CLIENT_CLASS_MASTER}};

    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (slice_equal_nocase(word, slice_of(classes[i].name))) {
            filter->class = classes[i].class;
            return true;
        }
    }
    return refuse_word(reply, "Unknown client type", word);
}

static struct client_filter *filter_new(unsigned ids_max)
{
    struct client_filter *filter = mem_zalloc(sizeof(*filter) + ids_max * sizeof(filter->ids[0]));
    filter->class = CLIENT_CLASS_ANY;
    return filter;
}

/* A text that is too long for an address is nobody's. */
static void take_address(char *field, struct slice word)
{
    bool fits = word.len > 0 && word.len < CLIENT_ADDRESS_MAX;
    struct slice kept = fits ? word : SLICE("none");
    memcpy(field, kept.data, kept.len);
    field[kept.len] = '\0';
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

static bool take_ids(struct client_filter *filter, const struct command *command,
                     struct buffer *reply)
{
    for (unsigned i = 3; i < command->argc; i++) {
        int64_t id;
        if (!number_parse_i64(command->argv[i], &id)) {
            return refuse(reply, "ERR Invalid client ID");
        }
        filter->ids[filter->nids++] = (uint64_t)id;
    }
    qsort(filter->ids, filter->nids, sizeof(filter->ids[0]), compare_ids);
    return true;
}

static bool take_list_option(struct client_filter *filter, const struct command *command,
                             struct buffer *reply)
{
    if (command->argc == 4 && slice_equal_nocase(command->argv[2], SLICE("type"))) {
        return take_class(filter, command->argv[3], reply);
    }
    if (command->argc > 3 && slice_equal_nocase(command->argv[2], SLICE("id"))) {
        return take_ids(filter, command, reply);
    }
    return refuse(reply, SYNTAX_ERROR);
}

struct client_filter *client_filter_of_list(const struct command *command, struct buffer *reply)
{
    struct client_filter *filter = filter_new(command->argc);
    if (command->argc > 2 && !take_list_option(filter, command, reply)) {
        mem_free(filter);
        return NULL;
    }
    return filter;
}

static bool take_id(struct client_filter *filter, struct slice word, struct buffer *reply)
{
    int64_t id;
    if (!number_parse_i64(word, &id) || id < 1) {
        return refuse(reply, "ERR client-id should be greater than 0");
    }
    filter->nids = 1; /* the last one counts, as in Redis */
    filter->ids[0] = (uint64_t)id;
    return true;
}

static bool take_skip(struct client_filter *filter, struct slice word, uint64_t own_id,
                      struct buffer *reply)
{
    bool is_yes = slice_equal_nocase(word, SLICE("yes"));
    if (!is_yes && !slice_equal_nocase(word, SLICE("no"))) {
        return refuse(reply, SYNTAX_ERROR);
    }
    filter->spared_id = is_yes ? own_id : 0;
    return true;
}

static bool take_user(struct client_filter *filter, const struct acl_user *user)
{
    if (user != NULL) {
        (void)snprintf(filter->user, sizeof(filter->user), "%s", acl_user_name(user));
    }
    return user != NULL;
}

static bool take_kill_option(struct client_filter *filter, struct slice option, struct slice word,
                             uint64_t own_id, const struct acl *acl, struct buffer *reply)
{
    if (slice_equal_nocase(option, SLICE("id"))) {
        return take_id(filter, word, reply);
    }
    if (slice_equal_nocase(option, SLICE("type"))) {
        return take_class(filter, word, reply);
    }
    if (slice_equal_nocase(option, SLICE("addr"))) {
        take_address(filter->address, word);
        return true;
    }
    if (slice_equal_nocase(option, SLICE("laddr"))) {
        take_address(filter->local_address, word);
        return true;
    }
    if (slice_equal_nocase(option, SLICE("user"))) {
        return take_user(filter, acl_find(acl, word)) || refuse_word(reply, "No such user", word);
    }
    if (slice_equal_nocase(option, SLICE("skipme"))) {
        return take_skip(filter, word, own_id, reply);
    }
    return refuse(reply, SYNTAX_ERROR);
}

struct client_filter *client_filter_of_kill(const struct command *command, uint64_t own_id,
                                            const struct acl *acl, struct buffer *reply)
{
    struct client_filter *filter = filter_new(1);
    filter->asker_id = own_id;
    filter->is_old_kill = command->argc == 3;
    if (filter->is_old_kill) {
        take_address(filter->address, command->argv[2]);
        return filter;
    }
    filter->spared_id = own_id;
    for (unsigned i = 2; i < command->argc; i += 2) {
        bool is_taken = i + 1 < command->argc
                            ? take_kill_option(filter, command->argv[i], command->argv[i + 1],
                                               own_id, acl, reply)
                            : refuse(reply, SYNTAX_ERROR);
        if (!is_taken) {
            mem_free(filter);
            return NULL;
        }
    }
    return filter;
}

static bool has_one_of_ids(const struct client_filter *filter, uint64_t id)
{
    return filter->nids == 0 ||
           bsearch(&id, filter->ids, filter->nids, sizeof(filter->ids[0]), compare_ids) != NULL;
}

bool client_filter_passes(const struct client_filter *filter, const struct client_facts *client)
{
    return client->id != filter->spared_id && has_one_of_ids(filter, client->id) &&
           (filter->user[0] == '\0' || strcmp(filter->user, client->user) == 0) &&
           (filter->class == CLIENT_CLASS_ANY || filter->class == client->class) &&
           (filter->address[0] == '\0' || strcmp(filter->address, client->address) == 0) &&
           (filter->local_address[0] == '\0' ||
            strcmp(filter->local_address, client->local_address) == 0);
}
