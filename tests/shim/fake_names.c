/* Preloaded into our programs by a test: the name "moving.test" stands for the address in the file
 * $FAKE_NAMES, which may change or go away at any time; all other names for what they always do. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    char address[64];
    look_up_fn *real;
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &symbol, sizeof(real));
    if (name == NULL || strcmp(name, "moving.test") != 0) {
        return real(name, service, hints, found);
    }
    return read_address(address, sizeof(address)) ? real(address, service, hints, found)
                                                  : EAI_AGAIN;
}
