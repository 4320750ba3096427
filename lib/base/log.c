#include "lib/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* Written once by log_init, before other threads start. */
static const char *log_program = "sluice";
static enum log_level log_level = LOG_INFO;

void log_init(const char *program, enum log_level level)
{
    log_program = program;
    log_level = level;
}

bool log_level_parse(const char *text, enum log_level *level)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
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

void log_line(enum log_level level, const char *format, ...)
{
    if (level > log_level) {
        return;
    }
    char line[2048];
    size_t used = write_prefix(line, sizeof(line), level);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    used += more > 0 ? (size_t)more : 0;
    if (used > sizeof(line) - 2) {
        used = sizeof(line) - 2;
    }
    replace_control_bytes(line, used);
    line[used++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written; /* nowhere left to say that the log cannot be written */
}
