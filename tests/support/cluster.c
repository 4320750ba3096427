#include "tests/support/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/assert.h"
#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/base/slice.h"
#include "lib/store/store.h"
#include "lib/topology/document.h"
#include "lib/topology/slot.h"
#include "tests/support/certificates.h"
#include "tests/support/http.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define CTL_WORDS_MAX 1024 /* bytes */
#define WORDS_MAX     64
#define START_MS      60000
#define CTL_MS        180000

// clang-format off
const char *const cluster_patient_proxy[] = {
    "--shard-timeout", "60s", "--connect-timeout", "60s", "--wait-max", "60s", "--store-timeout", "60s", NULL};
// clang-format on
const char *const cluster_patient_migrator[] = {"SLUICE_FAIL=barrier.spares-always=error", NULL};

struct member {
    uint16_t port, tls_port;
    uint16_t admin_port;
    struct process *process;
};

struct cluster {
    char *folder;
    char *store;
    unsigned nshards; /* spares too */
    unsigned nproxies;
    struct redis_server *shards[CLUSTER_SHARDS_MAX];
    struct forwarder *links[CLUSTER_SHARDS_MAX];
    char *certificates;                       /* a folder; null: no TLS */
    uint16_t shard_ports[CLUSTER_SHARDS_MAX]; /* of TLS */
    struct member proxies[CLUSTER_PROXIES_MAX];
    struct member migrator, reserve;
    const char *const *proxy_arguments;
    const char *const *proxy_environment;
};

char *program_path(const char *name)
{
    const char *folder = getenv("SLUICE_BIN");
    return mem_printf("%s/%s", folder != NULL ? folder : "build/debug", name);
}

/* --- command lines made of words ------------------------------------------------------------ */

struct command_line {
    size_t count;
    char *word[WORDS_MAX];       /* owned */
    const char *argv[WORDS_MAX]; /* the same, ended by null */
};

static void add_word(struct command_line *line, char *word)
{
    ASSERT(line->count + 1 < WORDS_MAX);
    line->word[line->count] = word;
    line->argv[line->count++] = word;
    line->argv[line->count] = NULL;
}

static void add_words(struct command_line *line, const char *words)
{
    while (*words != '\0') {
        size_t length = strcspn(words, " ");
        if (length > 0) {
            add_word(line, mem_strndup(words, length));
        }
        words += length + (words[length] == ' ');
    }
}

static const char *const *command_argv(const struct command_line *line)
{
    return line->argv;
}

static void free_words(struct command_line *line)
{
    for (size_t i = 0; i < line->count; i++) {
        mem_free(line->word[i]);
    }
    line->count = 0;
}

/* What every program is told when shards speak TLS. */
static void add_shard_tls(struct command_line *line, const struct cluster *cluster)
{
    if (cluster->certificates != NULL) {
        char *words =
            mem_printf("--shard-tls-ca-cert-file %s/ca.crt --shard-tls-cert-file "
                       "%s/node.crt --shard-tls-key-file %s/node.key",
                       cluster->certificates, cluster->certificates, cluster->certificates);
        add_words(line, words);
        mem_free(words);
    }
}

static void add_proxy_tls(struct command_line *line, const struct cluster *cluster,
                          const struct member *proxy)
{
    if (cluster->certificates != NULL) {
        char *words = mem_printf("--tls-listen 127.0.0.1:%u --tls-ca-cert-file %s/ca.crt "
                                 "--tls-cert-file %s/node.crt --tls-key-file %s/node.key",
                                 proxy->tls_port, cluster->certificates, cluster->certificates,
                                 cluster->certificates);
        add_words(line, words);
        mem_free(words);
    }
}

/* --- starting ------------------------------------------------------------------------------- */

