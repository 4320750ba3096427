/* The table of the forms in which Redis writes values: by the first byte of a payload, what type of
 * value it is and how to read it. */
#ifndef MIGRATOR_VALUE_ENCODING_H
#define MIGRATOR_VALUE_ENCODING_H

#include "migrator/value/dump_reader.h"
#include "migrator/value/fold.h"
#include "migrator/value/value.h"

struct encoding {
    const char *name;
    enum value_type type;
    /* Reads what follows the type byte; false with the reader's problem set. */
    bool (*read)(const struct encoding *encoding, struct dump_reader *reader,
                 struct value_fold *fold);
    /* How the elements of one text are packed, for the encodings that are. */
    bool (*open)(struct element_source *source, struct slice packed);
    fold_fn fold;
};

/* Null for a type byte that is not in the table. */
const struct encoding *encoding_of(unsigned type_byte);

#endif
