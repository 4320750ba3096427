/* The epochs of the file store. A compare-and-swap is one link(2):
 *
 *   write tmp.<random>, fsync -> link(tmp, topology.<e>) -> unlink tmp -> fsync the folder
 *                                        |
 *                                        +-- EEXIST: lost
 *
 * There is no lock: a stopped holder would block everybody, and a broken lock would let it write
 * late. Epochs are contiguous, so the newest is found by probing upwards from the last known.
 * A reader syncs the folder before it returns an epoch that it sees for the first time: nobody may
 * act on an epoch that a power cut could take back. */
#include "lib/store/file_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/fail_point.h"
#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/base/random.h"
#include "lib/topology/document.h"

#define DOCUMENT_MAX_BYTES ((size_t)64 << 20)
#define READ_TRIES         100
#define STALE_TMP_S        86400

static struct file_store *file_store_of(struct store *base)
{
    return (struct file_store *)base;
}

char *file_store_path(const struct file_store *store, const char *format, ...)
{
    char *name = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&name, format, args);
    va_end(args);
    ASSERT(length >= 0);
    char *path = mem_printf("%s/%s", store->folder, name);
    free(name);
    return path;
}

static char *epoch_path(const struct file_store *store, uint64_t epoch)
{
    return file_store_path(store, "topology.%llu", (unsigned long long)epoch);
}

/* --- the newest epoch --------------------------------------------------------------------- */

static enum newest_result epoch_exists(const struct file_store *store, uint64_t epoch,
                                       struct error *err)
{
    char *path = epoch_path(store, epoch);
    bool exists = access(path, F_OK) == 0;
    int why = errno;
    enum newest_result result = exists ? NEWEST_FOUND : NEWEST_NONE;
    if (!exists && why != ENOENT && why != ENOTDIR) {
        (void)error_set(err, "cannot look for \"%s\": %s", path, strerror(why));
        result = NEWEST_FAILED;
    }
    mem_free(path);
    return result;
}

/* The epoch of a file name, or 0. */
static uint64_t epoch_of_name(const char *name)
{
    uint64_t epoch;
    struct slice text = slice_of(name), prefix = SLICE("topology.");
    bool is_epoch =
        slice_starts_with(text, prefix) &&
        number_parse_u64((struct slice){text.data + prefix.len, text.len - prefix.len}, &epoch);
    return is_epoch ? epoch : 0;
}

/* A crash between writing and linking leaves these. A writer that comes back after a day finds its
 * file gone, and its link fails. */
static void remove_stale_tmp(const struct file_store *store, const char *name)
{
    struct stat status;
    char *path = file_store_path(store, "%s", name);
    if (stat(path, &status) == 0 && time(NULL) - status.st_mtime > STALE_TMP_S) {
        (void)unlink(path); /* the next opener tries again */
    }
    mem_free(path);
}

static enum newest_result scan_folder(struct file_store *store, struct error *err)
{
    store->newest = 0;
    DIR *folder = opendir(store->folder);
    if (folder == NULL) {
        if (errno == ENOENT) {
            return NEWEST_NONE;
        }
        (void)error_set(err, "cannot open folder \"%s\": %s", store->folder, strerror(errno));
        return NEWEST_FAILED;
    }
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        uint64_t epoch = epoch_of_name(entry->d_name);
        store->newest = epoch > store->newest ? epoch : store->newest;
        if (strncmp(entry->d_name, "tmp.", 4) == 0) {
            remove_stale_tmp(store, entry->d_name);
        }
    }
    (void)closedir(folder);
    return store->newest > 0 ? NEWEST_FOUND : NEWEST_NONE;
}

/* Where probing starts: the last known epoch, if it still stands; else the folder is read, for it
 * was not known yet, or was replaced under us. */
static enum newest_result find_start(struct file_store *store, struct error *err)
{
    if (store->newest > 0) {
        enum newest_result known = epoch_exists(store, store->newest, err);
        if (known != NEWEST_NONE) {
            return known;
        }
        store->durable = 0;
    }
    return scan_folder(store, err);
}

static enum newest_result file_newest(struct store *base, uint64_t *epoch, struct error *err)
{
    struct file_store *store = file_store_of(base);
    /* A folder that was gone for a while is watched again by whoever asks again. */
    file_watch_folder(store);
    enum newest_result result = find_start(store, err);
    if (result != NEWEST_FOUND) {
        return result;
    }
    do {
        result = epoch_exists(store, store->newest + 1, err);
        store->newest += result == NEWEST_FOUND;
    } while (result == NEWEST_FOUND);
    *epoch = store->newest;
    return result == NEWEST_FAILED ? NEWEST_FAILED : NEWEST_FOUND;
}

