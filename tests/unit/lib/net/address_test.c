#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/net/address.h"

static void an_address_is_split_into_host_and_port(void **state)
{
    (void)state;

    static const struct {
        const char *text, *host;
        uint16_t port;
        const char *formatted; /* null: the same */
    } cases[] = {
        {"127.0.0.1:6380", "127.0.0.1", 6380, NULL},
        {"localhost:0", "localhost", 0, NULL},
        {"redis_1.example.com:65535", "redis_1.example.com", 65535, NULL},
        {"[::1]:6379", "::1", 6379, NULL},
        {"[fe80::1%eth0]:6379", "fe80::1%eth0", 6379, NULL},
        {":6380", "127.0.0.1", 6380, "127.0.0.1:6380"},
        {"0.0.0.0:1", "0.0.0.0", 1, NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address address;
        struct error err = {""};
        char text[ADDRESS_TEXT_MAX];
        assert_true(address_parse(slice_of(cases[i].text), &address, &err));
        assert_string_equal(address.host, cases[i].host);
        assert_int_equal(address.port, cases[i].port);
        address_format(&address, text);
        assert_string_equal(text, cases[i].formatted != NULL ? cases[i].formatted : cases[i].text);
    }
}

static void what_is_no_address_is_refused_with_an_example(void **state)
{
    (void)state;
    static const char *const texts[] = {"",      "localhost", "::1:6379",  "[::1]",  "[]:1",
                                        "a b:1", "a/b:1",     "[::1:1",    "::1]:1", "[a]b:1",
                                        "[a]:1", "[%1]:2",    "http://x:1"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct address address;
        struct error err = {""};
        assert_false(address_parse(slice_of(texts[i]), &address, &err));
        assert_non_null(strstr(err.text, "write HOST:PORT, such as 127.0.0.1:6380"));
        assert_non_null(strstr(err.text, texts[i]));
    }
}

static void a_bad_port_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"a:", "a:65536", "a:-1", "a:1x", "a:99999999999999999999"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct address address;
        struct error err = {""};
        assert_false(address_parse(slice_of(texts[i]), &address, &err));
        assert_non_null(strstr(err.text, "must be 0..65535"));
    }
}

static void the_longest_host_fits_and_one_more_does_not(void **state)
{
    (void)state;
    char text[ADDRESS_HOST_MAX + 8];
    struct address address;
    memset(text, 'h', sizeof(text));
    memcpy(text + ADDRESS_HOST_MAX, ":1", 3);
    assert_true(address_parse(slice_of(text), &address, NULL));
    assert_int_equal(strlen(address.host), ADDRESS_HOST_MAX);
    text[ADDRESS_HOST_MAX] = 'h';
    memcpy(text + ADDRESS_HOST_MAX + 1, ":1", 3);
    assert_false(address_parse(slice_of(text), &address, NULL));
}

static void numbers_resolve_and_nonsense_does_not(void **state)
{
    (void)state;
    struct endpoint endpoint;
    struct error err = {""};
    struct address address = {"127.0.0.1", 6379};
    assert_true(address_resolve(&address, &endpoint, &err));
    assert_int_equal(endpoint.address.ss_family, AF_INET);
    struct address six = {"::1", 6379};
    assert_true(address_resolve(&six, &endpoint, &err));
    assert_int_equal(endpoint.address.ss_family, AF_INET6);
    struct address nobody = {"999.1.1.1", 6379};
    assert_false(address_resolve(&nobody, &endpoint, &err));
    assert_non_null(strstr(err.text, "999.1.1.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_split_into_host_and_port),
        cmocka_unit_test(what_is_no_address_is_refused_with_an_example),
        cmocka_unit_test(a_bad_port_is_refused),
        cmocka_unit_test(the_longest_host_fits_and_one_more_does_not),
        cmocka_unit_test(numbers_resolve_and_nonsense_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
