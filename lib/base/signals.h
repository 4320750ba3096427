/* The signals that operators and service managers send: SIGTERM and SIGINT, to stop, and SIGHUP, to
 * reload. They interrupt nobody, and are read from a descriptor by the main loop. */
#ifndef LIB_BASE_SIGNALS_H
#define LIB_BASE_SIGNALS_H

/* Before the first thread starts, since threads inherit it. SIGPIPE is ignored. */
void signals_block(void);
/* A descriptor of signalfd(2) that does not block. Owned by the caller. */
int signals_open(void);

#endif
