/* libcurl, loaded when the first etcd store is opened: whoever has another store spares the memory
 * of the thirty libraries behind it. Any thread. For lib/store/etcd_*.c only. */
#ifndef LIB_STORE_CURL_LIBRARY_H
#define LIB_STORE_CURL_LIBRARY_H

#include <curl/curl.h>

#include "lib/base/error.h"

/* X(name): what is used of it, without its prefix. */
#define CURL_FUNCTIONS(X)  \
    X(global_init)         \
    X(easy_init)           \
    X(easy_setopt)         \
    X(easy_getinfo)        \
    X(easy_strerror)       \
    X(easy_cleanup)        \
    X(multi_init)          \
    X(multi_setopt)        \
    X(multi_add_handle)    \
    X(multi_remove_handle) \
    X(multi_perform)       \
    X(multi_socket_action) \
    X(multi_poll)          \
    X(multi_info_read)     \
    X(multi_cleanup)       \
    X(slist_append)        \
    X(slist_free_all)

struct curl_library {
#define X(name) __typeof__(curl_##name) *name;
    CURL_FUNCTIONS(X)
#undef X
};

/* Loads it, once for the process. False when it is not there, or too old. */
bool curl_library_load(struct error *err) __attribute__((warn_unused_result));
/* Only after it was loaded. */
const struct curl_library *libcurl(void);

#endif
