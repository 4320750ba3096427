/* The server on a loop in its own thread, asked over real sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/net/address.h"
#include "lib/net/http.h"
#include "lib/net/mailbox.h"

#define LARGE_BYTES   ((size_t)8 << 20)

#define TOKEN         "0123456789abcdef"
#define ANOTHER_TOKEN "another.token/for+rotation=="

struct fixture {
    struct admin_access *access;
    struct loop *loop;
    struct mailbox *mailbox;
    struct http_server *server;
    pthread_t thread;
};

static int say_hello(void *context, struct buffer *body)
{
    buffer_add_text(body, context);
    return HTTP_OK;
}

static int say_not_ready(void *context, struct buffer *body)
{
    (void)context;
    buffer_add_text(body, "no topology yet\n");
    return HTTP_UNAVAILABLE;
}

static int say_much(void *context, struct buffer *body)
{
    (void)context;
    char *room = buffer_reserve(body, LARGE_BYTES);
    assert_non_null(room);
    memset(room, 'x', LARGE_BYTES);
    buffer_commit(body, LARGE_BYTES);
    return HTTP_OK;
}

static int say_connections(void *context, struct buffer *body)
{
    buffer_printf(body, "%u", http_server_connections(*(struct http_server **)context));
    return HTTP_OK;
}

static void *serve(void *context)
{
    loop_run(((struct fixture *)context)->loop);
    return NULL;
}

static void start(struct fixture *fixture, struct http_limits limits)
{
    static char greeting[] = "hello\n";
    const struct admin_files no_files = {.token_file = NULL};
    struct error err = {""};
    fixture->loop = loop_new();
    fixture->mailbox = mailbox_new(fixture->loop, fixture);
    fixture->access = admin_access_new(&no_files, &err);
    fixture->server =
        http_server_open(fixture->loop, "127.0.0.1:0", fixture->access, &limits, &err);
    assert_string_equal(err.text, "");
    assert_non_null(fixture->server);
    http_server_route(fixture->server, "/hello", "text/x-hello", HTTP_FOR_TOKENS, say_hello,
                      greeting);
    http_server_route(fixture->server, "/readyz", "text/plain", HTTP_STATUS_FOR_ALL, say_not_ready,
                      NULL);
    http_server_route(fixture->server, "/much", "text/plain", HTTP_FOR_TOKENS, say_much, NULL);
    http_server_route(fixture->server, "/connections", "text/plain", HTTP_FOR_TOKENS,
                      say_connections, &fixture->server);
    assert_int_equal(pthread_create(&fixture->thread, NULL, serve, fixture), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof(*fixture));
    *state = fixture;
    start(fixture, (struct http_limits){.connections = 3, .head_bytes = 1000, .time_ms = 5000});
    return 0;
}

static int setup_impatient(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof(*fixture));
    *state = fixture;
    start(fixture, (struct http_limits){.connections = 3, .head_bytes = 1000, .time_ms = 200});
    return 0;
}

static void deliver_stop(struct mail *mail, void *receiver)
{
    loop_stop(((struct fixture *)receiver)->loop);
    mem_free(mail);
}

/* As an operator who has set the variable. */
static int setup_guarded(void **state)
{
    assert_int_equal(setenv(ADMIN_TOKEN_VARIABLE, "# old and new\n" TOKEN "\n" ANOTHER_TOKEN, 1),
                     0);
    int failed = setup(state);
    assert_int_equal(unsetenv(ADMIN_TOKEN_VARIABLE), 0);
    return failed;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    struct mail *mail = mem_zalloc(sizeof(*mail));
    mail->deliver = deliver_stop;
    mailbox_post(fixture->mailbox, mail);
    (void)pthread_join(fixture->thread, NULL);
    http_server_close(fixture->server);
    admin_access_free(fixture->access);
    mailbox_free(fixture->mailbox);
    loop_free(fixture->loop);
    mem_free(fixture);
    return 0;
}

