#include "tests/support/churn.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"

#define THREADS_MAX 16
#define TAGS        60
#define NAMES       3 /* keys of one tag, so that renames have somewhere to go */
#define VALUE_MAX   9000
#define PAUSE_MS    1 /* between two commands of a thread: a load, not a siege */

struct churn {
    struct cluster *cluster;
    unsigned threads;
    pthread_t thread[THREADS_MAX];

    struct churner {
        struct churn *churn;
        uint16_t port;
        struct random random;
        uint64_t answered;
        uint64_t refused;
    } churner[THREADS_MAX];

    atomic_bool is_paused;
    atomic_bool is_stopped;
    atomic_uint idle;
};

/* %k and %o: two keys of one tag; %v: a value; %m: one of a few hundred names; %n: a number; %t: a
 * time within the next second, in milliseconds. */
static const char *const commands[] = {
    "SET %k %v",
    "SET %k %v PX 300",
    "SET %k %n",
    "INCR %k",
    "APPEND %k %v",
    "SETRANGE %k 100 %m",
    "SETBIT %k %n 1",
    "PFADD %k %m %m %m",
    "GETDEL %k",
    "GETEX %k PX 200",
    "RPUSH %k %v %m %m %m",
    "LPUSH %k %m %n",
    "LPOP %k",
    "LTRIM %k 0 150",
    "LSET %k 0 %v",
    "LINSERT %k AFTER %m %v",
    "SADD %k %m %m %m %n",
    "SADD %k %n %n %n %n",
    "SPOP %k",
    "SREM %k %m %m",
    "HSET %k %m %v %m %n",
    "HSET %k %m %m %m %m",
    "HINCRBY %k %m 3",
    "HINCRBYFLOAT %k %m 0.5",
    "HDEL %k %m %m",
    "ZADD %k %n %m %n %m",
    "ZINCRBY %k 1.5 %m",
    "ZPOPMIN %k",
    "ZREMRANGEBYRANK %k 0 1",
    "GEOADD %k 13.36 38.11 %m",
    "XADD %k * %m %v",
    "XADD %k MAXLEN 40 * %m %n",
    "XGROUP CREATE %k g 0 MKSTREAM",
    "XREADGROUP GROUP g c COUNT 2 STREAMS %k >",
    "XTRIM %k MAXLEN 5",
    "DEL %k",
    "UNLINK %k %o",
    "DEL %k",
    "UNLINK %k",
    "PEXPIRE %k 150",
    "PEXPIREAT %k %t",
    "EXPIRE %k 1000",
    "PERSIST %k",
    "RENAME %k %o",
    "RENAME %k %o",
    "RENAMENX %k %o",
    "COPY %k %o REPLACE",
    "LMOVE %k %o LEFT RIGHT",
    "SMOVE %k %o %m",
    "SUNIONSTORE %k %o",
    "ZUNIONSTORE %k 1 %o",
    "SORT %k ALPHA STORE %o",
    "MSET %k %v %o %n",
    "BITOP NOT %k %o",
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

struct line {
    int argc;
    const char *argv[16];
    size_t length[16];
    char text[16][48];
    char value[VALUE_MAX];
};

static void add(struct line *line, const char *data, size_t length)
{
    line->argv[line->argc] = data;
    line->length[line->argc++] = length;
}

static void fill(struct line *line, char kind, unsigned tag, struct random *random)
{
    char *text = line->text[line->argc];
    size_t size = sizeof(line->text[0]);
    int length = 0;
    switch (kind) {
    case 'k':
    case 'o':
        length = snprintf(text, size, "{churn:%u}:%u", tag, (unsigned)random_below(random, NAMES));
        break;
    case 'm':
        length = snprintf(text, size, "member-%u", (unsigned)random_below(random, 200));
        break;
    case 't':
        length = snprintf(text, size, "%llu",
                          (unsigned long long)(clock_wall_ms() + random_below(random, 1000)));
        break;
    case 'v':
        length = (int)random_below(random, random_below(random, 10) == 0 ? VALUE_MAX : 90);
        for (int i = 0; i < length; i++) {
            line->value[i] = (char)random_below(random, 256);
        }
        text = line->value;
        break;
    default:
        length = snprintf(text, size, "%u", (unsigned)random_below(random, 3000));
    }
    add(line, text, (size_t)length);
}

static void make_line(struct line *line, struct random *random)
{
    const char *text = commands[random_below(random, COMMANDS)];
    unsigned tag = (unsigned)random_below(random, TAGS);
    line->argc = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        if (*text == '%') {
            fill(line, text[1], tag, random);
        } else {
            add(line, text, length);
        }
        text += length + (text[length] == ' ');
    }
}

