#include "tests/support/duel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/raw.h"
#include "tests/support/wait.h"

#define SIDES         2 /* Sluice, plain Redis */
#define CLIENTS       8
#define WORDS_MAX     64
#define WAIT_MS       60000
#define FRESH_CLIENTS 12 /* so many meet every thread */

struct duelist {
    int fd; /* 0: not connected */
    struct buffer pending;
};

struct duel {
    struct cluster *cluster;
    struct redis_server *plain;
    unsigned protocol; /* 3: what every client says HELLO with first */
    struct duelist clients[CLIENTS][SIDES];
};

/* --- life ------------------------------------------------------------------------------------ */

/* The line of INFO, which HELLO tells as well; freed with mem_free. */
static char *version_of(uint16_t port)
{
    struct client *client = client_connect(port);
    char *info = client_ask(client, "INFO server");
    const char *line = strstr(info, "redis_version:");
    assert_non_null(line);
    char *version = mem_strndup(line, strcspn(line, "\r"));
    mem_free(info);
    client_close(client);
    return version;
}

/* Whichever of its threads is asked. */
static bool tells_its_shards_version(struct duel *duel)
{
    char *wanted = version_of(redis_server_port(duel->plain));
    bool is_told = true;
    for (unsigned i = 0; i < FRESH_CLIENTS && is_told; i++) {
        char *version = version_of(duel_proxy_port(duel));
        is_told = strcmp(version, wanted) == 0;
        mem_free(version);
    }
    mem_free(wanted);
    return is_told;
}

struct duel *duel_start_with(const char *const *proxy_arguments, const char *const *redis_options)
{
    const struct cluster_options options = {.shards = 2, .proxy_arguments = proxy_arguments};
    struct duel *duel = mem_zalloc(sizeof(*duel));
    duel->cluster = cluster_start(&options);
    duel->plain = redis_server_start(redis_options);
    WAIT_UNTIL(tells_its_shards_version(duel), WAIT_MS); /* it asks them after it has started */
    return duel;
}

struct duel *duel_start(const char *const *proxy_arguments)
{
    return duel_start_with(proxy_arguments, NULL);
}

static void disconnect(struct duelist *duelist)
{
    if (duelist->fd > 0) {
        (void)close(duelist->fd);
        buffer_fini(&duelist->pending);
        duelist->fd = 0;
    }
}

void duel_close_clients(struct duel *duel)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        for (unsigned side = 0; side < SIDES; side++) {
            disconnect(&duel->clients[i][side]);
        }
    }
}

void duel_stop(struct duel *duel)
{
    if (duel == NULL) {
        return;
    }
    duel_close_clients(duel);
    redis_server_stop(duel->plain);
    cluster_stop(duel->cluster);
    mem_free(duel);
}

struct cluster *duel_cluster(struct duel *duel)
{
    return duel->cluster;
}

uint16_t duel_proxy_port(struct duel *duel)
{
    return cluster_proxy_port(duel->cluster, 0);
}

void duel_set_protocol(struct duel *duel, unsigned protocol)
{
    duel->protocol = protocol;
}

static void say_hello(struct duelist *duelist)
{
    struct buffer reply;
    buffer_init(&reply, SIZE_MAX);
    assert_true(raw_send(duelist->fd, SLICE("HELLO 3\r\n")));
    assert_true(raw_read_reply(duelist->fd, &duelist->pending, &reply));
    assert_true(slice_starts_with(buffer_slice(&reply), SLICE("%7\r\n")));
    buffer_fini(&reply);
}

static struct duelist *duelist_of(struct duel *duel, char name, unsigned side)
{
    ASSERT(name >= 'A' && name < 'A' + CLIENTS);
    struct duelist *duelist = &duel->clients[name - 'A'][side];
    if (duelist->fd == 0) {
        duelist->fd =
            raw_connect(side == 0 ? duel_proxy_port(duel) : redis_server_port(duel->plain));
        if (duelist->fd <= 0) {
            fail_msg("client %c cannot connect", name);
        }
        buffer_init(&duelist->pending, SIZE_MAX);
        if (duel->protocol == 3) {
            say_hello(duelist);
        }
    }
    return duelist;
}

/* --- sending and comparing ------------------------------------------------------------------- */

static void send_both(struct duel *duel, char name, struct slice bytes)
{
    for (unsigned side = 0; side < SIDES; side++) {
        if (!raw_send(duelist_of(duel, name, side)->fd, bytes)) {
            fail_msg("client %c was closed by %s", name, side == 0 ? "Sluice" : "Redis");
        }
    }
}

