/* The two clocks. Safety never hangs on either of them. Any thread. */
#ifndef LIB_BASE_CLOCK_H
#define LIB_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds that only go forward, from an arbitrary start: for time-outs and latencies. */
uint64_t clock_now_us(void);
/* Milliseconds since 1970 in UTC: for people, journals and heartbeats. */
uint64_t clock_wall_ms(void);
/* Sleep; for control-plane threads that poll. */
void clock_sleep_ms(uint64_t ms);

#endif
