#include "lib/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"

#define MESSAGES  256u /* there are fewer formats in a program */
#define PROBES    8u
#define WINDOW_US UINT64_C(1000000)

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* Written once by log_init, before other threads start. */
static const char *log_program = "sluice";
static _Atomic(enum log_level) log_level = LOG_INFO;

/* How often a message has come of late. Found by the address of its format. */
struct message {
    const char *format; /* null: a free place */
    uint64_t since_us;  /* its second */
    uint64_t lines;     /* in its second */
    uint64_t suppressed;
};

static pthread_mutex_t messages_lock = PTHREAD_MUTEX_INITIALIZER;
static struct message messages[MESSAGES];
static atomic_uint_fast64_t suppressed_total;

void log_init(const char *program, enum log_level level)
{
    log_program = program;
    log_set_level(level);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level, level, memory_order_relaxed);
}

bool log_pause_is_over(struct log_pause *pause, uint64_t now_us)
{
    bool is_over = now_us >= pause->until_us;
    pause->until_us = is_over ? now_us + WINDOW_US : pause->until_us;
    return is_over;
}

uint64_t log_suppressed(void)
{
    return atomic_load_explicit(&suppressed_total, memory_order_relaxed);
}

enum log_level log_level_named(const char *name)
{
    unsigned level = LOG_ERROR;
    while (strcmp(name, level_names[level]) != 0) {
        ASSERT(level < LOG_DEBUG);
        level++;
    }
    return (enum log_level)level;
}

static size_t write_prefix(char *line, size_t size, enum log_level level)
{
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(line + used, size - used, ".%03ldZ %s %s[%d] ", now.tv_nsec / 1000000,
                        level_names[level], log_program, (int)getpid());
    return used + (size_t)more;
}

/* One line per event, whatever bytes a value brings along. */
static void replace_control_bytes(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            text[i] = '?';
        }
    }
}

/* Whether `rest`, behind a quote, is the end of the line or the next key. */
static bool begins_key(const char *rest)
{
    size_t letters = rest[0] == ' ' ? strspn(rest + 1, "abcdefghijklmnopqrstuvwxyz_") : 0;
    return rest[0] == '\0' || (letters > 0 && rest[1 + letters] == '=');
}

/* key="value": a quote in the value becomes ', so that a reader finds where it ends. */
static void replace_inner_quotes(char *text)
{
    bool is_inside = false;
    for (char *at = strchr(text, '"'); at != NULL; at = strchr(at + 1, '"')) {
        if (!is_inside) {
            is_inside = at > text && at[-1] == '=';
        } else if (begins_key(at + 1)) {
            is_inside = false;
        } else {
            *at = '\'';
        }
    }
}

/* Its place, or one that is given to it: a message that loses its place only begins to count anew.
 */
static struct message *find_message(const char *format)
{
    size_t home = ((uintptr_t)format >> 3) % MESSAGES;
    for (size_t i = 0; i < PROBES; i++) {
        struct message *message = &messages[(home + i) % MESSAGES];
        if (message->format == format || message->format == NULL) {
            message->format = format;
            return message;
        }
    }
    messages[home] = (struct message){.format = format};
    return &messages[home];
}

/* Whether the message may be written now; how many have been left out before it. */
static bool may_write(const char *format, uint64_t *suppressed)
{
    uint64_t now_us = clock_now_us();
    (void)pthread_mutex_lock(&messages_lock);
    struct message *message = find_message(format);
    if (now_us - message->since_us >= WINDOW_US) {
        message->since_us = now_us;
        message->lines = 0;
    }
    bool may = message->lines++ < LOG_LINES_MAX;
    if (!may) {
        message->suppressed++;
        atomic_fetch_add_explicit(&suppressed_total, 1, memory_order_relaxed);
    } else {
        *suppressed = message->suppressed;
        message->suppressed = 0;
    }
    (void)pthread_mutex_unlock(&messages_lock);
    return may;
}

/* Behind the text, which is cut where the line is too long. */
static size_t add_suppressed(char *line, size_t size, size_t used, uint64_t suppressed)
{
    char note[40];
    int length = snprintf(note, sizeof(note), " suppressed=%llu", (unsigned long long)suppressed);
    size_t most = size - 2 - (size_t)length;
    used = used < most ? used : most;
    memcpy(line + used, note, (size_t)length);
    return used + (size_t)length;
}

void log_line(enum log_level level, const char *format, ...)
{
    uint64_t suppressed = 0;
    if (level > atomic_load_explicit(&log_level, memory_order_relaxed) ||
        (level != LOG_DEBUG && !may_write(format, &suppressed))) {
        return;
    }
    char line[2048];
    size_t used = write_prefix(line, sizeof(line), level);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    used += more > 0 ? (size_t)more : 0;
    used = used < sizeof(line) - 2 ? used : sizeof(line) - 2;
    if (suppressed > 0) {
        used = add_suppressed(line, sizeof(line), used, suppressed);
    }
    replace_control_bytes(line, used);
    line[used] = '\0';
    replace_inner_quotes(line);
    line[used++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written; /* nowhere left to say that the log cannot be written */
}
