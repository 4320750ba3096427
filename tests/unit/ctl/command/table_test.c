#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/command/all.h"
#include "ctl/command/help.h"
#include "lib/base/buffer.h"
#include "lib/base/file.h"

#define MAN_PAGE "docs/man/sluicectl.1"

static char *man_page;

static int read_man_page(void **state)
{
    (void)state;
    struct buffer content;
    struct error err;
    buffer_init(&content, SIZE_MAX);
    if (!file_read(MAN_PAGE, &content, NULL, &err)) {
        print_error("%s\n", err.text);
        return -1;
    }
    buffer_add(&content, "", 1);
    man_page = strdup(buffer_slice(&content).data);
    buffer_fini(&content);
    return man_page != NULL ? 0 : -1;
}

static int drop_man_page(void **state)
{
    (void)state;
    free(man_page);
    return 0;
}

static void expect_in_man_page(const char *text)
{
    if (strstr(man_page, text) == NULL) {
        fail_msg("%s does not have \"%s\"", MAN_PAGE, text);
    }
}

static bool has_command(const char *name, size_t length)
{
    for (unsigned i = 0; i < command_count; i++) {
        if (strlen(commands[i]->name) == length && memcmp(commands[i]->name, name, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_option(const char *name, size_t length)
{
    for (unsigned c = 0; c <= command_count; c++) {
        bool is_global = c == command_count;
        const struct option_spec *options = is_global ? global_options : commands[c]->options;
        unsigned count = is_global ? global_option_count : commands[c]->noptions;
        for (unsigned i = 0; i < count; i++) {
            if (strlen(options[i].name) == length && memcmp(options[i].name, name, length) == 0) {
                return true;
            }
        }
    }
    return (length == 4 && memcmp(name, "help", 4) == 0) ||
           (length == 7 && memcmp(name, "version", 7) == 0);
}

static void every_command_is_in_the_man_page(void **state)
{
    (void)state;
    for (unsigned i = 0; i < command_count; i++) {
        char item[80];
        bool is_plan = strncmp(commands[i]->name, "plan ", 5) == 0;
        (void)snprintf(item, sizeof(item), "%s%s", is_plan ? "" : ".It Ic ", commands[i]->name);
        expect_in_man_page(item);
    }
}

static void every_option_is_in_the_man_page(void **state)
{
    (void)state;
    for (unsigned c = 0; c < command_count; c++) {
        for (unsigned i = 0; i < commands[c]->noptions; i++) {
            char option[80];
            (void)snprintf(option, sizeof(option), "Cm \\-\\-%s", commands[c]->options[i].name);
            expect_in_man_page(option);
        }
    }
}

static void the_man_page_names_no_option_that_is_not_there(void **state)
{
    (void)state;
    for (const char *at = strstr(man_page, "Cm \\-\\-"); at != NULL; at = strstr(at, "Cm \\-\\-")) {
        at += 7;
        size_t length = strcspn(at, " \n");
        if (!has_option(at, length)) {
            fail_msg("%s names --%.*s", MAN_PAGE, (int)length, at);
        }
    }
}

static void the_man_page_names_no_command_that_is_not_there(void **state)
{
    (void)state;
    for (const char *at = strstr(man_page, "\n.It Ic "); at != NULL; at = strstr(at, "\n.It Ic ")) {
        at += 8;
        size_t first = strcspn(at, " \n");
        size_t second = first + 1 + strcspn(at + first + 1, " \n");
        if (!has_command(at, first) && !has_command(at, second)) {
            fail_msg("%s names %.*s", MAN_PAGE, (int)second, at);
        }
    }
}

static void every_option_is_used_once_a_command(void **state)
{
    (void)state;
    for (unsigned c = 0; c < command_count; c++) {
        const struct command *command = commands[c];
        assert_true(command->noptions + global_option_count <= 24); /* OPTIONS_MAX */
        assert_true(command->min_arguments <= command->max_arguments);
        for (unsigned i = 0; i < command->noptions; i++) {
            bool is_flag = command->options[i].type == OPTION_FLAG;
            assert_true(is_flag == (command->options[i].value == NULL));
            for (unsigned j = 0; j < i; j++) {
                assert_string_not_equal(command->options[i].name, command->options[j].name);
            }
        }
    }
}

static void help_shows_every_command_and_its_options(void **state)
{
    (void)state;
    for (unsigned c = 0; c < command_count; c++) {
        struct arguments arguments = {.command = commands[c]};
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        assert_non_null(out);
        help_print(&arguments, out);
        arguments.command = NULL;
        help_print(&arguments, out);
        (void)fclose(out);
        assert_non_null(strstr(text, commands[c]->text)); /* in the list */
        for (unsigned i = 0; i < commands[c]->noptions; i++) {
            char option[64];
            (void)snprintf(option, sizeof(option), "--%s", commands[c]->options[i].name);
            assert_non_null(strstr(text, option));
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_is_in_the_man_page),
        cmocka_unit_test(every_option_is_in_the_man_page),
        cmocka_unit_test(the_man_page_names_no_option_that_is_not_there),
        cmocka_unit_test(the_man_page_names_no_command_that_is_not_there),
        cmocka_unit_test(every_option_is_used_once_a_command),
        cmocka_unit_test(help_shows_every_command_and_its_options),
    };
    return cmocka_run_group_tests(tests, read_man_page, drop_man_page);
}
