#include "tests/support/chaos/cell.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "tests/support/chaos/disks.h"
#include "tests/support/chaos/traffic.h"
#include "tests/support/client.h"
#include "tests/support/http.h"
#include "tests/support/wait.h"

#define CLIENTS      6
#define RATE         200
#define NSLOTS       64
#define LIMIT_MS     240000
#define OVERTAKEN_MS 250 /* that the other one has had, and no longer */
#define DEAD_MS      400 /* how long a process that was killed stays away */
#define TAIL_MS      300 /* clients go on after the end, so that a late wound shows */
#define STATUS_MS    20
#define WAKE_MS      60000
#define SHARDS       2
#define SOURCE       0
#define TARGET       1
#define VICTIM_PROXY 1

struct cell {
    struct cluster *cluster;
    const char *step;
    enum cell_fault fault;
    uint64_t hang_ms;
    struct cell_result *result;
    struct traffic *traffic;
    struct process *rival; /* the second migrator; null: there is none */
    char *hanging;         /* of the store; null: it does not hang */
    char *id;
    bool is_struck, is_healed; /* the fault has begun, has ended */
    uint64_t struck_us, heal_at_us, healed_us;
    bool is_closed, has_debts;
    char phase[24];
};

const char *cell_fault_name(enum cell_fault fault)
{
    static const char *const names[] = {
#define X(symbol, name) name,
        CELL_FAULTS(X)
#undef X
    };

    return names[fault];
}

bool cell_fault_parse(const char *name, enum cell_fault *fault)
{
    for (int i = 0; i < CELL_FAULT_COUNT; i++) {
        if (strcmp(cell_fault_name((enum cell_fault)i), name) == 0) {
            *fault = (enum cell_fault)i;
            return true;
        }
    }
    return false;
}

static struct cluster *start_with(const char *const *arguments)
{
    const struct cluster_options options = {.shards = SHARDS,
                                            .proxies = 2,
                                            .has_migrator = true,
                                            .has_links = true,
                                            .nslots = NSLOTS,
                                            .proxy_arguments = arguments};
    return cluster_start(&options);
}

struct cluster *cell_cluster_start(void)
{
    static const char *const arguments[] = {"--shard-timeout", "1s", NULL};
    return start_with(arguments);
}

struct cluster *cell_cluster_start_patient(void)
{
    return start_with(cluster_patient_proxy);
}

/* --- the fault ------------------------------------------------------------------------------- */

static struct process *shard_process(const struct cell *cell, unsigned shard)
{
    return redis_server_process(cluster_shard(cell->cluster, shard));
}

static void signal_proxies(const struct cell *cell, int signal)
{
    for (unsigned i = 0; i < cluster_proxies(cell->cluster); i++) {
        process_signal(cluster_proxy(cell->cluster, i), signal);
    }
}

/* The folder is gone for a while, as a file server can be. */
static void show_store(const struct cell *cell, bool is_shown)
{
    const char *path = cluster_store(cell->cluster) + strlen("file:");
    char *hidden = mem_printf("%s.hidden", path);
    int failed = is_shown ? rename(hidden, path) : rename(path, hidden);
    assert_int_equal(failed, 0);
    mem_free(hidden);
}

static void tell_shard(const struct cell *cell, unsigned shard, const char *words)
{
    struct client *client = client_connect(cluster_shard_port(cell->cluster, shard));
    expect(client, words, "+OK");
    client_close(client);
}

