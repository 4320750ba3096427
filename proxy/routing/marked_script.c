/* A client's script in a slot that has a copy. Its declared keys have their marks like those of any
 * command; what it writes beside them is known on the shard alone, while it runs. So the shard runs
 * it inside a script of ours, which marks each key before it is written. Its text goes along every
 * time: a name that the shard has forgotten would leave a hole in the client's transaction. */
#include "lib/base/fail_point.h"
#include "lib/base/number.h"
#include "lib/resp/writer.h"
#include "proxy/routing/dual_internal.h"

#define OWN_KEYS 4u /* fence, seq, dirty, kept scripts */

struct script_words {
    bool is_sha;
    unsigned nkeys; /* behind argv[2] */
};

/* Only what Redis would run: the rest gets its error from Redis. A script that may not write (_RO,
 * which is also the form of one without keys) goes as it is. */
static bool take_script(const struct command *command, struct script_words *script)
{
    uint64_t nkeys;
    bool is_body = command->argc > 3 && slice_equal_nocase(command->argv[0], SLICE("EVAL"));
    script->is_sha = command->argc > 3 && slice_equal_nocase(command->argv[0], SLICE("EVALSHA"));
    if ((!is_body && !script->is_sha) || !number_parse_u64(command->argv[2], &nkeys) ||
        nkeys > command->argc - 3) {
        return false;
    }
    script->nkeys = (unsigned)nkeys;
    return true;
}

static void write_marked_script(struct buffer *out, const struct dual_write *dual,
                                const struct command *command, const struct script_words *script)
{
    char digits[20];
    const struct shard_identity *process =
        &dual->snapshot->topology->shards[dual->entry->authority].identity;
    write_array(out, 3 + OWN_KEYS + 4 + (uint64_t)command->argc - 3);
    write_bulk(out, SLICE("EVAL"));
    write_bulk(out, script_text(SCRIPT_MARKED_SCRIPT));
    write_bulk(out, (struct slice){digits, number_format_u64(digits, OWN_KEYS + script->nkeys)});
    write_bulk(out, SLICE(METADATA_FENCE));
    write_bulk(out, slice_of(dual->names.seq));
    write_bulk(out, slice_of(dual->names.dirty));
    write_bulk(out, SLICE(METADATA_SCRIPTS));
    for (unsigned i = 3; i < 3 + script->nkeys; i++) {
        write_bulk(out, command->argv[i]);
    }
    write_bulk(out, slice_of(process->run_id));
    write_bulk(out, slice_of(process->replid));
    write_bulk(out, script->is_sha ? SLICE("sha") : SLICE("body"));
    write_bulk(out, command->argv[1]);
    for (unsigned i = 3 + script->nkeys; i < command->argc; i++) {
        write_bulk(out, command->argv[i]);
    }
}

/* Model: NOMARK. */
void write_guarded(struct buffer *out, const struct dual_write *dual, const struct command *command)
{
    struct script_words script;
    /* The fail point is a test of the tests: what a script wrote undeclared is then lost. */
    if (take_script(command, &script) && !FAIL_POINT("rule.no-script-marks")) {
        write_marked_script(out, dual, command, &script);
    } else {
        buffer_add(out, command->raw.data, command->raw.len);
    }
}
