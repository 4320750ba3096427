#include "lib/base/fail_point.h"

#ifdef SLUICE_FAIL_POINTS

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/number.h"

#define MAX_POINTS 16

struct point {
    struct slice name;
    struct slice action;
    uint64_t only_at; /* 0: every time */
    uint64_t passed;
};

/* Only in builds for tests: this table is the one shared mutable thing outside main and log. */
static struct point points[MAX_POINTS];
static unsigned npoints;
static pthread_once_t parsed_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t points_lock = PTHREAD_MUTEX_INITIALIZER;

static struct slice cut(struct slice *rest, char separator)
{
    const char *found = memchr(rest->data, separator, rest->len);
    size_t length = found != NULL ? (size_t)(found - rest->data) : rest->len;
    struct slice part = {rest->data, length};
    size_t skip = found != NULL ? length + 1 : length;
    *rest = (struct slice){rest->data + skip, rest->len - skip};
    return part;
}

static void parse_environment(void)
{
    const char *text = getenv("SLUICE_FAIL");
    struct slice rest = slice_of(text != NULL ? text : "");
    while (rest.len > 0) {
        ASSERT(npoints < MAX_POINTS);
        struct slice item = cut(&rest, ',');
        struct point *point = &points[npoints++];
        point->name = cut(&item, '=');
        point->action = cut(&item, '@');
        ASSERT(point->name.len > 0 && point->action.len > 0);
        bool counted = item.len == 0 || number_parse_u64(item, &point->only_at);
        ASSERT(counted);
    }
}

static bool act(struct slice action)
{
    struct slice verb = cut(&action, ':');
    uint64_t pause_ms = 0;
    if (slice_equal(verb, SLICE("kill"))) {
        (void)raise(SIGKILL);
    } else if (slice_equal(verb, SLICE("stop"))) {
        (void)raise(SIGSTOP);
    } else if (slice_equal(verb, SLICE("pause"))) {
        bool is_number = number_parse_u64(action, &pause_ms);
        ASSERT(is_number);
        clock_sleep_ms(pause_ms);
    } else {
        ASSERT(slice_equal(verb, SLICE("error"))); /* a misspelt test must not pass */
    }
    return slice_equal(verb, SLICE("error"));
}

bool fail_point_passed(const char *name)
{
    (void)pthread_once(&parsed_once, parse_environment);
    struct slice action = {NULL, 0};
    (void)pthread_mutex_lock(&points_lock);
    for (unsigned i = 0; i < npoints; i++) {
        struct point *point = &points[i];
        if (slice_equal(point->name, slice_of(name))) {
            point->passed++;
            if (point->only_at == 0 || point->only_at == point->passed) {
                action = point->action;
            }
        }
    }
    (void)pthread_mutex_unlock(&points_lock);
    if (action.len == 0) {
        return false;
    }
    log_warn("fail point passed name=%s action=%.*s", name, (int)action.len, action.data);
    return act(action);
}

#else
/* A translation unit may not be empty. */
extern const int fail_points_are_compiled_out;
const int fail_points_are_compiled_out = 1;
#endif
