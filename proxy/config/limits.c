#include "proxy/config/limits.h"

#include "lib/base/number.h"

const char *const output_class_names[OUTPUT_CLASSES] = {"normal", "pubsub"};

/* The next word; empty at the end. */
static struct slice next_word(struct slice *text)
{
    while (text->len > 0 && *text->data == ' ') {
        *text = (struct slice){text->data + 1, text->len - 1};
    }
    const char *end = text->len > 0 ? memchr(text->data, ' ', text->len) : NULL;
    size_t length = end != NULL ? (size_t)(end - text->data) : text->len;
    struct slice word = {text->data, length};
    *text = (struct slice){text->data + length, text->len - length};
    return word;
}

static bool take_class(struct slice class, struct slice *text,
                       struct output_limit limits[OUTPUT_CLASSES], struct error *err)
{
    struct output_limit limit;
    uint64_t seconds;
    if (!number_parse_size(next_word(text), &limit.hard_bytes) ||
        !number_parse_size(next_word(text), &limit.soft_bytes) ||
        !number_parse_u64(next_word(text), &seconds) || seconds > UINT32_MAX) {
        return error_set(err, "behind \"%.*s\" must stand HARD SOFT SECONDS, like 32mb 8mb 60",
                         (int)class.len, class.data);
    }
    limit.soft_us = seconds * 1000000;
    for (unsigned i = 0; i < OUTPUT_CLASSES; i++) {
        if (slice_equal_nocase(class, slice_of(output_class_names[i]))) {
            limits[i] = limit;
            return true;
        }
    }
    return error_set(err, "\"%.*s\" is no class: the classes are normal and pubsub", (int)class.len,
                     class.data);
}

bool output_limits_parse(struct slice text, struct output_limit limits[OUTPUT_CLASSES],
                         struct error *err)
{
    for (unsigned i = 0; i < OUTPUT_CLASSES; i++) {
        limits[i] = (struct output_limit){0, 0, 0};
    }
    struct slice class = next_word(&text);
    while (class.len > 0) {
        if (!take_class(class, &text, limits, err)) {
            return false;
        }
        class = next_word(&text);
    }
    return true;
}
