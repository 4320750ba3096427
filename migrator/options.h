/* The options of sluice-migrator, in the one table that help, sample file and man page come from.
 */
#ifndef MIGRATOR_OPTIONS_H
#define MIGRATOR_OPTIONS_H

#include "lib/base/options.h"
#include "migrator/engine/settings.h"

/* Fills a struct migrator_settings. */
extern const struct option_table migrator_options;

#endif
