#include "tests/support/bug_report.h"

#include <stdint.h>
#include <stdio.h>

#include "lib/base/assert.h"
#include "lib/base/buffer.h"
#include "lib/base/file.h"

#define SHOWN_BYTES 16000u

/* How each kind of report begins, or goes on behind the place. */
static const char *const signs[] = {"ERROR: AddressSanitizer",        "ERROR: LeakSanitizer",
                                    "AddressSanitizer:DEADLYSIGNAL",  "WARNING: ThreadSanitizer",
                                    "ThreadSanitizer:DEADLYSIGNAL",   ": runtime error: ",
                                    ": this must hold and does not: "};

struct slice bug_report_in(struct slice text)
{
    const char *end = text.data + text.len;
    struct slice first = {end, 0};
    for (size_t i = 0; text.len > 0 && i < sizeof(signs) / sizeof(signs[0]); i++) {
        const char *found = memmem(text.data, text.len, signs[i], strlen(signs[i]));
        if (found != NULL && (size_t)(end - found) > first.len) {
            first = (struct slice){found, (size_t)(end - found)};
        }
    }
    return first;
}

/* The names that tests and scripts give to what a program says. */
static bool is_output(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct slice name = slice_of(slash != NULL ? slash + 1 : path);
    return (name.len >= 3 && memcmp(name.data + name.len - 3, "log", 3) == 0) ||
           slice_equal(name, SLICE("out")) || slice_equal(name, SLICE("err"));
}

void bug_report_refuse(const char *path)
{
    struct buffer content;
    buffer_init(&content, SIZE_MAX);
    if (is_output(path) && file_read(path, &content, NULL, NULL)) {
        struct slice report = bug_report_in(buffer_slice(&content));
        if (report.len > 0) {
            size_t shown = report.len < SHOWN_BYTES ? report.len : SHOWN_BYTES;
            (void)fprintf(stderr, "%s:\n%.*s\n", path, (int)shown, report.data);
            ASSERT(!"a program ended without the report above");
        }
    }
    buffer_fini(&content);
}