/* Returns how long it lasts. */
static uint64_t begin_fault(struct cell *cell)
{
    struct cluster *cluster = cell->cluster;
    switch (cell->fault) {
    case CELL_KILL:
        process_kill(cluster_migrator(cluster));
        return DEAD_MS;
    case CELL_HANG:
        return cell->hang_ms;
    case CELL_SUCCESSOR:
    case CELL_RIVAL:
        cell->rival = cluster_start_rival(cluster);
        return LIMIT_MS; /* until the migration is closed */
    case CELL_OVERTAKEN:
        cell->rival = cluster_start_rival(cluster);
        return STORE_LEASE_MS + OVERTAKEN_MS;
    case CELL_ERROR:
        (void)forwarder_reset(cluster_link(cluster, SOURCE), "migrator");
        (void)forwarder_reset(cluster_link(cluster, TARGET), "migrator");
        return 0;
    case CELL_STORE_ERROR:
        show_store(cell, false);
        return DEAD_MS;
    case CELL_FULL_STORE:
        disks_fill_store(cluster);
        return cell->hang_ms;
    case CELL_HUNG_STORE:
        cell->hanging = disks_hang_store(cluster);
        return cell->hang_ms;
    case CELL_FULL_SOURCE:
    case CELL_FULL_TARGET:
        disks_fill_shard(cluster, SHARDS, cell->fault == CELL_FULL_SOURCE ? SOURCE : TARGET);
        return cell->hang_ms;
    case CELL_READONLY_SOURCE:
    case CELL_READONLY_TARGET: /* of a master that is not there */
        tell_shard(cell, cell->fault == CELL_READONLY_SOURCE ? SOURCE : TARGET,
                   "REPLICAOF 127.0.0.1 1");
        return DEAD_MS;
    case CELL_KILL_PROXY:
        process_kill(cluster_proxy(cluster, VICTIM_PROXY));
        return DEAD_MS;
    case CELL_HANG_PROXY:
        process_signal(cluster_proxy(cluster, VICTIM_PROXY), SIGSTOP);
        return cell->hang_ms;
    case CELL_KILL_PROXIES:
        signal_proxies(cell, SIGKILL);
        return DEAD_MS;
    case CELL_HANG_PROXIES:
        signal_proxies(cell, SIGSTOP);
        return cell->hang_ms;
    case CELL_KILL_SOURCE:
    case CELL_KILL_TARGET:
        redis_server_kill(
            cluster_shard(cluster, cell->fault == CELL_KILL_SOURCE ? SOURCE : TARGET));
        return DEAD_MS;
    case CELL_HANG_SOURCE:
    case CELL_HANG_TARGET:
    case CELL_FAULT_COUNT:
        process_signal(shard_process(cell, cell->fault == CELL_HANG_SOURCE ? SOURCE : TARGET),
                       SIGSTOP);
        return cell->hang_ms;
    }
    return 0;
}

static void end_fault(struct cell *cell)
{
    struct cluster *cluster = cell->cluster;
    switch (cell->fault) {
    case CELL_KILL:
        cluster_restart_migrator(cluster, NULL);
        break;
    case CELL_HANG:
    case CELL_SUCCESSOR:
    case CELL_RIVAL:
    case CELL_OVERTAKEN:
    case CELL_ERROR:
        process_signal(cluster_migrator(cluster), SIGCONT);
        break;
    case CELL_STORE_ERROR:
        show_store(cell, true);
        break;
    case CELL_FULL_STORE:
        disks_free_store(cluster);
        break;
    case CELL_HUNG_STORE:
        disks_wake_store(cell->hanging);
        cell->hanging = NULL;
        break;
    case CELL_FULL_SOURCE:
    case CELL_FULL_TARGET:
        disks_free_shard(cluster, SHARDS, cell->fault == CELL_FULL_SOURCE ? SOURCE : TARGET);
        break;
    case CELL_READONLY_SOURCE:
    case CELL_READONLY_TARGET:
        tell_shard(cell, cell->fault == CELL_READONLY_SOURCE ? SOURCE : TARGET, "REPLICAOF NO ONE");
        break;
    case CELL_KILL_PROXY:
        cluster_restart_proxy(cluster, VICTIM_PROXY);
        break;
    case CELL_KILL_PROXIES:
        for (unsigned i = 0; i < cluster_proxies(cluster); i++) {
            cluster_restart_proxy(cluster, i);
        }
        break;
    case CELL_HANG_PROXY:
    case CELL_HANG_PROXIES:
        signal_proxies(cell, SIGCONT);
        break;
    case CELL_KILL_SOURCE:
    case CELL_KILL_TARGET:
        redis_server_restart(
            cluster_shard(cluster, cell->fault == CELL_KILL_SOURCE ? SOURCE : TARGET), false);
        break;
    case CELL_HANG_SOURCE:
    case CELL_HANG_TARGET:
    case CELL_FAULT_COUNT:
        process_signal(shard_process(cell, SOURCE), SIGCONT);
        process_signal(shard_process(cell, TARGET), SIGCONT);
        break;
    }
    cell->is_healed = true;
    cell->healed_us = clock_now_us();
}

static bool strikes_migrator(enum cell_fault fault)
{
    return fault == CELL_KILL || fault == CELL_HANG || fault == CELL_SUCCESSOR ||
           fault == CELL_OVERTAKEN;
}

static void strike(struct cell *cell)
{
    cell->is_struck = true;
    cell->result->was_passed = true;
    cell->struck_us = clock_now_us();
    cell->heal_at_us = clock_now_us() + begin_fault(cell) * 1000;
    if (!strikes_migrator(cell->fault)) {
        process_signal(cluster_migrator(cell->cluster), SIGCONT);
    }
}

