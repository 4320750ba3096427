/* What the kernel and a shard say of themselves: memory, descriptors, what lies about. Any thread
 * but for what fails the test. */
#ifndef TESTS_SUPPORT_VITALS_H
#define TESTS_SUPPORT_VITALS_H

#include <stdint.h>
#include <sys/types.h>

#include "tests/support/client.h"

/* For the environment of programs whose memory is judged: under the address sanitizer, too, what is
 * freed goes back at once. */
#define VITALS_ENVIRONMENT                                                 \
    "ASAN_OPTIONS=quarantine_size_mb=0:thread_local_quarantine_size_kb=0:" \
    "allocator_release_to_os_interval_ms=0"

/* Of a process that runs; 0 when it cannot be read. */
uint64_t vitals_resident_bytes(pid_t pid);
/* The most that this process has held since; the first begins anew, where the kernel allows. */
void vitals_begin_peak(void);
uint64_t vitals_peak_bytes(void);
unsigned vitals_descriptors(pid_t pid);
/* Time that its first thread has had on a processor; 0 when it cannot be read. */
uint64_t vitals_cpu_us(pid_t pid);

/* A number of a shard's INFO, as `name:number`; fails the test when it is not there. */
uint64_t vitals_info_number(struct client *shard, const char *section, const char *name);
/* Keys of Sluice's own but the fence and the scripts that clients have loaded: what a migration
 * keeps while it is open. */
unsigned vitals_metadata_keys(struct client *shard);

#endif
