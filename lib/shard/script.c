#include "lib/shard/script.h"

#include <stdint.h>

#include "lib/base/assert.h"
#include "lib/base/buffer.h"
#include "lib/base/sha1.h"

/* The texts under lua/, made into arrays by scripts/embed. */
extern const char embedded_common_lua[];
#define X(symbol, name, shebang) extern const char embedded_##name##_lua[];
SHARD_SCRIPTS(X)
#undef X

struct source {
    const char *shebang;
    const char *body;
};

static const struct source sources[SCRIPT_COUNT] = {
#define X(symbol, name, shebang) [symbol] = {shebang, embedded_##name##_lua},
    SHARD_SCRIPTS(X)
#undef X
};

/* Lives as long as the process: written by script_init, only read afterwards. */
struct script {
    struct buffer text;
    char sha[SHA1_HEX_LENGTH + 1];
};

static struct script scripts[SCRIPT_COUNT];
static bool is_initialised;

void script_init(void)
{
    if (is_initialised) {
        return;
    }
    for (unsigned i = 0; i < SCRIPT_COUNT; i++) {
        buffer_init(&scripts[i].text, SIZE_MAX);
        buffer_add_text(&scripts[i].text, sources[i].shebang);
        buffer_add_text(&scripts[i].text, embedded_common_lua);
        buffer_add_text(&scripts[i].text, sources[i].body);
        sha1_hex(buffer_slice(&scripts[i].text), scripts[i].sha);
    }
    is_initialised = true;
}

struct slice script_text(enum shard_script script)
{
    ASSERT(is_initialised && script < SCRIPT_COUNT);
    return buffer_slice(&scripts[script].text);
}

struct slice script_sha(enum shard_script script)
{
    ASSERT(is_initialised && script < SCRIPT_COUNT);
    return (struct slice){scripts[script].sha, SHA1_HEX_LENGTH};
}
