#include "tests/support/chaos/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/store/store.h"
#include "tests/support/client.h"
#include "tests/support/wait.h"

#define HANG_TRIES 1000
#define RECOVER_MS 60000

static void limit_programs(struct cluster *cluster, uint64_t size_bytes)
{
    for (unsigned i = 0; i < cluster_proxies(cluster); i++) {
        process_limit_files(cluster_proxy(cluster, i), size_bytes);
    }
    process_limit_files(cluster_migrator(cluster), size_bytes);
}

/* The journal's next record is cut short, or nothing can be written at all: both happen. */
void disks_fill_store(struct cluster *cluster)
{
    static unsigned count;
    struct stat status;
    char *journal = mem_printf("%s/journal", cluster_store(cluster) + strlen("file:"));
    bool cuts_record = count++ % 2 == 0 && stat(journal, &status) == 0;
    limit_programs(cluster, cuts_record ? (uint64_t)status.st_size + 20 : 0);
    mem_free(journal);
}

void disks_free_store(struct cluster *cluster)
{
    limit_programs(cluster, UINT64_MAX);
}

static uint64_t newest_epoch(struct cluster *cluster)
{
    struct store *store = store_open(cluster_store(cluster), NULL);
    uint64_t epoch = 0;
    bool is_known = store != NULL && store_epoch(store, &epoch, NULL);
    store_close(store);
    assert_true(is_known);
    return epoch;
}

char *disks_hang_store(struct cluster *cluster)
{
    for (unsigned i = 0; i < HANG_TRIES; i++) {
        char *path = mem_printf("%s/topology.%llu", cluster_store(cluster) + strlen("file:"),
                                (unsigned long long)newest_epoch(cluster) + 1);
        if (mkfifo(path, 0644) == 0) {
            return path;
        }
        assert_int_equal(errno, EEXIST); /* somebody was faster with that epoch */
        mem_free(path);
    }
    fail_msg("there is always somebody faster");
    return NULL;
}

/* A writer that comes lets the readers in, and the end that it leaves lets them out again. */
void disks_wake_store(char *hanging)
{
    int fd = open(hanging, O_RDWR | O_CLOEXEC);
    assert_int_equal(unlink(hanging), 0);
    (void)close(fd);
    mem_free(hanging);
}

static void sync_shards(struct cluster *cluster, unsigned shards, const char *policy)
{
    char *words = mem_printf("CONFIG SET appendfsync %s", policy);
    for (unsigned i = 0; i < shards; i++) {
        struct client *client = client_try_connect(cluster_shard_port(cluster, i));
        if (client != NULL) {
            mem_free(client_ask(client, words));
            client_close(client);
        }
    }
    mem_free(words);
}

void disks_fill_shard(struct cluster *cluster, unsigned shards, unsigned shard)
{
    sync_shards(cluster, shards, "everysec");
    process_limit_files(redis_server_process(cluster_shard(cluster, shard)), 0);
}

static bool writes_again(struct cluster *cluster, unsigned shard)
{
    struct client *client = client_try_connect(cluster_shard_port(cluster, shard));
    char *info = client != NULL ? client_ask(client, "INFO persistence") : mem_strdup("");
    bool is_good = strstr(info, "aof_last_write_status:ok") != NULL;
    mem_free(info);
    client_close(client);
    return is_good;
}

/* It writes what it had put off before it syncs again at every write. */
void disks_free_shard(struct cluster *cluster, unsigned shards, unsigned shard)
{
    process_limit_files(redis_server_process(cluster_shard(cluster, shard)), UINT64_MAX);
    WAIT_UNTIL(writes_again(cluster, shard), RECOVER_MS);
    sync_shards(cluster, shards, "always");
}
