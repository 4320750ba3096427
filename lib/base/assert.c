#include "lib/base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void assert_failed(const char *file, int line, const char *condition)
{
    (void)fprintf(stderr, "%s:%d: this must hold and does not: %s\n", file, line, condition);
    abort();
}
