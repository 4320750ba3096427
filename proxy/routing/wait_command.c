#include "proxy/routing/wait_command.h"

#include <math.h>
#include <stdio.h>

#include "lib/base/number.h"
#include "lib/resp/writer.h"

#define SECONDS_MAX 1e9

/* How its keys stand. */
enum layout {
    KEYS_TO_LAST, /* BLPOP key... timeout */
    KEY_FIRST,    /* BLMOVE source destination ... timeout: the destination wakes nobody */
    KEYS_COUNTED, /* BLMPOP timeout numkeys key... */
    KEYS_WITH_IDS /* XREAD ... STREAMS key... id... */
};

struct shape {
    const char *name;
    enum awaited awaited;
    enum layout layout;
};

static const struct shape shapes[] = {
    {"blpop", AWAITED_LIST, KEYS_TO_LAST},
    {"brpop", AWAITED_LIST, KEYS_TO_LAST},
    {"blmove", AWAITED_LIST, KEY_FIRST},
    {"brpoplpush", AWAITED_LIST, KEY_FIRST},
    {"blmpop", AWAITED_LIST, KEYS_COUNTED},
    {"bzpopmin", AWAITED_SORTED_SET, KEYS_TO_LAST},
    {"bzpopmax", AWAITED_SORTED_SET, KEYS_TO_LAST},
    {"bzmpop", AWAITED_SORTED_SET, KEYS_COUNTED},
    {"xread", AWAITED_STREAM, KEYS_WITH_IDS},
    {"xreadgroup", AWAITED_GROUP, KEYS_WITH_IDS},
};

static const struct shape *find_shape(const char *name)
{
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (strcmp(shapes[i].name, name) == 0) {
            return &shapes[i];
        }
    }
    return NULL;
}

static bool read_counted(const struct slice *argv, unsigned argc, struct wait_command *form)
{
    uint64_t count;
    form->timeout = 1;
    form->numkeys = 2;
    form->first_key = 3;
    if (argc < 5 || !number_parse_u64(argv[2], &count) || count == 0 || count > argc - 4) {
        return false;
    }
    form->nkeys = (unsigned)count;
    return true;
}

static bool read_streams(const struct slice *argv, unsigned argc, struct wait_command *form)
{
    struct xread_options options = command_xread_options(argv, argc);
    unsigned rest = options.streams < argc ? argc - options.streams - 1 : 0;
    if (rest == 0 || rest % 2 != 0 || options.block >= options.streams ||
        (form->awaited == AWAITED_GROUP) != (options.group < options.streams)) {
        return false;
    }
    form->timeout = options.block + 1;
    form->group = form->awaited == AWAITED_GROUP ? options.group + 1 : 0;
    form->first_key = options.streams + 1;
    form->nkeys = rest / 2;
    form->first_id = form->first_key + form->nkeys;
    return true;
}

bool wait_command_read(const struct command_info *info, const struct slice *argv, unsigned argc,
                       struct wait_command *form)
{
    const struct shape *shape = find_shape(info->name);
    *form = (struct wait_command){.nkeys = 0};
    if (shape == NULL || argc < 3) {
        return false;
    }
    form->awaited = shape->awaited;
    switch (shape->layout) {
    case KEYS_COUNTED:
        return read_counted(argv, argc, form);
    case KEYS_WITH_IDS:
        return read_streams(argv, argc, form);
    case KEYS_TO_LAST:
    case KEY_FIRST:
        break;
    }
    form->timeout = argc - 1;
    form->first_key = 1;
    form->nkeys = shape->layout == KEY_FIRST ? 1 : argc - 2;
    return true;
}

static bool has_seconds(const struct wait_command *form)
{
    return form->first_id == 0;
}

bool wait_command_timeout(const struct wait_command *form, const struct slice *argv,
                          uint64_t *timeout_us)
{
    double seconds;
    uint64_t milliseconds;
    if (form->timeout == 0) {
        return false;
    }
    if (!has_seconds(form)) {
        if (!number_parse_u64(argv[form->timeout], &milliseconds) ||
            milliseconds > (uint64_t)SECONDS_MAX * 1000) {
            return false;
        }
        *timeout_us = milliseconds == 0 ? WAIT_FOR_EVER : milliseconds * 1000;
        return true;
    }
    if (!number_parse_double(argv[form->timeout], &seconds) || seconds < 0 ||
        seconds > SECONDS_MAX) {
        return false;
    }
    *timeout_us = seconds == 0 ? WAIT_FOR_EVER : (uint64_t)ceil(seconds * 1e6);
    return true;
}

bool wait_command_takes_turns(const struct wait_command *form, const struct slice *argv)
{
    for (unsigned key = 0; form->awaited == AWAITED_GROUP && key < form->nkeys; key++) {
        if (!slice_equal(argv[form->first_id + key], SLICE(">"))) {
            return false;
        }
    }
    return form->awaited != AWAITED_STREAM && form->nkeys > 0;
}

bool wait_command_is_open(const struct wait_command *form, const struct slice *argv, unsigned key)
{
    return form->awaited == AWAITED_STREAM && slice_equal(argv[form->first_id + key], SLICE("$"));
}

/* --- writing ---------------------------------------------------------------------------------- */

static bool is_within(unsigned position, unsigned first, unsigned count)
{
    return first != 0 && position >= first && position < first + count;
}

static bool is_written(const struct wait_command *form, const struct wait_variant *variant,
                       unsigned position)
{
    if (variant->is_without_wait && !has_seconds(form) &&
        (position == form->timeout || position + 1 == form->timeout)) {
        return false;
    }
    if (variant->key == ALL_KEYS) {
        return true;
    }
    if (is_within(position, form->first_key, form->nkeys)) {
        return position == form->first_key + variant->key;
    }
    return !is_within(position, form->first_id, form->nkeys) ||
           position == form->first_id + variant->key;
}

/* Redis takes no time-out of 0 for one that is over: it is rounded up. */
static void write_timeout(const struct wait_command *form, uint64_t timeout_us, struct buffer *out)
{
    char text[32];
    int length = has_seconds(form) ? snprintf(text, sizeof(text), "%.6f", (double)timeout_us / 1e6)
                                   : snprintf(text, sizeof(text), "%llu",
                                              (unsigned long long)((timeout_us + 999) / 1000));
    write_bulk(out, (struct slice){text, (size_t)length});
}

void wait_command_write(const struct wait_command *form, const struct slice *argv, unsigned argc,
                        const struct wait_variant *variant, struct buffer *out)
{
    unsigned count = 0;
    for (unsigned i = 0; i < argc; i++) {
        count += is_written(form, variant, i) ? 1 : 0;
    }
    write_array(out, count);
    for (unsigned i = 0; i < argc; i++) {
        if (!is_written(form, variant, i)) {
            continue;
        }
        if (i == form->timeout && i != 0 && variant->timeout_us != WAIT_FOR_EVER) {
            write_timeout(form, variant->timeout_us, out);
        } else if (i == form->numkeys && i != 0 && variant->key != ALL_KEYS) {
            write_bulk(out, SLICE("1"));
        } else {
            write_bulk(out, argv[i]);
        }
    }
}
