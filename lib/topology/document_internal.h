/* What the writer and the reader of documents must agree on. */
#ifndef LIB_TOPOLOGY_DOCUMENT_INTERNAL_H
#define LIB_TOPOLOGY_DOCUMENT_INTERNAL_H

/* The options that are plain numbers, by the names of their fields. */
#define DOCUMENT_NUMBER_OPTIONS(X) \
    X(keys_per_second)             \
    X(bytes_per_second)            \
    X(cutover_keys)                \
    X(hold_max_ms)                 \
    X(barrier_timeout_ms)          \
    X(max_skew_ms)                 \
    X(large_key_bytes)

/* How FINALIZE_NEVER is written. */
#define DOCUMENT_NEVER "never"

#endif
