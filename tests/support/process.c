#include "tests/support/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/buffer.h"
#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define PROCESSES_MAX 256
#define STOP_MS       60000
#define KILL_MS       60000

struct process {
    char *name;
    char *log_path;
    pid_t pid;
    int input; /* our end of its standard input, or -1 */
    bool has_ended;
    int status;
};

static struct process *processes[PROCESSES_MAX];

static void add_environment(const char *const *environment)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        char *setting; /* putenv keeps it and changes nothing */
        memcpy(&setting, &environment[i], sizeof(setting));
        (void)putenv(setting);
    }
}

/* In the child: never returns. `fds` become its 0, 1, 2. */
static void become(const char *const *argv, const char *const *environment, const int fds[3],
                   pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(126); /* the parent died before the line above */
    }
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGXFSZ, SIG_IGN); /* process_limit_files is a full disk, not a signal */
    for (int i = 0; i < 3; i++) {
        if (dup2(fds[i], i) < 0) {
            _exit(126);
        }
    }
    add_environment(environment);
    char *const *words; /* execvp changes nothing, its type is older than const */
    memcpy(&words, &argv, sizeof(words));
    (void)execvp(argv[0], words);
    (void)dprintf(STDERR_FILENO, "cannot run %s: errno %d\n", argv[0], errno);
    _exit(127);
}

static pid_t spawn(const char *const *argv, const char *const *environment, const int fds[3])
{
    pid_t parent = getpid();
    (void)fflush(NULL);
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        become(argv, environment, fds, parent);
    }
    return pid;
}

