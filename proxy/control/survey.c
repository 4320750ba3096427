#include "proxy/control/survey.h"

#include <stdio.h>
#include <string.h>

#include "proxy/control/info_text.h"

const char survey_question[] = "*1\r\n$4\r\nINFO\r\n"
                               "*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n"
                               "$22\r\nnotify-keyspace-events\r\n";

static void take_text(char field[FACT_TEXT_MAX], struct slice text)
{
    (void)snprintf(field, FACT_TEXT_MAX, "%.*s", (int)text.len, text.data);
}

struct fleet_facts survey_read(struct slice replies)
{
    struct slice keyspace = info_text_after(replies, "\ndb0:", "\r");
    struct fleet_facts facts = {
        .used_memory = info_number_after(replies, "\nused_memory:"),
        .used_memory_rss = info_number_after(replies, "\nused_memory_rss:"),
        .used_memory_peak = info_number_after(replies, "\nused_memory_peak:"),
        .memory_max = info_number_after(replies, "\nmaxmemory:"),
        .has_aof = info_number_after(replies, "\naof_enabled:") != 0,
        .keyspace_hits = info_number_after(replies, "\nkeyspace_hits:"),
        .keyspace_misses = info_number_after(replies, "\nkeyspace_misses:"),
        .expired_keys = info_number_after(replies, "\nexpired_keys:"),
        .evicted_keys = info_number_after(replies, "\nevicted_keys:"),
        .keys = info_number_after(keyspace, "keys="),
        .expires = info_number_after(keyspace, "expires="),
        .replicas = info_number_after(replies, "\nconnected_slaves:"),
    };
    take_text(facts.memory_policy, info_text_after(replies, "\nmaxmemory_policy:", "\r"));
    /* "notify-keyspace-events", then the bulk: "$3\r\nKEA\r\n". */
    struct slice bulk = info_text_after(replies, "notify-keyspace-events\r\n$", "");
    take_text(facts.notify_keyspace_events, info_text_after(bulk, "\r\n", "\r"));
    facts.keys -= facts.keys > 0 ? 1 : 0; /* the fence is no key of anybody's */
    return facts;
}

struct shard_identity survey_identity(struct slice replies)
{
    struct shard_identity identity = {{0}, {0}};
    struct slice run_id = info_text_after(replies, "\nrun_id:", "\r");
    struct slice replid = info_text_after(replies, "\nmaster_replid:", "\r");
    (void)snprintf(identity.run_id, sizeof(identity.run_id), "%.*s", (int)run_id.len, run_id.data);
    (void)snprintf(identity.replid, sizeof(identity.replid), "%.*s", (int)replid.len, replid.data);
    return identity;
}

void survey_add(struct fleet_facts *sum, const struct fleet_facts *shard, bool is_first)
{
    if (is_first) {
        *sum = *shard;
        return;
    }
    bool has_limit = sum->memory_max > 0 && shard->memory_max > 0;
    sum->memory_max = has_limit ? sum->memory_max + shard->memory_max : 0;
    sum->used_memory += shard->used_memory;
    sum->used_memory_rss += shard->used_memory_rss;
    sum->used_memory_peak += shard->used_memory_peak;
    sum->has_aof = sum->has_aof && shard->has_aof;
    sum->keyspace_hits += shard->keyspace_hits;
    sum->keyspace_misses += shard->keyspace_misses;
    sum->expired_keys += shard->expired_keys;
    sum->evicted_keys += shard->evicted_keys;
    sum->keys += shard->keys;
    sum->expires += shard->expires;
    sum->replicas += shard->replicas;
    /* Queues ask for noeviction: one shard that evicts is what they have to hear of. */
    if (strcmp(sum->memory_policy, "noeviction") == 0) {
        memcpy(sum->memory_policy, shard->memory_policy, sizeof(sum->memory_policy));
    }
}
