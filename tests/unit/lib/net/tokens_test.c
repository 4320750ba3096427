#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/error.h"
#include "lib/net/tokens.h"

static void every_line_is_a_token(void **state)
{
    (void)state;
    struct error err = {""};
    struct tokens *tokens =
        tokens_parse(SLICE("# of last year\n0123456789abcdef\n\n"
                           "  AZaz09-._~+/AZaz== \r\n\t# new\nlast-without-a-newline"),
                     &err);
    assert_string_equal(err.text, "");
    assert_non_null(tokens);
    assert_true(tokens_have(tokens, SLICE("0123456789abcdef")));
    assert_true(tokens_have(tokens, SLICE("AZaz09-._~+/AZaz==")));
    assert_true(tokens_have(tokens, SLICE("last-without-a-newline")));
    assert_false(tokens_have(tokens, SLICE("")));
    assert_false(tokens_have(tokens, SLICE("# of last year")));
    assert_false(tokens_have(tokens, SLICE("0123456789abcdeF")));
    assert_false(tokens_have(tokens, SLICE("0123456789abcdef ")));
    tokens_free(tokens);
}

static void assert_refused(struct slice text, const char *why)
{
    struct error err = {""};
    assert_null(tokens_parse(text, &err));
    if (strstr(err.text, why) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    }
    assert_null(strstr(err.text, "secret"));
}

static void what_is_no_token_is_refused_without_showing_it(void **state)
{
    (void)state;
    assert_refused(SLICE(""), "there is no token");
    assert_refused(SLICE("\n# only this\n"), "there is no token");
    assert_refused(SLICE("0123456789abcdef\nshort-secret\n"),
                   "line 2: a token must have 16 to 512");
    assert_refused(SLICE("with a space-secret"), "line 1: a token has only");
    assert_refused(SLICE("\n\n=secret=secret=secret"), "line 3: a token has only");
    assert_refused(SLICE("================"), "line 1: a token has only");
    assert_refused(SLICE("secret\0secretsecret"), "line 1: a token has only");
}

static void tokens_are_bounded(void **state)
{
    (void)state;
    char text[(TOKENS_MAX + 1) * (TOKEN_MIN + 1)];
    memset(text, 'a', sizeof(text));
    for (size_t i = 1; i <= TOKENS_MAX + 1; i++) {
        text[i * (TOKEN_MIN + 1) - 1] = '\n';
    }
    struct tokens *tokens = tokens_parse((struct slice){text, sizeof(text) - TOKEN_MIN - 1}, NULL);
    assert_non_null(tokens);
    tokens_free(tokens);
    assert_refused((struct slice){text, sizeof(text)}, "more than 64 tokens");
    memset(text, 'a', sizeof(text));
    assert_refused((struct slice){text, TOKEN_MAX + 1}, "a token must have");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_is_a_token),
        cmocka_unit_test(what_is_no_token_is_refused_without_showing_it),
        cmocka_unit_test(tokens_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