/* --- reading ------------------------------------------------------------------------------ */

static bool make_durable(struct file_store *store, uint64_t epoch, struct error *err)
{
    if (epoch <= store->durable) {
        return true;
    }
    if (!file_sync_folder(store->folder, err)) {
        return false;
    }
    store->durable = epoch;
    return true;
}

static struct topology *read_epoch(struct file_store *store, uint64_t epoch, struct error *err)
{
    struct buffer text;
    buffer_init(&text, DOCUMENT_MAX_BYTES);
    struct topology *topology = NULL;
    char *path = epoch_path(store, epoch);
    if (file_read(path, &text, NULL, err)) {
        topology = document_parse(buffer_slice(&text), err);
        if (topology == NULL) {
            (void)error_prefix(err, "\"%s\"", path);
        }
    }
    if (topology != NULL && topology->epoch != epoch) {
        (void)error_set(err, "\"%s\" says it is epoch %llu", path,
                        (unsigned long long)topology->epoch);
        topology_free(topology);
        topology = NULL;
    }
    mem_free(path);
    buffer_fini(&text);
    return topology;
}

static struct topology *file_read_newest(struct store *base, bool *is_missing, struct error *err)
{
    struct file_store *store = file_store_of(base);
    uint64_t epoch = 0, failed = 0;
    for (unsigned tries = 0; tries < READ_TRIES; tries++) {
        enum newest_result result = file_newest(base, &epoch, err);
        if (result == NEWEST_NONE) {
            (void)store_is_missing(base, err);
        }
        if (is_missing != NULL) {
            *is_missing = result == NEWEST_NONE;
        }
        /* What cannot be read may have been emptied: then there is a newer one. */
        if (result != NEWEST_FOUND || epoch == failed || !make_durable(store, epoch, err)) {
            return NULL;
        }
        struct topology *topology = read_epoch(store, epoch, err);
        if (topology != NULL) {
            return topology;
        }
        failed = epoch;
    }
    return NULL;
}

/* --- writing ------------------------------------------------------------------------------ */

static bool file_prepare(struct store *base, struct error *err)
{
    struct file_store *store = file_store_of(base);
    if (mkdir(store->folder, 0755) != 0 && errno != EEXIST) {
        return error_set(err, "cannot make folder \"%s\": %s", store->folder, strerror(errno));
    }
    char *parent = mem_printf("%s/..", store->folder);
    bool ok = file_sync_folder(parent, err);
    mem_free(parent);
    file_watch_folder(store);
    return ok;
}

static bool may_write_path(char *path, int wanted, struct error *err)
{
    bool may =
        faccessat(AT_FDCWD, path, wanted, AT_EACCESS) == 0 ||
        (errno != EACCES && errno != EPERM && errno != EROFS) ||
        error_set(err, "cannot write \"%s\": %s: give this user the folder", path, strerror(errno));
    mem_free(path);
    return may;
}

/* What is not there yet will be made by whom the folder lets. */
static bool file_may_write(struct store *base, struct error *err)
{
    const struct file_store *store = file_store_of(base);
    return may_write_path(file_store_path(store, "members"), W_OK | X_OK, err) &&
           may_write_path(file_store_path(store, "leaders"), W_OK | X_OK, err) &&
           may_write_path(file_store_path(store, "journal"), W_OK, err) &&
           may_write_path(mem_strdup(store->folder), W_OK | X_OK, err);
}

