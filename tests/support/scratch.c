#include "tests/support/scratch.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/base/random.h"
#include "tests/support/bug_report.h"

#define FOLDERS_MAX 256
#define PORT_TRIES  200

/* The folders of this program, so that they go even when a test fails half-way. */
static char *folders[FOLDERS_MAX];
static pid_t folders_owner;
static bool port_was_given[UINT16_MAX + 1];

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int look_at_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)walk;
    if (kind == FTW_F) {
        bug_report_refuse(path);
    }
    return 0;
}

static void remove_tree(const char *folder)
{
    (void)nftw(folder, look_at_entry, 16, FTW_PHYS);
    if (getenv("SLUICE_KEEP") == NULL) {
        /* Best effort: a folder that stays behind under /tmp fails no test. */
        (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
}

static void remove_all(void)
{
    if (getpid() != folders_owner) {
        return; /* a fork that did not get as far as exec */
    }
    for (int i = 0; i < FOLDERS_MAX; i++) {
        if (folders[i] != NULL) {
            remove_tree(folders[i]);
            mem_free(folders[i]);
            folders[i] = NULL;
        }
    }
}

char *scratch_folder(const char *name)
{
    const char *parent = getenv("TMPDIR");
    char *folder = mem_printf("%s/sluice-%s-XXXXXX", parent != NULL ? parent : "/tmp", name);
    ASSERT(mkdtemp(folder) != NULL);
    if (folders_owner == 0) {
        folders_owner = getpid();
        (void)atexit(remove_all);
    }
    for (int i = 0; i < FOLDERS_MAX; i++) {
        if (folders[i] == NULL) {
            folders[i] = mem_strdup(folder);
            return folder;
        }
    }
    ASSERT(!"room in the table of folders");
    return folder;
}

void scratch_remove(char *folder)
{
    for (int i = 0; folder != NULL && i < FOLDERS_MAX; i++) {
        if (folders[i] != NULL && strcmp(folders[i], folder) == 0) {
            remove_tree(folder);
            mem_free(folders[i]);
            folders[i] = NULL;
        }
    }
    mem_free(folder);
}

uint16_t scratch_port(void)
{
    for (int i = 0; i < PORT_TRIES; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT(fd >= 0);
        bool is_bound = bind(fd, (struct sockaddr *)&address, length) == 0 &&
                        getsockname(fd, (struct sockaddr *)&address, &length) == 0;
        (void)close(fd);
        uint16_t port = ntohs(address.sin_port);
        if (is_bound && !port_was_given[port]) {
            port_was_given[port] = true;
            return port;
        }
    }
    ASSERT(!"a free port");
    return 0;
}

uint64_t scratch_seed(void)
{
    static uint64_t seed;
    if (seed == 0) {
        const char *text = getenv("SLUICE_SEED");
        if (text == NULL || !number_parse_u64(slice_of(text), &seed) || seed == 0) {
            seed = (random_system() >> 16) | 1;
        }
        (void)fprintf(stderr, "seed: SLUICE_SEED=%llu repeats this run\n",
                      (unsigned long long)seed);
    }
    return seed;
}
