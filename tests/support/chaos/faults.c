#include "tests/support/chaos/faults.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "lib/base/memory.h"
#include "tests/support/chaos/disks.h"
#include "tests/support/client.h"
#include "tests/support/forwarder.h"

#define DEAF_VALUE_BYTES (1 << 20)
#define DEAF_REQUESTS    64
#define SCARCE_BYTES     200000

/* --- processes ------------------------------------------------------------------------------- */

static void kill_proxy(struct fault_place *place)
{
    process_kill(cluster_proxy(place->cluster, place->victim));
}

static void start_proxy(struct fault_place *place)
{
    cluster_restart_proxy(place->cluster, place->victim);
}

static void kill_all_proxies(struct fault_place *place)
{
    for (unsigned i = 0; i < place->proxies; i++) {
        process_kill(cluster_proxy(place->cluster, i));
    }
}

static void start_all_proxies(struct fault_place *place)
{
    for (unsigned i = 0; i < place->proxies; i++) {
        cluster_restart_proxy(place->cluster, i);
    }
}

static void kill_migrator(struct fault_place *place)
{
    process_kill(cluster_migrator(place->cluster));
}

static void start_migrator(struct fault_place *place)
{
    cluster_restart_migrator(place->cluster, NULL);
}

static void kill_shard(struct fault_place *place)
{
    redis_server_kill(cluster_shard(place->cluster, place->shard));
}

static void start_shard(struct fault_place *place)
{
    redis_server_restart(cluster_shard(place->cluster, place->shard), false);
}

static void stop_proxy(struct fault_place *place)
{
    process_signal(cluster_proxy(place->cluster, place->victim), SIGSTOP);
}

static void continue_proxy(struct fault_place *place)
{
    process_signal(cluster_proxy(place->cluster, place->victim), SIGCONT);
}

static void stop_all_proxies(struct fault_place *place)
{
    for (unsigned i = 0; i < place->proxies; i++) {
        process_signal(cluster_proxy(place->cluster, i), SIGSTOP);
    }
}

static void continue_all_proxies(struct fault_place *place)
{
    for (unsigned i = 0; i < place->proxies; i++) {
        process_signal(cluster_proxy(place->cluster, i), SIGCONT);
    }
}

static void stop_migrator(struct fault_place *place)
{
    process_signal(cluster_migrator(place->cluster), SIGSTOP);
}

static void continue_migrator(struct fault_place *place)
{
    process_signal(cluster_migrator(place->cluster), SIGCONT);
}

static void stop_shard(struct fault_place *place)
{
    process_signal(redis_server_process(cluster_shard(place->cluster, place->shard)), SIGSTOP);
}

static void continue_shard(struct fault_place *place)
{
    process_signal(redis_server_process(cluster_shard(place->cluster, place->shard)), SIGCONT);
}

static void start_rival(struct fault_place *place)
{
    place->state = cluster_start_rival(place->cluster);
}

static void stop_rival(struct fault_place *place)
{
    (void)process_stop(place->state);
    place->state = NULL;
}

/* --- disks ----------------------------------------------------------------------------------- */

static void fill_store(struct fault_place *place)
{
    disks_fill_store(place->cluster);
}

static void free_store(struct fault_place *place)
{
    disks_free_store(place->cluster);
}

static void hang_store(struct fault_place *place)
{
    place->state = disks_hang_store(place->cluster);
}

static void wake_store(struct fault_place *place)
{
    disks_wake_store(place->state);
    place->state = NULL;
}

static void fill_shard(struct fault_place *place)
{
    disks_fill_shard(place->cluster, place->shards, place->shard);
}

static void free_shard(struct fault_place *place)
{
    disks_free_shard(place->cluster, place->shards, place->shard);
}

/* --- links ----------------------------------------------------------------------------------- */

static void cut(struct fault_place *place)
{
    const struct weather weather = {.cuts_requests = true, .cuts_replies = true};
    forwarder_set(cluster_link(place->cluster, place->shard), place->peer, &weather);
}

static void cut_requests(struct fault_place *place)
{
    const struct weather weather = {.cuts_requests = true};
    forwarder_set(cluster_link(place->cluster, place->shard), place->peer, &weather);
}

static void cut_replies(struct fault_place *place)
{
    const struct weather weather = {.cuts_replies = true};
    forwarder_set(cluster_link(place->cluster, place->shard), place->peer, &weather);
}

static void slow_down(struct fault_place *place)
{
    const struct weather weather = {.delay_us = 10000 + place->duration_ms * 20};
    forwarder_set(cluster_link(place->cluster, place->shard), place->peer, &weather);
}

static void heal(struct fault_place *place)
{
    forwarder_heal(cluster_link(place->cluster, place->shard));
}

static void reset(struct fault_place *place)
{
    (void)forwarder_reset(cluster_link(place->cluster, place->shard), place->peer);
}

static void nothing(struct fault_place *place)
{
    (void)place;
}

/* --- inside of a shard ----------------------------------------------------------------------- */

static void command(struct fault_place *place, const char *words)
{
    struct client *client = client_try_connect(cluster_shard_port(place->cluster, place->shard));
    if (client != NULL) {
        mem_free(client_ask(client, words));
        client_close(client);
    }
}

static void flush_scripts(struct fault_place *place)
{
    command(place, "SCRIPT FLUSH");
}

static void kill_clients(struct fault_place *place)
{
    command(place, "CLIENT KILL TYPE normal SKIPME yes");
}

