/* Wakes whoever waits when a name appears in the folder: link(2) makes one. */
#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "lib/store/file_store.h"

void file_watch_folder(struct file_store *store)
{
    if (store->watch_fd >= 0 && store->watch < 0) {
        store->watch = inotify_add_watch(store->watch_fd, store->folder,
                                         IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF);
    }
}

void file_watch_open(struct file_store *store)
{
    store->watch = -1;
    store->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC); /* -1: the caller polls */
    file_watch_folder(store);
}

void file_watch_close(struct file_store *store)
{
    if (store->watch_fd >= 0) {
        (void)close(store->watch_fd);
    }
}

int file_watch_fd(struct store *base)
{
    return ((struct file_store *)base)->watch_fd;
}

/* The folder was removed or moved away: another may appear at the same path. */
static void note_loss(struct file_store *store, const char *events, size_t size_bytes)
{
    for (size_t at = 0; at + sizeof(struct inotify_event) <= size_bytes;) {
        struct inotify_event event;
        memcpy(&event, events + at, sizeof(event));
        if (event.wd == store->watch && (event.mask & IN_MOVE_SELF) != 0) {
            (void)inotify_rm_watch(store->watch_fd, store->watch);
            store->watch = -1;
        } else if (event.wd == store->watch && (event.mask & IN_IGNORED) != 0) {
            store->watch = -1;
        }
        at += sizeof(event) + event.len;
    }
}

void file_watch_clear(struct store *base)
{
    struct file_store *store = (struct file_store *)base;
    char events[4096];
    ssize_t got;
    while (store->watch_fd >= 0 && ((got = read(store->watch_fd, events, sizeof(events))) > 0 ||
                                    (got < 0 && errno == EINTR))) {
        note_loss(store, events, got > 0 ? (size_t)got : 0);
    }
    file_watch_folder(store);
}
