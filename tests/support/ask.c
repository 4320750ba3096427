#include "tests/support/ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/memory.h"

#define LINK_MS   10000
#define WORDS_MAX 64

struct shard_link *ask_open(const struct redis_server *server)
{
    struct error err = {{0}};
    struct topology_shard place = {.host = "127.0.0.1", .port = redis_server_port(server)};
    script_init();
    struct shard_link *link = shard_open(&place, "test", LINK_MS, &err);
    if (link == NULL) {
        fail_msg("%s", err.text);
    }
    return link;
}

/* --- replies as text --------------------------------------------------------------- */

static void add_reply(struct buffer *text, const struct shard_reply *reply)
{
    struct slice bytes = shard_reply_text(reply);
    switch (shard_reply_type(reply)) {
    case REPLY_STATUS:
        buffer_printf(text, "+%.*s", (int)bytes.len, bytes.data);
        break;
    case REPLY_ERROR:
        buffer_printf(text, "-%.*s", (int)bytes.len, bytes.data);
        break;
    case REPLY_INTEGER:
        buffer_printf(text, ":%lld", (long long)shard_reply_integer(reply));
        break;
    case REPLY_BULK:
        buffer_add(text, bytes.data, bytes.len);
        break;
    case REPLY_NIL:
        buffer_add_text(text, "(nil)");
        break;
    case REPLY_ARRAY:
        buffer_add_text(text, "[");
        for (size_t i = 0; i < shard_reply_count(reply); i++) {
            buffer_add_text(text, i > 0 ? ", " : "");
            add_reply(text, shard_reply_at(reply, i));
        }
        buffer_add_text(text, "]");
        break;
    }
}

char *reply_as_text(struct shard_reply *reply)
{
    struct buffer text;
    assert_non_null(reply);
    buffer_init(&text, SIZE_MAX);
    add_reply(&text, reply);
    char *copy = mem_strndup(buffer_slice(&text).data, buffer_length(&text));
    buffer_fini(&text);
    shard_reply_free(reply);
    return copy;
}

static char *take_text(struct shard_link *link)
{
    struct error err = {{0}};
    struct shard_reply *reply = shard_take(link, &err);
    if (reply == NULL) {
        fail_msg("%s", err.text);
    }
    return reply_as_text(reply);
}

static unsigned add_words(struct shard_link *link, const char *text, struct slice *words,
                          unsigned count)
{
    const struct shard_identity *identity = shard_link_identity(link);
    while (*text != '\0') {
        struct slice word = {text, strcspn(text, " ")};
        text += word.len + (text[word.len] == ' ');
        assert_true(count + 2 < WORDS_MAX);
        if (slice_equal(word, SLICE("$"))) {
            words[count++] = slice_of(identity->run_id);
            words[count++] = slice_of(identity->replid);
        } else {
            words[count++] = slice_equal(word, SLICE("''")) ? SLICE("") : word;
        }
    }
    return count;
}

char *ask(struct shard_link *link, const char *command)
{
    struct slice words[WORDS_MAX];
    shard_append(link, words, add_words(link, command, words, 0));
    return take_text(link);
}

char *ask_script(struct shard_link *link, enum shard_script script, const char *keys,
                 const char *args)
{
    struct slice words[WORDS_MAX];
    struct slice text = script_text(script);
    unsigned nkeys = add_words(link, keys, words, 0);
    unsigned count = add_words(link, args, words, nkeys);
    shard_appendf(link, "SCRIPT LOAD %b", text.data, text.len);
    mem_free(take_text(link));
    shard_append_script(link, script, words, count, nkeys);
    return take_text(link);
}

void expect_answer_at(char *actual, const char *text, bool is_prefix, const char *file, int line)
{
    bool is_good = (is_prefix ? strncmp(actual, text, strlen(text)) : strcmp(actual, text)) == 0;
    if (!is_good) {
        print_error("%s:%d: got \"%s\", expected \"%s%s\"\n", file, line, actual, text,
                    is_prefix ? "..." : "");
    }
    mem_free(actual);
    if (!is_good) {
        _fail(file, line);
    }
}
