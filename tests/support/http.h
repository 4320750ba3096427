/* GET from an admin endpoint of 127.0.0.1. */
#ifndef TESTS_SUPPORT_HTTP_H
#define TESTS_SUPPORT_HTTP_H

#include <stdint.h>

/* The status code, 0 when nobody answers. *body (may be null) is zero-terminated, freed with
 * mem_free, null when there is none. */
int http_get(uint16_t port, const char *path, char **body);
/* What /metrics says of a name, with its labels as they stand there; fails the test when it does
 * not. */
uint64_t http_metric(uint16_t port, const char *name);

#endif