/* --- the migration --------------------------------------------------------------------------- */

static bool ends_by_itself(const struct cell *cell)
{
    return strstr(cell->step, "finalizing") != NULL;
}

static void ctl(const struct cell *cell, const char *verb)
{
    char *words = mem_printf("%s %s", verb, cell->id);
    struct output output = cluster_ctl(cell->cluster, words);
    output_free(&output); /* what is refused now is tried again */
    mem_free(words);
}

static void read_status(struct cell *cell)
{
    struct output output = cluster_ctl(cell->cluster, "--json status");
    json_t *root = output.code == 0 ? json_loads(output.out, 0, NULL) : NULL;
    size_t i;
    json_t *migration;
    if (root != NULL) {
        cell->is_closed = true;
        cell->has_debts = json_array_size(json_object_get(root, "debts")) > 0;
        json_array_foreach(json_object_get(root, "migrations"), i, migration)
        {
            const char *phase = json_string_value(json_object_get(migration, "phase"));
            cell->is_closed = false;
            (void)snprintf(cell->phase, sizeof(cell->phase), "%s", phase);
        }
    }
    json_decref(root);
    output_free(&output);
}

static void note_end(const struct cell *cell, const char *how)
{
    (void)snprintf(cell->result->end, sizeof(cell->result->end), "%s", how);
}

/* An operator who wants the slots back where they were. */
static void look(struct cell *cell)
{
    read_status(cell);
    if (cell->is_closed) {
        return;
    }
    if (ends_by_itself(cell)) {
        note_end(cell, "finalized");
        return;
    }
    if (strcmp(cell->phase, "switched") == 0) {
        ctl(cell, "rollback");
        note_end(cell, "rolled back");
    }
}

static bool lasts_to_the_end(enum cell_fault fault)
{
    return fault == CELL_SUCCESSOR || fault == CELL_RIVAL;
}

/* A shard that refuses lasts until clients have met it, however slow the machine is. */
static bool must_be_met(enum cell_fault fault)
{
    return fault == CELL_FULL_SOURCE || fault == CELL_FULL_TARGET ||
           fault == CELL_READONLY_SOURCE || fault == CELL_READONLY_TARGET;
}

static bool has_lasted(const struct cell *cell)
{
    if (lasts_to_the_end(cell->fault)) {
        return cell->is_closed && !cell->has_debts;
    }
    return deadline_is_over(cell->heal_at_us) &&
           (!must_be_met(cell->fault) ||
            traffic_look(cell->traffic, cell->struck_us, UINT64_MAX).refused > 0);
}

/* False when the time is over. */
static bool drive(struct cell *cell, uint64_t deadline_us)
{
    while (!cell->is_closed || cell->has_debts || (cell->is_struck && !cell->is_healed)) {
        if (!cell->is_struck && process_is_stopped(cluster_migrator(cell->cluster))) {
            strike(cell);
        }
        if (cell->is_struck && !cell->is_healed && has_lasted(cell)) {
            end_fault(cell);
        }
        if (cell->is_healed && process_is_stopped(cluster_migrator(cell->cluster))) {
            process_signal(cluster_migrator(cell->cluster), SIGCONT); /* it passed again */
        }
        if (cell->hanging == NULL) { /* else sluicectl would hang, too */
            look(cell);
        }
        if (deadline_is_over(deadline_us)) {
            return false;
        }
        clock_sleep_ms(STATUS_MS);
    }
    return true;
}

static void open_migration(struct cell *cell)
{
    const char *options =
        ends_by_itself(cell) ? "--hold-max 500ms --finalize-after 0" : "--hold-max 500ms";
    char *text = cluster_ctl_ok(cell->cluster, "split s%u --to s%u --share 0.5 %s", SOURCE + 1,
                                TARGET + 1, options);
    cell->id = mem_strndup(text, strcspn(text, "\n"));
    mem_free(text);
}

/* The setting that stops the migrator at the step, with what has to happen for it to be passed. */
static char *setting_of(const char *step)
{
    bool is_undo = strstr(step, "-undo-") != NULL; /* of a hold that takes too long */
    if (strncmp(step, "hold.", 5) == 0 && is_undo) {
        return mem_printf("SLUICE_FAIL=%s=stop@1,hold.after-barrier=pause:1500@1", step);
    }
    if (strncmp(step, "hold-back.", 10) == 0 && is_undo) {
        return mem_printf("SLUICE_FAIL=%s=stop@1,hold-back.after-barrier=pause:1500@1", step);
    }
    /* The way back shares steps with the way there, under the names of the latter. */
    if (strncmp(step, "hold-back.", 10) == 0) {
        return mem_printf("SLUICE_FAIL=%s=stop@1,hold.%s=stop@2", step, step + 10);
    }
    return mem_printf("SLUICE_FAIL=%s=stop@1", step);
}

