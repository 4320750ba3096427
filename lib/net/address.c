#include "lib/net/address.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/number.h"

#define DEFAULT_HOST "127.0.0.1"

/* Brackets are for IPv6 numbers, which have colons; nothing else may have one. */
static bool is_host(struct slice host, bool is_bracketed)
{
    if (is_bracketed && memchr(host.data, ':', host.len) == NULL) {
        return false;
    }
    if (host.len == 0 || host.len > ADDRESS_HOST_MAX) {
        return false;
    }
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        bool is_plain = isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_';
        if (!is_plain && (!is_bracketed || (c != ':' && c != '%'))) {
            return false;
        }
    }
    return true;
}

/* Cuts at the last colon; takes the brackets off the host. */
static bool split(struct slice text, struct slice *host, struct slice *port)
{
    const char *colon = text.len > 0 ? memrchr(text.data, ':', text.len) : NULL;
    if (colon == NULL) {
        return false;
    }
    size_t length = (size_t)(colon - text.data);
    *port = (struct slice){colon + 1, text.len - length - 1};
    bool is_bracketed = length >= 2 && text.data[0] == '[' && text.data[length - 1] == ']';
    *host = is_bracketed  ? (struct slice){text.data + 1, length - 2}
            : length == 0 ? SLICE(DEFAULT_HOST)
                          : (struct slice){text.data, length};
    return is_host(*host, is_bracketed);
}

bool address_parse(struct slice text, struct address *address, struct error *err)
{
    struct slice host, port;
    uint64_t number;
    if (!split(text, &host, &port)) {
        return error_set(err,
                         "\"%.*s\" is not an address: write HOST:PORT, such as 127.0.0.1:6380 or "
                         "[::1]:6380",
                         (int)(text.len < 300 ? text.len : 300), text.data);
    }
    if (!number_parse_u64(port, &number) || number > UINT16_MAX) {
        return error_set(err, "the port of \"%.*s\" must be 0..65535",
                         (int)(text.len < 300 ? text.len : 300), text.data);
    }
    memcpy(address->host, host.data, host.len);
    address->host[host.len] = '\0';
    address->port = (uint16_t)number;
    return true;
}

bool address_check(const char *option, const char *text, struct error *err)
{
    struct address address;
    return address_parse(slice_of(text), &address, err) || error_prefix(err, "\"%s\"", option);
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
    bool needs_brackets = strchr(address->host, ':') != NULL;
    (void)snprintf(text, ADDRESS_TEXT_MAX, needs_brackets ? "[%s]:%u" : "%s:%u", address->host,
                   address->port);
}

bool address_resolve(const struct address *address, struct endpoint *endpoint, struct error *err)
{
    return endpoint_resolve(endpoint, address->host, address->port, err);
}

bool address_is_public(struct slice text, bool *is_public, struct error *err)
{
    struct address address;
    struct endpoint endpoint;
    if (!address_parse(text, &address, err) || !address_resolve(&address, &endpoint, err)) {
        return false;
    }
    *is_public = !endpoint_is_loopback(&endpoint);
    return true;
}
