/* One line per event that an operator acts on: time, level, program, then `event key=value ...`; a
 * value that may have spaces stands in quotes, `why="..."`, and its own quotes become '.
 * error = act now; warn = look; info = a state changed; debug = per connection.
 * No secrets, no values of keys. Written with one write(2) to stderr; any thread.
 *
 * A message (a format) that comes more often than LOG_LINES_MAX times a second is left out for the
 * rest of that second, debug excepted; its next line ends with suppressed=N. */
#ifndef LIB_BASE_LOG_H
#define LIB_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_LINES_MAX 20 /* of one message, a second */

enum log_level {
    LOG_ERROR,
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG
};

/* Once, before other threads start. `program` must outlive the process. */
void log_init(const char *program, enum log_level level);
/* Any thread, later. */
void log_set_level(enum log_level level);
/* For the table of options: the names of the levels. */
#define LOG_LEVEL_WORDS "error|warn|info|debug"
/* `name` is one of these. */
enum log_level log_level_named(const char *name);

/* Lines left out so far, of all messages. */
uint64_t log_suppressed(void);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A message that anybody can bring about: one line a second is enough to see what is wrong. Zeroed
 * at first; of one thread. */
struct log_pause {
    uint64_t until_us;
};

/* Whether the line may be written now; then the pause begins anew. */
bool log_pause_is_over(struct log_pause *pause, uint64_t now_us);

/* They are called like functions and look like functions.
 * NOLINTBEGIN(readability-identifier-naming) */
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
/* NOLINTEND(readability-identifier-naming) */

#endif
