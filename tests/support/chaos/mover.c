#include "tests/support/chaos/mover.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "tests/support/wait.h"

#define POLL_MS    150
#define CTL_LIMIT  "timeout 20"
#define OUTPUT_MAX 65536

struct mover {
    struct cluster *cluster;
    pthread_t thread;
    unsigned shards;
    struct random random;
    char *prefix; /* of every command line */
    atomic_bool is_ending;
    uint64_t ending_deadline_us;
    struct mover_result result;

    /* Of the migration that is open. */
    char id[32];
    bool wants_abort, wants_rollback;
    unsigned patience; /* polls before the next decision */
};

/* --- sluicectl, without the main thread's tools ----------------------------------------------- */

/* Its standard output in `text`; the exit code, or -1. */
static int ctl(struct mover *mover, const char *words, char *text, size_t size)
{
    char *line = mem_printf("%s %s 2>/dev/null", mover->prefix, words);
    FILE *pipe = popen(line, "re"); /* the words are ours */
    mem_free(line);
    if (pipe == NULL) {
        return -1;
    }
    size_t length = fread(text, 1, size - 1, pipe);
    text[length] = '\0';
    return pclose(pipe);
}

static bool ctl_ok(struct mover *mover, const char *words)
{
    static _Thread_local char ignored[OUTPUT_MAX];
    return ctl(mover, words, ignored, sizeof(ignored)) == 0;
}

static json_t *read_status(struct mover *mover)
{
    static _Thread_local char text[OUTPUT_MAX];
    if (ctl(mover, "--json status", text, sizeof(text)) != 0) {
        return NULL;
    }
    return json_loads(text, 0, NULL);
}

/* --- decisions ------------------------------------------------------------------------------- */

static void open_one(struct mover *mover)
{
    static const char *const options[] = {
        "", "", "--manual-switch", "--large-key 500", "--keys-per-second 400", "--hold-max 300ms",
    };
    char words[256], text[512];
    unsigned from = (unsigned)random_below(&mover->random, mover->shards);
    unsigned to =
        (from + 1 + (unsigned)random_below(&mover->random, mover->shards - 1)) % mover->shards;
    unsigned share = 3 + (unsigned)random_below(&mover->random, 8);
    (void)snprintf(words, sizeof(words), "split s%u --to s%u --share %u.%u %s", from + 1, to + 1,
                   share / 10, share % 10,
                   options[random_below(&mover->random, sizeof(options) / sizeof(options[0]))]);
    if (ctl(mover, words, text, sizeof(text)) == 0) {
        mover->result.opened++;
        mover->wants_abort = random_below(&mover->random, 5) == 0;
        mover->wants_rollback = random_below(&mover->random, 5) < 2;
        mover->patience = (unsigned)random_below(&mover->random, 8);
    }
}

static void tell(struct mover *mover, const char *verb, unsigned *count)
{
    char words[64];
    (void)snprintf(words, sizeof(words), "%s %s", verb, mover->id);
    if (ctl_ok(mover, words)) {
        (*count)++;
    }
}

static void push(struct mover *mover, const char *phase, bool is_verified)
{
    unsigned ignored = 0;
    bool is_ending = atomic_load(&mover->is_ending);
    if (mover->patience > 0 && !is_ending) {
        mover->patience--;
        return;
    }
    if (strcmp(phase, "switched") == 0) {
        bool goes_back = mover->wants_rollback && !is_ending;
        tell(mover, goes_back ? "rollback" : "finalize",
             goes_back ? &mover->result.rolled_back : &mover->result.finalized);
        mover->patience = 6;
    } else if (strcmp(phase, "dual-write") == 0 || strcmp(phase, "planned") == 0) {
        if (mover->wants_abort || is_ending) {
            tell(mover, "abort", &mover->result.aborted);
        } else if (is_verified) {
            tell(mover, "switch", &ignored);
        }
        mover->patience = 6;
    }
}

/* False when nothing is open. */
static bool look(struct mover *mover, const json_t *status)
{
    const json_t *migrations = json_object_get(status, "migrations");
    const json_t *first = json_array_get(migrations, 0);
    if (first == NULL) {
        return false;
    }
    const char *id = json_string_value(json_object_get(first, "id"));
    const char *phase = json_string_value(json_object_get(first, "phase"));
    ASSERT(id != NULL && phase != NULL);
    (void)snprintf(mover->id, sizeof(mover->id), "%s", id);
    push(mover, phase, json_is_true(json_object_get(first, "is_verified")));
    return true;
}

/* False when it is time to end. */
static bool move(struct mover *mover)
{
    json_t *status = read_status(mover);
    bool is_ending = atomic_load(&mover->is_ending);
    if (status != NULL) {
        bool is_open = look(mover, status);
        bool has_debts = json_array_size(json_object_get(status, "debts")) > 0;
        if (!is_open && !is_ending) {
            open_one(mover);
        }
        mover->result.is_settled = is_ending && !is_open && !has_debts;
        json_decref(status);
    }
    return !mover->result.is_settled && !(is_ending && deadline_is_over(mover->ending_deadline_us));
}

static void *run(void *argument)
{
    struct mover *mover = argument;
    while (move(mover)) {
        clock_sleep_ms(POLL_MS);
    }
    return NULL;
}

struct mover *mover_start(struct cluster *cluster, unsigned shards, uint64_t seed)
{
    struct mover *mover = mem_zalloc(sizeof(*mover));
    char *program = program_path("sluicectl");
    mover->cluster = cluster;
    mover->shards = shards;
    mover->prefix = mem_printf(CTL_LIMIT " %s --store %s", program, cluster_store(cluster));
    mem_free(program);
    random_seed(&mover->random, seed ^ 0x6d6f7665);
    int failed = pthread_create(&mover->thread, NULL, run, mover);
    ASSERT(!failed);
    return mover;
}

struct mover_result mover_end(struct mover *mover, uint64_t timeout_ms)
{
    mover->ending_deadline_us = deadline_after_ms(timeout_ms);
    atomic_store(&mover->is_ending, true);
    (void)pthread_join(mover->thread, NULL);
    struct mover_result result = mover->result;
    mem_free(mover->prefix);
    mem_free(mover);
    return result;
}
