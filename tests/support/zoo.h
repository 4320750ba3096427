/* Keys of every type and encoding that stay as they are while a cluster moves its slots. Main
 * thread.
 */
#ifndef TESTS_SUPPORT_ZOO_H
#define TESTS_SUPPORT_ZOO_H

#include "tests/support/cluster.h"

/* Loads keys of every type and encoding through the first proxy. */
void zoo_load(struct cluster *cluster);
/* Fails the test unless every key is as it was loaded, read through proxy `proxy`. */
void zoo_check(struct cluster *cluster, unsigned proxy);

#endif
