/* SCRIPT KILL and FUNCTION KILL: on connections of their own, since what runs on a shard was sent
 * on the shared one, and what comes behind it there waits for its end. The connections are not
 * fenced in: a shard that is busy with a script answers nothing but this, and it writes nothing.
 * One thread. */
#ifndef PROXY_ROUTING_SCRIPT_KILL_H
#define PROXY_ROUTING_SCRIPT_KILL_H

#include "proxy/routing/router.h"

/* To every shard; one that had a script to kill is success. */
void script_kill_dispatch(struct router *router, struct request *request, struct slice bytes);

#endif
