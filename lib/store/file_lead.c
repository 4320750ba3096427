/* DIR/leaders/<kind>.<term>: the holder of the highest term leads. Claiming the next term is one
 * link(2), as an epoch is. The holder touches its file at every renewal and holds a lock on it,
 * which the kernel lets go when it dies: a dead leader is followed at once, one that hangs when its
 * file is too old. The lock is never waited for, and nothing safe hangs on any of this: who leads
 * only keeps two from doing the same work. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/base/random.h"
#include "lib/store/file_store.h"

static char *term_path(const struct file_store *store, const char *kind, uint64_t term)
{
    return file_store_path(store, "leaders/%s.%llu", kind, (unsigned long long)term);
}

static bool make_folder(const struct file_store *store, struct error *err)
{
    char *path = file_store_path(store, "leaders");
    bool ok = mkdir(path, 0755) == 0 || errno == EEXIST ||
              error_set(err, "cannot make folder \"%s\": %s", path, strerror(errno));
    mem_free(path);
    return ok;
}

/* The term of a file "<kind>.<term>", or 0. */
static uint64_t term_of_name(const char *name, const char *kind)
{
    uint64_t term = 0;
    struct slice text = slice_of(name), prefix = slice_of(kind);
    bool is_one =
        slice_starts_with(text, prefix) && text.len > prefix.len && text.data[prefix.len] == '.' &&
        number_parse_u64((struct slice){text.data + prefix.len + 1, text.len - prefix.len - 1},
                         &term);
    return is_one ? term : 0;
}

static bool highest_term(const struct file_store *store, const char *kind, uint64_t *term,
                         struct error *err)
{
    char *path = file_store_path(store, "leaders");
    DIR *folder = opendir(path);
    *term = 0;
    if (folder == NULL) {
        (void)error_set(err, "cannot open folder \"%s\": %s", path, strerror(errno));
        mem_free(path);
        return false;
    }
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        uint64_t found = term_of_name(entry->d_name, kind);
        *term = found > *term ? found : *term;
    }
    (void)closedir(folder);
    mem_free(path);
    return true;
}

/* Nobody holds it any more: its holder died, gave it back, or has not touched it for too long. */
static bool is_free(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT;
    }
    bool is_dead = flock(fd, LOCK_EX | LOCK_NB) == 0;
    uint64_t now_ms = clock_wall_ms();
    uint64_t touched_ms = 0;
    if (fstat(fd, &status) == 0) {
        touched_ms =
            (uint64_t)status.st_mtim.tv_sec * 1000 + (uint64_t)status.st_mtim.tv_nsec / 1000000;
    }
    (void)close(fd);
    return is_dead || now_ms > touched_ms + STORE_LEAD_MS;
}

void file_lead_let_go(struct file_store *store)
{
    if (store->lead_fd >= 0) {
        (void)close(store->lead_fd); /* and with it the lock */
    }
    store->lead_fd = -1;
    store->lead_term = 0;
}

/* Links a file of our own, which we have locked already, to the term's name. */
static bool claim(struct file_store *store, const char *kind, uint64_t term, struct error *err)
{
    char random[17];
    random_hex(random, 16);
    char *tmp = file_store_path(store, "leaders/tmp.%s", random),
         *path = term_path(store, kind, term);
    int fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    bool ok = fd >= 0 || error_set(err, "cannot make \"%s\": %s", tmp, strerror(errno));
    bool is_ours = ok && flock(fd, LOCK_EX | LOCK_NB) == 0 && link(tmp, path) == 0;
    if (is_ours) {
        store->lead_fd = fd;
        store->lead_term = term;
    } else if (fd >= 0) {
        (void)close(fd);
    }
    (void)unlink(tmp); /* what stays behind is not a term */
    mem_free(tmp);
    mem_free(path);
    return ok;
}

static void remove_term(const struct file_store *store, const char *kind, uint64_t term)
{
    char *path = term_path(store, kind, term);
    (void)unlink(path); /* it only costs room */
    mem_free(path);
}

bool file_lead(struct store *base, const struct store_member *member, bool *leads,
               struct error *err)
{
    struct file_store *store = (struct file_store *)base;
    uint64_t term = 0;
    if (!make_folder(store, err) || !highest_term(store, member->kind, &term, err)) {
        return false;
    }
    if (store->lead_term == 0 || store->lead_term != term) {
        file_lead_let_go(store);
        char *path = term_path(store, member->kind, term);
        bool free = term == 0 || is_free(path);
        mem_free(path);
        if (free && !claim(store, member->kind, term + 1, err)) {
            return false;
        }
        if (store->lead_term != 0 && term > 0) {
            remove_term(store, member->kind, term);
        }
    }
    *leads = store->lead_term != 0 && futimens(store->lead_fd, NULL) == 0;
    return true;
}

bool file_yield(struct store *base, const struct store_member *member, struct error *err)
{
    (void)member;
    (void)err;
    file_lead_let_go((struct file_store *)base);
    return true;
}