static bool is_refusal(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR &&
           (strncmp(reply->str, "UNAVAILABLE", 11) == 0 || strncmp(reply->str, "UNKNOWN ", 8) == 0);
}

static void send_one(struct churner *churner, redisContext **context)
{
    struct line line;
    if (*context == NULL) {
        *context = redisConnect("127.0.0.1", churner->port);
    }
    make_line(&line, &churner->random);
    redisReply *reply = NULL;
    if (*context != NULL && (*context)->err == 0) {
        reply = redisCommandArgv(*context, line.argc, line.argv, line.length);
    }
    if (reply == NULL) {
        churner->refused++;
        if (*context != NULL) {
            redisFree(*context);
            *context = NULL;
        }
        return;
    }
    if (is_refusal(reply)) {
        if (churner->refused++ == 0) {
            (void)fprintf(stderr, "churn: %s\n", reply->str);
        }
    } else {
        churner->answered++;
    }
    freeReplyObject(reply);
}

static void *churn_run(void *argument)
{
    struct churner *churner = argument;
    struct churn *churn = churner->churn;
    redisContext *context = NULL;
    while (!atomic_load(&churn->is_stopped)) {
        if (atomic_load(&churn->is_paused)) {
            (void)atomic_fetch_add(&churn->idle, 1);
            while (atomic_load(&churn->is_paused) && !atomic_load(&churn->is_stopped)) {
                clock_sleep_ms(PAUSE_MS);
            }
            (void)atomic_fetch_sub(&churn->idle, 1);
        }
        send_one(churner, &context);
        clock_sleep_ms(PAUSE_MS);
    }
    if (context != NULL) {
        redisFree(context);
    }
    return NULL;
}

struct churn *churn_start(struct cluster *cluster, unsigned threads, uint64_t seed)
{
    ASSERT(threads <= THREADS_MAX);
    struct churn *churn = mem_zalloc(sizeof(*churn));
    churn->cluster = cluster;
    churn->threads = threads;
    for (unsigned i = 0; i < threads; i++) {
        struct churner *churner = &churn->churner[i];
        churner->churn = churn;
        churner->port = cluster_proxy_port(cluster, i % cluster_proxies(cluster));
        random_seed(&churner->random, seed + i);
        int failed = pthread_create(&churn->thread[i], NULL, churn_run, churner);
        ASSERT(!failed);
    }
    return churn;
}

void churn_pause(struct churn *churn)
{
    atomic_store(&churn->is_paused, true);
    while (atomic_load(&churn->idle) < churn->threads) {
        clock_sleep_ms(PAUSE_MS);
    }
}

void churn_resume(struct churn *churn)
{
    atomic_store(&churn->is_paused, false);
    while (atomic_load(&churn->idle) > 0) {
        clock_sleep_ms(PAUSE_MS);
    }
}

uint64_t churn_end(struct churn *churn, uint64_t *refused)
{
    uint64_t answered = 0;
    *refused = 0;
    atomic_store(&churn->is_stopped, true);
    for (unsigned i = 0; i < churn->threads; i++) {
        (void)pthread_join(churn->thread[i], NULL);
        answered += churn->churner[i].answered;
        *refused += churn->churner[i].refused;
    }
    mem_free(churn);
    return answered;
}