/* True when both names are the same file: link was done, whatever it answered. */
static bool is_linked(const char *tmp, const char *path)
{
    struct stat a, b;
    return stat(tmp, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

/* Errors of link(2) after which nothing can have been done. */
static bool is_certain(int why)
{
    switch (why) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOSPC:
    case EDQUOT:
    case EMLINK:
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return true;
    default:
        return false;
    }
}

static enum cas_result link_epoch(const char *tmp, const char *path, struct error *err)
{
    if (FAIL_POINT("store.cas.before_link")) {
        (void)error_set(err, "cannot link \"%s\": failed on purpose", path);
        return CAS_FAILED;
    }
    bool ok = link(tmp, path) == 0;
    int why = errno;
    if (FAIL_POINT("store.cas.linked")) {
        (void)error_set(err, "cannot tell whether \"%s\" was linked: failed on purpose", path);
        return CAS_UNKNOWN;
    }
    if (ok || is_linked(tmp, path)) {
        return CAS_DONE;
    }
    (void)error_set(err, "cannot link \"%s\": %s", path, strerror(why));
    if (why == EEXIST) {
        return CAS_LOST;
    }
    return is_certain(why) ? CAS_FAILED : CAS_UNKNOWN;
}

/* Only the contents of what is long past; its name stays. */
static void empty_old_epoch(const struct file_store *store, uint64_t newest)
{
    if (newest > KEPT_EPOCHS) {
        char *path = epoch_path(store, newest - KEPT_EPOCHS);
        int failed = truncate(path, 0);
        (void)failed; /* it only costs room */
        mem_free(path);
    }
}

static enum cas_result publish(struct file_store *store, const char *tmp, uint64_t epoch,
                               struct error *err)
{
    char *path = epoch_path(store, epoch);
    enum cas_result result = link_epoch(tmp, path, err);
    if (result == CAS_DONE && !file_sync_folder(store->folder, err)) {
        (void)error_prefix(err, "epoch %llu was linked but may not survive a power cut",
                           (unsigned long long)epoch);
        result = CAS_UNKNOWN;
    }
    if (result == CAS_DONE) {
        store->newest = epoch;
        store->durable = epoch;
        empty_old_epoch(store, epoch);
    }
    mem_free(path);
    return result;
}

/* Under a name of its own, which *tmp gets whatever the result. */
static bool write_tmp(const struct file_store *store, struct slice document, char **tmp,
                      struct error *err)
{
    char random[17];
    random_hex(random, 16);
    *tmp = file_store_path(store, "tmp.%s", random);
    return file_write(*tmp, document, err);
}

static void remove_tmp(char *tmp)
{
    (void)unlink(tmp); /* what stays behind is removed a day later */
    mem_free(tmp);
}

static void drop_staged(struct file_store *store)
{
    if (store->staged_path != NULL) {
        remove_tmp(store->staged_path);
        store->staged_path = NULL;
    }
    buffer_fini(&store->staged);
}

static void file_stage(struct store *base, const struct topology *next)
{
    struct file_store *store = file_store_of(base);
    struct error ignored; /* store_cas meets it again */
    drop_staged(store);
    store->staged_epoch = next->epoch;
    document_format(next, &store->staged);
    if (!write_tmp(store, buffer_slice(&store->staged), &store->staged_path, &ignored)) {
        drop_staged(store);
    }
}

/* The file with exactly this document, if there is one. What is staged for a later epoch stays: the
 * change that comes between is the beginning of what must be short. */
static char *take_staged(struct file_store *store, uint64_t epoch, struct slice document)
{
    char *path = NULL;
    if (store->staged_path == NULL || epoch < store->staged_epoch) {
        return NULL;
    }
    if (slice_equal(buffer_slice(&store->staged), document)) {
        path = store->staged_path;
        store->staged_path = NULL;
    }
    drop_staged(store);
    return path;
}

static enum cas_result file_cas(struct store *base, const struct topology *next, struct error *err)
{
    struct file_store *store = file_store_of(base);
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    document_format(next, &text);
    char *tmp = take_staged(store, next->epoch, buffer_slice(&text));
    bool written = tmp != NULL || write_tmp(store, buffer_slice(&text), &tmp, err);
    enum cas_result result = written ? publish(store, tmp, next->epoch, err) : CAS_FAILED;
    remove_tmp(tmp);
    buffer_fini(&text);
    return result;
}

/* --- the handle --------------------------------------------------------------------------- */

static void file_close(struct store *base)
{
    struct file_store *store = file_store_of(base);
    file_watch_close(store);
    drop_staged(store);
    if (store->journal_fd >= 0) {
        (void)close(store->journal_fd);
    }
    file_lead_let_go(store);
    mem_free(store->folder);
    mem_free(store);
}

static const struct store_operations file_operations = {
    .close = file_close,
    .newest = file_newest,
    .read = file_read_newest,
    .may_write = file_may_write,
    .prepare = file_prepare,
    .cas = file_cas,
    .stage = file_stage,
    .watch_fd = file_watch_fd,
    .watch_clear = file_watch_clear,
    .renew = file_renew,
    .unregister = file_unregister,
    .members = file_members,
    .lead = file_lead,
    .yield = file_yield,
    .append = file_append,
    .journal = file_journal,
};

struct store *file_store_open(const char *place)
{
    struct file_store *store = mem_zalloc(sizeof(*store));
    store->store.operations = &file_operations;
    store->folder = mem_strdup(place);
    store->journal_fd = -1;
    store->lead_fd = -1;
    buffer_init(&store->staged, SIZE_MAX);
    file_watch_open(store);
    return &store->store;
}
