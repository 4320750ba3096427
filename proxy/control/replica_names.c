#include "proxy/control/replica_names.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/memory.h"

#define NAMES_MAX    256u /* the oldest gives way, and is asked for again */
#define ASK_AGAIN_US UINT64_C(2000000)

struct replica_name {
    char host[ADDRESS_HOST_MAX + 1]; /* empty: a free place */
    struct endpoint endpoint;        /* length 0: not known */
    uint64_t asked_us;
    bool is_told; /* that it is not known */
};

struct replica_names {
    replica_name_ask_fn *ask;
    void *context;
    struct replica_name all[NAMES_MAX]; /* a ring */
    unsigned next;
};

struct replica_names *replica_names_new(replica_name_ask_fn *ask, void *context)
{
    struct replica_names *names = mem_zalloc(sizeof(*names));
    names->ask = ask;
    names->context = context;
    return names;
}

void replica_names_free(struct replica_names *names)
{
    mem_free(names);
}

static struct replica_name *find(struct replica_names *names, const char *host)
{
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        if (strcmp(names->all[i].host, host) == 0) {
            return &names->all[i];
        }
    }
    return NULL;
}

static struct replica_name *add(struct replica_names *names, const char *host)
{
    struct replica_name *name = &names->all[names->next++ % NAMES_MAX];
    *name = (struct replica_name){.asked_us = 0};
    (void)snprintf(name->host, sizeof(name->host), "%s", host);
    return name;
}

static void note_unknown(struct replica_name *name)
{
    if (name->asked_us != 0 && !name->is_told) {
        log_warn("replica has no address, and is not read from host=%s", name->host);
        name->is_told = true;
    }
}

bool replica_names_find(struct replica_names *names, const struct address *address, uint64_t now_us,
                        struct endpoint *endpoint)
{
    struct replica_name *name = find(names, address->host);
    name = name != NULL ? name : add(names, address->host);
    if (name->endpoint.length > 0) {
        *endpoint = name->endpoint;
        endpoint_set_port(endpoint, address->port);
        return true;
    }
    if (name->asked_us == 0 || now_us >= name->asked_us + ASK_AGAIN_US) {
        note_unknown(name);
        name->asked_us = now_us;
        names->ask(names->context, address);
    }
    return false;
}

void replica_names_take(struct replica_names *names, const char *host,
                        const struct endpoint *endpoint)
{
    struct replica_name *name = find(names, host);
    if (name != NULL) {
        name->endpoint = *endpoint;
        name->is_told = false;
    }
}

void replica_names_forget(struct replica_names *names, const char *host)
{
    struct replica_name *name = find(names, host);
    if (name != NULL) {
        name->endpoint.length = 0;
    }
}
