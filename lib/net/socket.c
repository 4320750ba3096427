#include "lib/net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/net/lookup.h"

#define LISTEN_BACKLOG 4096

bool endpoint_of_number(struct endpoint *endpoint, const char *host, uint16_t port,
                        struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    *endpoint = (struct endpoint){.length = 0};
    int failure = getaddrinfo(host, NULL, &hints, &found);
    if (failure != 0) {
        return error_set(err, "cannot resolve \"%s\": %s", host, gai_strerror(failure));
    }
    memcpy(&endpoint->address, found->ai_addr, found->ai_addrlen);
    endpoint->length = found->ai_addrlen;
    freeaddrinfo(found);
    endpoint_set_port(endpoint, port);
    return true;
}

bool endpoint_resolve(struct endpoint *endpoint, const char *host, uint16_t port, struct error *err)
{
    if (endpoint_of_number(endpoint, host, port, err)) {
        return true;
    }
    bool is_found = lookup_name(host, endpoint, err);
    if (is_found) {
        endpoint_set_port(endpoint, port);
    }
    return is_found;
}

bool endpoint_is_loopback(const struct endpoint *endpoint)
{
    if (endpoint->address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&endpoint->address;
        return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&endpoint->address;
    return endpoint->address.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->length == b->length && memcmp(&a->address, &b->address, a->length) == 0 &&
           strcmp(a->tls_host, b->tls_host) == 0;
}

static int new_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* A power-off of the other machine is noticed within about half a minute. */
static void tune(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {{IPPROTO_TCP, TCP_NODELAY, 1},
                   {SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, 15},
                   {IPPROTO_TCP, TCP_KEEPINTVL, 5},
                   {IPPROTO_TCP, TCP_KEEPCNT, 3}};

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        /* Best effort: the connection works without. */
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
    }
}

const char *socket_listen_failure(int why)
{
    switch (why) {
    case EADDRINUSE:
        return "Address already in use: end the program that has this port, or choose another";
    case EADDRNOTAVAIL:
        return "Cannot assign requested address: this machine has no such address";
    default:
        return strerror(why);
    }
}

bool socket_is_free(const struct endpoint *endpoint, struct error *err)
{
    int on = 1;
    int fd = new_socket(endpoint->address.ss_family);
    bool is_free = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                   bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->length) == 0;
    int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_free ? true : error_set(err, "cannot listen: %s", socket_listen_failure(why));
}

void endpoint_set_port(struct endpoint *endpoint, uint16_t port)
{
    void *bytes = &endpoint->address;
    if (endpoint->address.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)bytes)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)bytes)->sin_port = htons(port);
    }
}

int socket_listen(const struct endpoint *endpoint, struct error *err)
{
    int on = 1;
    int fd = new_socket(endpoint->address.ss_family);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
        bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->length) == 0 &&
        listen(fd, LISTEN_BACKLOG) == 0) {
        return fd;
    }
    (void)error_set(err, "cannot listen: %s", socket_listen_failure(errno));
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}

uint16_t socket_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        return 0;
    }
    const void *bytes = &address;
    return ntohs(address.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)bytes)->sin6_port
                                               : ((const struct sockaddr_in *)bytes)->sin_port);
}

void socket_set_keepalive(int fd, unsigned seconds)
{
    /* As Redis: a third of the time between the probes, three of them. */
    const int on = seconds > 0, idle = (int)seconds, between = idle >= 3 ? idle / 3 : 1;
    /* Best effort: the connection works without. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (on) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof(between));
    }
}

void socket_addresses(int fd, struct endpoint *remote, struct endpoint *local)
{
    *remote = *local = (struct endpoint){.length = 0};
    socklen_t length = sizeof(remote->address);
    if (getpeername(fd, (struct sockaddr *)&remote->address, &length) == 0) {
        remote->length = length;
    }
    length = sizeof(local->address);
    if (getsockname(fd, (struct sockaddr *)&local->address, &length) == 0) {
        local->length = length;
    }
}

void endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN];
    const void *bytes = &endpoint->address;
    const struct sockaddr_in6 *six = bytes;
    const struct sockaddr_in *four = bytes;
    (void)snprintf(text, ENDPOINT_TEXT_MAX, "?:0");
    if (endpoint->length > 0 && endpoint->address.ss_family == AF_INET6 &&
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host)) != NULL) {
        (void)snprintf(text, ENDPOINT_TEXT_MAX, "[%s]:%u", host, ntohs(six->sin6_port));
    } else if (endpoint->length > 0 && endpoint->address.ss_family == AF_INET &&
               inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host)) != NULL) {
        (void)snprintf(text, ENDPOINT_TEXT_MAX, "%s:%u", host, ntohs(four->sin_port));
    }
}

int socket_accept(int listener, bool *is_exhausted)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    *is_exhausted = fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS);
    if (fd >= 0) {
        tune(fd);
    }
    return fd;
}

int socket_connect(const struct endpoint *endpoint)
{
    if (endpoint->length == 0) {
        return -1;
    }
    int fd = new_socket(endpoint->address.ss_family);
    if (fd < 0) {
        return -1;
    }
    tune(fd);
    int done = connect(fd, (const struct sockaddr *)&endpoint->address, endpoint->length);
    if (done != 0 && errno != EINPROGRESS) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int socket_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}
