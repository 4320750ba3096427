/* DIR/journal: "\n" record "\n", one write(2) each. The newline in front ends a record that a crash
 * cut short, so that only that one is lost; appenders of several processes do not mix, since the
 * file is opened with O_APPEND. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "lib/base/fail_point.h"
#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/store/file_store.h"

/* The folder is synced once a handle: another process may have made the file and died before it
 * synced. */
static bool open_journal(struct file_store *store, struct error *err)
{
    if (store->journal_fd >= 0) {
        return true;
    }
    char *path = file_store_path(store, "journal");
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        (void)error_set(err, "cannot open \"%s\": %s", path, strerror(errno));
    }
    mem_free(path);
    if (fd >= 0 && !file_sync_folder(store->folder, err)) {
        (void)close(fd);
        return false;
    }
    store->journal_fd = fd;
    return fd >= 0;
}

static bool write_record(int fd, struct slice record)
{
    struct buffer line;
    buffer_init(&line, SIZE_MAX);
    buffer_add_text(&line, "\n");
    buffer_add(&line, record.data, record.len);
    buffer_add_text(&line, "\n");
    ssize_t written;
    do {
        written = write(fd, buffer_slice(&line).data, buffer_length(&line));
    } while (written < 0 && errno == EINTR);
    bool is_whole = written == (ssize_t)buffer_length(&line);
    if (written >= 0 && !is_whole) {
        errno = ENOSPC; /* a file takes less than the whole only when it may not grow */
    }
    buffer_fini(&line);
    return is_whole;
}

bool file_append(struct store *base, struct slice record, struct error *err)
{
    struct file_store *store = (struct file_store *)base;
    if (FAIL_POINT("store.append.before")) {
        return error_set(err, "cannot append to \"%s/journal\": failed on purpose", store->folder);
    }
    if (!open_journal(store, err)) {
        return false;
    }
    bool ok = write_record(store->journal_fd, record) && fdatasync(store->journal_fd) == 0;
    if (!ok) {
        return error_set(err, "cannot append to \"%s/journal\": %s", store->folder,
                         strerror(errno));
    }
    return true;
}

static bool is_complete(struct slice line)
{
    if (line.len < 2 || line.data[0] != '{' || line.data[line.len - 1] != '}') {
        return false;
    }
    json_t *object = json_loadb(line.data, line.len, 0, NULL);
    bool ok = json_is_object(object);
    json_decref(object);
    return ok;
}

/* From *position on, which is left behind the last whole line. */
static bool read_lines(FILE *file, uint64_t *position, journal_read_fn *read, void *context)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    bool goes_on = true;
    bool failed = fseeko(file, (off_t)*position, SEEK_SET) != 0;
    while (!failed && goes_on && (length = getline(&line, &capacity, file)) > 0) {
        /* The last line may be one that is just being written: then it has no newline yet. */
        if (line[length - 1] != '\n') {
            break;
        }
        struct slice record = {line, (size_t)length - 1};
        *position += (uint64_t)length;
        goes_on = !is_complete(record) || read(context, record);
    }
    failed = failed || ferror(file) != 0;
    free(line);
    return !failed;
}

bool file_journal(struct store *base, uint64_t *position, journal_read_fn *read, void *context,
                  struct error *err)
{
    struct file_store *store = (struct file_store *)base;
    char *path = file_store_path(store, "journal");
    FILE *file = fopen(path, "re");
    bool ok = true;
    if (file != NULL) {
        ok = read_lines(file, position, read, context);
        (void)fclose(file);
    } else if (errno == ENOENT && access(store->folder, F_OK) != 0) {
        ok = store_is_missing(base, err);
    } else if (errno != ENOENT) {
        ok = error_set(err, "cannot open \"%s\": %s", path, strerror(errno));
    }
    if (file != NULL && !ok) {
        (void)error_set(err, "cannot read \"%s\"", path);
    }
    mem_free(path);
    return ok;
}
