/* Any bytes: either refused with a message, or a tree whose texts lie inside the input. */
#include "lib/base/assert.h"
#include "lib/resp/value.h"

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct resp_value *value, struct slice input)
{
    if (value->text.len > 0) {
        ASSERT(value->text.data >= input.data);
        ASSERT(value->text.data + value->text.len <= input.data + input.len);
    }
    for (size_t i = 0; i < value->count; i++) {
        check(&value->elements[i], input);
    }
}

/* NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};
    struct error err = {.text = ""};
    struct resp_value *root = resp_value_parse(input, &err);
    if (root == NULL) {
        ASSERT(err.text[0] != '\0');
        return 0;
    }
    check(root, input);
    resp_value_free(root);
    return 0;
}
