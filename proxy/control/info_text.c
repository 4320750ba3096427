#include "proxy/control/info_text.h"

#include "lib/base/number.h"

struct slice info_text_after(struct slice text, const char *label, const char *ends)
{
    const char *found = memmem(text.data, text.len, label, strlen(label));
    if (found == NULL) {
        return (struct slice){"", 0};
    }
    const char *from = found + strlen(label);
    const char *end = from;
    while (end < text.data + text.len && strchr(ends, *end) == NULL) {
        end++;
    }
    return (struct slice){from, (size_t)(end - from)};
}

uint64_t info_number_after(struct slice text, const char *label)
{
    uint64_t number;
    return number_parse_u64(info_text_after(text, label, "\r,"), &number) ? number : 0;
}
