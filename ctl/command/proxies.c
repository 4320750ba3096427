/* sluicectl proxies: who routes, and by which epoch. */
#include "ctl/command/all.h"
#include "ctl/command/members.h"
#include "ctl/output/human.h"
#include "ctl/output/table.h"

static void print_proxies(const json_t *proxies, FILE *out)
{
    struct table *table = table_new("PROXY|ADDRESS|ADMIN|>EPOCH|>HEARTBEAT|STATE");
    size_t i;
    json_t *proxy;
    json_array_foreach(proxies, i, proxy)
    {
        char age[HUMAN_TEXT_MAX];
        table_cell(table, "%s", view_text(proxy, "id"));
        table_cell(table, "%s", view_text(proxy, "address"));
        table_cell(table, "%s", view_text(proxy, "admin"));
        table_cell(table, "%llu", (unsigned long long)view_number(proxy, "epoch"));
        table_cell(table, "%s ago", human_duration(view_number(proxy, "heartbeat_age_ms"), age));
        table_cell(table, "%s", view_flag(proxy, "alive") ? "alive" : "gone");
    }
    table_print(table, out);
    table_free(table);
}

static enum command_result proxies_run(struct command_run *run, struct error *err)
{
    uint64_t epoch;
    if (!store_epoch(run->store, &epoch, err)) {
        return COMMAND_FAILED;
    }
    json_t *proxies = members_view(run->store, "proxy", err);
    if (proxies == NULL) {
        return COMMAND_FAILED;
    }
    if (!run->settings->is_json) {
        print_proxies(proxies, run->out);
    }
    set_number(run->result, "epoch", epoch);
    set_member(run->result, "proxies", proxies);
    return COMMAND_DONE;
}

const struct command command_proxies = {
    .name = "proxies",
    .arguments = "",
    .text = "the proxies, their epochs and heartbeats",
    .about = "Lists every proxy that has registered itself in the store: where it listens, the "
             "epoch it has adopted,\nthe age of its last heartbeat.",
    .run = proxies_run,
};
