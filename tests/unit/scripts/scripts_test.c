/* What the scripts say to a word that they do not know, and what `make install` leaves alone. Run
 * from the root of the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

#define COMMAND_MS 60000

static void expect(const char *line, int code, const char *words)
{
    const char *argv[] = {"sh", "-c", line, NULL};
    struct output output = process_run(argv, NULL, COMMAND_MS);
    if (output.code != code || strstr(output.out, words) == NULL) {
        fail_msg("%s: code %d: %s%s", line, output.code, output.out, output.err);
    }
    output_free(&output);
}

static void a_script_that_takes_no_words_refuses_them(void **state)
{
    static const char *const names[] = {"check", "gen-command-table", "gen-protocol-doc",
                                        "node-clients"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *wrong = mem_printf("scripts/%s --nothing 2>&1", names[i]);
        char *help = mem_printf("scripts/%s --help", names[i]);
        char *usage = mem_printf("usage: scripts/%s", names[i]);
        expect(wrong, 2, usage);
        expect(help, 0, usage);
        mem_free(wrong);
        mem_free(help);
        mem_free(usage);
    }
}

static void chaos_wants_a_number_behind_its_options(void **state)
{
    static const char usage[] = "usage: scripts/chaos [--seconds N]";
    (void)state;
    expect("scripts/chaos --seed 2>&1", 2, usage);
    expect("scripts/chaos --seed --no-docs 2>&1", 2, usage);
    expect("scripts/chaos --nothing 1 2>&1", 2, usage);
    expect("scripts/chaos --help", 0, usage);
}

static void a_layer_without_a_folder_is_refused(void **state)
{
    (void)state;
    char *folder = scratch_folder("layers");
    char *line = mem_printf("mkdir -p %s/scripts %s/lib %s/proxy %s/migrator %s/ctl && "
                            "cp scripts/check-layers %s/scripts/ && "
                            "echo lib migrator/gone > %s/scripts/layers && %s/scripts/check-layers",
                            folder, folder, folder, folder, folder, folder, folder, folder);
    expect(line, 1, "scripts/layers: there is no folder migrator/gone");
    mem_free(line);
    scratch_remove(folder);
}

static void an_operators_file_is_installed_once(void **state)
{
    (void)state;
    char *folder = scratch_folder("install");
    char *line = mem_printf("cd %s && umask 022 && echo sample > sample && "
                            "once=$OLDPWD/scripts/install-once && $once sample conf nosuchgroup && "
                            "stat -c %%a conf && echo mine > conf && $once sample conf nosuchgroup "
                            "&& cat conf",
                            folder);
    expect(line, 0, "640\nmine\n");
    mem_free(line);
    scratch_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_that_takes_no_words_refuses_them),
        cmocka_unit_test(chaos_wants_a_number_behind_its_options),
        cmocka_unit_test(a_layer_without_a_folder_is_refused),
        cmocka_unit_test(an_operators_file_is_installed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
