#include "proxy/routing/script_supply.h"

#include "lib/base/memory.h"
#include "lib/resp/writer.h"
#include "lib/shard/metadata.h"
#include "proxy/routing/reply_cursor.h"
#include "proxy/routing/scatter.h"
#include "proxy/routing/script_memory.h"

/* One order under way. */
struct supply {
    struct supply_order order;
    char sha[SHA1_HEX_LENGTH + 1];
    struct buffer text; /* the body, or the function's name */
    bool is_there;      /* the shard has the script, though it does not keep the body */
};

static struct supply *supply_new(const struct supply_order *order)
{
    struct supply *supply = mem_zalloc(sizeof(*supply));
    supply->order = *order;
    buffer_init(&supply->text, SIZE_MAX);
    return supply;
}

static void finish(struct supply *supply, enum supply_result result)
{
    struct supply_order order = supply->order;
    buffer_fini(&supply->text);
    mem_free(supply);
    order.done(order.context, result);
}

/* --- commands -------------------------------------------------------------------------------- */

void supply_write_load(struct buffer *out, struct slice body)
{
    const struct slice argv[] = {SLICE("SCRIPT"), SLICE("LOAD"), body};
    write_command(out, argv, 3);
}

void supply_write_keep(struct buffer *out, struct slice body)
{
    char sha[SHA1_HEX_LENGTH + 1];
    sha1_hex(body, sha);
    const struct slice argv[] = {SLICE("HSETNX"), SLICE(METADATA_SCRIPTS), slice_of(sha), body};
    write_command(out, argv, 4);
}

/* Up to two commands to the order's shard. */
static void ask_shard(struct supply *supply, struct buffer *first, struct buffer *second,
                      scatter_fn *done)
{
    const struct supply_order *order = &supply->order;
    const struct slice commands[] = {buffer_slice(first),
                                     second != NULL ? buffer_slice(second) : SLICE("")};
    scatter_send_one(order->router, order->request, order->shard, commands, second != NULL ? 2 : 1,
                     done, supply);
}

static void ask_all(struct supply *supply, struct buffer *command, scatter_fn *done)
{
    struct slice bytes = buffer_slice(command);
    scatter_send(supply->order.router, supply->order.request, &bytes, 1, done, supply);
}

static bool is_one(struct shard_answer answer)
{
    return slice_equal(answer.reply, SLICE(":1\r\n")) ||
           slice_equal(answer.reply, SLICE("*1\r\n:1\r\n"));
}

/* --- by SHA-1 -------------------------------------------------------------------------------- */

static void on_loaded(void *context, const struct scatter *scatter)
{
    struct supply *supply = context;
    struct slice body = buffer_slice(&supply->text);
    if (scatter_answer(scatter, 0, 0).is_error) {
        finish(supply, SUPPLY_MISSING);
        return;
    }
    script_note_loaded(supply->order.router, supply->order.shard, slice_of(supply->sha));
    bool is_doubtful = memmem(body.data, body.len, "NOSCRIPT", 8) != NULL;
    finish(supply, is_doubtful ? SUPPLY_DOUBTFUL : SUPPLY_LOADED);
}

static void load(struct supply *supply)
{
    struct buffer load, keep;
    buffer_init(&load, SIZE_MAX);
    buffer_init(&keep, SIZE_MAX);
    supply_write_load(&load, buffer_slice(&supply->text));
    supply_write_keep(&keep, buffer_slice(&supply->text));
    ask_shard(supply, &load, &keep, on_loaded);
    buffer_fini(&load);
    buffer_fini(&keep);
}

static void write_get(struct buffer *out, const struct supply *supply)
{
    const struct slice argv[] = {SLICE("HGET"), SLICE(METADATA_SCRIPTS), slice_of(supply->sha)};
    write_command(out, argv, 3);
}

static bool take_body(struct supply *supply, struct shard_answer answer)
{
    struct slice body;
    if (!reply_bulk(answer.reply, &body)) {
        return false;
    }
    buffer_add(&supply->text, body.data, body.len);
    return true;
}

static void note_there(struct supply *supply)
{
    script_note_loaded(supply->order.router, supply->order.shard, slice_of(supply->sha));
    finish(supply, SUPPLY_THERE);
}

static void on_bodies(void *context, const struct scatter *scatter)
{
    struct supply *supply = context;
    for (unsigned i = 0; i < scatter_shards(scatter); i++) {
        if (take_body(supply, scatter_answer(scatter, i, 0))) {
            load(supply);
            return;
        }
    }
    if (supply->is_there) {
        note_there(supply);
    } else {
        finish(supply, SUPPLY_MISSING);
    }
}

/* The shard itself first: nobody waits for a slow shard for what is here. It must have the body
 * too: marked_script.lua runs the script from there. */
static void on_exists(void *context, const struct scatter *scatter)
{
    struct supply *supply = context;
    struct slice body;
    supply->is_there = is_one(scatter_answer(scatter, 0, 0)) && !supply->order.is_wary;
    if (supply->is_there && reply_bulk(scatter_answer(scatter, 0, 1).reply, &body)) {
        note_there(supply);
        return;
    }
    if (take_body(supply, scatter_answer(scatter, 0, 1))) {
        load(supply);
        return;
    }
    struct buffer get;
    buffer_init(&get, SIZE_MAX);
    write_get(&get, supply);
    ask_all(supply, &get, on_bodies);
    buffer_fini(&get);
}

