/* Reads a listpack, the packed form of Redis 7's small collections and stream nodes. Pure. */
#ifndef MIGRATOR_VALUE_LISTPACK_H
#define MIGRATOR_VALUE_LISTPACK_H

#include "migrator/value/element.h"

/* The source reads `packed` in place. False when its header or its end is wrong. */
bool listpack_open(struct element_source *source, struct slice packed)
    __attribute__((warn_unused_result));

#endif
