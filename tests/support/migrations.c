#include "tests/support/migrations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/base/memory.h"

/* The object of the migration in `sluicectl --json status`; the root is to be given back. */
static json_t *read_status(struct cluster *cluster, const char *id, json_t **migration)
{
    char *text = cluster_ctl_ok(cluster, "--json status");
    json_t *root = json_loads(text, 0, NULL);
    size_t i;
    json_t *object;
    *migration = NULL;
    if (root == NULL) {
        fail_msg("sluicectl --json status is no JSON:\n%s", text);
    }
    json_array_foreach(json_object_get(root, "migrations"), i, object)
    {
        const char *name = json_string_value(json_object_get(object, "id"));
        if (name != NULL && strcmp(name, id) == 0) {
            *migration = object;
        }
    }
    mem_free(text);
    return root;
}

char *migration_phase(struct cluster *cluster, const char *id)
{
    json_t *migration;
    json_t *root = read_status(cluster, id, &migration);
    const char *phase = json_string_value(json_object_get(migration, "phase"));
    char *copy = mem_strdup(phase != NULL ? phase : "closed");
    json_decref(root);
    return copy;
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
    json_t *migration;
    json_t *root = read_status(cluster, id, &migration);
    bool is_verified = json_is_true(json_object_get(migration, "is_verified"));
    json_decref(root);
    return is_verified;
}

uint64_t migration_base(struct cluster *cluster, const char *id)
{
    json_t *migration;
    json_t *root = read_status(cluster, id, &migration);
    json_int_t base = json_integer_value(json_object_get(migration, "base"));
    json_decref(root);
    return (uint64_t)base;
}

char *migration_open_by_ctl(struct cluster *cluster, const char *words)
{
    char *text = cluster_ctl_ok(cluster, "%s", words);
    char *id = mem_strndup(text, strcspn(text, "\n"));
    mem_free(text);
    return id;
}
