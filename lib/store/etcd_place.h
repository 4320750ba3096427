/* Where an etcd store is and how one proves who one is: the URL, its options, the environment.
 * Reads the files that the options name; no network. */
#ifndef LIB_STORE_ETCD_PLACE_H
#define LIB_STORE_ETCD_PLACE_H

#include <stdbool.h>

#include "lib/base/error.h"

#define ETCD_ENDPOINTS_MAX 9u

struct etcd_place {
    char *endpoints[ETCD_ENDPOINTS_MAX]; /* "http://HOST:PORT" or "https://..." */
    unsigned nendpoints;
    char *prefix; /* begins with '/', does not end with one */
    /* Null when not given. The first three name files. */
    char *ca, *cert, *key;
    char *user;
    char *password; /* the secret itself: never in a message */
};

/* True for "etcd:..." and "etcds:...". */
bool etcd_place_is_one(const char *url);
/* etcd[s]:HOST:PORT[,HOST:PORT...][/PREFIX][?OPTION=VALUE[&...]] with the options ca, cert, key,
 * user and password-file; what is not there is taken from the environment: SLUICE_STORE_CA,
 * SLUICE_STORE_CERT, SLUICE_STORE_KEY, SLUICE_STORE_USER, SLUICE_STORE_PASSWORD_FILE,
 * SLUICE_STORE_PASSWORD. */
bool etcd_place_init(struct etcd_place *place, const char *url, struct error *err)
    __attribute__((warn_unused_result));
void etcd_place_fini(struct etcd_place *place);

#endif
