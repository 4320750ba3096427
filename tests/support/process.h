/* Programs that a test runs: started, waited for, signalled, and never left behind.
 *
 * Each child is killed by the kernel when the thread that started it ends (PR_SET_PDEATHSIG), so
 * start children from the main thread only; and process_stop_all ends what a failed test left. */
#ifndef TESTS_SUPPORT_PROCESS_H
#define TESTS_SUPPORT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process;

/* Starts argv[0] (searched on PATH) with its output appended to the file `log_path`.
 * `environment`: "NAME=VALUE" texts added to ours, ended by null; null: none. */
struct process *process_start(const char *name, const char *const *argv,
                              const char *const *environment, const char *log_path)
    __attribute__((warn_unused_result));
/* As process_start, with a pipe to its standard input: process_write. */
struct process *process_start_piped(const char *name, const char *const *argv,
                                    const char *const *environment, const char *log_path)
    __attribute__((warn_unused_result));
/* Writes to its standard input; dies silently when the reader is gone. */
void process_write(struct process *process, const char *text);

pid_t process_pid(const struct process *process);
const char *process_log_path(const struct process *process);
bool process_is_running(struct process *process);
/* By SIGSTOP, with all its threads. */
bool process_is_stopped(const struct process *process);
/* SIGSTOP: returns when it has taken effect. */
void process_signal(struct process *process, int signal);
/* A full disk, for this process alone: what would make any file larger than `size_bytes` fails from
 * now on, the last write before cut short. UINT64_MAX: no limit. */
void process_limit_files(struct process *process, uint64_t size_bytes);
/* Waits for its end; false when it still runs after `timeout_ms`. *status as from waitpid, may be
 * null. */
bool process_wait(struct process *process, uint64_t timeout_ms, int *status);
/* SIGKILL, and waits until it is gone. The struct stays. */
void process_kill(struct process *process);
/* SIGTERM (and SIGCONT), SIGKILL after ten seconds; frees it. Null is allowed. Prints a line when
 * it did not end by itself, or ended with another code than 0. Returns whether it ended well. */
bool process_stop(struct process *process);
/* For teardown functions: SIGKILL to all that still run. */
void process_stop_all(void);

/* The last `lines` lines of its log on stderr, for a failure. */
void process_print_log(const struct process *process, unsigned lines);

/* What a program that ran to its end said. */
struct output {
    int code;  /* exit code; -1: killed by a signal, or by the time-out */
    char *out; /* standard output, zero-terminated */
    char *err;
};

struct output process_run(const char *const *argv, const char *const *environment,
                          uint64_t timeout_ms) __attribute__((warn_unused_result));
void output_free(struct output *output);

#endif
