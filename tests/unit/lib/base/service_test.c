#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/service.h"

static int manager;
static char name[64];

static int open_manager(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)state;
    (void)snprintf(name, sizeof(name), "@sluice-service-test-%d", (int)getpid());
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    assert_int_equal(bind(manager, (const struct sockaddr *)&address, length), 0);
    (void)setenv("NOTIFY_SOCKET", name, 1);
    return 0;
}

static int close_manager(void **state)
{
    (void)state;
    (void)close(manager);
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    return 0;
}

/* A datagram is there as soon as it was sent. */
static void expect_said(const char *text)
{
    char said[128];
    ssize_t length = recv(manager, said, sizeof(said) - 1, 0);
    said[length > 0 ? length : 0] = '\0';
    assert_int_equal(strncmp(said, text, strlen(text)), 0);
}

static void the_manager_is_told(void **state)
{
    (void)state;
    service_ready();
    expect_said("READY=1");
    service_reloading();
    expect_said("RELOADING=1\nMONOTONIC_USEC=");
    service_alive();
    expect_said("WATCHDOG=1");
    service_stopping();
    expect_said("STOPPING=1");
}

static void without_a_manager_nothing_is_said(void **state)
{
    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    service_ready();
    (void)setenv("NOTIFY_SOCKET", "relative", 1);
    service_ready();
    (void)setenv("NOTIFY_SOCKET", "", 1);
    service_ready();
    char byte;
    assert_int_equal(recv(manager, &byte, 1, 0), -1);
}

static void half_of_the_watchdogs_time_is_the_period(void **state)
{
    char pid[16];
    (void)state;
    assert_int_equal(service_alive_period_us(), 0);
    (void)setenv("WATCHDOG_USEC", "3000000", 1);
    assert_int_equal(service_alive_period_us(), 1500000);
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    (void)setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(service_alive_period_us(), 1500000);
    (void)setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(service_alive_period_us(), 0);
    (void)setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(service_alive_period_us(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_manager, close_manager)
    const struct CMUnitTest tests[] = {
        TEST(the_manager_is_told),
        TEST(without_a_manager_nothing_is_said),
        TEST(half_of_the_watchdogs_time_is_the_period),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
