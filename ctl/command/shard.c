/* sluicectl shard add|remove|accept|set|list. */
#include "ctl/command/all.h"
#include "ctl/command/place.h"
#include "ctl/command/shards.h"
#include "lib/cluster/bootstrap.h"
#include "lib/cluster/readdress.h"

static enum command_result tell_done(struct command_run *run, const char *name, const char *done)
{
    set_text(run->result, "shard", name);
    set_text(run->result, "done", done);
    say(run, "%s %s\n", name, done);
    return COMMAND_DONE;
}

static enum command_result shard_add_run(struct command_run *run, struct error *err)
{
    struct topology_shard shard;
    if (!place_parse(run->arguments[0], &shard, err)) {
        return COMMAND_USAGE;
    }
    shard.weight = run->settings->weight > 0 ? (uint32_t)run->settings->weight : WEIGHT_DEFAULT;
    shard.serve_empty = run->settings->serve_empty;
    if (!cluster_add_shard(run->store, &shard, run->settings->is_adopting, err)) {
        return COMMAND_FAILED;
    }
    note(run, "%s owns no slots yet: sluicectl rebalance, or split SHARD --to %s", shard.name,
         shard.name);
    return tell_done(run, shard.name, "added");
}

static const struct option_spec add_options[] = {
    CTL_RANGED("weight", OPTION_NUMBER, weight, 1, 10000, "W", "its share of the ring (100)"),
    CTL_OPTION("adopt", OPTION_FLAG, is_adopting, NULL, "take a shard that holds keys already"),
    CTL_OPTION("serve-empty", OPTION_FLAG, serve_empty, NULL,
               "a cache: serve it again although it came back empty"),
};

const struct command command_shard_add = {
    .name = "shard add",
    .arguments = "NAME=PLACE",
    .text = "add a shard that owns no slots yet",
    .about =
        "Writes the shard's first fence and adds it to the topology. It owns no slots until "
        "some are moved to it. PLACE is HOST:PORT, or sentinel://MASTER@HOST:PORT,... for a "
        "primary that Sentinels watch.\nA shard of another cluster is refused, and one that holds "
        "keys, unless --adopt.",
    COMMAND_OPTIONS(add_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = shard_add_run,
};

static enum command_result shard_remove_run(struct command_run *run, struct error *err)
{
    const char *name = run->arguments[0];
    if (!cluster_remove_shard(run->store, name, run->settings->is_forced, err)) {
        return COMMAND_FAILED;
    }
    return tell_done(run, name, "removed");
}

static const struct option_spec remove_options[] = {
    OPTION_FORCE("cancel the purges that wait for this shard"),
};

const struct command command_shard_remove = {
    .name = "shard remove",
    .arguments = "NAME",
    .text = "take a shard without slots out",
    .about = "Takes a shard out of the topology. It must own no slots (sluicectl drain NAME moves "
             "them away) and be\nin no open migration. Purges that are still owed on it refuse "
             "this, unless --force cancels them.",
    COMMAND_OPTIONS(remove_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = shard_remove_run,
};

static enum command_result shard_accept_run(struct command_run *run, struct error *err)
{
    const char *name = run->arguments[0];
    if (!cluster_accept_shard(run->store, name, err)) {
        return COMMAND_FAILED;
    }
    return tell_done(run, name, "accepted");
}

const struct command command_shard_accept = {
    .name = "shard accept",
    .arguments = "NAME",
    .text = "serve a shard that came back as it is",
    .about = "A shard that came back empty or without its fence is not served, for its data may be "
             "lost.\nThis accepts it as it is now.",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = shard_accept_run,
};

static enum command_result shard_set_run(struct command_run *run, struct error *err)
{
    struct topology_shard place;
    bool is_changed = false;
    if (!place_parse(run->arguments[0], &place, err)) {
        return COMMAND_USAGE;
    }
    if (!cluster_readdress(run->store, &place, &is_changed, err)) {
        return COMMAND_FAILED;
    }
    return tell_done(run, place.name, is_changed ? "set" : "is so already");
}

const struct command command_shard_set = {
    .name = "shard set",
    .arguments = "NAME=PLACE",
    .text = "another address, or other Sentinels, of a shard",
    .about = "For a shard that is the same process at another address, speaks TLS there, or is "
             "watched by other Sentinels:\nPLACE is HOST:PORT, tls:HOST:PORT, or "
             "sentinel://MASTER@HOST:PORT,... . The process that is found there must\nbe the one "
             "that the topology names; for a replica of it there is shard failover.",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = shard_set_run,
};

static enum command_result shard_list_run(struct command_run *run, struct error *err)
{
    struct topology *topology = store_read(run->store, NULL, err);
    if (topology == NULL) {
        return COMMAND_FAILED;
    }
    json_t *shards = shards_view(topology);
    json_t *formers = formers_view(topology);
    if (!run->settings->is_json) {
        shards_print(shards, run->out);
        formers_print(formers, run->out);
    }
    set_number(run->result, "epoch", topology->epoch);
    set_member(run->result, "shards", shards);
    set_member(run->result, "formers", formers);
    topology_free(topology);
    return COMMAND_DONE;
}

const struct command command_shard_list = {
    .name = "shard list",
    .arguments = "",
    .text = "the shards, their slots and keys",
    .about = "Asks every shard: whether it answers, is the process that the topology names, and "
             "how many keys it has.",
    .run = shard_list_run,
};
