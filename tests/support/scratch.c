#include "tests/support/scratch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/base/random.h"
#include "tests/support/bug_report.h"

#define FOLDERS_MAX 256
#define PORT_TRIES  10000

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

/* --- ports -----------------------------------------------------------------------------------
 *
 * A port that the kernel gives to whoever binds or connects without naming one could be taken
 * between our choice and the server's start, and between its end and its restart. So ours are
 * outside of that range, and each test program locks those that it has chosen, one byte for each,
 * in a file that all test programs of the machine share. The kernel unlocks them when it ends. */

#define PORTS_FILE "/tmp/sluice-test-ports"
#define PORT_FIRST 10240u /* well-known ones are below */
#define PORTS_MIN  4096u

struct ports {
    int lock;
    pid_t owner; /* a fork has to have a lock of its own */
    unsigned first, count;
};

/* Of any user: it is made for all, and in such a folder only whoever made it may name O_CREAT. */
static int open_ports_file(void)
{
    int fd = open(PORTS_FILE, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        mode_t mask = umask(0);
        fd = open(PORTS_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        (void)umask(mask);
    }
    return fd >= 0 || errno != EEXIST ? fd : open(PORTS_FILE, O_RDWR | O_CLOEXEC);
}

/* The larger part of what the kernel does not give away by itself. */
static void choose_range(struct ports *ports)
{
    unsigned low = 32768, high = 60999;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (file != NULL) {
        int nread = fscanf(file, "%u %u", &low, &high);
        ASSERT(nread == 2 && low <= high && high <= UINT16_MAX);
        (void)fclose(file);
    }
    unsigned below = low > PORT_FIRST ? low - PORT_FIRST : 0, above = UINT16_MAX - high;
    ports->first = below >= above ? PORT_FIRST : high + 1;
    ports->count = below >= above ? below : above;
    if (ports->count < PORTS_MIN) { /* it gives nearly all of them away: no better than others */
        ports->first = PORT_FIRST;
        ports->count = UINT16_MAX - PORT_FIRST;
    }
}

static struct ports *open_ports(void)
{
    static struct ports ports;
    if (ports.owner != getpid()) {
        choose_range(&ports);
        ports.owner = getpid();
        ports.lock = open_ports_file();
        ASSERT(ports.lock >= 0);
    }
    return &ports;
}

static bool lock_port(const struct ports *ports, uint16_t port)
{
    struct flock byte = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = port, .l_len = 1};
    return fcntl(ports->lock, F_OFD_SETLK, &byte) == 0;
}

/* Nobody else's server is there, nor connections to a former one. */
static bool is_port_free(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(fd >= 0);
    bool is_free = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    (void)close(fd);
    return is_free;
}

uint16_t scratch_port(void)
{
    const struct ports *ports = open_ports();
    for (int i = 0; i < PORT_TRIES; i++) {
        uint16_t port = (uint16_t)(ports->first + random_system() % ports->count);
        if (!port_was_given[port] && lock_port(ports, port) && is_port_free(port)) {
            port_was_given[port] = true;
            return port;
        }
    }
    ASSERT(!"a free port");
    return 0;
}

/* --- seed ------------------------------------------------------------------------------------ */

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
