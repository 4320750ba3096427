/* Named places where a test makes the process die, hang or fail. Nothing in a release build.
 *
 * Compiled in with -DSLUICE_FAIL_POINTS (every flavour but release); then the environment says
 *   SLUICE_FAIL="name=kill[,other=pause:500][,third=error][,fourth=kill@3]"
 * kill: SIGKILL to itself; pause:MS: sleep; stop: SIGSTOP to itself; error: the macro is true.
 * @N: only at the Nth time the point is passed (1 is the first; without it: every time). */
#ifndef LIB_BASE_FAIL_POINT_H
#define LIB_BASE_FAIL_POINT_H

#include <stdbool.h>

#ifdef SLUICE_FAIL_POINTS
/* True when the step is to fail as if its environment had. Any thread. */
bool fail_point_passed(const char *name);
#define FAIL_POINT(name) fail_point_passed(name)
#else
#define FAIL_POINT(name) false
#endif

#endif
