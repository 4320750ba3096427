#include "tests/support/shard_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"

#define START_MS  60000
#define WORDS_MAX 64

struct shard_server {
    char folder[64];
    uint16_t port;
    bool has_aof;
    pid_t pid; /* 0: not running */
};

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void become_server(const struct shard_server *server)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", (unsigned)server->port);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir",
                 server->folder, "--save", "", "--appendonly", server->has_aof ? "yes" : "no",
                 "--appendfsync", "always", "--logfile", "redis.log", "--enable-debug-command",
                 "local", (char *)NULL);
    _exit(127);
}

static struct shard_link *open_link(const struct shard_server *server, uint64_t timeout_ms,
                                    struct error *err)
{
    struct topology_shard place = {.host = "127.0.0.1", .port = server->port};
    return shard_open(&place, "test", timeout_ms, err);
}

static bool is_up(const struct shard_server *server)
{
    struct shard_link *link = open_link(server, 5000, NULL);
    bool is_loaded = false;
    if (link != NULL) {
        char loading[8];
        is_loaded = shard_info(link, "persistence", "loading", loading, sizeof(loading), NULL) &&
                    strcmp(loading, "0") == 0;
    }
    shard_close(link);
    return is_loaded;
}

static void launch(struct shard_server *server)
{
    uint64_t deadline_us = clock_now_us() + START_MS * 1000ull;
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        become_server(server);
    }
    while (!is_up(server)) {
        if (clock_now_us() > deadline_us || waitpid(server->pid, NULL, WNOHANG) != 0) {
            fail_msg("redis-server on port %u in %s did not start", (unsigned)server->port,
                     server->folder);
        }
        clock_sleep_ms(5);
    }
}

struct shard_server *shard_server_start(bool has_aof)
{
    struct shard_server *server = mem_zalloc(sizeof(*server));
    (void)signal(SIGPIPE, SIG_IGN);
    script_init();
    (void)snprintf(server->folder, sizeof(server->folder), "/tmp/sluice-shard-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    server->has_aof = has_aof;
    server->port = free_port();
    launch(server);
    return server;
}

void shard_server_remove_folder(const char *path)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("rm", "rm", "-rf", path, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
}

void shard_server_kill(struct shard_server *server)
{
    if (server->pid > 0) {
        (void)kill(server->pid, SIGKILL);
        (void)waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
}

void shard_server_restart(struct shard_server *server)
{
    shard_server_kill(server);
    launch(server);
}

void shard_server_stop(struct shard_server *server)
{
    if (server == NULL) {
        return;
    }
    shard_server_kill(server);
    shard_server_remove_folder(server->folder);
    mem_free(server);
}

uint16_t shard_server_port(const struct shard_server *server)
{
    return server->port;
}

struct shard_link *shard_server_open(const struct shard_server *server)
{
    struct error err = {{0}};
    struct shard_link *link = open_link(server, 10000, &err);
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

void expect_answer_at(char *actual, const char *text, const char *file, int line)
{
    bool is_equal = strcmp(actual, text) == 0;
    if (!is_equal) {
        print_error("%s:%d: got \"%s\", expected \"%s\"\n", file, line, actual, text);
    }
    mem_free(actual);
    if (!is_equal) {
        _fail(file, line);
    }
}
