/* sluicectl journal: every event, oldest first. */
#include <stdlib.h>
#include <string.h>

#include "ctl/command/all.h"
#include "ctl/output/human.h"

struct listing {
    struct command_run *run;
    json_t *records;                /* with --json */
    char id[MIGRATION_ID_TEXT_MAX]; /* empty: all */
};

/* Long lists are cut; --json has them whole. */
static void print_value(const char *name, const json_t *value, FILE *out)
{
    char list[HUMAN_LIST_MAX + 5];
    const char *text = json_string_value(value);
    if (text != NULL) {
        (void)fprintf(out, " %s=\"%s\"", name,
                      strcmp(name, "slots") == 0 ? human_list(text, list) : text);
    } else if (json_array_size(value) > 8) {
        (void)fprintf(out, " %s=[%zu of them]", name, json_array_size(value));
    } else {
        char *dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
        (void)fprintf(out, " %s=%s", name, dump != NULL ? dump : "?");
        free(dump);
    }
}

/* The members that are not in front of every line. */
static void print_rest(json_t *record, FILE *out)
{
    const char *name;
    json_t *value;
    json_object_foreach(record, name, value)
    {
        bool is_shown = strcmp(name, "time") != 0 && strcmp(name, "migration") != 0 &&
                        strcmp(name, "kind") != 0;
        if (is_shown) {
            print_value(name, value, out);
        }
    }
}

static void print_record(json_t *record, FILE *out)
{
    char when[HUMAN_TEXT_MAX];
    (void)fprintf(out, "%s  %-6s %s", human_time(view_number(record, "time"), when),
                  view_text(record, "migration"), view_text(record, "kind"));
    print_rest(record, out);
    (void)fputc('\n', out);
}

static bool on_record(void *context, struct slice text)
{
    struct listing *listing = context;
    json_t *record = json_loadb(text.data, text.len, 0, NULL);
    bool is_wanted = record != NULL && (listing->id[0] == '\0' ||
                                        strcmp(view_text(record, "migration"), listing->id) == 0);
    if (is_wanted && listing->run->settings->is_json) {
        (void)json_array_append(listing->records, record);
    } else if (is_wanted) {
        print_record(record, listing->run->out);
    }
    json_decref(record);
    return true;
}

static enum command_result journal_run(struct command_run *run, struct error *err)
{
    struct listing listing = {.run = run};
    uint64_t id;
    if (run->narguments > 0 && !migration_id_parse(slice_of(run->arguments[0]), &id)) {
        (void)error_set(err, "\"%s\" is no migration id; they look like m42", run->arguments[0]);
        return COMMAND_USAGE;
    }
    if (run->narguments > 0) {
        migration_id_format(id, listing.id);
    }
    listing.records = json_array();
    set_member(run->result, "records", listing.records);
    return command_result_of(store_journal(run->store, on_record, &listing, err));
}

const struct command command_journal = {
    .name = "journal",
    .arguments = "[ID]",
    .text = "every event, oldest first",
    .about = "Prints the journal: every request, phase, pass, finding and error, of all migrations "
             "or of one. Times\nare UTC.",
    .max_arguments = 1,
    .run = journal_run,
};
