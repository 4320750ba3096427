#include <stdio.h>

#include "lib/base/number.h"
#include "lib/topology/topology.h"

static const char tls_scheme[] = "tls:";

bool topology_same_place(const struct topology_shard *a, const struct topology_shard *b)
{
    return a->port == b->port && a->is_tls == b->is_tls && strcmp(a->host, b->host) == 0;
}

void topology_place_at(struct topology_shard *shard, const struct topology_shard *place)
{
    memcpy(shard->host, place->host, sizeof(shard->host));
    shard->port = place->port;
    shard->is_tls = place->is_tls;
}

void shard_address_format(const struct topology_shard *shard, char text[SHARD_ADDRESS_MAX])
{
    bool has_colon = strchr(shard->host, ':') != NULL; /* an IPv6 number */
    (void)snprintf(text, SHARD_ADDRESS_MAX, has_colon ? "%s[%s]:%u" : "%s%s:%u",
                   shard->is_tls ? tls_scheme : "", shard->host, (unsigned)shard->port);
}

/* Only in brackets may a host have colons: which one would begin the port? */
static bool take_brackets(struct slice *host)
{
    if (host->len >= 2 && host->data[0] == '[' && host->data[host->len - 1] == ']') {
        *host = (struct slice){host->data + 1, host->len - 2};
        return true;
    }
    return host->len == 0 || memchr(host->data, ':', host->len) == NULL;
}

bool shard_address_parse(struct slice text, struct topology_shard *shard)
{
    bool is_tls = slice_starts_with(text, SLICE("tls:"));
    if (is_tls) {
        text =
            (struct slice){text.data + sizeof(tls_scheme) - 1, text.len - sizeof(tls_scheme) + 1};
    }
    const char *colon = text.len > 0 ? memrchr(text.data, ':', text.len) : NULL;
    if (colon == NULL) {
        return false;
    }
    struct slice host = {text.data, (size_t)(colon - text.data)};
    struct slice digits = {colon + 1, text.len - host.len - 1};
    uint64_t port;
    if (!take_brackets(&host) || !number_parse_u64(digits, &port) || port > UINT16_MAX ||
        host.len == 0 || host.len >= sizeof(shard->host)) {
        return false;
    }
    memcpy(shard->host, host.data, host.len);
    shard->host[host.len] = '\0';
    shard->port = (uint16_t)port;
    shard->is_tls = is_tls;
    return true;
}
