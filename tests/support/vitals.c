#include "tests/support/vitals.h"

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/memory.h"

uint64_t vitals_resident_bytes(pid_t pid)
{
    char path[64];
    uint64_t size = 0, resident = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    int found = fscanf(file, "%" SCNu64 " %" SCNu64, &size, &resident);
    (void)fclose(file);
    return found == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

void vitals_begin_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (file != NULL) {
        (void)fputs("5\n", file);
        (void)fclose(file);
    }
}

uint64_t vitals_peak_bytes(void)
{
    char line[256];
    uint64_t kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "VmHWM: %" SCNu64, &kilobytes);
    }
    (void)fclose(file);
    assert_true(kilobytes > 0);
    return kilobytes * 1024;
}

unsigned vitals_descriptors(pid_t pid)
{
    char path[64];
    unsigned count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return 0;
    }
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(folder);
    return count;
}

uint64_t vitals_cpu_us(pid_t pid)
{
    char path[64];
    uint64_t running_ns = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    int found = fscanf(file, "%" SCNu64, &running_ns);
    (void)fclose(file);
    return found == 1 ? running_ns / 1000 : 0;
}

uint64_t vitals_info_number(struct client *shard, const char *section, const char *name)
{
    uint64_t value = 0;
    char *words = mem_printf("INFO %s", section);
    char *pattern = mem_printf("\n%s:", name);
    char *info = client_ask(shard, words);
    const char *found = strstr(info, pattern);
    if (found == NULL || sscanf(found + strlen(pattern), "%" SCNu64, &value) != 1) {
        fail_msg("%s does not say %s:\n%s", words, name, info);
    }
    mem_free(words);
    mem_free(pattern);
    mem_free(info);
    return value;
}

static bool is_metadata(const char *key)
{
    return strcmp(key, "__sluice:fence") != 0 && strcmp(key, "__sluice:scripts") != 0;
}

unsigned vitals_metadata_keys(struct client *shard)
{
    unsigned count = 0;
    redisReply *reply = redisCommand(client_context(shard), "KEYS __sluice:*");
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        fail_msg("a shard does not answer KEYS");
        return 0;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        count += is_metadata(reply->element[i]->str);
    }
    freeReplyObject(reply);
    return count;
}
