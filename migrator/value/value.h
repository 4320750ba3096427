/* Do two DUMP payloads hold the same value? Values are read element by element, so encoding, hash
 * table order and compression make no difference; order makes one in lists and streams only.
 *
 * Every type and encoding of Redis 7.0 is read, the older ones that RESTORE takes too, and the
 * listpack sets and streams of 7.2. What is not (module types, zipmaps of Redis 2.4, hashes with
 * lifetimes of fields of 7.4) is VALUE_OPAQUE: it compares by its bytes.
 *
 * Pure: no clock, no I/O, no state. Any thread. Never reads past a payload, whatever is in it;
 * memory: at most 88 times the payload, for the time of the call, if it is compressed. */
#ifndef MIGRATOR_VALUE_VALUE_H
#define MIGRATOR_VALUE_VALUE_H

#include "lib/base/error.h"
#include "migrator/value/digest.h"

enum value_type {
    VALUE_STRING,
    VALUE_LIST,
    VALUE_SET,
    VALUE_ZSET,
    VALUE_HASH,
    VALUE_STREAM,
    VALUE_OPAQUE
};

/* Digests of values of different types differ, also when their elements are the same. */
struct value_summary {
    enum value_type type;
    struct value_digest digest;
    uint64_t elements; /* members, fields, entries; 1 for a string and an opaque value */
};

/* `dump` is what DUMP answered, footer included. False when it is no such payload: too short, a
 * wrong checksum, or a known type whose body does not follow its format. */
bool value_summarize(struct slice dump, struct value_summary *summary, struct error *err)
    __attribute__((warn_unused_result));

/* Of a string that was not dumped: as value_summarize of its DUMP. */
void value_summarize_string(struct slice text, struct value_summary *summary);

/* Equal: the same bytes, or the same type and digest. False as value_summarize, then *equal is
 * unchanged; equal bytes are not looked into, so two equally damaged payloads are equal. */
bool value_equal(struct slice dump_a, struct slice dump_b, bool *equal, struct error *err)
    __attribute__((warn_unused_result));

/* Of one key's whole state. `expires_at_ms` is absolute, -1 for none. */
struct value_digest value_key_digest(struct slice key, const struct value_summary *summary,
                                     int64_t expires_at_ms);

#endif
