#include "ctl/output/human.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

typedef unsigned long long ull;

const char *human_duration(uint64_t ms, char text[HUMAN_TEXT_MAX])
{
    uint64_t seconds = ms / 1000;
    if (ms < 1000) {
        (void)snprintf(text, HUMAN_TEXT_MAX, "%llums", (ull)ms);
    } else if (seconds < 60) {
        (void)snprintf(text, HUMAN_TEXT_MAX, "%llu.%llus", (ull)seconds, (ull)(ms % 1000 / 100));
    } else if (seconds < 3600) {
        (void)snprintf(text, HUMAN_TEXT_MAX, "%llum%02llus", (ull)(seconds / 60),
                       (ull)(seconds % 60));
    } else if (seconds < 86400) {
        (void)snprintf(text, HUMAN_TEXT_MAX, "%lluh%02llum", (ull)(seconds / 3600),
                       (ull)(seconds / 60 % 60));
    } else {
        (void)snprintf(text, HUMAN_TEXT_MAX, "%llud%02lluh", (ull)(seconds / 86400),
                       (ull)(seconds / 3600 % 24));
    }
    return text;
}

const char *human_bytes(uint64_t bytes, char text[HUMAN_TEXT_MAX])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    unsigned unit = 0;
    double value = (double)bytes;
    while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    int decimals = unit > 0 && value < 10 ? 1 : 0;
    (void)snprintf(text, HUMAN_TEXT_MAX, "%.*f %s", decimals, value, units[unit]);
    return text;
}

const char *human_time(uint64_t wall_ms, char text[HUMAN_TEXT_MAX])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    if (gmtime_r(&seconds, &utc) == NULL) {
        (void)snprintf(text, HUMAN_TEXT_MAX, "%llu", (ull)wall_ms);
        return text;
    }
    size_t used = strftime(text, HUMAN_TEXT_MAX, "%Y-%m-%d %H:%M:%S", &utc);
    (void)snprintf(text + used, HUMAN_TEXT_MAX - used, ".%03llu", (ull)(wall_ms % 1000));
    return text;
}

const char *human_list(const char *list, char text[HUMAN_LIST_MAX + 5])
{
    size_t length = strlen(list);
    if (length <= HUMAN_LIST_MAX) {
        memcpy(text, list, length + 1);
        return text;
    }
    size_t cut = HUMAN_LIST_MAX;
    while (cut > 0 && list[cut] != ',') {
        cut--;
    }
    memcpy(text, list, cut);
    memcpy(text + cut, ",...", 5);
    return text;
}
