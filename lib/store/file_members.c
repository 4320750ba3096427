/* DIR/members/<kind>.<id>.<incarnation>.json, written anew at every renewal: the file's age is the
 * age of the heartbeat. Nothing is synced, a lease is only a hint. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/store/file_store.h"

#define MEMBER_MAX_BYTES ((size_t)131072) /* file_read asks for 64 kB of room at a time */

/* A name for a file from words that somebody else chose. */
static char *member_path(const struct file_store *store, const struct store_member *member,
                         const char *suffix)
{
    char *name = mem_printf("%s.%s.%s.%s", member->kind, member->id, member->incarnation, suffix);
    for (char *at = name; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte >= 128 || (isalnum(byte) == 0 && strchr("_.-", *at) == NULL)) {
            *at = '_';
        }
    }
    char *path = file_store_path(store, "members/%s", name);
    mem_free(name);
    return path;
}

static bool make_folder(const struct file_store *store, struct error *err)
{
    char *path = file_store_path(store, "members");
    bool ok = mkdir(path, 0755) == 0 || errno == EEXIST;
    if (!ok) {
        (void)error_set(err, "cannot make folder \"%s\": %s", path, strerror(errno));
    }
    mem_free(path);
    return ok;
}

static bool write_whole(const char *path, struct slice text, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && write(fd, text.data, text.len) == (ssize_t)text.len;
    int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok ? true : error_set(err, "cannot write \"%s\": %s", path, strerror(why));
}

bool file_renew(struct store *base, const struct store_member *member, struct error *err)
{
    const struct file_store *store = (const struct file_store *)base;
    if (!make_folder(store, err)) {
        return false;
    }
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    member_format(member, &text);
    char *tmp = member_path(store, member, "tmp");
    char *path = member_path(store, member, "json");
    bool ok = write_whole(tmp, buffer_slice(&text), err);
    if (ok && rename(tmp, path) != 0) {
        ok = error_set(err, "cannot rename \"%s\": %s", tmp, strerror(errno));
    }
    mem_free(tmp);
    mem_free(path);
    buffer_fini(&text);
    return ok;
}

bool file_unregister(struct store *base, const struct store_member *member, struct error *err)
{
    const struct file_store *store = (const struct file_store *)base;
    char *path = member_path(store, member, "json");
    bool ok = unlink(path) == 0 || errno == ENOENT;
    if (!ok) {
        (void)error_set(err, "cannot remove \"%s\": %s", path, strerror(errno));
    }
    mem_free(path);
    return ok;
}

static uint64_t age_ms(const struct stat *status)
{
    uint64_t then =
        (uint64_t)status->st_mtim.tv_sec * 1000 + (uint64_t)status->st_mtim.tv_nsec / 1000000;
    uint64_t now = clock_wall_ms();
    return now > then ? now - then : 0;
}

/* False when there is no member in it (any more). */
static bool read_member(const char *path, struct store_member *member)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode)) {
        return false;
    }
    uint64_t age = age_ms(&status);
    if (age > GONE_MS) {
        (void)unlink(path); /* whoever lists next tries again */
        return false;
    }
    struct buffer text;
    buffer_init(&text, MEMBER_MAX_BYTES);
    size_t length = strlen(path);
    bool ok = length > 5 && strcmp(path + length - 5, ".json") == 0 &&
              file_read(path, &text, NULL, NULL) && member_parse(buffer_slice(&text), member);
    buffer_fini(&text);
    member->heartbeat_age_ms = age;
    member->is_alive = age <= STORE_LEASE_MS;
    return ok;
}

static void read_folder(const struct file_store *store, DIR *folder, struct store_member **members,
                        unsigned *count)
{
    struct member_list list = {NULL, 0, 0};
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        struct store_member member;
        char *path = file_store_path(store, "members/%s", entry->d_name);
        if (read_member(path, &member)) {
            member_list_add(&list, &member);
        }
        mem_free(path);
    }
    member_list_sort(&list);
    *members = list.members;
    *count = list.count;
}

bool file_members(struct store *base, struct store_member **members, unsigned *count,
                  struct error *err)
{
    const struct file_store *store = (const struct file_store *)base;
    char *path = file_store_path(store, "members");
    DIR *folder = opendir(path);
    bool ok = folder != NULL || errno == ENOENT; /* nobody has registered yet */
    if (!ok) {
        (void)error_set(err, "cannot open folder \"%s\": %s", path, strerror(errno));
    }
    if (folder != NULL) {
        read_folder(store, folder, members, count);
        (void)closedir(folder);
    }
    mem_free(path);
    return ok;
}
