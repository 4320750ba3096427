/* What a program says when it has met a bug: a sanitizer's report, or an ASSERT that failed. A test
 * kills its programs, starts them again and expects errors of them, so exit codes tell nothing;
 * scratch folders look into every log before they go (tests/support/scratch.h). Any thread. */
#ifndef TESTS_SUPPORT_BUG_REPORT_H
#define TESTS_SUPPORT_BUG_REPORT_H

#include "lib/base/slice.h"

/* From the first report in `text` to the end; empty: there is none. */
struct slice bug_report_in(struct slice text) __attribute__((warn_unused_result));
/* Where `path` is the log or the output of a program and holds a report: prints it and aborts, so
 * that the test fails whatever it looked at. Other files, and missing ones, are let be. */
void bug_report_refuse(const char *path);

#endif
