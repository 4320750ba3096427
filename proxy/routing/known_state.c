/* What a command leaves in its keys as far as its own words tell it, so that the unit of a dual
 * write reads only what is missing. It holds for a command that was executed without an error;
 * after an error the keys are read (dual_write.c: take_reading). */
#include "lib/base/assert.h"
#include "proxy/routing/dual_internal.h"

/* The options of SET that leave no doubt what the value is. Behind NX and XX it may be the old one.
 */
static const struct set_option {
    const char *name;
    unsigned arguments;
    enum dual_reading reading;
} set_options[] = {
    {"EX", 1, DUAL_READS_EXPIRY},      {"PX", 1, DUAL_READS_EXPIRY},
    {"EXAT", 1, DUAL_READS_EXPIRY},    {"PXAT", 1, DUAL_READS_EXPIRY},
    {"KEEPTTL", 0, DUAL_READS_EXPIRY}, {"GET", 0, DUAL_READS_NOTHING},
};

/* Relative expiries count from the shard's clock: only it knows when they end. */
static enum dual_reading set_reading(const struct command *command)
{
    enum dual_reading reading = DUAL_READS_NOTHING;
    for (unsigned i = 3; i < command->argc; i++) {
        const struct set_option *option = set_options;
        const struct set_option *end = option + sizeof(set_options) / sizeof(set_options[0]);
        while (option < end && !slice_equal_nocase(slice_of(option->name), command->argv[i])) {
            option++;
        }
        if (option == end) {
            return DUAL_READS_STRING;
        }
        reading = option->reading == DUAL_READS_EXPIRY ? DUAL_READS_EXPIRY : reading;
        i += option->arguments;
    }
    return reading;
}

static const struct known_command {
    const char *name;
    unsigned step;  /* from key to key */
    unsigned value; /* so many words behind its key; 0: the key is absent afterwards */
    enum dual_reading reading;
} known_commands[] = {
    {"set", 2, 1, DUAL_READS_NOTHING},    {"getset", 2, 1, DUAL_READS_NOTHING},
    {"mset", 2, 1, DUAL_READS_NOTHING},   {"setex", 3, 2, DUAL_READS_EXPIRY},
    {"psetex", 3, 2, DUAL_READS_EXPIRY},  {"del", 1, 0, DUAL_READS_NOTHING},
    {"unlink", 1, 0, DUAL_READS_NOTHING}, {"getdel", 1, 0, DUAL_READS_NOTHING},
};

static const struct known_command *find_known(const char *name)
{
    for (size_t i = 0; i < sizeof(known_commands) / sizeof(known_commands[0]); i++) {
        if (strcmp(known_commands[i].name, name) == 0) {
            return &known_commands[i];
        }
    }
    return NULL;
}

void dual_note_known_state(struct dual_write *dual, const struct command *command)
{
    const struct known_command *known = find_known(dual->request->command->name);
    /* A word is missing in MSET k v k: the shard will say so. */
    if (known == NULL || dual->nkeys == 0 ||
        1 + (dual->nkeys - 1) * known->step + known->value >= command->argc) {
        return;
    }
    dual->reading = strcmp(known->name, "set") == 0 ? set_reading(command) : known->reading;
    for (unsigned i = 0; i < dual->nkeys; i++) {
        struct dual_key *key = &dual->keys[i];
        unsigned at = 1 + i * known->step;
        ASSERT(key->key.data == command->argv[at].data);
        key->is_string = known->value > 0;
        key->payload = key->is_string ? command->argv[at + known->value] : SLICE("");
        key->expires_at = SLICE(NEVER_EXPIRES);
    }
}
