#include "lib/store/curl_library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "lib/base/assert.h"

#define LIBRARY "libcurl.so.4"

/* Written once, by whoever comes first. */
static struct curl_library library;
static bool is_loaded;
static struct error why;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* `function` is the address of a pointer to a function, which is as large as one to data (POSIX).
 */
static bool find(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);
    if (symbol == NULL) {
        return error_set(&why, "libcurl is too old for the etcd store: %s is missing", name);
    }
    memcpy(function, &symbol, sizeof(symbol));
    return true;
}

static bool find_all(void *handle)
{
    bool is_found = true;
#define X(name) is_found = is_found && find(handle, "curl_" #name, &library.name);
    CURL_FUNCTIONS(X)
#undef X
    return is_found;
}

/* Never unloaded: its own static data would have to go first. */
static void load(void)
{
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        (void)error_set(&why,
                        "the etcd store needs libcurl, which cannot be loaded (%s): install "
                        "it (Debian: libcurl4)",
                        dlerror());
        return;
    }
    if (find_all(handle)) {
        CURLcode failed = library.global_init(CURL_GLOBAL_DEFAULT);
        ASSERT(failed == CURLE_OK);
        is_loaded = true;
    }
}

bool curl_library_load(struct error *err)
{
    int failed = pthread_once(&once, load);
    ASSERT(failed == 0);
    return is_loaded || error_set(err, "%s", why.text);
}

const struct curl_library *libcurl(void)
{
    ASSERT(is_loaded);
    return &library;
}
