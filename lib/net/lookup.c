/* Its variables are the process's: under the lock, or atomic.
 *
 *   lookup_name -- no such name yet --> a thread: getaddrinfo ---> is_done, everybody is woken
 *        |------- it is asked for --> waits, until since_us + patience
 *
 * A lookup belongs to the list. It leaves it with the first who takes its answer, or, when it was
 * answered and nobody came, when it is old or its place is needed. */
#include "lib/net/lookup.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"

#define LOOKUPS_MAX 64u
#define KEEP_US     UINT64_C(5000000) /* an answer that nobody waited for */

struct lookup {
    struct lookup *next;
    char *host;
    uint64_t since_us; /* when it was asked for; once it is done, when it was answered */
    unsigned waiters;
    bool is_done;
    int failure; /* of getaddrinfo */
    struct endpoint endpoint;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_cond_t answered;
static struct lookup *lookups;
static unsigned nlookups;
static atomic_uint patience_ms = LOOKUP_PATIENCE_MS;

/* --- the list ------------------------------------------------------------------------------- */

static void remove_lookup(struct lookup *lookup)
{
    struct lookup **at = &lookups;
    while (*at != lookup) {
        at = &(*at)->next;
    }
    *at = lookup->next;
    nlookups--;
    mem_free(lookup->host);
    mem_free(lookup);
}

/* Answers that nobody has come for: those that are old, or, where there is no room, any. */
static void remove_unwanted(uint64_t now_us)
{
    struct lookup *next;
    for (struct lookup *each = lookups; each != NULL; each = next) {
        next = each->next;
        bool is_old = now_us - each->since_us > KEEP_US;
        if (each->is_done && each->waiters == 0 && (is_old || nlookups == LOOKUPS_MAX)) {
            remove_lookup(each);
        }
    }
}

static struct lookup *find(const char *host)
{
    struct lookup *each = lookups;
    while (each != NULL && strcmp(each->host, host) != 0) {
        each = each->next;
    }
    return each;
}

/* --- asking --------------------------------------------------------------------------------- */

/* IPv4 where a name has both: a Redis that listens on 127.0.0.1 alone is "localhost" to its
 * operator, and so it is to hiredis and redis-cli. */
static const struct addrinfo *preferred(const struct addrinfo *found)
{
    for (const struct addrinfo *each = found; each != NULL; each = each->ai_next) {
        if (each->ai_family == AF_INET) {
            return each;
        }
    }
    return found;
}

static void *ask(void *context)
{
    struct lookup *lookup = context; /* stays until it is done; its host does not change */
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(lookup->host, NULL, &hints, &found);
    (void)pthread_mutex_lock(&lock);
    lookup->failure = failure;
    if (failure == 0) {
        const struct addrinfo *chosen = preferred(found);
        memcpy(&lookup->endpoint.address, chosen->ai_addr, chosen->ai_addrlen);
        lookup->endpoint.length = chosen->ai_addrlen;
        freeaddrinfo(found);
    }
    lookup->is_done = true;
    lookup->since_us = clock_now_us();
    (void)pthread_cond_broadcast(&answered);
    (void)pthread_mutex_unlock(&lock);
    return NULL;
}

/* Null: there are too many under way, or there is no thread to be had. */
static struct lookup *begin(const char *host, uint64_t now_us)
{
    pthread_t thread;
    pthread_attr_t attributes;
    if (nlookups == LOOKUPS_MAX) {
        return NULL;
    }
    struct lookup *lookup = mem_zalloc(sizeof(*lookup));
    lookup->host = mem_strdup(host);
    lookup->since_us = now_us;
    lookup->next = lookups;
    lookups = lookup;
    nlookups++;
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int failure = pthread_create(&thread, &attributes, ask, lookup);
    (void)pthread_attr_destroy(&attributes);
    if (failure != 0) {
        remove_lookup(lookup);
        return NULL;
    }
    return lookup;
}

/* --- waiting -------------------------------------------------------------------------------- */

/* Clock: the one that nobody sets. */
static void init(void)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    int failure = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    ASSERT(failure == 0);
    (void)pthread_cond_init(&answered, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

static void wait_for(struct lookup *lookup, uint64_t until_us)
{
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000 * 1000)};
    int failure = 0;
    lookup->waiters++;
    while (!lookup->is_done && failure == 0) {
        failure = pthread_cond_timedwait(&answered, &lock, &until);
    }
    lookup->waiters--;
}

/* What it has come to; frees it when nobody else waits for it. */
static bool take_answer(struct lookup *lookup, struct endpoint *endpoint, struct error *err)
{
    bool is_found = lookup->failure == 0;
    if (is_found) {
        *endpoint = lookup->endpoint;
    } else {
        (void)error_set(err, "cannot resolve \"%s\": %s", lookup->host,
                        gai_strerror(lookup->failure));
    }
    if (lookup->waiters == 0) {
        remove_lookup(lookup);
    }
    return is_found;
}

static bool look_up(const char *host, struct endpoint *endpoint, struct error *err)
{
    uint64_t now_us = clock_now_us(), patience_us = (uint64_t)atomic_load(&patience_ms) * 1000;
    remove_unwanted(now_us);
    struct lookup *lookup = find(host);
    lookup = lookup != NULL ? lookup : begin(host, now_us);
    if (lookup == NULL) {
        return error_set(err, "cannot resolve \"%s\": too many names are being looked up", host);
    }
    wait_for(lookup, lookup->since_us + patience_us);
    return lookup->is_done
               ? take_answer(lookup, endpoint, err)
               : error_set(err,
                           "cannot resolve \"%s\": the name server has not answered for %llu ms",
                           host, (unsigned long long)((clock_now_us() - lookup->since_us) / 1000));
}

bool lookup_name(const char *host, struct endpoint *endpoint, struct error *err)
{
    (void)pthread_once(&once, init);
    *endpoint = (struct endpoint){.length = 0};
    (void)pthread_mutex_lock(&lock);
    bool is_found = look_up(host, endpoint, err);
    (void)pthread_mutex_unlock(&lock);
    return is_found;
}

void lookup_set_patience(unsigned ms)
{
    atomic_store(&patience_ms, ms);
}
