#include "tests/support/sentinels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/client.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define START_MS 90000 /* they look at replicas every 10 s only */

struct member {
    uint16_t port, tls_port; /* tls_port 0: none */
    char *folder;
    struct process *process;
    struct client *client;
};

struct sentinel_group {
    unsigned count;
    const char *certificates, *password; /* null: none */
    struct member members[SENTINELS_GROUP_MAX];
};

static char *security_words(const struct sentinel_group *group, const struct member *member)
{
    const char *folder = group->certificates;
    return folder == NULL
               ? mem_strdup("")
               : mem_printf("tls-port %u\ntls-replication yes\ntls-cert-file %s/node.crt\n"
                            "tls-key-file %s/node.key\ntls-ca-cert-file %s/ca.crt\n"
                            "requirepass %s\nsentinel sentinel-pass %s\n",
                            member->tls_port, folder, folder, folder, group->password,
                            group->password);
}

/* It keeps what it learns in its configuration, so that one has to be there. */
static void launch(const struct sentinel_group *group, struct member *member)
{
    member->folder = scratch_folder("sentinel");
    member->port = scratch_port();
    member->tls_port = group->certificates != NULL ? scratch_port() : 0;
    char *path = mem_printf("%s/conf", member->folder);
    char *log = mem_printf("%s/log", member->folder);
    char *security = security_words(group, member);
    char *text = mem_printf("port %u\nbind 127.0.0.1\ndir %s\n%s", (unsigned)member->port,
                            member->folder, security);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    const char *argv[] = {"redis-sentinel", path, NULL};
    member->process = process_start("redis-sentinel", argv, NULL, log);
    mem_free(text);
    mem_free(security);
    mem_free(log);
    mem_free(path);
}

