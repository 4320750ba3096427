/* The options of sluice-migrator, in the one table that help, sample file and man page come from.
 */
#ifndef MIGRATOR_OPTIONS_H
#define MIGRATOR_OPTIONS_H

#include "lib/base/options.h"
#include "migrator/engine/settings.h"

/* Fills a struct migrator_settings. */
extern const struct option_table migrator_options;

/* What the table cannot say. */
bool migrator_check(const struct migrator_settings *settings, struct error *err)
    __attribute__((warn_unused_result));
/* Reads the file and the command line again and takes what is reloadable; what else has changed is
 * logged. After a failure everything is as it was. */
bool migrator_reload(struct migrator_settings *settings, struct error *err)
    __attribute__((warn_unused_result));

#endif
