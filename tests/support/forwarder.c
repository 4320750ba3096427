/* One thread, one poll loop. A connection is a pair of pipes; a pipe is a queue of what was read
 * from one socket and is to be written to the other, each piece not before its time.
 *
 *   client fd --read--> [request pieces] --write--> target fd
 *   client fd <--write-- [reply pieces] <--read-- target fd */
#include "tests/support/forwarder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"

#define PAIRS_MAX  512
#define RULES_MAX  16
#define READ_BYTES 65536
#define IDLE_MS    50
#define DELAYED_MS 2
#define KEPT_MAX   (UINT64_C(64) << 20) /* of one pipe: then its sender has to wait */
#define PEER_MAX   32

struct piece {
    struct piece *next;
    uint64_t due_us;
    size_t size, written;
    char data[];
};

struct pipe {
    int from, to;
    struct piece *first, **last;
    uint64_t kept_bytes;
    bool has_ended; /* the sender has closed: so does the receiver's side, behind the last piece */
};

struct pair {
    struct pipe requests, replies;
    char peer[PEER_MAX];
    bool is_named;
};

struct rule {
    char peer[PEER_MAX]; /* "": everybody else */
    struct weather weather;
};

struct forwarder {
    pthread_t thread;
    pthread_mutex_t lock; /* all below */
    uint16_t port, target_port;
    int listener;
    int wake[2];
    bool is_stopping;
    struct pair *pairs[PAIRS_MAX];
    unsigned npairs;
    struct rule rules[RULES_MAX];
    unsigned nrules;
};

/* --- pipes ----------------------------------------------------------------------------------- */

