/* sluicectl init: the first topology. */
#include "ctl/command/all.h"
#include "ctl/command/place.h"
#include "lib/base/memory.h"
#include "lib/cluster/bootstrap.h"

static bool parse_places(const struct command_run *run, struct topology_shard *shards,
                         struct error *err)
{
    for (unsigned i = 0; i < run->narguments; i++) {
        if (!place_parse(run->arguments[i], &shards[i], err)) {
            return false;
        }
        shards[i].serve_empty = run->settings->serve_empty;
    }
    return true;
}

static bool check_slots(uint64_t nslots, struct error *err)
{
    if (nslots == 0 || nslots > SLOTS_MAX || (nslots & (nslots - 1)) != 0) {
        return error_set(err, "--slots must be a power of two up to %u, not %llu", SLOTS_MAX,
                         (unsigned long long)nslots);
    }
    return true;
}

static bool tell_result(struct command_run *run, struct error *err)
{
    struct topology *topology = store_read(run->store, NULL, err);
    if (topology == NULL) {
        return false;
    }
    set_text(run->result, "cluster", topology->cluster);
    set_number(run->result, "epoch", topology->epoch);
    set_number(run->result, "nslots", topology->nslots);
    json_t *shards = json_object();
    say(run, "cluster %s, epoch %llu, %u slots\n", topology->cluster,
        (unsigned long long)topology->epoch, topology->nslots);
    for (unsigned i = 0; i < topology->nshards; i++) {
        unsigned owned = topology_slots_owned(topology, i);
        set_number(shards, topology->shards[i].name, owned);
        char address[SHARD_ADDRESS_MAX];
        shard_address_format(&topology->shards[i], address);
        say(run, "%s  %s  %u slots\n", topology->shards[i].name, address, owned);
    }
    set_member(run->result, "shards", shards);
    topology_free(topology);
    return true;
}

static enum command_result init_run(struct command_run *run, struct error *err)
{
    uint64_t nslots = run->settings->nslots > 0 ? run->settings->nslots : SLOTS_DEFAULT;
    struct topology_shard *shards = mem_zalloc(run->narguments * sizeof(*shards));
    enum command_result result = COMMAND_USAGE;
    if (parse_places(run, shards, err) && check_slots(nslots, err)) {
        struct init_options init = {.shards = shards,
                                    .nshards = run->narguments,
                                    .nslots = (unsigned)nslots,
                                    .adopt = run->settings->is_adopting};
        result = command_result_of(cluster_init(run->store, &init, err) && tell_result(run, err));
    }
    mem_free(shards);
    return result;
}

static const struct option_spec options[] = {
    CTL_OPTION("slots", OPTION_NUMBER, nslots, "N", "a power of two, fixed for good (16384)"),
    CTL_OPTION("adopt", OPTION_FLAG, is_adopting, NULL, "take shards that hold keys already"),
    CTL_OPTION("serve-empty", OPTION_FLAG, serve_empty, NULL,
               "caches: serve a shard again although it came back empty"),
};

const struct command command_init = {
    .name = "init",
    .arguments = "NAME=PLACE...",
    .text = "write the first topology",
    .about =
        "Writes the first topology over the shards that are named, and the first fence on "
        "each of them.\nPLACE is HOST:PORT, or sentinel://MASTER@HOST:PORT,... for a primary "
        "that Sentinels watch. The slots are placed by the ring. Shards that belong to another "
        "cluster are refused, and shards that\nhold keys, unless --adopt.",
    COMMAND_OPTIONS(options),
    .min_arguments = 1,
    .max_arguments = TOPOLOGY_SHARDS_MAX,
    .run = init_run,
};