void supply_script(const struct supply_order *order, struct slice sha)
{
    struct supply *supply = supply_new(order);
    struct buffer exists, get;
    const struct slice argv[] = {SLICE("SCRIPT"), SLICE("EXISTS"), sha};
    memcpy(supply->sha, sha.data, SHA1_HEX_LENGTH);
    buffer_init(&exists, SIZE_MAX);
    buffer_init(&get, SIZE_MAX);
    write_command(&exists, argv, 3);
    write_get(&get, supply);
    ask_shard(supply, &exists, &get, on_exists);
    buffer_fini(&exists);
    buffer_fini(&get);
}

/* --- by body --------------------------------------------------------------------------------- */

static void forget_answers(void *context, const struct scatter *scatter)
{
    (void)context;
    (void)scatter;
}

void supply_body_again(struct router *router, const struct request *request, struct slice body)
{
    struct buffer load, keep;
    buffer_init(&load, SIZE_MAX);
    buffer_init(&keep, SIZE_MAX);
    supply_write_load(&load, body);
    supply_write_keep(&keep, body);
    const struct slice commands[] = {buffer_slice(&load), buffer_slice(&keep)};
    script_note_kept(router, body);
    scatter_send(router, request, commands, 2, forget_answers, NULL);
    buffer_fini(&load);
    buffer_fini(&keep);
}

static void on_kept(void *context, const struct scatter *scatter)
{
    struct supply *supply = context;
    (void)scatter; /* a shard that cannot keep it (no memory) still runs it */
    script_note_loaded(supply->order.router, supply->order.shard, slice_of(supply->sha));
    supply_body_again(supply->order.router, supply->order.request, buffer_slice(&supply->text));
    finish(supply, SUPPLY_LOADED);
}

/* It compiles: EVAL makes it known to EVALSHA, on every shard. */
static void on_body_loaded(void *context, const struct scatter *scatter)
{
    struct supply *supply = context;
    int64_t kept;
    if (scatter_answer(scatter, 0, 0).is_error) {
        finish(supply, SUPPLY_MISSING);
        return;
    }
    bool is_known = reply_integer(scatter_answer(scatter, 0, 1).reply, &kept);
    if (!supply->order.is_kept_always && (!is_known || kept >= SCRIPT_KEPT_MAX)) {
        script_note_kept(supply->order.router, buffer_slice(&supply->text));
        finish(supply, SUPPLY_LOADED);
        return;
    }
    struct buffer keep;
    buffer_init(&keep, SIZE_MAX);
    supply_write_keep(&keep, buffer_slice(&supply->text));
    ask_shard(supply, &keep, NULL, on_kept);
    buffer_fini(&keep);
}

void supply_body(const struct supply_order *order, struct slice body)
{
    struct supply *supply = supply_new(order);
    struct buffer load, count;
    const struct slice argv[] = {SLICE("HLEN"), SLICE(METADATA_SCRIPTS)};
    sha1_hex(body, supply->sha);
    buffer_add(&supply->text, body.data, body.len);
    buffer_init(&load, SIZE_MAX);
    buffer_init(&count, SIZE_MAX);
    supply_write_load(&load, body);
    write_command(&count, argv, 2);
    ask_shard(supply, &load, &count, on_body_loaded);
    buffer_fini(&load);
    buffer_fini(&count);
}

/* --- functions ------------------------------------------------------------------------------- */

static void on_restored(void *context, const struct scatter *scatter)
{
    finish(context, scatter_answer(scatter, 0, 0).is_error ? SUPPLY_MISSING : SUPPLY_LOADED);
}

static void on_dumped(void *context, const struct scatter *scatter)
{
    struct supply *supply = context;
    struct slice payload;
    if (!reply_bulk(scatter_answer(scatter, 0, 0).reply, &payload)) {
        finish(supply, SUPPLY_MISSING);
        return;
    }
    struct buffer restore;
    const struct slice argv[] = {SLICE("FUNCTION"), SLICE("RESTORE"), payload, SLICE("REPLACE")};
    buffer_init(&restore, SIZE_MAX);
    write_command(&restore, argv, 4);
    ask_shard(supply, &restore, NULL, on_restored);
    buffer_fini(&restore);
}

/* A bulk string in FUNCTION LIST that is the name, in letters of either case. */
static bool lists_function(struct slice list, struct slice name)
{
    for (size_t i = 0; i + name.len + 2 <= list.len; i++) {
        struct slice here = {list.data + i, name.len};
        if (i >= 2 && list.data[i - 1] == '\n' && slice_equal_nocase(here, name) &&
            list.data[i + name.len] == '\r') {
            return true;
        }
    }
    return false;
}

static void on_lists(void *context, const struct scatter *scatter)
{
    struct supply *supply = context;
    const struct supply_order *order = &supply->order;
    const struct slice dump = SLICE("*2\r\n$8\r\nFUNCTION\r\n$4\r\nDUMP\r\n");
    for (unsigned i = 0; i < scatter_shards(scatter); i++) {
        struct shard_answer answer = scatter_answer(scatter, i, 0);
        if (i != order->shard && !answer.is_error &&
            lists_function(answer.reply, buffer_slice(&supply->text))) {
            scatter_send_one(order->router, order->request, i, &dump, 1, on_dumped, supply);
            return;
        }
    }
    finish(supply, SUPPLY_MISSING);
}

void supply_function(const struct supply_order *order, struct slice name)
{
    struct supply *supply = supply_new(order);
    struct buffer list;
    const struct slice argv[] = {SLICE("FUNCTION"), SLICE("LIST")};
    buffer_add(&supply->text, name.data, name.len);
    buffer_init(&list, SIZE_MAX);
    write_command(&list, argv, 2);
    ask_all(supply, &list, on_lists);
    buffer_fini(&list);
}
