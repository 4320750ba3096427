/* Random numbers: from the kernel for names that must differ, from a seed for what must repeat. */
#ifndef LIB_BASE_RANDOM_H
#define LIB_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* A generator with a printed seed (xoshiro is overkill here: splitmix64, Steele et al. 2014). */
struct random {
    uint64_t state;
};

void random_seed(struct random *random, uint64_t seed);
uint64_t random_next(struct random *random);
/* 0 .. bound - 1; bound > 0. */
uint64_t random_below(struct random *random, uint64_t bound);

/* From getrandom(2). Any thread. */
uint64_t random_system(void);
/* `digits` lower-case hex digits and a zero: text must have room for digits + 1. Any thread. */
void random_hex(char *text, size_t digits);

#endif
