/* Reads a ziplist, the packed form of small collections before Redis 7. Pure. */
#ifndef MIGRATOR_VALUE_ZIPLIST_H
#define MIGRATOR_VALUE_ZIPLIST_H

#include "migrator/value/element.h"

/* The source reads `packed` in place. False when its header or its end is wrong. */
bool ziplist_open(struct element_source *source, struct slice packed)
    __attribute__((warn_unused_result));

#endif
