/* SCRIPT KILL and FUNCTION KILL: aside, since what runs on a shard was sent on the shared
 * connection, and what comes behind it there waits for its end. One thread. */
#ifndef PROXY_ROUTING_SCRIPT_KILL_H
#define PROXY_ROUTING_SCRIPT_KILL_H

#include "proxy/routing/router.h"

/* To every shard; one that had a script to kill is success. */
void script_kill_dispatch(struct router *router, struct request *request, struct slice bytes);

#endif
