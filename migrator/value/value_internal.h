/* The door behind the checksum, for tests and the fuzzer. */
#ifndef MIGRATOR_VALUE_VALUE_INTERNAL_H
#define MIGRATOR_VALUE_VALUE_INTERNAL_H

#include "migrator/value/value.h"

/* As value_summarize, of a payload without its footer. */
bool value_summarize_body(struct slice body, struct value_summary *summary, struct error *err)
    __attribute__((warn_unused_result));

#endif
