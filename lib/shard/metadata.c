#include "lib/shard/metadata.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/assert.h"

static void format_name(char name[METADATA_NAME_MAX], uint64_t migration, uint64_t base,
                        enum direction direction, const char *kind)
{
    int length = snprintf(name, METADATA_NAME_MAX, METADATA_PREFIX "m%" PRIu64 ":%" PRIu64 ":%c:%s",
                          migration, base, direction == DIRECTION_FORWARD ? 'f' : 'r', kind);
    ASSERT(length > 0 && length < METADATA_NAME_MAX);
}

void metadata_names_of(uint64_t migration, uint64_t base, enum direction direction,
                       struct metadata_names *names)
{
    format_name(names->seq, migration, base, direction, "seq");
    format_name(names->dirty, migration, base, direction, "dirty");
    format_name(names->ver, migration, base, direction, "ver");
}
