/* What a service manager wants to know, said over the datagram socket that it names in
 * NOTIFY_SOCKET, as systemd's Type=notify does: started, reloading, stopping, alive. Without one
 * nothing is said. Any thread. */
#ifndef LIB_BASE_SERVICE_H
#define LIB_BASE_SERVICE_H

#include <stdint.h>

/* Clients can be served; also the end of a reload. */
void service_ready(void);
void service_reloading(void);
void service_stopping(void);
void service_alive(void);
/* How often service_alive is to be called: half of the time after which the manager kills us. 0: it
 * does not watch. */
uint64_t service_alive_period_us(void);

#endif
