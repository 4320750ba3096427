#include "tests/support/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/time.h>

#include <cmocka.h>

#include "lib/base/assert.h"
#include "lib/base/buffer.h"
#include "lib/base/memory.h"
#include "tests/support/wait.h"

#define WORDS_MAX 1024
#define TIMEOUT_S 60

struct client {
    redisContext *context;
};

struct client *client_try_connect(uint16_t port)
{
    struct timeval patience = {.tv_sec = 1};
    redisContext *context = redisConnectWithTimeout("127.0.0.1", port, patience);
    ASSERT(context != NULL);
    if (context->err != 0) {
        redisFree(context);
        return NULL;
    }
    (void)redisSetTimeout(context, (struct timeval){.tv_sec = TIMEOUT_S});
    struct client *client = mem_zalloc(sizeof(*client));
    client->context = context;
    return client;
}

struct client *client_connect(uint16_t port)
{
    struct client *client = client_try_connect(port);
    if (client == NULL) {
        fail_msg("cannot connect to 127.0.0.1:%u", port);
    }
    return client;
}

void client_close(struct client *client)
{
    if (client != NULL) {
        redisFree(client->context);
        mem_free(client);
    }
}

redisContext *client_context(struct client *client)
{
    return client->context;
}

/* --- replies as text ------------------------------------------------------------------------ */

static void add_reply(struct buffer *text, const redisReply *reply);

static void add_array(struct buffer *text, const redisReply *reply)
{
    buffer_add_text(text, "[");
    for (size_t i = 0; i < reply->elements; i++) {
        buffer_add_text(text, i > 0 ? ", " : "");
        add_reply(text, reply->element[i]);
    }
    buffer_add_text(text, "]");
}

static void add_reply(struct buffer *text, const redisReply *reply)
{
    switch (reply->type) {
    case REDIS_REPLY_STATUS:
        buffer_add_text(text, "+");
        buffer_add(text, reply->str, (size_t)reply->len);
        break;
    case REDIS_REPLY_ERROR:
        buffer_add_text(text, "-");
        buffer_add(text, reply->str, (size_t)reply->len);
        break;
    case REDIS_REPLY_INTEGER:
        buffer_printf(text, ":%lld", reply->integer);
        break;
    case REDIS_REPLY_STRING:
        buffer_add(text, reply->str, (size_t)reply->len);
        break;
    case REDIS_REPLY_NIL:
        buffer_add_text(text, "(nil)");
        break;
    case REDIS_REPLY_ARRAY:
        add_array(text, reply);
        break;
    default:
        buffer_printf(text, "(reply of unknown type %d)", reply->type);
    }
}

char *client_reply_text(const redisReply *reply)
{
    if (reply == NULL) {
        return mem_strdup("closed");
    }
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    add_reply(&text, reply);
    struct slice whole = buffer_slice(&text);
    char *copy = mem_strndup(whole.len > 0 ? whole.data : "", whole.len);
    buffer_fini(&text);
    return copy;
}

/* --- commands as text ----------------------------------------------------------------------- */

struct words {
    int count;
    const char *word[WORDS_MAX];
    char *memory[WORDS_MAX]; /* the same, to be freed */
    size_t length[WORDS_MAX];
};

static int hex_value(char digit)
{
    return digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
}

/* One character of a quoted word; returns how many of `text` it took. */
static size_t unescape(const char *text, char *out)
{
    if (text[0] != '\\') {
        *out = text[0];
        return 1;
    }
    switch (text[1]) {
    case 'n':
        *out = '\n';
        return 2;
    case 'r':
        *out = '\r';
        return 2;
    case 'x':
        *out = (char)(hex_value(text[2]) * 16 + hex_value(text[3]));
        return 4;
    default:
        *out = text[1];
        return 2;
    }
}

static const char *take_word(const char *text, struct words *words)
{
    char *word = mem_alloc(strlen(text) + 1);
    size_t length = 0;
    if (*text == '"' || *text == '\'') {
        char quote = *text++;
        while (*text != quote) {
            ASSERT(*text != '\0');
            text += unescape(text, &word[length++]);
        }
        text++;
    } else {
        while (*text != '\0' && *text != ' ') {
            word[length++] = *text++;
        }
    }
    ASSERT(words->count < WORDS_MAX);
    words->word[words->count] = word;
    words->memory[words->count] = word;
    words->length[words->count++] = length;
    return text;
}

static void split_words(const char *text, struct words *words)
{
    words->count = 0;
    while (*text != '\0') {
        if (*text == ' ') {
            text++;
        } else {
            text = take_word(text, words);
        }
    }
}

char *client_ask_argv(struct client *client, int argc, const char **argv, const size_t *lengths)
{
    redisReply *reply = redisCommandArgv(client->context, argc, argv, lengths);
    char *text = client_reply_text(reply);
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    return text;
}

char *client_ask(struct client *client, const char *command)
{
    struct words *words = mem_alloc(sizeof(*words));
    split_words(command, words);
    char *text = client_ask_argv(client, words->count, words->word, words->length);
    for (int i = 0; i < words->count; i++) {
        mem_free(words->memory[i]);
    }
    mem_free(words);
    return text;
}

static void fail_over(const char *command, const char *wanted, const char *got, const char *file,
                      int line)
{
    print_error("%s:%d: %s\n    wanted %s\n    got    %s\n", file, line, command, wanted, got);
    _fail(file, line);
}

void client_expect(struct client *client, const char *command, const char *reply, bool is_prefix,
                   const char *file, int line)
{
    char *text = client_ask(client, command);
    if (is_prefix ? strncmp(text, reply, strlen(reply)) != 0 : strcmp(text, reply) != 0) {
        char *wanted = mem_printf("%s%s", reply, is_prefix ? "..." : "");
        fail_over(command, wanted, text, file, line);
    }
    mem_free(text);
}

void client_expect_within(struct client *client, const char *command, const char *reply,
                          uint64_t ms, const char *file, int line)
{
    uint64_t deadline_us = deadline_after_ms(ms);
    char *text;
    while (strcmp(text = client_ask(client, command), reply) != 0) {
        if (deadline_is_over(deadline_us)) {
            fail_over(command, reply, text, file, line);
        }
        mem_free(text);
        clock_sleep_ms(WAIT_POLL_MS);
    }
    mem_free(text);
}

bool client_gets(struct client *client, const char *command, const char *reply)
{
    char *text = client_ask(client, command);
    bool is_equal = strcmp(text, reply) == 0;
    mem_free(text);
    return is_equal;
}

char *words_with(const char *words, const char *tag)
{
    struct buffer whole;
    buffer_init(&whole, SIZE_MAX);
    for (const char *at = words; *at != '\0'; at++) {
        if (*at == '%') {
            buffer_add_text(&whole, tag);
        } else {
            buffer_add(&whole, at, 1);
        }
    }
    char *filled = mem_strndup(buffer_slice(&whole).data, buffer_length(&whole));
    buffer_fini(&whole);
    return filled;
}