/* A little is left: enough for some writes, not for a backfill. */
static void take_memory(struct fault_place *place)
{
    struct client *client = client_try_connect(cluster_shard_port(place->cluster, place->shard));
    if (client == NULL) {
        return;
    }
    char *info = client_ask(client, "INFO memory");
    const char *found = strstr(info, "used_memory:");
    long used = 0;
    if (found != NULL && sscanf(found, "used_memory:%ld", &used) == 1) {
        char *words = mem_printf("CONFIG SET maxmemory %ld", used + SCARCE_BYTES);
        mem_free(client_ask(client, words));
        mem_free(words);
    }
    mem_free(info);
    client_close(client);
}

static void give_memory(struct fault_place *place)
{
    command(place, "CONFIG SET maxmemory 0");
}

/* Busy for 200 to 400 ms at a time: its replies come after that. */
static void run_long_script(struct fault_place *place)
{
    char *words = mem_printf(
        "EVAL \"local t = redis.call('TIME') local from = t[1] * 1000 + t[2] / 1000 repeat local u "
        "= redis.call('TIME') until u[1] * 1000 + u[2] / 1000 - from > %u return 1\" 0",
        200 + (unsigned)(place->duration_ms % 200));
    command(place, words);
    mem_free(words);
}

/* --- a client that stops reading -------------------------------------------------------------- */

static void be_deaf(struct fault_place *place)
{
    char *value = mem_zalloc(DEAF_VALUE_BYTES + 1);
    struct timeval time = {.tv_sec = 2};
    memset(value, 'd', DEAF_VALUE_BYTES);
    redisContext *context = redisConnectWithTimeout(
        "127.0.0.1", cluster_proxy_port(place->cluster, place->victim), time);
    place->state = context;
    if (context != NULL && context->err == 0) {
        (void)redisSetTimeout(context, time);
        redisReply *reply = redisCommand(context, "SET {deaf}:value %s", value);
        if (reply != NULL) {
            freeReplyObject(reply);
            for (unsigned i = 0; i < DEAF_REQUESTS; i++) {
                (void)redisAppendCommand(context, "GET {deaf}:value");
            }
            int is_done = 0;
            (void)redisBufferWrite(context, &is_done);
        }
    }
    mem_free(value);
}

static void hang_up(struct fault_place *place)
{
    if (place->state != NULL) {
        redisFree(place->state);
        place->state = NULL;
    }
}

/* --- the table ------------------------------------------------------------------------------- */

// clang-format off
const struct fault faults[] = {
    {"kill-proxy",       0,  2000, kill_proxy,       start_proxy},
    {"kill-all-proxies", 0,  1000, kill_all_proxies, start_all_proxies},
    {"kill-migrator",    0,  2000, kill_migrator,    start_migrator},
    {"kill-shard",       0,  1500, kill_shard,       start_shard},
    {"rival-migrator", 1000, 4000, start_rival,      stop_rival},
    {"stop-proxy",     100,  4000, stop_proxy,       continue_proxy},
    {"stop-all-proxies", 100, 2500, stop_all_proxies, continue_all_proxies},
    {"stop-migrator",  100,  4000, stop_migrator,    continue_migrator},
    {"stop-shard",     100,  2500, stop_shard,       continue_shard},
    {"cut",            100,  3500, cut,              heal},
    {"cut-requests",   100,  3500, cut_requests,     heal},
    {"cut-replies",    100,  3500, cut_replies,      heal},
    {"slow",           500,  3000, slow_down,        heal},
    {"reset",            0,   100, reset,            nothing},
    {"full-store",     300,  3000, fill_store,       free_store},
    {"hung-store",     300,  3000, hang_store,       wake_store},
    {"full-shard",     300,  3000, fill_shard,       free_shard},
    {"maxmemory",      300,  3000, take_memory,      give_memory},
    {"script-flush",     0,   100, flush_scripts,    nothing},
    {"client-kill",      0,   100, kill_clients,     nothing},
    {"long-script",      0,   400, run_long_script,  nothing},
    {"deaf-client",    500,  3000, be_deaf,          hang_up},
    {NULL, 0, 0, NULL, NULL},
};

// clang-format on

const struct fault *fault_find(const char *name)
{
    for (const struct fault *fault = faults; fault->name != NULL; fault++) {
        if (strcmp(fault->name, name) == 0) {
            return fault;
        }
    }
    return NULL;
}

void fault_draw(struct fault_place *place, const struct fault *fault, struct random *random)
{
    unsigned peer = (unsigned)random_below(random, place->proxies + 2);
    place->victim = (unsigned)random_below(random, place->proxies);
    place->shard = (unsigned)random_below(random, place->shards);
    place->duration_ms = fault->min_ms + random_below(random, fault->max_ms - fault->min_ms + 1);
    (void)snprintf(place->peer_text, sizeof(place->peer_text), "p%u", peer + 1);
    place->peer = place->peer_text;
    if (peer == place->proxies) {
        place->peer = "migrator";
    } else if (peer > place->proxies) {
        place->peer = NULL;
    }
}

void fault_describe(const struct fault *fault, const struct fault_place *place, char *text,
                    unsigned size)
{
    bool has_link = fault->end == heal || fault->begin == reset;
    bool has_proxy =
        fault->begin == kill_proxy || fault->begin == stop_proxy || fault->begin == be_deaf;
    bool has_shard = fault->begin == kill_shard || fault->begin == stop_shard ||
                     fault->begin == fill_shard || fault->begin == take_memory ||
                     fault->begin == flush_scripts || fault->begin == kill_clients ||
                     fault->begin == run_long_script;
    if (has_link) {
        (void)snprintf(text, size, "%s %s-s%u", fault->name,
                       place->peer != NULL ? place->peer : "all", place->shard + 1);
    } else if (has_proxy || has_shard) {
        (void)snprintf(text, size, "%s %c%u", fault->name, has_proxy ? 'p' : 's',
                       (has_proxy ? place->victim : place->shard) + 1);
    } else {
        (void)snprintf(text, size, "%s", fault->name);
    }
}
