#include "tests/support/migrations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "tests/support/wait.h"

#define READ_MS 60000

/* Asks again while it fails: a store may just be electing its leader. */
static struct topology *read_patiently(struct cluster *cluster)
{
    uint64_t deadline_us = deadline_after_ms(READ_MS);
    struct error err;
    struct store *store = store_open(cluster_store(cluster), &err);
    struct topology *topology = NULL;
    if (store == NULL) {
        fail_msg("%s", err.text);
    }
    while ((topology = store_read(store, NULL, &err)) == NULL) {
        if (deadline_is_over(deadline_us)) {
            fail_msg("%s", err.text);
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
    store_close(store);
    return topology;
}

/* The migration of that name in the topology, which is to be given back; null: it is not open. */
static const struct migration *read_migration(struct cluster *cluster, const char *id,
                                              struct topology **topology)
{
    uint64_t number = 0;
    assert_true(migration_id_parse(slice_of(id), &number));
    *topology = read_patiently(cluster);
    return topology_find_migration(*topology, number);
}

char *migration_phase(struct cluster *cluster, const char *id)
{
    struct topology *topology;
    const struct migration *migration = read_migration(cluster, id, &topology);
    char *name = mem_strdup(migration != NULL ? phase_name(migration->phase) : "closed");
    topology_free(topology);
    return name;
}

bool migration_is_in(struct cluster *cluster, const char *id, const char *phase)
{
    char *now = migration_phase(cluster, id);
    bool is_equal = strcmp(now, phase) == 0;
    mem_free(now);
    return is_equal;
}

bool migration_is_verified(struct cluster *cluster, const char *id)
{
    struct topology *topology;
    const struct migration *migration = read_migration(cluster, id, &topology);
    bool is_verified = migration != NULL && migration->phase != PHASE_PLANNED &&
                       migration->verified == migration->base;
    topology_free(topology);
    return is_verified;
}

uint64_t migration_base(struct cluster *cluster, const char *id)
{
    struct topology *topology;
    const struct migration *migration = read_migration(cluster, id, &topology);
    uint64_t base = migration != NULL ? migration->base : 0;
    topology_free(topology);
    return base;
}

/* A hold that a slow machine stretches is no error that clients see. */
char *migration_open_by_ctl(struct cluster *cluster, const char *words)
{
    bool has_hold_max = strstr(words, "--hold-max") != NULL;
    char *patient = mem_printf("%s%s", words, has_hold_max ? "" : " --hold-max 30s");
    char *text = cluster_ctl_ok(cluster, "%s", patient);
    mem_free(patient);
    char *id = mem_strndup(text, strcspn(text, "\n"));
    mem_free(text);
    return id;
}
