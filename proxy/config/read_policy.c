#include "proxy/config/read_policy.h"

#include <stddef.h>
#include <string.h>

bool read_policy_parse(const char *word, enum read_policy *policy)
{
#define X(symbol, word) word,
    static const char *const words[] = {READ_POLICIES(X)};
#undef X
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0) {
            *policy = (enum read_policy)i;
            return true;
        }
    }
    return false;
}