static void prepare(struct cell *cell)
{
    char *setting = setting_of(cell->step);
    const char *environment[] = {setting, NULL};
    if (strcmp(cell->step, "barrier.after-kill") == 0) {
        /* A dead incarnation among the fence's peers is what a barrier has to kill. */
        cluster_restart_proxy(cell->cluster, 0);
    }
    cluster_restart_migrator(cell->cluster, environment);
    mem_free(setting);
}

/* The step may come behind the end: then it strikes there, and what is open must still heal. */
static void strike_late(struct cell *cell)
{
    if (!cell->is_struck && process_is_stopped(cluster_migrator(cell->cluster))) {
        strike(cell);
        while (!cell->is_healed) {
            if (deadline_is_over(cell->heal_at_us) || lasts_to_the_end(cell->fault)) {
                end_fault(cell);
            }
            clock_sleep_ms(WAIT_POLL_MS);
        }
    }
}

static void come_home(const struct cell *cell)
{
    if (ends_by_itself(cell)) {
        cluster_tell(cell->cluster, "split s2 --to s1 --share 0.5 --wait");
        cluster_tell(cell->cluster, "finalize --wait");
    }
}

static void print_logs(const struct cell *cell)
{
    process_print_log(cluster_migrator(cell->cluster), 40);
    for (unsigned i = 0; i < cluster_proxies(cell->cluster); i++) {
        process_print_log(cluster_proxy(cell->cluster, i), 15);
    }
    if (cell->rival != NULL) {
        process_print_log(cell->rival, 20);
    }
}

static bool programs_run(const struct cell *cell)
{
    bool is_running = process_is_running(cluster_migrator(cell->cluster));
    for (unsigned i = 0; i < cluster_proxies(cell->cluster); i++) {
        is_running = is_running && process_is_running(cluster_proxy(cell->cluster, i));
    }
    return is_running;
}

/* Clients go on for a while, and are served. */
static void wait_for_tail(struct traffic *traffic)
{
    uint64_t until_us = deadline_after_ms(TAIL_MS);
    uint64_t before = traffic_answered(traffic);
    uint64_t deadline_us = deadline_after_ms(WAKE_MS);
    while (!deadline_is_over(until_us) || traffic_answered(traffic) < before + 2 * CLIENTS) {
        if (deadline_is_over(deadline_us)) {
            return; /* unread keys will tell */
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
}

static bool judge(struct cell *cell, bool has_ended)
{
    struct traffic *traffic = cell->traffic;
    struct cell_result *result = cell->result;
    struct traffic_view view = traffic_look(traffic, 0, UINT64_MAX);
    if (cell->is_healed && view.last_trouble_us > cell->healed_us) {
        result->service_ms = (view.last_trouble_us - cell->healed_us) / 1000;
    }
    struct traffic_result seen = traffic_end(traffic);
    result->unknown = seen.unknown;
    result->refused = seen.refused;
    bool is_well = has_ended && programs_run(cell) && seen.broken == 0 && seen.undecided == 0 &&
                   seen.strange == 0 && seen.unread == 0;
    return cluster_compares_well(cell->cluster, "") && is_well;
}

void cell_run(struct cluster *cluster, const char *step, enum cell_fault fault, uint64_t hang_ms,
              uint64_t seed, struct cell_result *result)
{
    struct cell cell = {.cluster = cluster,
                        .step = step,
                        .fault = fault,
                        .hang_ms = hang_ms,
                        .result = result,
                        .traffic = traffic_start(cluster, CLIENTS, RATE, seed)};
    *result = (struct cell_result){.was_passed = false};
    prepare(&cell);
    uint64_t start_us = clock_now_us();
    open_migration(&cell);
    bool has_ended = drive(&cell, deadline_after_ms(LIMIT_MS));
    strike_late(&cell);
    result->took_ms = (clock_now_us() - start_us) / 1000;
    wait_for_tail(cell.traffic);
    result->is_well = judge(&cell, has_ended);
    if (!result->is_well) {
        (void)fprintf(stderr, "NOT WELL: %s at %s; migration %s is %s\n", cell_fault_name(fault),
                      step, cell.id, cell.is_closed ? "closed" : cell.phase);
        print_logs(&cell);
    } else {
        come_home(&cell);
    }
    (void)process_stop(cell.rival);
    mem_free(cell.id);
}
