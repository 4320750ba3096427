/* What only lib/net may know of a loop. */
#ifndef LIB_NET_LOOP_INTERNAL_H
#define LIB_NET_LOOP_INTERNAL_H

#include "lib/net/loop.h"

struct event_base *loop_base(struct loop *loop);

#endif