static int dial(const struct fixture *fixture)
{
    struct address address;
    struct timeval patience = {.tv_sec = 10};
    assert_true(address_parse(slice_of(http_server_address(fixture->server)), &address, NULL));
    assert_int_not_equal(address.port, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(address.port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All until the server closes, as text of the caller's to free. */
static char *hear_all(int fd)
{
    struct buffer heard;
    buffer_init(&heard, SIZE_MAX);
    for (;;) {
        char *room = buffer_reserve(&heard, 65536);
        assert_non_null(room);
        ssize_t got = recv(fd, room, 65536, 0);
        /* What is cut off ends in a reset. */
        if (got <= 0) {
            assert_true(got == 0 || errno == ECONNRESET);
            break;
        }
        buffer_commit(&heard, (size_t)got);
    }
    (void)close(fd);
    char *text = mem_strndup(heard.data, buffer_length(&heard));
    buffer_fini(&heard);
    return text;
}

static char *ask(const struct fixture *fixture, const char *request)
{
    int fd = dial(fixture);
    say(fd, request);
    return hear_all(fd);
}

static void assert_starts(const char *text, const char *wanted)
{
    if (strncmp(text, wanted, strlen(wanted)) != 0) {
        fail_msg("\"%.200s\" does not start with \"%s\"", text, wanted);
    }
}

static void assert_reply(const struct fixture *fixture, const char *request, const char *start_line)
{
    char *reply = ask(fixture, request);
    assert_starts(reply, start_line);
    mem_free(reply);
}

#define HELLO_HEAD                                                           \
    "HTTP/1.1 200 OK\r\nContent-Type: text/x-hello\r\nContent-Length: 6\r\n" \
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"

static void get_gives_the_body_of_the_route(void **state)
{
    char *reply = ask(*state, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_string_equal(reply, HELLO_HEAD "hello\n");
    mem_free(reply);
}

static void head_gives_the_same_without_the_body(void **state)
{
    char *reply = ask(*state, "HEAD /hello HTTP/1.1\r\n\r\n");
    assert_string_equal(reply, HELLO_HEAD);
    mem_free(reply);
}

static void the_handler_decides_the_status(void **state)
{
    char *reply = ask(*state, "GET /readyz HTTP/1.1\r\n\r\n");
    assert_starts(reply, "HTTP/1.1 503 Service Unavailable\r\n");
    assert_non_null(strstr(reply, "\r\n\r\nno topology yet\n"));
    mem_free(reply);
}

static void what_cannot_be_served_is_refused_in_words(void **state)
{
    assert_reply(*state, "GET /nothing HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n");
    assert_reply(*state, "GET /hello/ HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n");
    assert_reply(*state, "what is this\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n");
    char *reply = ask(*state, "DELETE /hello HTTP/1.1\r\n\r\n");
    assert_starts(reply, "HTTP/1.1 405 Method Not Allowed\r\n");
    assert_non_null(strstr(reply, "\r\nAllow: GET, HEAD\r\n"));
    assert_non_null(strstr(reply, "\r\n\r\nonly GET and HEAD are allowed\n"));
    mem_free(reply);
}

static void who_shows_no_good_token_is_refused(void **state)
{
    static const char *const fields[] = {
        "",
        "Authorization: Bearer 0123456789abcdeX\r\n",
        "Authorization: Bearer 0123456789abcde\r\n",
        "Authorization: Bearer 0123456789abcdefg\r\n",
        "Authorization: Bearer\r\n",
        "Authorization:\r\n",
        "Authorization: Bearer # old and new\r\n",
        "Authorization: " TOKEN "\r\n",
        "Authorization: Basic " TOKEN "\r\n",
        "Cookie: Bearer " TOKEN "\r\n",
    };
    const struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        char request[200];
        (void)snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\n%s\r\n", fields[i]);
        char *reply = ask(fixture, request);
        assert_starts(reply, "HTTP/1.1 401 Unauthorized\r\n");
        assert_non_null(strstr(reply, "\r\nWWW-Authenticate: Bearer\r\n"));
        assert_null(strstr(reply, "hello"));
        mem_free(reply);
    }
    assert_int_equal(http_server_denials(fixture->server), sizeof(fields) / sizeof(fields[0]));
    assert_reply(fixture, "DELETE /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 401 ");
    assert_reply(fixture,
                 "GET /hello HTTP/1.1\r\nAuthorization: Bearer " TOKEN
                 "\r\nAuthorization: Bearer " TOKEN "\r\n\r\n",
                 "HTTP/1.1 400 ");
}

static void each_token_opens(void **state)
{
    assert_reply(*state, "GET /hello HTTP/1.1\r\nAuthorization: Bearer " TOKEN "\r\n\r\n",
                 "HTTP/1.1 200 ");
    assert_reply(*state, "GET /hello HTTP/1.1\r\nauthorization:bearer  " ANOTHER_TOKEN " \r\n\r\n",
                 "HTTP/1.1 200 ");
}

/* Its text names what is not well. */
static void health_needs_no_token_and_its_text_does(void **state)
{
    char *reply = ask(*state, "GET /readyz HTTP/1.1\r\n\r\n");
    assert_starts(reply, "HTTP/1.1 503 ");
    assert_non_null(strstr(reply, "\r\n\r\nService Unavailable\n"));
    assert_null(strstr(reply, "topology"));
    mem_free(reply);
    reply = ask(*state, "GET /readyz HTTP/1.1\r\nAuthorization: Bearer " TOKEN "\r\n\r\n");
    assert_non_null(strstr(reply, "\r\n\r\nno topology yet\n"));
    mem_free(reply);
    assert_reply(*state, "GET /nothing HTTP/1.1\r\n\r\n", "HTTP/1.1 404 ");
}

static void a_query_does_not_matter(void **state)
{
    assert_reply(*state, "GET /hello?a=b HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n");
}

static void a_request_may_come_byte_by_byte(void **state)
{
    const char *request = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = dial(*state);
    int on = 1;
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    for (const char *c = request; *c != '\0'; c++) {
        assert_int_equal(send(fd, c, 1, MSG_NOSIGNAL), 1);
    }
    char *reply = hear_all(fd);
    assert_string_equal(reply, HELLO_HEAD "hello\n");
    mem_free(reply);
}

static void a_head_of_the_limit_is_taken_and_a_larger_one_refused(void **state)
{
    static const char start_of_head[] = "GET /hello HTTP/1.1\r\nX: ";
    char request[1100];
    memset(request, 'x', sizeof(request));
    memcpy(request, start_of_head, sizeof(start_of_head) - 1);
    memcpy(request + 996, "\r\n\r\n", 5);
    assert_reply(*state, request, "HTTP/1.1 200 OK\r\n");
    memset(request + 996, 'x', 1);
    memcpy(request + 997, "\r\n\r\n", 5);
    assert_reply(*state, request, "HTTP/1.1 431 ");
}

static void a_large_body_is_dropped_and_the_reply_arrives(void **state)
{
    int fd = dial(*state);
    char *body = mem_zalloc(1 << 20);
    say(fd, "POST /hello HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n");
    assert_int_equal(send(fd, body, 1 << 20, MSG_NOSIGNAL), 1 << 20);
    mem_free(body);
    char *reply = hear_all(fd);
    assert_starts(reply, "HTTP/1.1 405 ");
    mem_free(reply);
}

static void a_large_reply_arrives_whole(void **state)
{
    char *reply = ask(*state, "GET /much HTTP/1.1\r\n\r\n");
    char *body = strstr(reply, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strspn(body + 4, "x"), LARGE_BYTES);
    assert_int_equal(body[4 + LARGE_BYTES], '\0');
    mem_free(reply);
}

static void a_client_that_closed_its_half_gets_its_reply(void **state)
{
    int fd = dial(*state);
    say(fd, "GET /much HTTP/1.1\r\n\r\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    char *reply = hear_all(fd);
    assert_true(strlen(reply) > LARGE_BYTES);
    mem_free(reply);
}

static void wait_until_alone(const struct fixture *fixture)
{
    uint64_t deadline_us = clock_now_us() + 5000000;
    for (bool is_alone = false; !is_alone;) {
        assert_true(clock_now_us() < deadline_us);
        char *reply = ask(fixture, "GET /connections HTTP/1.1\r\n\r\n");
        /* An impatient server may cut this one off, too, when the machine is slow. */
        const char *body = strstr(reply, "\r\n\r\n");
        is_alone = body != NULL && strcmp(body + 4, "1") == 0;
        mem_free(reply);
    }
}

static void clients_that_go_away_are_forgotten(void **state)
{
    int idle = dial(*state);
    int busy = dial(*state);
    say(busy, "GET /much HTTP/1.1\r\n\r\n");
    (void)close(idle);
    (void)close(busy);
    wait_until_alone(*state);
}

static void a_connection_above_the_limit_waits_for_its_turn(void **state)
{
    const struct fixture *fixture = *state;
    int idle[3];
    for (int i = 0; i < 3; i++) {
        idle[i] = dial(fixture);
    }
    int waiting = dial(fixture);
    say(waiting, "GET /connections HTTP/1.1\r\n\r\n");
    /* The three are served in the order of their accepts: an answer on the last of them tells that
     * all are in, and the fourth has not been accepted. */
    say(idle[2], "GET /connections HTTP/1.1\r\n\r\n");
    char byte;
    assert_int_equal(recv(idle[2], &byte, 1, 0), 1);
    assert_int_equal(recv(waiting, &byte, 1, MSG_DONTWAIT), -1);
    (void)close(idle[0]);
    char *reply = hear_all(waiting);
    assert_starts(reply, "HTTP/1.1 200 OK\r\n");
    assert_string_equal(strstr(reply, "\r\n\r\n") + 4, "3");
    mem_free(reply);
    (void)close(idle[1]);
    (void)close(idle[2]);
}

static void a_client_that_never_ends_its_request_is_closed(void **state)
{
    int fd = dial(*state);
    say(fd, "GET /hello HTTP/1.1\r\n");
    char *reply = hear_all(fd);
    assert_string_equal(reply, "");
    mem_free(reply);
}

static void a_client_that_never_reads_is_closed(void **state)
{
    int fd = dial(*state);
    say(fd, "GET /much HTTP/1.1\r\n\r\n");
    wait_until_alone(*state);
    (void)close(fd);
}

static void an_address_in_use_is_refused_by_name(void **state)
{
    struct fixture *fixture = *state;
    struct loop *loop = loop_new();
    struct error err;
    const char *address = http_server_address(fixture->server);
    assert_null(http_server_open(loop, address, fixture->access, NULL, &err));
    assert_non_null(strstr(err.text, address));
    assert_non_null(strstr(err.text, "Address already in use"));
    loop_free(loop);
}

static void a_bad_address_is_refused_by_name(void **state)
{
    const struct fixture *fixture = *state;
    struct loop *loop = loop_new();
    struct error err;
    assert_null(http_server_open(loop, "9380", fixture->access, NULL, &err));
    assert_starts(err.text, "the admin address: \"9380\" is not an address");
    loop_free(loop);
}

int main(void)
{
#define TEST(name)           cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_GUARDED(name)   cmocka_unit_test_setup_teardown(name, setup_guarded, teardown)
#define TEST_IMPATIENT(name) cmocka_unit_test_setup_teardown(name, setup_impatient, teardown)
    const struct CMUnitTest tests[] = {
        TEST(get_gives_the_body_of_the_route),
        TEST(head_gives_the_same_without_the_body),
        TEST(the_handler_decides_the_status),
        TEST(what_cannot_be_served_is_refused_in_words),
        TEST_GUARDED(who_shows_no_good_token_is_refused),
        TEST_GUARDED(each_token_opens),
        TEST_GUARDED(health_needs_no_token_and_its_text_does),
        TEST(a_query_does_not_matter),
        TEST(a_request_may_come_byte_by_byte),
        TEST(a_head_of_the_limit_is_taken_and_a_larger_one_refused),
        TEST(a_large_body_is_dropped_and_the_reply_arrives),
        TEST(a_large_reply_arrives_whole),
        TEST(a_client_that_closed_its_half_gets_its_reply),
        TEST(clients_that_go_away_are_forgotten),
        TEST(a_connection_above_the_limit_waits_for_its_turn),
        TEST_IMPATIENT(a_client_that_never_ends_its_request_is_closed),
        TEST_IMPATIENT(a_client_that_never_reads_is_closed),
        TEST(an_address_in_use_is_refused_by_name),
        TEST(a_bad_address_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
