#include "lib/base/service.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/number.h"

/* False when no manager listens. "@name" stands for a name that begins with a zero byte. */
static bool find_manager(struct sockaddr_un *address, socklen_t *length)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t size = path != NULL ? strlen(path) : 0;
    if (size < 2 || size >= sizeof(address->sun_path) || (path[0] != '/' && path[0] != '@')) {
        return false;
    }
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, size);
    if (path[0] == '@') {
        address->sun_path[0] = '\0';
    }
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return true;
}

static void say(const char *text)
{
    struct sockaddr_un address;
    socklen_t length;
    if (!find_manager(&address, &length)) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        ssize_t sent =
            sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, length);
        (void)sent; /* a manager that does not listen acts by its own time-outs */
        (void)close(fd);
    }
}

void service_ready(void)
{
    say("READY=1");
}

void service_reloading(void)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
                   (unsigned long long)clock_now_us());
    say(text);
}

void service_stopping(void)
{
    say("STOPPING=1");
}

void service_alive(void)
{
    say("WATCHDOG=1");
}

uint64_t service_alive_period_us(void)
{
    const char *limit = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t limit_us = 0;
    uint64_t watched = (uint64_t)getpid();
    bool is_known = limit != NULL && number_parse_u64(slice_of(limit), &limit_us) &&
                    (pid == NULL || number_parse_u64(slice_of(pid), &watched));
    return is_known && watched == (uint64_t)getpid() ? limit_us / 2 : 0;
}
