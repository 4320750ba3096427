/* Reads an intset, the packed form of a small set of integers. Pure. */
#ifndef MIGRATOR_VALUE_INTSET_H
#define MIGRATOR_VALUE_INTSET_H

#include "migrator/value/element.h"

/* The source reads `packed` in place. False when it is not all there. */
bool intset_open(struct element_source *source, struct slice packed)
    __attribute__((warn_unused_result));

#endif
