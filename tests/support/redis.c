#include "tests/support/redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define OPTIONS_MAX 64
#define START_MS    60000
#define START_TRIES 5

struct redis_server {
    uint16_t port;
    char *folder;
    char *words[OPTIONS_MAX]; /* of its command line after the fixed ones; owned */
    size_t nwords;
    const char *const *environment;
    struct process *process;
};

static bool answers(uint16_t port)
{
    struct client *client = client_try_connect(port);
    if (client == NULL) {
        return false;
    }
    bool is_ready = client_gets(client, "PING", "+PONG") ||
                    client_gets(client, "PING", "-NOAUTH Authentication required.");
    client_close(client);
    return is_ready;
}

/* False when it ended at once: somebody took the port. */
static bool launch(struct redis_server *server)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", server->port);
    const char *argv[OPTIONS_MAX + 24] = {
        "redis-server",
        "--port",
        port,
        "--bind",
        "127.0.0.1",
        "--dir",
        server->folder,
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--enable-debug-command",
        "local",
        "--maxmemory-policy",
        "noeviction",
    };
    size_t count = 0;
    while (argv[count] != NULL) {
        count++;
    }
    for (size_t i = 0; i < server->nwords; i++) {
        argv[count++] = server->words[i];
    }
    char *log = mem_printf("%s/log", server->folder);
    server->process = process_start("redis-server", argv, server->environment, log);
    mem_free(log);
    uint64_t deadline_us = deadline_after_ms(START_MS);
    while (!answers(server->port)) {
        if (!process_is_running(server->process) || deadline_is_over(deadline_us)) {
            process_print_log(server->process, 10);
            process_kill(server->process);
            (void)process_stop(server->process);
            server->process = NULL;
            return false;
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
    return true;
}

struct redis_server *redis_server_start(const char *const *options)
{
    return redis_server_start_in(NULL, options);
}

struct redis_server *redis_server_start_in_memory(void)
{
    return redis_server_start((const char *const[]){"--appendonly", "no", NULL});
}

struct redis_server *redis_server_start_in(const char *const *environment,
                                           const char *const *options)
{
    struct redis_server *server = mem_zalloc(sizeof(*server));
    server->environment = environment;
    server->folder = scratch_folder("redis");
    for (size_t i = 0; options != NULL && options[i] != NULL; i++) {
        ASSERT(server->nwords < OPTIONS_MAX);
        server->words[server->nwords++] = mem_strdup(options[i]);
    }
    for (int i = 0; i < START_TRIES; i++) {
        server->port = scratch_port();
        if (launch(server)) {
            return server;
        }
    }
    fail_msg("redis-server does not start; is it installed?");
    return NULL;
}

uint16_t redis_server_port(const struct redis_server *server)
{
    return server->port;
}

struct process *redis_server_process(struct redis_server *server)
{
    return server->process;
}

const char *redis_server_folder(const struct redis_server *server)
{
    return server->folder;
}

void redis_server_kill(struct redis_server *server)
{
    process_kill(server->process);
}

void redis_server_restart(struct redis_server *server, bool is_empty)
{
    process_kill(server->process);
    (void)process_stop(server->process);
    if (is_empty) {
        scratch_remove(server->folder);
        server->folder = scratch_folder("redis");
    }
    if (!launch(server)) {
        fail_msg("redis-server does not come back on port %u", server->port);
    }
}

void redis_server_stop(struct redis_server *server)
{
    if (server == NULL) {
        return;
    }
    process_kill(server->process);
    (void)process_stop(server->process);
    for (size_t i = 0; i < server->nwords; i++) {
        mem_free(server->words[i]);
    }
    scratch_remove(server->folder);
    mem_free(server);
}
