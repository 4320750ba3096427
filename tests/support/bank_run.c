#include "tests/support/bank_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "tests/support/wait.h"

#define ANSWER_MS 60000
#define LOAD_MS   60000
#define END_MS    120000
#define DOUBT_MS  3000

struct bank_run {
    struct process *process;
    char *log;
    char *summary;
};

/* How many lines of the log are "bank: LINE". */
static unsigned count_lines(const char *path, const char *line)
{
    struct buffer content;
    unsigned count = 0;
    buffer_init(&content, SIZE_MAX);
    if (file_read(path, &content, NULL, NULL)) {
        char *wanted = mem_printf("bank: %s\n", line);
        buffer_add(&content, "", 1);
        for (const char *at = strstr(buffer_slice(&content).data, wanted); at != NULL;
             at = strstr(at + 1, wanted)) {
            count++;
        }
        mem_free(wanted);
    }
    buffer_fini(&content);
    return count;
}

static void wait_for_line(struct bank_run *run, const char *line, unsigned count, uint64_t ms)
{
    uint64_t deadline_us = deadline_after_ms(ms);
    while (count_lines(run->log, line) < count) {
        if (!process_is_running(run->process) || deadline_is_over(deadline_us)) {
            process_print_log(run->process, 30);
            fail_msg("the bank does not say \"%s\"", line);
        }
        clock_sleep_ms(WAIT_POLL_MS);
    }
}

struct bank_run *bank_run_start(struct cluster *cluster, unsigned accounts, unsigned rate)
{
    return bank_run_start_patiently(cluster, accounts, rate, DOUBT_MS);
}

struct bank_run *bank_run_start_patiently(struct cluster *cluster, unsigned accounts, unsigned rate,
                                          unsigned doubt_ms)
{
    static unsigned number;
    char proxies[512] = "";
    size_t length = 0;
    for (unsigned i = 0; i < cluster_proxies(cluster); i++) {
        length += (size_t)snprintf(proxies + length, sizeof(proxies) - length, "%s127.0.0.1:%u",
                                   i > 0 ? "," : "", cluster_proxy_port(cluster, i));
    }
    struct bank_run *run = mem_zalloc(sizeof(*run));
    run->log = mem_printf("%s/bank%u.log", cluster_folder(cluster), ++number);
    run->summary = mem_printf("%s/bank%u.json", cluster_folder(cluster), number);
    char *program = program_path("tests/tools/bank");
    char *accounts_text = mem_printf("%u", accounts);
    char *rate_text = mem_printf("%u", rate);
    char *doubt_text = mem_printf("%u", doubt_ms);
    const char *argv[] = {program,       "--proxies",     proxies,    "--accounts",
                          accounts_text, "--rate",        rate_text,  "--seconds",
                          "0",           "--connections", "12",       "--summary",
                          run->summary,  "--doubt-ms",    doubt_text, NULL};
    run->process = process_start_piped("bank", argv, NULL, run->log);
    mem_free(program);
    mem_free(accounts_text);
    mem_free(rate_text);
    mem_free(doubt_text);
    wait_for_line(run, "loaded", 1, LOAD_MS);
    return run;
}

void bank_run_tell(struct bank_run *run, const char *line)
{
    unsigned before = count_lines(run->log, line);
    char *text = mem_printf("%s\n", line);
    process_write(run->process, text);
    mem_free(text);
    wait_for_line(run, line, before + 1, ANSWER_MS);
}

bool bank_run_is_alive(struct bank_run *run)
{
    return process_is_running(run->process);
}

static uint64_t read_number(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

struct bank_result bank_run_end(struct bank_run *run)
{
    int status = 0;
    process_write(run->process, "stop\n");
    if (!process_wait(run->process, END_MS, &status)) {
        process_print_log(run->process, 30);
        fail_msg("the bank does not end");
    }
    json_t *summary = json_load_file(run->summary, 0, NULL);
    struct bank_result result = {
        .operations = read_number(summary, "operations"),
        .errors = read_number(json_object_get(summary, "errors"), "total"),
        .violations = read_number(summary, "violations"),
    };
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        char *text = summary != NULL ? json_dumps(summary, JSON_INDENT(2)) : NULL;
        process_print_log(run->process, 30);
        fail_msg("the bank does not balance:\n%s", text != NULL ? text : "(no summary)");
    }
    json_decref(summary);
    (void)process_stop(run->process);
    mem_free(run->log);
    mem_free(run->summary);
    mem_free(run);
    return result;
}
