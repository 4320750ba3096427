/* The backfill: walks SCAN on the authority and applies each key's state on the copy, reading one
 * group while the copy applies the one before. Writes nothing on the authority. */
#ifndef MIGRATOR_COPY_COPIER_H
#define MIGRATOR_COPY_COPIER_H

#include "migrator/copy/scanner.h"

/* Goes on from where `scanner` stands to the end. After anything but COPY_OK the scanner stands so
 * that nothing is left out when it is called again: the pages at hand are walked again. */
enum copy_status copier_run(struct copy_pair *pair, struct scanner *scanner);

#endif