static void wait_ready(const struct member *member)
{
    uint64_t deadline_us = deadline_after_ms(START_MS);
    while (http_get(member->admin_port, "/readyz", NULL) != 200) {
        if (!process_is_running(member->process) || deadline_is_over(deadline_us)) {
            process_print_log(member->process, 30);
            fail_msg("a program does not become ready; its log is above");
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
}

static void start_proxy(struct cluster *cluster, unsigned i, const char *const *environment)
{
    struct member *member = &cluster->proxies[i];
    struct command_line line = {0};
    add_word(&line, program_path("sluice-proxy"));
    add_word(&line, mem_strdup("--store"));
    add_word(&line, mem_strdup(cluster->store));
    char *words = mem_printf("--listen 127.0.0.1:%u --admin 127.0.0.1:%u --id p%u", member->port,
                             member->admin_port, i + 1);
    add_words(&line, words);
    add_shard_tls(&line, cluster);
    add_proxy_tls(&line, cluster, member);
    for (size_t j = 0; cluster->proxy_arguments != NULL && cluster->proxy_arguments[j] != NULL;
         j++) {
        add_word(&line, mem_strdup(cluster->proxy_arguments[j]));
    }
    char *log = mem_printf("%s/p%u.log", cluster->folder, i + 1);
    char name[16];
    (void)snprintf(name, sizeof(name), "proxy p%u", i + 1);
    member->process = process_start(name, command_argv(&line), environment, log);
    mem_free(words);
    mem_free(log);
    free_words(&line);
}

static void start_migrator(struct cluster *cluster, unsigned number, const char *const *environment)
{
    struct member *member = number == 1 ? &cluster->migrator : &cluster->reserve;
    struct command_line line = {0};
    add_word(&line, program_path("sluice-migrator"));
    add_word(&line, mem_strdup("--store"));
    add_word(&line, mem_strdup(cluster->store));
    /* At the full rate: on a busy machine the copying would take many times as long else. */
    char *words =
        mem_printf("--admin 127.0.0.1:%u --id m%u --full-rate", member->admin_port, number);
    add_words(&line, words);
    add_shard_tls(&line, cluster);
    char *log = number == 1 ? mem_printf("%s/migrator.log", cluster->folder)
                            : mem_printf("%s/reserve.log", cluster->folder);
    member->process =
        process_start(number == 1 ? "migrator" : "reserve", command_argv(&line), environment, log);
    mem_free(words);
    mem_free(log);
    free_words(&line);
}

static void initialise(struct cluster *cluster, unsigned nshards,
                       const struct cluster_options *options)
{
    char words[1024];
    unsigned nslots = options->nslots > 0 ? options->nslots : CLUSTER_NSLOTS;
    int length =
        snprintf(words, sizeof(words), "init %s", options->init != NULL ? options->init : "");
    for (unsigned i = 0; i < nshards; i++) {
        length += snprintf(words + length, sizeof(words) - (size_t)length, " s%u=%s127.0.0.1:%u",
                           i + 1, cluster->certificates != NULL ? "tls:" : "",
                           cluster_shard_address(cluster, i));
    }
    (void)snprintf(words + length, sizeof(words) - (size_t)length, " --slots %u", nslots);
    cluster_tell(cluster, "%s", words);
}

#define TLS_WORDS 8u

/* A shard listens for TLS beside its plain port, which only the test uses. */
static void start_tls_shard(struct cluster *cluster, unsigned i, const char *const *more)
{
    char port[8];
    cluster->shard_ports[i] = scratch_port();
    (void)snprintf(port, sizeof(port), "%u", cluster->shard_ports[i]);
    char *cert = mem_printf("%s/node.crt", cluster->certificates);
    char *key = mem_printf("%s/node.key", cluster->certificates);
    char *ca = mem_printf("%s/ca.crt", cluster->certificates);
    const char *words[WORDS_MAX] = {"--tls-port",     port, "--tls-cert-file",    cert,
                                    "--tls-key-file", key,  "--tls-ca-cert-file", ca};
    for (unsigned j = 0; more != NULL && more[j] != NULL; j++) {
        ASSERT(TLS_WORDS + j + 1 < WORDS_MAX);
        words[TLS_WORDS + j] = more[j];
    }
    cluster->shards[i] = redis_server_start(words);
    mem_free(cert);
    mem_free(key);
    mem_free(ca);
}

static void start_shard(struct cluster *cluster, unsigned i, const struct cluster_options *options)
{
    bool is_last = i + 1 == cluster->nshards;
    if (cluster->certificates != NULL) {
        start_tls_shard(cluster, i, options->redis_options);
    } else {
        cluster->shards[i] = redis_server_start_in(is_last ? options->last_shard_environment : NULL,
                                                   options->redis_options);
    }
    if (options->has_links) {
        cluster->links[i] = forwarder_start(redis_server_port(cluster->shards[i]));
    }
}

struct cluster *cluster_start(const struct cluster_options *options)
{
    unsigned nshards = options->init != NULL ? 0 : options->shards > 0 ? options->shards : 2;
    struct cluster *cluster = mem_zalloc(sizeof(*cluster));
    cluster->nshards = nshards + options->spares;
    cluster->nproxies = options->proxies > 0 ? options->proxies : 1;
    ASSERT(cluster->nshards <= CLUSTER_SHARDS_MAX && cluster->nproxies <= CLUSTER_PROXIES_MAX);
    cluster->proxy_arguments = options->proxy_arguments;
    cluster->proxy_environment = options->proxy_environment;
    cluster->folder = scratch_folder("cluster");
    cluster->store = options->store != NULL ? mem_strdup(options->store)
                                            : mem_printf("file:%s/store", cluster->folder);
    ASSERT(!options->has_tls || !options->has_links);
    if (options->has_tls) {
        bool are_made = options->certificates != NULL;
        cluster->certificates = mem_strdup(are_made ? options->certificates : cluster->folder);
        if (!are_made) {
            certificates_make(cluster->certificates);
        }
    }
    for (unsigned i = 0; i < cluster->nshards; i++) {
        start_shard(cluster, i, options);
    }
    initialise(cluster, nshards, options);
    for (unsigned i = 0; i < cluster->nproxies; i++) {
        cluster->proxies[i].port = scratch_port();
        cluster->proxies[i].tls_port = scratch_port();
        cluster->proxies[i].admin_port = scratch_port();
        start_proxy(cluster, i, options->proxy_environment);
    }
    for (unsigned i = 0; i < cluster->nproxies; i++) {
        wait_ready(&cluster->proxies[i]);
    }
    cluster->migrator.admin_port = scratch_port();
    if (options->has_migrator) {
        start_migrator(cluster, 1, options->migrator_environment);
        wait_ready(&cluster->migrator);
    }
    cluster->reserve.admin_port = scratch_port();
    if (options->has_reserve) {
        start_migrator(cluster, 2, options->migrator_environment);
        wait_ready(&cluster->reserve);
    }
    return cluster;
}

void cluster_stop(struct cluster *cluster)
{
    if (cluster == NULL) {
        return;
    }
    bool is_good = process_stop(cluster->migrator.process);
    is_good &= process_stop(cluster->reserve.process);
    for (unsigned i = 0; i < cluster->nproxies; i++) {
        is_good &= process_stop(cluster->proxies[i].process);
    }
    for (unsigned i = 0; i < cluster->nshards; i++) {
        forwarder_stop(cluster->links[i]);
        redis_server_stop(cluster->shards[i]);
    }
    mem_free(cluster->store);
    mem_free(cluster->certificates);
    scratch_remove(cluster->folder);
    mem_free(cluster);
    if (!is_good) {
        fail_msg("a program of the cluster ended badly, see above");
    }
}

/* --- reading and changing ------------------------------------------------------------------- */

unsigned cluster_proxies(struct cluster *cluster)
{
    return cluster->nproxies;
}

struct redis_server *cluster_shard(struct cluster *cluster, unsigned i)
{
    ASSERT(i < cluster->nshards);
    return cluster->shards[i];
}

uint16_t cluster_shard_port(struct cluster *cluster, unsigned i)
{
    return redis_server_port(cluster_shard(cluster, i));
}

struct forwarder *cluster_link(struct cluster *cluster, unsigned i)
{
    ASSERT(i < cluster->nshards);
    return cluster->links[i];
}

uint16_t cluster_shard_address(struct cluster *cluster, unsigned i)
{
    struct forwarder *link = cluster_link(cluster, i);
    return link != NULL                    ? forwarder_port(link)
           : cluster->certificates != NULL ? cluster->shard_ports[i]
                                           : cluster_shard_port(cluster, i);
}

uint16_t cluster_proxy_tls_port(struct cluster *cluster, unsigned i)
{
    ASSERT(i < cluster->nproxies);
    return cluster->proxies[i].tls_port;
}

const char *cluster_certificates(struct cluster *cluster)
{
    return cluster->certificates;
}

uint16_t cluster_proxy_port(struct cluster *cluster, unsigned i)
{
    ASSERT(i < cluster->nproxies);
    return cluster->proxies[i].port;
}

uint16_t cluster_proxy_admin_port(struct cluster *cluster, unsigned i)
{
    ASSERT(i < cluster->nproxies);
    return cluster->proxies[i].admin_port;
}

struct process *cluster_proxy(struct cluster *cluster, unsigned i)
{
    ASSERT(i < cluster->nproxies);
    return cluster->proxies[i].process;
}

struct process *cluster_migrator(struct cluster *cluster)
{
    return cluster->migrator.process;
}

uint16_t cluster_migrator_admin_port(struct cluster *cluster)
{
    return cluster->migrator.admin_port;
}

struct process *cluster_reserve(struct cluster *cluster)
{
    return cluster->reserve.process;
}

uint16_t cluster_reserve_admin_port(struct cluster *cluster)
{
    return cluster->reserve.admin_port;
}

const char *cluster_store(struct cluster *cluster)
{
    return cluster->store;
}

const char *cluster_folder(struct cluster *cluster)
{
    return cluster->folder;
}

void cluster_wait_proxy_ready(struct cluster *cluster, unsigned i)
{
    ASSERT(i < cluster->nproxies);
    wait_ready(&cluster->proxies[i]);
}

void cluster_restart_proxy(struct cluster *cluster, unsigned i)
{
    process_kill(cluster_proxy(cluster, i));
    (void)process_stop(cluster->proxies[i].process);
    start_proxy(cluster, i, cluster->proxy_environment);
    wait_ready(&cluster->proxies[i]);
}

void cluster_restart_migrator(struct cluster *cluster, const char *const *environment)
{
    if (cluster->migrator.process != NULL) {
        process_kill(cluster->migrator.process);
        (void)process_stop(cluster->migrator.process);
    }
    start_migrator(cluster, 1, environment);
}

void cluster_use_store(struct cluster *cluster, const char *url)
{
    mem_free(cluster->store);
    cluster->store = mem_strdup(url);
}

struct process *cluster_start_rival(struct cluster *cluster)
{
    char *program = program_path("sluice-migrator");
    char *admin = mem_printf("127.0.0.1:%u", scratch_port());
    char *log = mem_printf("%s/rival.log", cluster->folder);
    const char *argv[] = {program, "--store", cluster->store, "--admin", admin, "--id", "m2", NULL};
    struct process *process = process_start("rival", argv, NULL, log);
    mem_free(program);
    mem_free(admin);
    mem_free(log);
    return process;
}

struct output cluster_ctl(struct cluster *cluster, const char *words)
{
    struct command_line line = {0};
    add_word(&line, program_path("sluicectl"));
    add_word(&line, mem_strdup("--store"));
    add_word(&line, mem_strdup(cluster->store));
    add_shard_tls(&line, cluster);
    add_words(&line, words);
    struct output output = process_run(command_argv(&line), NULL, CTL_MS);
    free_words(&line);
    return output;
}

static char *ctl_ok(struct cluster *cluster, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static char *ctl_ok(struct cluster *cluster, const char *format, va_list args)
{
    char words[CTL_WORDS_MAX];
    int length = vsnprintf(words, sizeof(words), format, args);
    assert_true(length >= 0 && (size_t)length < sizeof(words));
    struct output output = cluster_ctl(cluster, words);
    if (output.code != 0) {
        print_error("sluicectl %s: code %d\n%s%s\n", words, output.code, output.out, output.err);
        if (cluster->migrator.process != NULL) {
            process_print_log(cluster->migrator.process, 30);
        }
        fail();
    }
    mem_free(output.err);
    return output.out;
}

char *cluster_ctl_ok(struct cluster *cluster, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *out = ctl_ok(cluster, format, args);
    va_end(args);
    return out;
}

void cluster_tell(struct cluster *cluster, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    mem_free(ctl_ok(cluster, format, args));
    va_end(args);
}

void cluster_add_spare(struct cluster *cluster, unsigned i)
{
    cluster_tell(cluster, "shard add s%u=%s127.0.0.1:%u", i + 1,
                 cluster->certificates != NULL ? "tls:" : "", cluster_shard_address(cluster, i));
}

struct topology *cluster_topology(struct cluster *cluster)
{
    struct error err;
    struct store *store = store_open(cluster->store, &err);
    struct topology *topology = store != NULL ? store_read(store, NULL, &err) : NULL;
    if (topology == NULL) {
        fail_msg("%s", err.text);
    }
    store_close(store);
    return topology;
}

const char *cluster_key(struct cluster *cluster, unsigned shard, const char *prefix, unsigned n)
{
    static char texts[16][64];
    static unsigned next;
    char *text = texts[next++ % 16];
    struct topology *topology = cluster_topology(cluster);
    unsigned found = 0;
    for (unsigned i = 0; found <= n; i++) {
        (void)snprintf(text, sizeof(texts[0]), "%s%u", prefix, i);
        found += topology->owner[slot_of_key(slice_of(text), topology->nslots)] == shard;
    }
    topology_free(topology);
    return text;
}

void cluster_compare(struct cluster *cluster, const char *words)
{
    if (!cluster_compares_well(cluster, words)) {
        fail();
    }
}

/* What compare reads: a file store's folder, or the topology as a file. */
static char *topology_source(struct cluster *cluster)
{
    if (strncmp(cluster->store, "file:", 5) == 0) {
        return mem_strdup(cluster->store);
    }
    struct topology *topology = cluster_topology(cluster);
    char *path = mem_printf("%s/topology.json", cluster->folder);
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    document_format(topology, &text);
    assert_true(file_write(path, buffer_slice(&text), NULL));
    buffer_fini(&text);
    topology_free(topology);
    return path;
}

/* Of its link, if it has one; plain in any case. */
static uint16_t compare_port(struct cluster *cluster, unsigned i)
{
    return cluster->certificates != NULL ? cluster_shard_port(cluster, i)
                                         : cluster_shard_address(cluster, i);
}

bool cluster_compares_well(struct cluster *cluster, const char *words)
{
    struct command_line line = {0};
    add_word(&line, program_path("tests/tools/compare"));
    add_word(&line, mem_strdup("--store"));
    add_word(&line, topology_source(cluster));
    add_words(&line, words);
    for (unsigned i = 0; i < cluster->nshards; i++) {
        add_word(&line, mem_printf("s%u=127.0.0.1:%u", i + 1, compare_port(cluster, i)));
    }
    struct output output = process_run(command_argv(&line), NULL, CTL_MS);
    free_words(&line);
    if (output.code != 0) {
        print_error("compare: code %d\n%s%s\n", output.code, output.out, output.err);
    }
    bool is_well = output.code == 0;
    output_free(&output);
    return is_well;
}
