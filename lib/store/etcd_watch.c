/* A streamed answer to one question to one member: which changes has PREFIX/epoch? The library's
 * sockets and time-outs are in one epoll descriptor, which becomes readable when there is something
 * to do; whoever owns the handle then calls etcd_watch_clear. No thread, nothing to lock.
 *
 *   start --> waiting for "created" --> told of changes --> the stream ends, or is behind
 *     ^            | 2 s                                        |
 *     +------------+---- the next member, a little later -------+
 *
 * It begins behind the revision that was read last, so that nothing falls between. When etcd has
 * compacted that away it cancels the stream: the epoch is unknown until it is read again, and with
 * that the next stream has a revision to begin at. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/store/etcd_store.h"

#define CREATED_WITHIN_US UINT64_C(2000000)
#define RESTART_AFTER_US  UINT64_C(200000)
#define BEHIND_MAX_US     UINT64_C(1000000) /* so late, the member is cut off from the others */
#define LINE_MAX_BYTES    ((size_t)1 << 20)
#define NEVER             UINT64_MAX

struct etcd_watch {
    struct etcd_store *store;
    CURLM *multi;
    CURL *easy; /* null: between two streams */
    int epoll_fd, timer_fd;
    struct buffer question, line;
    unsigned endpoint;
    uint64_t epoch; /* 0: to be asked */
    bool is_created;
    bool is_over; /* this stream is of no more use */
    uint64_t library_due_us, created_due_us, restart_due_us, behind_since_us;
};

/* --- what is told -------------------------------------------------------------------------- */

static void take_event(struct etcd_watch *watch, json_t *event)
{
    struct etcd_head head = {.name = "epoch"};
    json_t *found = json_pack("[O]", json_object_get(event, "kv"));
    /* A key that was deleted has no number: the store is asked. */
    watch->epoch = etcd_head_take(&head, found) ? head.number : 0;
    json_decref(found);
}

static void take_result(struct etcd_watch *watch, const json_t *result)
{
    if (json_is_true(json_object_get(result, "canceled"))) {
        watch->is_over = true;
        return;
    }
    if (json_is_true(json_object_get(result, "created"))) {
        watch->is_created = true;
        watch->created_due_us = NEVER;
    }
    size_t index;
    json_t *event;
    json_array_foreach(json_object_get(result, "events"), index, event)
    {
        take_event(watch, event);
    }
}

static void take_line(struct etcd_watch *watch, struct slice line)
{
    json_t *message = json_loadb(line.data, line.len, 0, NULL);
    const json_t *result = json_object_get(message, "result");
    if (result != NULL) {
        take_result(watch, result);
    } else if (message != NULL) {
        /* It may be the login that ran out. */
        etcd_http_forget_login(watch->store->http);
        watch->is_over = true;
    }
    json_decref(message);
}

static size_t take_bytes(char *data, size_t size, size_t count, void *context)
{
    struct etcd_watch *watch = context;
    if (!buffer_append(&watch->line, data, size * count)) {
        return 0; /* ends the stream */
    }
    struct slice text = buffer_slice(&watch->line);
    const char *end;
    while (text.len > 0 && (end = memchr(text.data, '\n', text.len)) != NULL) {
        size_t length = (size_t)(end - text.data);
        take_line(watch, (struct slice){text.data, length});
        buffer_consume(&watch->line, length + 1);
        text = buffer_slice(&watch->line);
    }
    return size * count;
}