static void connect_member(struct member *member)
{
    uint64_t deadline_us = deadline_after_ms(START_MS);
    while ((member->client = client_try_connect(member->port)) == NULL) {
        if (!process_is_running(member->process) || deadline_is_over(deadline_us)) {
            process_print_log(member->process, 10);
            fail_msg("redis-sentinel does not start; is it installed?");
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
}

static void log_in(const struct sentinel_group *group, struct member *member)
{
    char *words = mem_printf("AUTH %s", group->password);
    expect(member->client, words, "+OK");
    mem_free(words);
}

struct sentinel_group *sentinel_group_start_secured(unsigned count, const char *certificates,
                                                    const char *password)
{
    struct sentinel_group *group = mem_zalloc(sizeof(*group));
    assert_in_range(count, 1, SENTINELS_GROUP_MAX);
    group->count = count;
    group->certificates = certificates;
    group->password = password;
    for (unsigned i = 0; i < count; i++) {
        launch(group, &group->members[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        connect_member(&group->members[i]);
        if (password != NULL) {
            log_in(group, &group->members[i]);
        }
    }
    return group;
}

struct sentinel_group *sentinel_group_start(unsigned count)
{
    return sentinel_group_start_secured(count, NULL, NULL);
}

void sentinel_group_stop(struct sentinel_group *group)
{
    for (unsigned i = 0; group != NULL && i < group->count; i++) {
        client_close(group->members[i].client);
        process_kill(group->members[i].process);
        (void)process_stop(group->members[i].process);
        scratch_remove(group->members[i].folder);
    }
    mem_free(group);
}

void sentinel_group_place(const struct sentinel_group *group, const char *name, char *place,
                          size_t size)
{
    (void)snprintf(place, size, "sentinel://%s@", name);
    for (unsigned i = 0; i < group->count; i++) {
        const struct member *member = &group->members[i];
        bool is_tls = member->tls_port != 0;
        size_t used = strlen(place);
        (void)snprintf(place + used, size - used, "%s%s127.0.0.1:%u", i > 0 ? "," : "",
                       is_tls ? "tls:" : "", is_tls ? member->tls_port : member->port);
    }
}

struct process *sentinel_group_member(struct sentinel_group *group, unsigned member)
{
    return group->members[member].process;
}

static void tell(struct member *member, const char *words)
{
    expect(member->client, words, "+OK");
}

static void monitor(struct member *member, const char *name, uint16_t port, unsigned quorum)
{
    char words[160];
    (void)snprintf(words, sizeof(words), "SENTINEL MONITOR %s 127.0.0.1 %u %u", name, port, quorum);
    tell(member, words);
    (void)snprintf(words, sizeof(words),
                   "SENTINEL SET %s down-after-milliseconds 3000 failover-timeout 6000", name);
    tell(member, words);
}

void sentinel_group_be_patient(struct sentinel_group *group, const char *name, bool is_patient)
{
    char words[96];
    (void)snprintf(words, sizeof(words), "SENTINEL SET %s down-after-milliseconds %u", name,
                   is_patient ? 120000u : 500u);
    for (unsigned i = 0; i < group->count; i++) {
        tell(&group->members[i], words);
    }
}

void sentinel_group_monitor(struct sentinel_group *group, const char *name, uint16_t port)
{
    for (unsigned i = 0; i < group->count; i++) {
        monitor(&group->members[i], name, port, group->count / 2 + 1);
    }
}

void sentinel_group_mislead(struct sentinel_group *group, unsigned member, const char *name,
                            uint16_t port)
{
    char words[64];
    (void)snprintf(words, sizeof(words), "SENTINEL REMOVE %s", name);
    tell(&group->members[member], words);
    monitor(&group->members[member], name, port, group->count / 2 + 1);
}

/* SENTINEL MASTER answers fields and values, alternating. */
static unsigned long field(struct member *member, const char *name, const char *field_name)
{
    char words[64], label[64];
    (void)snprintf(words, sizeof(words), "SENTINEL MASTER %s", name);
    (void)snprintf(label, sizeof(label), " %s, ", field_name);
    char *reply = client_ask(member->client, words);
    const char *found = strstr(reply, label);
    unsigned long value = found != NULL ? strtoul(found + strlen(label), NULL, 10) : 0;
    mem_free(reply);
    return value;
}

/* SENTINEL REPLICAS answers the like for each: a dead one's flags are "slave,s_down". */
static bool has_replica(struct member *member, const char *name, uint16_t replica)
{
    char words[64], alive[96];
    (void)snprintf(words, sizeof(words), "SENTINEL REPLICAS %s", name);
    (void)snprintf(alive, sizeof(alive), "port, %u, ", replica);
    char *reply = client_ask(member->client, words);
    const char *found = strstr(reply, alive);
    const char *flags = found != NULL ? strstr(found, " flags, ") : NULL;
    bool is_alive = flags != NULL && strncmp(flags, " flags, slave, ", 15) == 0 &&
                    strstr(flags, "master-link-status, ok") != NULL;
    mem_free(reply);
    return is_alive;
}

void sentinel_group_wait(struct sentinel_group *group, const char *name, uint16_t replica)
{
    for (unsigned i = 0; i < group->count; i++) {
        struct member *member = &group->members[i];
        WAIT_UNTIL(has_replica(member, name, replica) &&
                       field(member, name, "num-other-sentinels") >= group->count - 1,
                   START_MS);
    }
}

bool sentinel_group_is_content(struct sentinel_group *group, const char *name)
{
    char words[64];
    bool is_content = true;
    (void)snprintf(words, sizeof(words), "SENTINEL MASTER %s", name);
    for (unsigned i = 0; is_content && i < group->count; i++) {
        char *reply = client_ask(group->members[i].client, words);
        is_content = strstr(reply, " flags, master, ") != NULL; /* else also s_down or the like */
        mem_free(reply);
    }
    return is_content;
}

uint16_t sentinel_group_primary(struct sentinel_group *group, const char *name)
{
    return (uint16_t)field(&group->members[0], name, "port");
}
