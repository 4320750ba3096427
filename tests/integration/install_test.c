/* What make install puts where, with which rights, and that the second time leaves an operator's
 * files alone. Run from the root of the tree, with the programs of $SLUICE_BIN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "tests/support/cluster.h"
#include "tests/support/scratch.h"

#define PATIENCE_MS 120000

static char *root; /* DESTDIR */

/* A line for sh, with $B and $R; its standard output, freed with mem_free. */
static char *sh(const char *line)
{
    char *program = program_path("sluicectl");
    char *script =
        mem_printf("set -e; umask 022; B=$(dirname '%s'); R='%s'; %s", program, root, line);
    const char *argv[] = {"sh", "-c", script, NULL};
    struct output output = process_run(argv, NULL, PATIENCE_MS);
    if (output.code != 0) {
        fail_msg("%s: code %d\n%s%s", line, output.code, output.out, output.err);
    }
    char *out = mem_strdup(output.out);
    output_free(&output);
    mem_free(script);
    mem_free(program);
    return out;
}

static void expect_says(const char *line, const char *text)
{
    char *said = sh(line);
    assert_string_equal(said, text);
    mem_free(said);
}

/* Builds nothing: what is to be installed is there. */
static void install(void)
{
    mem_free(sh("make -s -o all install B=\"$B\" FLAVOUR=\"${B##*/}\" DESTDIR=\"$R\" PREFIX=/usr "
                "SYSCONFDIR=/etc"));
}

static int start(void **state)
{
    (void)state;
    root = scratch_folder("root");
    install();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    scratch_remove(root);
    return 0;
}

static void every_file_is_where_it_belongs_and_nobody_else_may_write_it(void **state)
{
    (void)state;
    expect_says("cd \"$R\" && find . -type f -printf '%m %P\\n' | sort -k 2",
                "640 etc/sluice/migrator.conf\n"
                "644 etc/sluice/migrator.conf.sample\n"
                "640 etc/sluice/proxy.conf\n"
                "644 etc/sluice/proxy.conf.sample\n"
                "644 etc/sluice/shard-users.acl.sample\n"
                "755 usr/bin/sluice-migrator\n"
                "755 usr/bin/sluice-proxy\n"
                "755 usr/bin/sluicectl\n"
                "644 usr/lib/systemd/system/sluice-migrator.service\n"
                "644 usr/lib/systemd/system/sluice-proxy.service\n"
                "644 usr/lib/sysusers.d/sluice.conf\n"
                "644 usr/share/man/man1/sluice-migrator.1\n"
                "644 usr/share/man/man1/sluice-proxy.1\n"
                "644 usr/share/man/man1/sluicectl.1\n");
    expect_says("find \"$R\" -mindepth 1 -type d -not -perm 755", "");
}

static void units_name_what_was_installed(void **state)
{
    (void)state;
    expect_says("grep -h ^ExecStart= \"$R\"/usr/lib/systemd/system/*.service",
                "ExecStart=/usr/bin/sluice-migrator --config /etc/sluice/migrator.conf\n"
                "ExecStart=/usr/bin/sluice-proxy --config /etc/sluice/proxy.conf\n");
    expect_says("grep -l /usr/local \"$R\"/usr/lib/systemd/system/*.service || true", "");
}

static void what_was_installed_runs_with_its_own_files(void **state)
{
    (void)state;
    static const char *const programs[] = {"proxy", "migrator"};
    expect_says("\"$R\"/usr/bin/sluicectl --version", "sluicectl " VERSION "\n");
    for (unsigned i = 0; i < 2; i++) {
        char *line = mem_printf("echo \"store = file:$R/var\" >>\"$R\"/etc/sluice/%s.conf && "
                                "\"$R\"/usr/bin/sluice-%s --config \"$R\"/etc/sluice/%s.conf "
                                "--check-config",
                                programs[i], programs[i], programs[i]);
        expect_says(line, "the configuration is valid\n");
        mem_free(line);
    }
}

static void an_upgrade_leaves_an_operator_s_files_and_renews_the_rest(void **state)
{
    (void)state;
    mem_free(
        sh("echo mine >\"$R\"/etc/sluice/proxy.conf; chmod 600 \"$R\"/etc/sluice/proxy.conf; "
           "echo old >\"$R\"/etc/sluice/proxy.conf.sample; echo old >\"$R\"/usr/bin/sluicectl"));
    install();
    expect_says("cat \"$R\"/etc/sluice/proxy.conf; stat -c %a \"$R\"/etc/sluice/proxy.conf",
                "mine\n600\n");
    expect_says("cmp \"$R\"/etc/sluice/proxy.conf.sample config/proxy.conf && "
                "cmp \"$R\"/usr/bin/sluicectl \"$B\"/sluicectl",
                "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_where_it_belongs_and_nobody_else_may_write_it),
        cmocka_unit_test(units_name_what_was_installed),
        cmocka_unit_test(what_was_installed_runs_with_its_own_files),
        cmocka_unit_test(an_upgrade_leaves_an_operator_s_files_and_renews_the_rest),
    };
    return cmocka_run_group_tests_name("install", tests, start, stop);
}
