#include "ctl/command/place.h"

#include <ctype.h>
#include <string.h>

#include "lib/cluster/sentinel.h"

static bool is_name(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)name[i]) && strchr("_.-", name[i]) == NULL) {
            return false;
        }
    }
    return length > 0 && length <= SHARD_NAME_MAX;
}

static bool parse_sentinels(const char *text, struct topology_shard *shard, struct error *err)
{
    struct sentinels *sentinels = sentinels_new(text, err);
    if (sentinels == NULL) {
        return false;
    }
    sentinels_free(sentinels);
    if (strlen(text) > SENTINELS_TEXT_MAX) {
        return error_set(err, "\"%s\" is longer than %d bytes", text, SENTINELS_TEXT_MAX);
    }
    memcpy(shard->sentinels, text, strlen(text) + 1);
    return true;
}

bool place_parse_server(const char *text, struct topology_shard *shard, struct error *err)
{
    return (shard_address_parse(slice_of(text), shard) && shard->port != 0) ||
           error_set(err,
                     "\"%s\" is not of the form HOST:PORT (an IPv6 HOST in brackets), or "
                     "tls:HOST:PORT",
                     text);
}

bool place_parse(const char *text, struct topology_shard *shard, struct error *err)
{
    memset(shard, 0, sizeof(*shard));
    shard->weight = WEIGHT_DEFAULT;
    const char *equals = strchr(text, '=');
    if (equals == NULL) {
        return error_set(err, "\"%s\" is not of the form NAME=HOST:PORT", text);
    }
    size_t length = (size_t)(equals - text);
    if (!is_name(text, length)) {
        return error_set(err, "\"%.*s\" is no name for a shard: 1 to %d of A-Z a-z 0-9 _ . -",
                         (int)length, text, SHARD_NAME_MAX);
    }
    memcpy(shard->name, text, length);
    const char *place = equals + 1;
    bool is_tls = strncmp(place, "tls:" SENTINEL_SCHEME, strlen("tls:" SENTINEL_SCHEME)) == 0;
    const char *scheme = is_tls ? place + strlen("tls:") : place;
    if (strncmp(scheme, SENTINEL_SCHEME, strlen(SENTINEL_SCHEME)) == 0) {
        shard->is_tls = is_tls; /* whom they name; each of them says it for itself */
        return parse_sentinels(scheme + strlen(SENTINEL_SCHEME), shard, err);
    }
    return place_parse_server(place, shard, err);
}
