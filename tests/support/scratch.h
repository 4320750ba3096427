/* What a test may leave behind, and removes: temporary folders. Also free ports and the seed.
 * Main thread only. */
#ifndef TESTS_SUPPORT_SCRATCH_H
#define TESTS_SUPPORT_SCRATCH_H

#include <stdint.h>

/* A new folder under $TMPDIR, removed with all in it when the program ends, unless
 * SLUICE_KEEP is set in the environment. Freed by the caller with mem_free.
 *
 * Before that its logs are looked at: a sanitizer's report in one of them, or a failed ASSERT,
 * aborts this program and keeps the folder (tests/support/bug_report.h). */
char *scratch_folder(const char *name) __attribute__((warn_unused_result));
/* Remove it now; null is allowed. Consumes the path. */
void scratch_remove(char *folder);

/* A port of 127.0.0.1 that was free a moment ago, and that this program was not given before. */
uint16_t scratch_port(void);

/* SLUICE_SEED of the environment, else a random one; printed once, so that a failure can be
 * repeated. */
uint64_t scratch_seed(void);

#endif
