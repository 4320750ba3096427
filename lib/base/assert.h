/* ASSERT: a bug is found where it happens. Always compiled in; never for what comes from outside.
 */
#ifndef LIB_BASE_ASSERT_H
#define LIB_BASE_ASSERT_H

/* Print where and what failed to stderr, then abort. Any thread. */
void assert_failed(const char *file, int line, const char *condition)
    __attribute__((noreturn, cold));

#define ASSERT(condition)                                  \
    do {                                                   \
        if (__builtin_expect(!(condition), 0)) {           \
            assert_failed(__FILE__, __LINE__, #condition); \
        }                                                  \
    } while (0)

#endif
