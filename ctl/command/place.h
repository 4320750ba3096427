/* "NAME=HOST:PORT" or "NAME=sentinel://MASTER@HOST:PORT,...": a shard as the command line names it.
 * `tls:` stands before whatever speaks TLS: the shard, or one of its Sentinels. Pure. */
#ifndef CTL_COMMAND_PLACE_H
#define CTL_COMMAND_PLACE_H

#include "lib/topology/topology.h"

#define WEIGHT_DEFAULT 100

/* Fills name, host and port or sentinels, and a weight of WEIGHT_DEFAULT; an IPv6 host stands in
 * brackets. */
bool place_parse(const char *text, struct topology_shard *shard, struct error *err)
    __attribute__((warn_unused_result));

/* HOST:PORT or tls:HOST:PORT alone: fills host, port and is_tls. */
bool place_parse_server(const char *text, struct topology_shard *shard, struct error *err)
    __attribute__((warn_unused_result));

#endif