static struct process *start(const char *name, const char *const *argv,
                             const char *const *environment, const char *log_path, bool is_piped)
{
    int pipe_fds[2] = {-1, -1};
    int input = -1;
    (void)signal(SIGPIPE, SIG_IGN); /* it may die while the test talks to it */
    if (is_piped) {
        ASSERT(pipe2(pipe_fds, O_CLOEXEC) == 0);
        input = pipe_fds[0];
    } else {
        input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    ASSERT(input >= 0 && log >= 0);
    struct process *process = mem_zalloc(sizeof(*process));
    process->name = mem_strdup(name);
    process->log_path = mem_strdup(log_path);
    process->input = pipe_fds[1];
    process->pid = spawn(argv, environment, (int[3]){input, log, log});
    (void)close(input);
    (void)close(log);
    for (int i = 0; i < PROCESSES_MAX; i++) {
        if (processes[i] == NULL) {
            processes[i] = process;
            return process;
        }
    }
    ASSERT(!"room in the table of processes");
    return process;
}

struct process *process_start(const char *name, const char *const *argv,
                              const char *const *environment, const char *log_path)
{
    return start(name, argv, environment, log_path, false);
}

struct process *process_start_piped(const char *name, const char *const *argv,
                                    const char *const *environment, const char *log_path)
{
    return start(name, argv, environment, log_path, true);
}

void process_write(struct process *process, const char *text)
{
    ASSERT(process->input >= 0);
    ssize_t written = write(process->input, text, strlen(text));
    (void)written; /* a reader that died is noticed by whoever waits for its answer */
}

pid_t process_pid(const struct process *process)
{
    return process->pid;
}

const char *process_log_path(const struct process *process)
{
    return process->log_path;
}

bool process_is_running(struct process *process)
{
    if (!process->has_ended) {
        pid_t ended = waitpid(process->pid, &process->status, WNOHANG);
        process->has_ended = ended == process->pid;
    }
    return !process->has_ended;
}

static bool is_thread_stopped(const char *tasks, const char *thread)
{
    char *path = mem_printf("%s/%s/stat", tasks, thread);
    struct buffer text;
    bool is_stopped = false;
    buffer_init(&text, SIZE_MAX);
    if (file_read(path, &text, NULL, NULL)) {
        buffer_add(&text, "", 1);
        const char *name_end = strrchr(buffer_slice(&text).data, ')');
        is_stopped = name_end != NULL && name_end[2] == 'T';
    }
    buffer_fini(&text);
    mem_free(path);
    return is_stopped;
}

bool process_is_stopped(const struct process *process)
{
    char *tasks = mem_printf("/proc/%d/task", (int)process->pid);
    DIR *threads = opendir(tasks);
    bool is_stopped = threads != NULL;
    struct dirent *thread;
    while (is_stopped && (thread = readdir(threads)) != NULL) {
        is_stopped = thread->d_name[0] == '.' || is_thread_stopped(tasks, thread->d_name);
    }
    if (threads != NULL) {
        (void)closedir(threads);
    }
    mem_free(tasks);
    return is_stopped;
}

void process_signal(struct process *process, int signal)
{
    if (!process_is_running(process) || kill(process->pid, signal) < 0 || signal != SIGSTOP) {
        return;
    }
    /* kill() returns while the other cores still run its threads. */
    uint64_t deadline = deadline_after_ms(KILL_MS);
    while (process_is_running(process) && !process_is_stopped(process)) {
        ASSERT(!deadline_is_over(deadline));
        clock_sleep_ms(1);
    }
}

void process_limit_files(struct process *process, uint64_t size_bytes)
{
    struct rlimit limit;
    if (!process_is_running(process) || prlimit(process->pid, RLIMIT_FSIZE, NULL, &limit) != 0) {
        return;
    }
    limit.rlim_cur = size_bytes == UINT64_MAX ? limit.rlim_max : size_bytes;
    (void)prlimit(process->pid, RLIMIT_FSIZE, &limit, NULL);
}

bool process_wait(struct process *process, uint64_t timeout_ms, int *status)
{
    uint64_t deadline_us = deadline_after_ms(timeout_ms);
    while (process_is_running(process)) {
        if (deadline_is_over(deadline_us)) {
            return false;
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
    if (status != NULL) {
        *status = process->status;
    }
    return true;
}

void process_kill(struct process *process)
{
    process_signal(process, SIGKILL);
    bool is_gone = process_wait(process, KILL_MS, NULL);
    ASSERT(is_gone);
}

static void free_process(struct process *process)
{
    for (int i = 0; i < PROCESSES_MAX; i++) {
        if (processes[i] == process) {
            processes[i] = NULL;
        }
    }
    if (process->input >= 0) {
        (void)close(process->input);
    }
    mem_free(process->name);
    mem_free(process->log_path);
    mem_free(process);
}

static bool ended_well(const struct process *process)
{
    if (WIFEXITED(process->status) && WEXITSTATUS(process->status) == 0) {
        return true;
    }
    (void)fprintf(stderr, "%s ended with %s %d\n", process->name,
                  WIFSIGNALED(process->status) ? "signal" : "code",
                  WIFSIGNALED(process->status) ? WTERMSIG(process->status)
                                               : WEXITSTATUS(process->status));
    process_print_log(process, 20);
    return false;
}

bool process_stop(struct process *process)
{
    if (process == NULL) {
        return true;
    }
    bool was_killed_on_purpose =
        process->has_ended && WIFSIGNALED(process->status) && WTERMSIG(process->status) == SIGKILL;
    process_signal(process, SIGTERM);
    process_signal(process, SIGCONT);
    bool is_good = true;
    if (!process_wait(process, STOP_MS, NULL)) {
        (void)fprintf(stderr, "%s does not end on SIGTERM\n", process->name);
        process_print_log(process, 20);
        process_kill(process);
        is_good = false;
    } else if (!was_killed_on_purpose) {
        is_good = ended_well(process);
    }
    free_process(process);
    return is_good;
}

void process_stop_all(void)
{
    for (int i = 0; i < PROCESSES_MAX; i++) {
        if (processes[i] != NULL) {
            process_kill(processes[i]);
            free_process(processes[i]);
        }
    }
}

void process_print_log(const struct process *process, unsigned lines)
{
    struct buffer content;
    buffer_init(&content, SIZE_MAX);
    if (file_read(process->log_path, &content, NULL, NULL)) {
        struct slice text = buffer_slice(&content);
        size_t start = text.len;
        unsigned seen = 0;
        while (start > 0 && (text.data[start - 1] != '\n' || seen++ < lines + 1)) {
            start--;
        }
        (void)fprintf(stderr, "--- %s, last lines of its log:\n%.*s---\n", process->name,
                      (int)(text.len - start), text.data + start);
    }
    buffer_fini(&content);
}

/* --- programs that run to their end ------------------------------------------------------- */

static char *take_file(char *path)
{
    struct buffer content;
    struct error err;
    buffer_init(&content, SIZE_MAX);
    bool is_read = file_read(path, &content, NULL, &err);
    ASSERT(is_read);
    buffer_add(&content, "", 1);
    char *text = mem_strdup(buffer_slice(&content).data);
    buffer_fini(&content);
    mem_free(path);
    return text;
}

static int wait_for_code(pid_t pid, uint64_t timeout_ms)
{
    int status = 0;
    uint64_t deadline_us = deadline_after_ms(timeout_ms);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (deadline_is_over(deadline_us)) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            return -1;
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct output process_run(const char *const *argv, const char *const *environment,
                          uint64_t timeout_ms)
{
    char *folder = scratch_folder("run");
    char *out_path = mem_printf("%s/out", folder);
    char *err_path = mem_printf("%s/err", folder);
    int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(out_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    int err = open(err_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    ASSERT(input >= 0 && out >= 0 && err >= 0);
    pid_t pid = spawn(argv, environment, (int[3]){input, out, err});
    (void)close(input);
    (void)close(out);
    (void)close(err);
    struct output output = {.code = wait_for_code(pid, timeout_ms)};
    output.out = take_file(out_path);
    output.err = take_file(err_path);
    scratch_remove(folder);
    return output;
}

void output_free(struct output *output)
{
    mem_free(output->out);
    mem_free(output->err);
    *output = (struct output){0};
}
