/* sluice-migrator: carries out the migrations that it finds in the store. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/base/options.h"
#include "lib/base/signals.h"
#include "lib/shard/credentials.h"
#include "lib/shard/script.h"
#include "migrator/engine/steps.h"
#include "migrator/options.h"
#include "migrator/run/daemon.h"

#define EXIT_USAGE 2 /* an option is wrong */

static int complain(const struct error *err, int status)
{
    (void)fprintf(stderr, "sluice-migrator: %s\n", err->text);
    return status;
}

static int list_fail_points(void)
{
#ifdef SLUICE_FAIL_POINTS
    for (unsigned step = 0; step < FAIL_STEP_COUNT; step++) {
        (void)puts(fail_step_name((enum fail_step)step));
    }
    return EXIT_SUCCESS;
#else
    (void)fprintf(stderr, "sluice-migrator: a release build has no fail points\n");
    return EXIT_FAILURE;
#endif
}

static void name_itself(struct migrator_settings *settings)
{
    if (settings->id == NULL) {
        char host[64] = "migrator";
        (void)gethostname(host, sizeof(host) - 1);
        settings->id = mem_printf("%s-%d", host, (int)getpid());
    }
}

static int run(struct migrator_settings *settings)
{
    struct error err;
    signals_block();
    script_init();
    name_itself(settings);
    return daemon_run(settings, migrator_reload, &err) ? EXIT_SUCCESS
                                                       : complain(&err, EXIT_FAILURE);
}

static int check(struct migrator_settings *settings)
{
    struct error err;
    if (!daemon_check(settings, &err)) {
        return complain(&err, EXIT_FAILURE);
    }
    (void)printf("the configuration is valid\n");
    return EXIT_SUCCESS;
}

static int act(struct migrator_settings *settings, enum options_action action)
{
    struct error err;
    if (action == OPTIONS_HELP) {
        options_print_help(&migrator_options, stdout);
        return EXIT_SUCCESS;
    }
    if (action == OPTIONS_VERSION) {
        (void)printf("sluice-migrator %s\n", VERSION);
        return EXIT_SUCCESS;
    }
    if (settings->list_fail_points) {
        return list_fail_points();
    }
    if (!migrator_check(settings, &err)) {
        return complain(&err, EXIT_USAGE);
    }
    log_init("sluice-migrator", log_level_named(settings->log_level));
    if (!shard_credentials_init(&settings->shard_login, &err) ||
        !sentinel_credentials_init(&settings->sentinel_login, &err)) {
        return complain(&err, EXIT_FAILURE);
    }
    return action == OPTIONS_RUN ? run(settings) : check(settings);
}

int main(int argc, char **argv)
{
    struct migrator_settings settings = {.argc = argc, .argv = argv};
    enum options_action action;
    struct error err;
    bool ok = options_load(&migrator_options, &settings, argc, argv, &action, &err);
    int status = ok ? act(&settings, action) : complain(&err, EXIT_USAGE);
    options_free(&migrator_options, &settings);
    return status;
}
