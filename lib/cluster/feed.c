/* Used by two threads: the lock is for what is handed over, never held during a call of the store.
 */
#include "lib/cluster/feed.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"

/* Whoever asks may ask in a loop: what the watch has not told of is not read more often. */
#define READ_AGAIN_US UINT64_C(50000)

struct feed {
    pthread_t thread;
    /* The feed's thread only. */
    struct store *store;
    uint64_t epoch; /* the newest that was read */
    uint64_t read_us;
    int wake_fd; /* to the thread: there is something to do */
    int news_fd; /* to the owner */
    pthread_mutex_t lock;
    struct topology *topology; /* under lock; null: taken */
    bool has_failed;           /* under lock */
    struct error why;          /* under lock */
    bool is_asked;             /* under lock */
    bool is_stopping;          /* under lock */
};

static int open_event(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ASSERT(fd >= 0);
    return fd;
}

static void ring(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof(one));
    (void)written; /* fails only when it rings already */
}

static void hush(int fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof(count));
    (void)got; /* fails only when it does not ring */
}

/* --- the feed's thread --------------------------------------------------------------------- */

/* Consumes the topology; null: nothing new, or the failure `why`. */
static void tell(struct feed *feed, struct topology *topology, const struct error *why)
{
    (void)pthread_mutex_lock(&feed->lock);
    bool is_news = topology != NULL || feed->has_failed != (why != NULL);
    feed->has_failed = why != NULL;
    if (why != NULL) {
        feed->why = *why;
    }
    if (topology != NULL) {
        topology_free(feed->topology);
        feed->topology = topology;
    }
    (void)pthread_mutex_unlock(&feed->lock);
    if (is_news) {
        ring(feed->news_fd);
    }
}

static void look(struct feed *feed, bool is_asked)
{
    struct error why;
    uint64_t epoch = 0;
    store_watch_clear(feed->store);
    bool is_known = store_epoch(feed->store, &epoch, &why);
    bool must_read = is_asked && clock_now_us() - feed->read_us > READ_AGAIN_US;
    if (!is_known || (epoch <= feed->epoch && !must_read)) {
        tell(feed, NULL, is_known ? NULL : &why);
        return;
    }
    struct topology *topology = store_read(feed->store, NULL, &why);
    feed->read_us = clock_now_us();
    if (topology == NULL) {
        tell(feed, NULL, &why);
        return;
    }
    if (topology->epoch <= feed->epoch) {
        topology_free(topology);
        tell(feed, NULL, NULL);
        return;
    }
    feed->epoch = topology->epoch;
    tell(feed, topology, NULL);
}

/* False: stop. */
static bool next(struct feed *feed, bool *is_asked)
{
    struct pollfd watched[] = {{.fd = feed->wake_fd, .events = POLLIN},
                               {.fd = store_watch_fd(feed->store), .events = POLLIN}};
    (void)poll(watched, 2, FEED_POLL_MS);
    hush(feed->wake_fd);
    (void)pthread_mutex_lock(&feed->lock);
    bool goes_on = !feed->is_stopping;
    *is_asked = feed->is_asked;
    feed->is_asked = false;
    (void)pthread_mutex_unlock(&feed->lock);
    return goes_on;
}

static void *run(void *context)
{
    struct feed *feed = context;
    bool is_asked = false;
    while (next(feed, &is_asked)) {
        look(feed, is_asked);
    }
    return NULL;
}

/* --- the owner's --------------------------------------------------------------------------- */

struct feed *feed_start(struct store *store, uint64_t epoch)
{
    struct feed *feed = mem_zalloc(sizeof(*feed));
    feed->store = store;
    feed->epoch = epoch;
    feed->wake_fd = open_event();
    feed->news_fd = open_event();
    (void)pthread_mutex_init(&feed->lock, NULL);
    int failed = pthread_create(&feed->thread, NULL, run, feed);
    ASSERT(failed == 0);
    return feed;
}

void feed_stop(struct feed *feed)
{
    (void)pthread_mutex_lock(&feed->lock);
    feed->is_stopping = true;
    (void)pthread_mutex_unlock(&feed->lock);
    ring(feed->wake_fd);
    (void)pthread_join(feed->thread, NULL);
    (void)pthread_mutex_destroy(&feed->lock);
    topology_free(feed->topology);
    store_close(feed->store);
    (void)close(feed->wake_fd);
    (void)close(feed->news_fd);
    mem_free(feed);
}

void feed_ask(struct feed *feed)
{
    (void)pthread_mutex_lock(&feed->lock);
    feed->is_asked = true;
    (void)pthread_mutex_unlock(&feed->lock);
    ring(feed->wake_fd);
}

int feed_fd(const struct feed *feed)
{
    return feed->news_fd;
}

struct topology *feed_take(struct feed *feed, bool *failed, struct error *why)
{
    hush(feed->news_fd);
    (void)pthread_mutex_lock(&feed->lock);
    struct topology *topology = feed->topology;
    feed->topology = NULL;
    *failed = feed->has_failed;
    *why = feed->why;
    (void)pthread_mutex_unlock(&feed->lock);
    return topology;
}
