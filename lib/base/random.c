#include "lib/base/random.h"

#include <sys/random.h>

#include "lib/base/assert.h"

void random_seed(struct random *random, uint64_t seed)
{
    random->state = seed;
}

uint64_t random_next(struct random *random)
{
    uint64_t mixed = (random->state += 0x9e3779b97f4a7c15u);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

uint64_t random_below(struct random *random, uint64_t bound)
{
    ASSERT(bound > 0);
    return random_next(random) % bound;
}

uint64_t random_system(void)
{
    uint64_t number = 0;
    ssize_t got = getrandom(&number, sizeof(number), 0);
    ASSERT(got == (ssize_t)sizeof(number));
    return number;
}

void random_hex(char *text, size_t digits)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < digits; i++) {
        bits = i % 16 == 0 ? random_system() : bits >> 4;
        text[i] = "0123456789abcdef"[bits & 15];
    }
    text[digits] = '\0';
}