/* HELLO tells the client's id: the digits become one "N". */
static void hide_id(struct buffer *reply)
{
    static const char before[] = "$2\r\nid\r\n:";
    struct slice bytes = buffer_slice(reply);
    const char *id = memmem(bytes.data, bytes.len, before, strlen(before));
    if (id == NULL) {
        return;
    }
    size_t at = (size_t)(id - bytes.data) + strlen(before);
    size_t digits = 0;
    while (at + digits < bytes.len && bytes.data[at + digits] != '\r') {
        digits++;
    }
    struct buffer hidden;
    buffer_init(&hidden, SIZE_MAX);
    buffer_add(&hidden, bytes.data, at);
    buffer_add_text(&hidden, "N");
    buffer_add(&hidden, bytes.data + at + digits, bytes.len - at - digits);
    buffer_fini(reply);
    *reply = hidden;
}

static void compare_reply(struct duel *duel, char name, const char *line)
{
    struct buffer replies[SIDES];
    for (unsigned side = 0; side < SIDES; side++) {
        struct duelist *duelist = duelist_of(duel, name, side);
        buffer_init(&replies[side], SIZE_MAX);
        if (!raw_read_reply(duelist->fd, &duelist->pending, &replies[side])) {
            buffer_add_text(&replies[side], "(closed, or no reply)");
        }
        hide_id(&replies[side]);
    }
    struct slice sluice = buffer_slice(&replies[0]);
    struct slice redis = buffer_slice(&replies[1]);
    if (!slice_equal(sluice, redis)) {
        fail_msg("%s\n    Sluice %.*s\n    Redis  %.*s", line, (int)sluice.len, sluice.data,
                 (int)redis.len, redis.data);
    }
    buffer_fini(&replies[0]);
    buffer_fini(&replies[1]);
}

static void add_words(struct buffer *bytes, const char *words)
{
    struct slice argv[WORDS_MAX];
    int argc = 0;
    while (*words != '\0') {
        size_t length = strcspn(words, " ");
        if (length > 0) {
            ASSERT(argc < WORDS_MAX);
            argv[argc++] = (struct slice){words, length};
        }
        words += length + (words[length] == ' ');
    }
    raw_add_command(bytes, argc, argv);
}

static void send_line(struct duel *duel, char name, const char *words, bool is_inline)
{
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    if (is_inline) {
        buffer_printf(&bytes, "%s\r\n", words);
    } else {
        add_words(&bytes, words);
    }
    send_both(duel, name, buffer_slice(&bytes));
    buffer_fini(&bytes);
}

void duel_bytes(struct duel *duel, char name, struct slice bytes, unsigned replies)
{
    char line[64];
    send_both(duel, name, bytes);
    for (unsigned i = 0; i < replies; i++) {
        (void)snprintf(line, sizeof(line), "%c: reply %u of %u", name, i + 1, replies);
        compare_reply(duel, name, line);
    }
}

/* --- waiting --------------------------------------------------------------------------------- */

unsigned blocked_clients(uint16_t port)
{
    struct client *client = client_connect(port);
    char *info = client_ask(client, "INFO clients");
    const char *line = strstr(info, "blocked_clients:");
    assert_non_null(line);
    unsigned count = (unsigned)strtoul(line + strlen("blocked_clients:"), NULL, 10);
    mem_free(info);
    client_close(client);
    return count;
}

static bool are_blocked(struct duel *duel, unsigned count)
{
    return blocked_clients(cluster_shard_port(duel->cluster, 0)) +
                   blocked_clients(cluster_shard_port(duel->cluster, 1)) ==
               count &&
           blocked_clients(redis_server_port(duel->plain)) == count;
}

static void end_client(struct duel *duel, char name, bool is_half)
{
    for (unsigned side = 0; side < SIDES; side++) {
        if (is_half) {
            (void)shutdown(duelist_of(duel, name, side)->fd, SHUT_WR);
        } else {
            disconnect(duelist_of(duel, name, side));
        }
    }
}

static void run_line(struct duel *duel, const char *line)
{
    char name = line[0];
    if (strncmp(line, "blocked ", 8) == 0) {
        unsigned count = (unsigned)strtoul(line + 8, NULL, 10);
        WAIT_UNTIL(are_blocked(duel, count), WAIT_MS);
    } else if (strcmp(line + 1, "<") == 0) {
        compare_reply(duel, name, line);
    } else if (strcmp(line + 1, " close") == 0 || strcmp(line + 1, " half") == 0) {
        end_client(duel, name, line[2] == 'h');
    } else if (line[1] == '>') {
        send_line(duel, name, line + (line[2] == '|' ? 4 : 3), line[2] == '|');
    } else {
        ASSERT(line[1] == ':' || line[1] == '|');
        send_line(duel, name, line + 3, line[1] == '|');
        compare_reply(duel, name, line);
    }
}

void duel_run(struct duel *duel, const char *const *script)
{
    for (size_t i = 0; script[i] != NULL; i++) {
        run_line(duel, script[i]);
    }
}
