/* What went wrong, in words for an operator: what we tried, on what, why it failed, what to do.
 * For the control plane. Functions that may fail return bool and take `struct error *` last. */
#ifndef LIB_BASE_ERROR_H
#define LIB_BASE_ERROR_H

#include <stdbool.h>

struct error {
    char text[1024];
};

/* Both return false, so that `return error_set(err, ...)` reads well. `err` may be null. */
bool error_set(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts "format: " before the text that is there. */
bool error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