/* --- the library's sockets and time-outs --------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    struct etcd_watch *watch = context;
    struct epoll_event event = {.data.fd = fd};
    (void)easy;
    (void)known;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(watch->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* it may be closed already */
        return 0;
    }
    event.events = ((what & CURL_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0) |
                   ((what & CURL_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0);
    if (epoll_ctl(watch->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0) {
        (void)epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *context)
{
    struct etcd_watch *watch = context;
    (void)multi;
    watch->library_due_us = timeout_ms < 0 ? NEVER : clock_now_us() + (uint64_t)timeout_ms * 1000;
    return 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void arm_timer(const struct etcd_watch *watch)
{
    uint64_t due_us =
        smaller(watch->library_due_us, smaller(watch->created_due_us, watch->restart_due_us));
    uint64_t now_us = clock_now_us();
    uint64_t wait_us = due_us <= now_us ? 1 : due_us - now_us;
    struct itimerspec when = {.it_value = {0, 0}};
    if (due_us != NEVER) {
        when.it_value.tv_sec = (time_t)(wait_us / 1000000);
        when.it_value.tv_nsec = (long)(wait_us % 1000000) * 1000;
    }
    int failed = timerfd_settime(watch->timer_fd, 0, &when, NULL);
    ASSERT(failed == 0);
}

/* --- streams ------------------------------------------------------------------------------- */

static void format_question(struct etcd_watch *watch)
{
    char *key = etcd_key(watch->store, "epoch");
    json_t *range = etcd_range(key, NULL, 0);
    json_t *create = json_object_get(range, "request_range");
    uint64_t revision = watch->store->epoch.revision;
    if (revision > 0) {
        (void)json_object_set_new(create, "start_revision", etcd_number(revision + 1));
    }
    json_t *question = json_pack("{s:O}", "create_request", create);
    char *text = json_dumps(question, JSON_COMPACT);
    ASSERT(text != NULL);
    buffer_clear(&watch->question);
    buffer_add_text(&watch->question, text);
    free(text); /* jansson's, not ours */
    json_decref(question);
    json_decref(range);
    mem_free(key);
}

static void start(struct etcd_watch *watch)
{
    struct error err;
    watch->restart_due_us = NEVER;
    watch->is_over = false;
    watch->is_created = false;
    watch->epoch = 0;
    watch->behind_since_us = 0;
    buffer_clear(&watch->line);
    format_question(watch);
    watch->easy =
        etcd_http_open(watch->store->http, watch->endpoint, "/v3/watch", &watch->question, &err);
    if (watch->easy == NULL) {
        log_debug("store cannot be watched why=\"%s\"", err.text);
        watch->restart_due_us = clock_now_us() + RESTART_AFTER_US;
        return;
    }
    watch->created_due_us = clock_now_us() + CREATED_WITHIN_US;
    (void)libcurl()->easy_setopt(watch->easy, CURLOPT_WRITEFUNCTION, take_bytes);
    (void)libcurl()->easy_setopt(watch->easy, CURLOPT_WRITEDATA, watch);
    (void)libcurl()->multi_add_handle(watch->multi, watch->easy);
}

static void stop(struct etcd_watch *watch)
{
    if (watch->easy != NULL) {
        (void)libcurl()->multi_remove_handle(watch->multi, watch->easy);
        libcurl()->easy_cleanup(watch->easy);
        watch->easy = NULL;
    }
    watch->is_created = false;
    watch->epoch = 0;
    watch->created_due_us = NEVER;
}

/* The next member, but for that of the store's other watch: with both at one member, its death
 * would go unnoticed by both. */
static unsigned next_endpoint(const struct etcd_watch *watch)
{
    const struct etcd_store *store = watch->store;
    const struct etcd_watch *other = watch == store->watch ? store->other : store->watch;
    unsigned count = store->place.nendpoints;
    unsigned next = (watch->endpoint + 1) % count;
    return other != NULL && other->endpoint == next ? (next + 1) % count : next;
}

/* With another member, a little later: all of them may be down. */
static void restart_later(struct etcd_watch *watch)
{
    stop(watch);
    watch->endpoint = next_endpoint(watch);
    watch->restart_due_us = clock_now_us() + RESTART_AFTER_US;
}

static void take_ended(struct etcd_watch *watch)
{
    int left = 0;
    const CURLMsg *message;
    while ((message = libcurl()->multi_info_read(watch->multi, &left)) != NULL) {
        watch->is_over = watch->is_over || message->msg == CURLMSG_DONE;
    }
}

static void run_sockets(struct etcd_watch *watch)
{
    struct epoll_event events[8];
    int running = 0;
    int count = epoll_wait(watch->epoll_fd, events, 8, 0);
    for (int i = 0; i < count; i++) {
        uint64_t expired;
        if (events[i].data.fd == watch->timer_fd) {
            ssize_t got = read(watch->timer_fd, &expired, sizeof(expired));
            (void)got; /* it only stops being readable */
            continue;
        }
        int mask = ((events[i].events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                   ((events[i].events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                   ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
        (void)libcurl()->multi_socket_action(watch->multi, events[i].data.fd, mask, &running);
    }
    if (clock_now_us() >= watch->library_due_us) {
        watch->library_due_us = NEVER;
        (void)libcurl()->multi_socket_action(watch->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

/* --- the door ------------------------------------------------------------------------------ */

struct etcd_watch *etcd_watch_open(struct etcd_store *store, unsigned turn)
{
    struct etcd_watch *watch = mem_zalloc(sizeof(*watch));
    watch->store = store;
    watch->library_due_us = watch->created_due_us = watch->restart_due_us = NEVER;
    watch->endpoint = (etcd_http_preferred(store->http) + turn) % store->place.nendpoints;
    watch->multi = libcurl()->multi_init();
    watch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    ASSERT(watch->multi != NULL && watch->epoll_fd >= 0 && watch->timer_fd >= 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = watch->timer_fd};
    int failed = epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, watch->timer_fd, &event);
    ASSERT(failed == 0);
    buffer_init(&watch->question, SIZE_MAX);
    buffer_init(&watch->line, LINE_MAX_BYTES);
    (void)libcurl()->multi_setopt(watch->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)libcurl()->multi_setopt(watch->multi, CURLMOPT_SOCKETDATA, watch);
    (void)libcurl()->multi_setopt(watch->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)libcurl()->multi_setopt(watch->multi, CURLMOPT_TIMERDATA, watch);
    start(watch);
    arm_timer(watch);
    return watch;
}

void etcd_watch_close(struct etcd_watch *watch)
{
    stop(watch);
    (void)libcurl()->multi_cleanup(watch->multi);
    (void)close(watch->epoll_fd);
    (void)close(watch->timer_fd);
    buffer_fini(&watch->question);
    buffer_fini(&watch->line);
    mem_free(watch);
}

int etcd_watch_fd(const struct etcd_watch *watch)
{
    return watch->epoll_fd;
}

void etcd_watch_clear(struct etcd_watch *watch)
{
    run_sockets(watch);
    take_ended(watch);
    uint64_t now_us = clock_now_us();
    if (watch->is_over || now_us >= watch->created_due_us) {
        watch->is_over = false;
        restart_later(watch);
    } else if (now_us >= watch->restart_due_us) {
        start(watch);
    }
    arm_timer(watch);
}

uint64_t etcd_watch_epoch(const struct etcd_watch *watch)
{
    return watch->is_created ? watch->epoch : 0;
}

void etcd_watch_compare(struct etcd_watch *watch, uint64_t epoch)
{
    uint64_t now_us = clock_now_us();
    if (!watch->is_created) {
        return;
    }
    if (watch->epoch == 0 || epoch <= watch->epoch) {
        watch->epoch = epoch;
        watch->behind_since_us = 0;
    } else if (watch->behind_since_us == 0) {
        watch->behind_since_us = now_us;
    } else if (now_us - watch->behind_since_us > BEHIND_MAX_US) {
        watch->is_over = true;
        watch->restart_due_us = now_us;
        arm_timer(watch);
    }
}
