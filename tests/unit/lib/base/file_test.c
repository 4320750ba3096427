#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/memory.h"

struct folder {
    char path[64];
    char file[80];
};

static int setup(void **state)
{
    struct folder *folder = mem_zalloc(sizeof(*folder));
    (void)snprintf(folder->path, sizeof(folder->path), "/tmp/sluice-file-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    (void)snprintf(folder->file, sizeof(folder->file), "%s/x", folder->path);
    *state = folder;
    return 0;
}

static int teardown(void **state)
{
    struct folder *folder = *state;
    (void)unlink(folder->file);
    (void)rmdir(folder->path);
    mem_free(folder);
    return 0;
}

static void what_is_written_is_read_back(void **state)
{
    const struct folder *folder = *state;
    struct error err = {""};
    struct buffer content;
    bool is_missing = true;
    char *large = mem_zalloc(200000);
    memset(large, 'y', 200000);
    assert_true(file_write(folder->file, (struct slice){large, 200000}, &err));
    buffer_init(&content, SIZE_MAX);
    buffer_add_text(&content, "before ");
    assert_true(file_read(folder->file, &content, &is_missing, &err));
    assert_false(is_missing);
    assert_int_equal(buffer_length(&content), 200007);
    assert_memory_equal(buffer_slice(&content).data, "before yyy", 10);
    assert_memory_equal(buffer_slice(&content).data + 7, large, 200000);
    buffer_fini(&content);
    mem_free(large);
}

static void writing_again_replaces_all(void **state)
{
    const struct folder *folder = *state;
    struct buffer content;
    assert_true(file_write(folder->file, SLICE("a long text"), NULL));
    assert_true(file_write(folder->file, SLICE("new"), NULL));
    buffer_init(&content, SIZE_MAX);
    assert_true(file_read(folder->file, &content, NULL, NULL));
    assert_true(slice_equal(buffer_slice(&content), SLICE("new")));
    buffer_fini(&content);
    assert_true(file_write(folder->file, SLICE(""), NULL));
    assert_true(file_read(folder->file, &content, NULL, NULL));
    assert_int_equal(buffer_length(&content), 0);
    buffer_fini(&content);
}

static void a_file_of_the_limit_is_read_and_a_larger_one_refused(void **state)
{
    const struct folder *folder = *state;
    struct error err = {""};
    struct buffer content;
    assert_true(file_write(folder->file, SLICE("12345678"), &err));
    buffer_init(&content, 8);
    assert_true(file_read(folder->file, &content, NULL, &err));
    assert_int_equal(buffer_length(&content), 8);
    buffer_fini(&content);
    buffer_init(&content, 7);
    assert_false(file_read(folder->file, &content, NULL, &err));
    assert_non_null(strstr(err.text, folder->file));
    assert_non_null(strstr(err.text, "File too large"));
    buffer_fini(&content);
}

static void a_missing_file_is_told_from_others(void **state)
{
    const struct folder *folder = *state;
    struct error err = {""};
    struct buffer content;
    bool is_missing = false;
    buffer_init(&content, SIZE_MAX);
    assert_false(file_read(folder->file, &content, &is_missing, &err));
    assert_true(is_missing);
    assert_non_null(strstr(err.text, "cannot open"));
    assert_non_null(strstr(err.text, folder->file));
    assert_false(file_read(folder->path, &content, &is_missing, &err));
    assert_false(is_missing);
    assert_non_null(strstr(err.text, "cannot read"));
    assert_non_null(strstr(err.text, "Is a directory"));
    buffer_fini(&content);
}

static void what_cannot_be_written_is_named(void **state)
{
    const struct folder *folder = *state;
    struct error err = {""};
    assert_false(file_write(folder->path, SLICE("x"), &err));
    assert_non_null(strstr(err.text, "cannot create"));
    assert_non_null(strstr(err.text, folder->path));
    assert_false(file_write("/dev/full", SLICE("x"), &err));
    assert_non_null(strstr(err.text, "cannot write \"/dev/full\": No space left"));
}

static void a_folder_is_synced_and_a_file_is_none(void **state)
{
    const struct folder *folder = *state;
    struct error err = {""};
    assert_true(file_sync_folder(folder->path, &err));
    assert_true(file_write(folder->file, SLICE("x"), &err));
    assert_false(file_sync_folder(folder->file, &err));
    assert_non_null(strstr(err.text, "cannot sync folder"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read_back),
        TEST(writing_again_replaces_all),
        TEST(a_file_of_the_limit_is_read_and_a_larger_one_refused),
        TEST(a_missing_file_is_told_from_others),
        TEST(what_cannot_be_written_is_named),
        TEST(a_folder_is_synced_and_a_file_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
