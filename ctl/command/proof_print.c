#include <string.h>

#include "ctl/command/proof.h"
#include "ctl/output/human.h"
#include "ctl/output/table.h"

typedef unsigned long long ull;

static void print_head(const json_t *proof, FILE *out)
{
    const char *outcome = view_text(proof, "outcome");
    char slots[HUMAN_LIST_MAX + 5];
    bool is_open = strcmp(view_text(proof, "state"), "open") == 0;
    (void)fprintf(out, "migration  %s  %s -> %s  %llu slots\n", view_text(proof, "id"),
                  view_text(proof, "source"), view_text(proof, "target"),
                  (ull)view_number(proof, "slot_count"));
    (void)fprintf(out, "state      %s%s\n", is_open ? "open, " : "closed: ",
                  is_open              ? view_text(proof, "phase")
                  : outcome[0] != '\0' ? outcome
                                       : "how is not in the journal");
    (void)fprintf(out, "opened by  %s: %s\n", view_text(proof, "opened_by"),
                  view_text(proof, "command"));
    (void)fprintf(out, "slots      %s\n", human_list(view_text(proof, "slots"), slots));
}

static void print_phases(const json_t *phases, FILE *out)
{
    size_t i;
    json_t *phase;
    (void)fprintf(out, "\nphases\n");
    json_array_foreach(phases, i, phase)
    {
        char since[HUMAN_TEXT_MAX];
        char length[HUMAN_TEXT_MAX];
        (void)fprintf(out, "  %s  %-10s  %s\n", human_time(view_number(phase, "since"), since),
                      view_text(phase, "phase"), human_duration(view_number(phase, "ms"), length));
    }
}

static void print_preflight(const json_t *preflight, FILE *out)
{
    size_t i;
    json_t *check;
    if (preflight == NULL) {
        return;
    }
    (void)fprintf(out, "\npreflight  %s\n", view_flag(preflight, "ok") ? "passed" : "FAILED");
    json_array_foreach(view_member(preflight, "checks"), i, check)
    {
        (void)fprintf(out, "  %-6s  %-24s  %s\n", view_flag(check, "ok") ? "ok" : "FAILED",
                      view_text(check, "check"), view_text(check, "note"));
    }
}

static double longest_ms(const json_t *view)
{
    return json_number_value(json_object_get(view, "longest_ms"));
}

static void print_work(const json_t *proof, FILE *out)
{
    const json_t *verify = view_member(proof, "verify");
    const json_t *holds = view_member(proof, "holds");
    const json_t *barriers = view_member(proof, "barriers");
    char bytes[HUMAN_TEXT_MAX];
    (void)fprintf(out, "\ncopied     %llu keys, %s; %llu large keys\n",
                  (ull)view_number(proof, "keys_copied"),
                  human_bytes(view_number(proof, "bytes_copied"), bytes),
                  (ull)view_number(proof, "large_keys"));
    (void)fprintf(out,
                  "verified   %llu keys in the last of %llu passes; %llu findings, %llu repairs\n",
                  (ull)view_number(verify, "keys"), (ull)view_number(verify, "pass_count"),
                  (ull)view_number(verify, "findings"), (ull)view_number(verify, "repairs"));
    (void)fprintf(out, "holds      %llu, the longest %.1f ms; %llu undone\n",
                  (ull)view_number(holds, "count"), longest_ms(holds),
                  (ull)view_number(holds, "undone"));
    (void)fprintf(out, "barriers   %llu, the longest %.1f ms; %llu peers killed\n",
                  (ull)view_number(barriers, "count"), longest_ms(barriers),
                  (ull)view_number(barriers, "killed_peers"));
    (void)fprintf(out, "purged     %llu keys\n", (ull)view_number(proof, "purged_keys"));
}

static void print_side(const char *name, const json_t *side, FILE *out)
{
    char bytes[HUMAN_TEXT_MAX];
    (void)fprintf(out, "  %-20s %12llu keys  %10s  %s\n", name, (ull)view_number(side, "keys"),
                  human_bytes(view_number(side, "bytes"), bytes), view_text(side, "digest"));
}

static void print_totals(const json_t *proof, FILE *out)
{
    const json_t *totals = view_member(proof, "totals");
    ull compared = view_number(totals, "slots_compared");
    ull equal = view_number(totals, "slots_equal");
    if (compared == 0) {
        (void)fprintf(out, "\nboth sides: not compared yet\n");
        return;
    }
    (void)fprintf(out, "\nboth sides, at their last verification: %llu of %llu slots equal%s\n",
                  equal, compared, equal == compared ? "" : ": NOT EQUAL");
    print_side(view_text(proof, "source"), view_member(totals, "source"), out);
    print_side(view_text(proof, "target"), view_member(totals, "target"), out);
}

static void print_slots(const json_t *lines, FILE *out)
{
    struct table *table = table_new(">SLOT|>KEYS SOURCE|>KEYS TARGET|DIGEST SOURCE|DIGEST TARGET");
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line)
    {
        const json_t *source = view_member(line, "source");
        const json_t *target = view_member(line, "target");
        table_cell(table, "%llu", (ull)view_number(line, "slot"));
        table_cell(table, "%llu", (ull)view_number(source, "keys"));
        table_cell(table, "%llu", (ull)view_number(target, "keys"));
        table_cell(table, "%s", view_text(source, "digest"));
        table_cell(table, "%s", view_text(target, "digest"));
    }
    (void)fputc('\n', out);
    table_print(table, out);
    table_free(table);
}

void proof_print(const json_t *proof, bool has_per_slot, FILE *out)
{
    print_head(proof, out);
    print_phases(view_member(proof, "phases"), out);
    print_preflight(view_member(proof, "preflight"), out);
    print_work(proof, out);
    print_totals(proof, out);
    const json_t *error = view_member(proof, "last_error");
    if (error != NULL) {
        char when[HUMAN_TEXT_MAX];
        (void)fprintf(out, "\nerrors     %llu, the last %s: %s\n",
                      (ull)view_number(proof, "errors"),
                      human_time(view_number(error, "time"), when), view_text(error, "text"));
    }
    if (has_per_slot) {
        print_slots(view_member(proof, "slot_table"), out);
    }
}
