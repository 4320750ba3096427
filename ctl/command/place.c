#include "ctl/command/place.h"

#include <ctype.h>
#include <string.h>

#include "lib/base/number.h"
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

/* "HOST:PORT" or "[HOST]:PORT". */
static bool parse_address(const char *text, struct topology_shard *shard)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (colon == NULL || !number_parse_u64(slice_of(colon + 1), &port) || port == 0 ||
        port > 65535) {
        return false;
    }
    size_t length = (size_t)(colon - text);
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    } else if (memchr(text, ':', length) != NULL) {
        return false; /* which colon would begin the port? */
    }
    if (length == 0 || length >= sizeof(shard->host)) {
        return false;
    }
    memcpy(shard->host, text, length);
    shard->host[length] = '\0';
    shard->port = (uint16_t)port;
    return true;
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
    if (strncmp(place, SENTINEL_SCHEME, strlen(SENTINEL_SCHEME)) == 0) {
        return parse_sentinels(place + strlen(SENTINEL_SCHEME), shard, err);
    }
    if (!parse_address(place, shard)) {
        return error_set(err, "\"%s\" is not of the form HOST:PORT (an IPv6 HOST in brackets)",
                         place);
    }
    return true;
}
