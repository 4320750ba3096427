#include "proxy/backend/backoff.h"

#define FIRST_US 50000u
#define MAX_US   1000000u

uint64_t backoff_us(unsigned failures, uint64_t random)
{
    uint64_t wait = FIRST_US;
    for (unsigned i = 1; i < failures && wait < MAX_US; i++) {
        wait *= 2;
    }
    wait = wait < MAX_US ? wait : MAX_US;
    return wait - random % (wait / 2);
}