static void set_non_blocking(int fd)
{
    int one = 1;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void drop_pieces(struct pipe *pipe)
{
    while (pipe->first != NULL) {
        struct piece *piece = pipe->first;
        pipe->first = piece->next;
        mem_free(piece);
    }
    pipe->last = &pipe->first;
    pipe->kept_bytes = 0;
}

static void keep(struct pipe *pipe, const char *data, size_t size, uint64_t due_us)
{
    struct piece *piece = mem_alloc(sizeof(*piece) + size);
    *piece = (struct piece){.due_us = due_us, .size = size};
    memcpy(piece->data, data, size);
    *pipe->last = piece;
    pipe->last = &piece->next;
    pipe->kept_bytes += size;
}

static bool fill(struct pipe *pipe, uint64_t due_us, char *first_bytes, size_t *first_size)
{
    char data[READ_BYTES];
    ssize_t count = read(pipe->from, data, sizeof(data));
    if (count > 0) {
        keep(pipe, data, (size_t)count, due_us);
        *first_size = (size_t)count < *first_size ? (size_t)count : *first_size;
        memcpy(first_bytes, data, *first_size);
        return true;
    }
    *first_size = 0;
    pipe->has_ended = count == 0 || (errno != EAGAIN && errno != EINTR);
    return false;
}

/* False when the receiver is gone. */
static bool deliver(struct pipe *pipe, uint64_t now_us)
{
    while (pipe->first != NULL && pipe->first->due_us <= now_us) {
        struct piece *piece = pipe->first;
        ssize_t count = send(pipe->to, piece->data + piece->written, piece->size - piece->written,
                             MSG_NOSIGNAL);
        if (count < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        piece->written += (size_t)count;
        pipe->kept_bytes -= (uint64_t)count;
        if (piece->written < piece->size) {
            return true;
        }
        pipe->first = piece->next;
        if (pipe->first == NULL) {
            pipe->last = &pipe->first;
        }
        mem_free(piece);
    }
    return true;
}

/* --- pairs ----------------------------------------------------------------------------------- */

static struct weather weather_of(const struct forwarder *forwarder, const struct pair *pair)
{
    struct weather weather = {.delay_us = 0};
    for (unsigned i = 0; i < forwarder->nrules; i++) {
        const struct rule *rule = &forwarder->rules[i];
        if (strcmp(rule->peer, pair->peer) == 0 && pair->peer[0] != '\0') {
            return rule->weather;
        }
        if (rule->peer[0] == '\0') {
            weather = rule->weather;
        }
    }
    return weather;
}

static void name_pair(struct pair *pair, const char *data, size_t size)
{
    static const char mark[] = "sluice:";
    const char *found = memmem(data, size, mark, sizeof(mark) - 1);
    pair->is_named = true;
    if (found != NULL) {
        found += sizeof(mark) - 1;
        size_t left = size - (size_t)(found - data);
        size_t length = 0;
        while (length < left && length + 1 < sizeof(pair->peer) && found[length] != ':' &&
               found[length] != '\r') {
            length++;
        }
        memcpy(pair->peer, found, length);
        pair->peer[length] = '\0';
    }
}

static void free_pair(struct forwarder *forwarder, unsigned i, bool with_reset)
{
    struct pair *pair = forwarder->pairs[i];
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    for (int side = 0; side < 2; side++) {
        int fd = side == 0 ? pair->requests.from : pair->replies.from;
        if (with_reset) {
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        }
        (void)close(fd);
    }
    drop_pieces(&pair->requests);
    drop_pieces(&pair->replies);
    mem_free(pair);
    forwarder->pairs[i] = forwarder->pairs[--forwarder->npairs];
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void accept_one(struct forwarder *forwarder)
{
    int client = accept(forwarder->listener, NULL, NULL);
    if (client < 0) {
        return;
    }
    int target = forwarder->npairs < PAIRS_MAX ? connect_to(forwarder->target_port) : -1;
    if (target < 0) {
        (void)close(client);
        return;
    }
    set_non_blocking(client);
    set_non_blocking(target);
    struct pair *pair = mem_zalloc(sizeof(*pair));
    pair->requests = (struct pipe){.from = client, .to = target};
    pair->replies = (struct pipe){.from = target, .to = client};
    pair->requests.last = &pair->requests.first;
    pair->replies.last = &pair->replies.first;
    forwarder->pairs[forwarder->npairs++] = pair;
}

/* Reads whatever came, so that it is on the wire even when its sender closes. */
static void read_both(struct forwarder *forwarder, struct pair *pair, const struct pollfd polled[2])
{
    char first[256];
    uint64_t due_us = clock_now_us() + weather_of(forwarder, pair).delay_us;
    size_t size = sizeof(first);
    if ((polled[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !pair->requests.has_ended &&
        fill(&pair->requests, due_us, first, &size) && !pair->is_named) {
        name_pair(pair, first, size);
    }
    size = sizeof(first);
    if ((polled[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !pair->replies.has_ended) {
        (void)fill(&pair->replies, due_us, first, &size);
    }
}

static bool is_over(const struct pipe *pipe, bool is_cut)
{
    return pipe->has_ended && pipe->first == NULL && !is_cut;
}

/* False when the pair is done. */
static bool deliver_both(struct forwarder *forwarder, struct pair *pair, uint64_t now_us)
{
    struct weather weather = weather_of(forwarder, pair);
    bool is_alive = true;
    if (!weather.cuts_requests) {
        is_alive = deliver(&pair->requests, now_us);
    }
    if (!weather.cuts_replies) {
        is_alive = deliver(&pair->replies, now_us) && is_alive;
    }
    return is_alive && !is_over(&pair->requests, weather.cuts_requests) &&
           !is_over(&pair->replies, weather.cuts_replies);
}

/* --- the loop -------------------------------------------------------------------------------- */

static short wanted(const struct pipe *reads)
{
    bool may_read = !reads->has_ended && reads->kept_bytes < KEPT_MAX;
    return may_read ? POLLIN : 0;
}

/* polled: wake, listener, then two for each pair. True when something waits for its time. */
static bool fill_polled(const struct forwarder *forwarder, struct pollfd *polled)
{
    bool is_delayed = false;
    polled[0] = (struct pollfd){forwarder->wake[0], POLLIN, 0};
    polled[1] = (struct pollfd){forwarder->listener, POLLIN, 0};
    for (unsigned i = 0; i < forwarder->npairs; i++) {
        const struct pair *pair = forwarder->pairs[i];
        /* A socket that has ended would be reported for ever. */
        polled[2 + 2 * i] = (struct pollfd){pair->requests.has_ended ? -1 : pair->requests.from,
                                            wanted(&pair->requests), 0};
        polled[3 + 2 * i] = (struct pollfd){pair->replies.has_ended ? -1 : pair->replies.from,
                                            wanted(&pair->replies), 0};
        is_delayed = is_delayed || pair->requests.first != NULL || pair->replies.first != NULL;
    }
    return is_delayed;
}

static void serve(struct forwarder *forwarder, const struct pollfd *polled)
{
    char ignored[64];
    if ((polled[0].revents & POLLIN) != 0) {
        ssize_t count = read(forwarder->wake[0], ignored, sizeof(ignored));
        (void)count; /* that there was something is all it says */
    }
    /* Backwards, since a pair that is done gives its place to the last. */
    for (unsigned i = forwarder->npairs; i > 0; i--) {
        read_both(forwarder, forwarder->pairs[i - 1], &polled[2 * i]);
        if (!deliver_both(forwarder, forwarder->pairs[i - 1], clock_now_us())) {
            free_pair(forwarder, i - 1, false);
        }
    }
    if ((polled[1].revents & POLLIN) != 0) {
        accept_one(forwarder);
    }
}

static void *run(void *argument)
{
    struct forwarder *forwarder = argument;
    struct pollfd polled[2 + 2 * PAIRS_MAX];
    (void)pthread_mutex_lock(&forwarder->lock);
    while (!forwarder->is_stopping) {
        bool is_delayed = fill_polled(forwarder, polled);
        unsigned npairs = forwarder->npairs;
        (void)pthread_mutex_unlock(&forwarder->lock);
        (void)poll(polled, 2 + 2 * npairs, is_delayed ? DELAYED_MS : IDLE_MS);
        (void)pthread_mutex_lock(&forwarder->lock);
        if (npairs == forwarder->npairs) { /* else one was reset meanwhile: look anew */
            serve(forwarder, polled);
        }
    }
    (void)pthread_mutex_unlock(&forwarder->lock);
    return NULL;
}

static void wake(struct forwarder *forwarder)
{
    ssize_t count = write(forwarder->wake[1], "", 1);
    (void)count; /* a full pipe wakes as well */
}

/* --- for tests ------------------------------------------------------------------------------- */

struct forwarder *forwarder_start(uint16_t target_port)
{
    struct forwarder *forwarder = mem_zalloc(sizeof(*forwarder));
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    forwarder->target_port = target_port;
    forwarder->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_open = bind(forwarder->listener, (struct sockaddr *)&address, length) == 0 &&
                   listen(forwarder->listener, PAIRS_MAX) == 0 &&
                   getsockname(forwarder->listener, (struct sockaddr *)&address, &length) == 0 &&
                   pipe2(forwarder->wake, O_CLOEXEC | O_NONBLOCK) == 0;
    ASSERT(is_open);
    set_non_blocking(forwarder->listener);
    forwarder->port = ntohs(address.sin_port);
    (void)pthread_mutex_init(&forwarder->lock, NULL);
    int failed = pthread_create(&forwarder->thread, NULL, run, forwarder);
    ASSERT(!failed);
    return forwarder;
}

uint16_t forwarder_port(const struct forwarder *forwarder)
{
    return forwarder->port;
}

void forwarder_set(struct forwarder *forwarder, const char *peer, const struct weather *weather)
{
    unsigned i = 0;
    const char *name = peer != NULL ? peer : "";
    (void)pthread_mutex_lock(&forwarder->lock);
    while (i < forwarder->nrules && strcmp(forwarder->rules[i].peer, name) != 0) {
        i++;
    }
    ASSERT(i < RULES_MAX);
    (void)snprintf(forwarder->rules[i].peer, sizeof(forwarder->rules[i].peer), "%s", name);
    forwarder->rules[i].weather = *weather;
    forwarder->nrules += i == forwarder->nrules;
    (void)pthread_mutex_unlock(&forwarder->lock);
    wake(forwarder);
}

void forwarder_heal(struct forwarder *forwarder)
{
    (void)pthread_mutex_lock(&forwarder->lock);
    forwarder->nrules = 0;
    (void)pthread_mutex_unlock(&forwarder->lock);
    wake(forwarder);
}

unsigned forwarder_reset(struct forwarder *forwarder, const char *peer)
{
    unsigned count = 0;
    (void)pthread_mutex_lock(&forwarder->lock);
    for (unsigned i = forwarder->npairs; i > 0; i--) {
        if (peer == NULL || strcmp(forwarder->pairs[i - 1]->peer, peer) == 0) {
            free_pair(forwarder, i - 1, true);
            count++;
        }
    }
    (void)pthread_mutex_unlock(&forwarder->lock);
    wake(forwarder);
    return count;
}

uint64_t forwarder_kept(struct forwarder *forwarder, const char *peer)
{
    uint64_t kept = 0;
    (void)pthread_mutex_lock(&forwarder->lock);
    for (unsigned i = 0; i < forwarder->npairs; i++) {
        if (strcmp(forwarder->pairs[i]->peer, peer) == 0) {
            kept += forwarder->pairs[i]->requests.kept_bytes;
        }
    }
    (void)pthread_mutex_unlock(&forwarder->lock);
    return kept;
}

static bool has_kept(const struct pipe *pipe, const char *text)
{
    for (const struct piece *piece = pipe->first; piece != NULL; piece = piece->next) {
        if (memmem(piece->data, piece->size, text, strlen(text)) != NULL) {
            return true;
        }
    }
    return false;
}

bool forwarder_has_kept(struct forwarder *forwarder, const char *peer, const char *text)
{
    bool has_it = false;
    (void)pthread_mutex_lock(&forwarder->lock);
    for (unsigned i = 0; i < forwarder->npairs && !has_it; i++) {
        has_it = strcmp(forwarder->pairs[i]->peer, peer) == 0 &&
                 has_kept(&forwarder->pairs[i]->requests, text);
    }
    (void)pthread_mutex_unlock(&forwarder->lock);
    return has_it;
}

void forwarder_stop(struct forwarder *forwarder)
{
    if (forwarder == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&forwarder->lock);
    forwarder->is_stopping = true;
    (void)pthread_mutex_unlock(&forwarder->lock);
    wake(forwarder);
    (void)pthread_join(forwarder->thread, NULL);
    while (forwarder->npairs > 0) {
        free_pair(forwarder, forwarder->npairs - 1, true);
    }
    (void)close(forwarder->listener);
    (void)close(forwarder->wake[0]);
    (void)close(forwarder->wake[1]);
    (void)pthread_mutex_destroy(&forwarder->lock);
    mem_free(forwarder);
}
