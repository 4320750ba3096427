#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/net/http_request.h"

static const char whole[] = "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";

static void a_head_gives_method_and_path(void **state)
{
    (void)state;
    struct http_request request;
    assert_int_equal(http_request_parse(SLICE(whole), &request), HTTP_PARSE_OK);
    assert_true(slice_equal(request.method, SLICE("GET")));
    assert_true(slice_equal(request.path, SLICE("/metrics")));
}

static void a_token_stands_behind_its_scheme(void **state)
{
    (void)state;

    static const struct {
        const char *field, *token;
    } cases[] = {
        {"Authorization: Bearer abc", "abc"},    {"AUTHORIZATION:bEARER   abc \t", "abc"},
        {"Authorization: Bearer a b", "a b"},    {"Authorization: Bearer", ""},
        {"Authorization: Basic YTpi", ""},       {"Authorization: Bearerabc", ""},
        {"Proxy-Authorization: Bearer abc", ""}, {"Authorization: ", ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char head[200];
        struct http_request request;
        (void)snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\nB: c\r\n\r\n",
                       cases[i].field);
        assert_int_equal(http_request_parse(slice_of(head), &request), HTTP_PARSE_OK);
        assert_true(slice_equal(request.token, slice_of(cases[i].token)));
    }
}

static void every_part_of_a_head_needs_more(void **state)
{
    (void)state;
    struct http_request request;
    for (size_t length = 0; length < sizeof(whole) - 1; length++) {
        struct slice part = {whole, length};
        assert_int_equal(http_request_parse(part, &request), HTTP_PARSE_MORE);
    }
}

static void unusual_heads_are_taken(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\n\n",
        "OPTIONS / HTTP/1.1\r\nA:\r\nb:\tc\r\n\r\nbody",
    };
    struct http_request request;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(http_request_parse(slice_of(texts[i]), &request), HTTP_PARSE_OK);
        assert_true(slice_equal(request.path, SLICE("/")));
    }
}

static void what_is_not_http_is_bad(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\r\n",
        "GET\r\n",
        "GET /\r\n",
        "GET  / HTTP/1.1\r\n",
        "get / HTTP/1.1\r\n",
        "GET x HTTP/1.1\r\n",
        "GET http://x/ HTTP/1.1\r\n",
        "GET / HTTP/2.0\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET / HTTP/1.x\r\n",
        "GET /\x01 HTTP/1.1\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "GET / HTTP/1.1\r\nno field\r\n",
        "GET / HTTP/1.1\r\n: x\r\n",
        "GET / HTTP/1.1\r\n folded: x\r\n",
        "GET / HTTP/1.1\r\na: \x7f\r\n",
        "GET / HTTP/1.1\r\nAuthorization: Bearer a\r\nauthorization: Bearer a\r\n",
    };
    struct http_request request;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (http_request_parse(slice_of(texts[i]), &request) != HTTP_PARSE_BAD) {
            fail_msg("taken: %s", texts[i]);
        }
    }
}

static void a_zero_byte_is_bad(void **state)
{
    (void)state;
    struct http_request request;
    assert_int_equal(http_request_parse(SLICE("GET /\0 HTTP/1.1\r\n"), &request), HTTP_PARSE_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_gives_method_and_path),
        cmocka_unit_test(a_token_stands_behind_its_scheme),
        cmocka_unit_test(every_part_of_a_head_needs_more),
        cmocka_unit_test(unusual_heads_are_taken),
        cmocka_unit_test(what_is_not_http_is_bad),
        cmocka_unit_test(a_zero_byte_is_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
