#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/random.h"

/* The first outputs of splitmix64 for the seed 1234567, from its authors' reference program. */
static void a_seed_gives_the_published_sequence(void **state)
{
    (void)state;
    static const uint64_t published[] = {6457827717110365317u, 3203168211198807973u,
                                         9817491932198370423u, 4593380528125082431u,
                                         16408922859458223821u};
    struct random random;
    random_seed(&random, 1234567);
    for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
        assert_true(random_next(&random) == published[i]);
    }
}

static void numbers_below_a_bound_reach_all_of_it(void **state)
{
    (void)state;
    struct random random;
    unsigned seen[7] = {0};
    random_seed(&random, 3);
    for (int i = 0; i < 7000; i++) {
        uint64_t number = random_below(&random, 7);
        assert_in_range(number, 0, 6);
        seen[number]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(seen[i], 800, 1200);
    }
    assert_int_equal(random_below(&random, 1), 0);
}

static void hex_names_have_their_length_and_differ(void **state)
{
    (void)state;
    char a[34], b[34];
    memset(a, '!', sizeof(a));
    random_hex(a, 32);
    random_hex(b, 32);
    assert_int_equal(strlen(a), 32);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    assert_int_equal(a[33], '!');
    assert_string_not_equal(a, b);
    assert_memory_not_equal(a, a + 16, 16);
    assert_memory_not_equal(a, a + 1, 15);
    random_hex(a, 0);
    assert_string_equal(a, "");
    assert_true(random_system() != random_system());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_gives_the_published_sequence),
        cmocka_unit_test(numbers_below_a_bound_reach_all_of_it),
        cmocka_unit_test(hex_names_have_their_length_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
