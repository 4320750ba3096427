#include "migrator/engine/trouble.h"

#include <xxhash.h>

struct trouble *trouble_count(struct trouble list[TROUBLES_MAX], struct slice key, uint64_t now_us)
{
    uint64_t hash = XXH3_64bits(key.data, key.len);
    struct trouble *found = &list[0];
    for (unsigned i = 0; i < TROUBLES_MAX; i++) {
        if (list[i].tries > 0 && list[i].hash == hash && list[i].length == key.len) {
            found = &list[i];
            break;
        }
        found = list[i].last_us < found->last_us ? &list[i] : found;
    }
    bool is_same = found->tries > 0 && found->hash == hash && found->length == key.len;
    if (!is_same || now_us - found->last_us > TROUBLE_FORGET_US) {
        *found = (struct trouble){.hash = hash, .length = key.len};
    }
    found->last_us = now_us;
    found->tries++;
    return found;
}
