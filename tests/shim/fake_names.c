/* Preloaded into our programs by a test: the name "moving.test" stands for the address in the file
 * $FAKE_NAMES, which may change or go away at any time; while it says "hangs", there is no answer.
 * All other names stand for what they always do. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_AGAIN_US 10000

typedef int look_up_fn(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found);

static bool read_address(char *address, int size)
{
    const char *path = getenv("FAKE_NAMES");
    FILE *file = path != NULL ? fopen(path, "r") : NULL;
    if (file == NULL) {
        return false;
    }
    bool is_read = fgets(address, size, file) != NULL;
    address[strcspn(address, "\n")] = '\0';
    (void)fclose(file);
    return is_read;
}

static bool is_ours(const char *name, const struct addrinfo *hints)
{
    bool wants_number = hints != NULL && (hints->ai_flags & AI_NUMERICHOST) != 0;
    return name != NULL && strcmp(name, "moving.test") == 0 && !wants_number;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    char address[64];
    look_up_fn *real;
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &symbol, sizeof(real));
    if (!is_ours(name, hints)) {
        return real(name, service, hints, found);
    }
    bool is_read = read_address(address, sizeof(address));
    while (is_read && strcmp(address, "hangs") == 0) {
        (void)usleep(LOOK_AGAIN_US);
        is_read = read_address(address, sizeof(address));
    }
    return is_read ? real(address, service, hints, found) : EAI_AGAIN;
}
