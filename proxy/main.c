#include <stdio.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/signals.h"
#include "lib/shard/credentials.h"
#include "lib/shard/script.h"
#include "proxy/config/config.h"
#include "proxy/control/control.h"

#define EXIT_USAGE 2 /* an option is wrong */

static int fail(const struct error *err, int code)
{
    (void)fprintf(stderr, "sluice-proxy: %s\n", err->text);
    return code;
}

static int serve(struct proxy_config *config)
{
    struct error err;
    script_init();
    struct control *control = control_start(config, &err);
    if (control == NULL) {
        return fail(&err, EXIT_FAILURE);
    }
    control_run(control);
    control_free(control);
    return EXIT_SUCCESS;
}

static int act(enum options_action action, struct proxy_config *config)
{
    struct error err;
    switch (action) {
    case OPTIONS_HELP:
        options_print_help(&proxy_options, stdout);
        return EXIT_SUCCESS;
    case OPTIONS_VERSION:
        (void)printf("sluice-proxy %s\n", VERSION);
        return EXIT_SUCCESS;
    case OPTIONS_CHECK:
    case OPTIONS_RUN:
        break;
    }
    if (!proxy_config_check(config, &err)) {
        return fail(&err, EXIT_USAGE);
    }
    log_init("sluice-proxy", log_level_named(config->log_level));
    if (!shard_credentials_init(&config->shard_login, &err) ||
        !sentinel_credentials_init(&config->sentinel_login, &err)) {
        return fail(&err, EXIT_FAILURE);
    }
    if (action == OPTIONS_RUN) {
        return serve(config);
    }
    if (!control_check(config, &err)) {
        return fail(&err, EXIT_FAILURE);
    }
    (void)printf("the configuration is valid\n");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct proxy_config config = {.argc = argc, .argv = argv};
    enum options_action action;
    struct error err;
    signals_block();
    bool is_loaded = options_load(&proxy_options, &config, argc, argv, &action, &err);
    int code = is_loaded ? act(action, &config) : fail(&err, EXIT_USAGE);
    options_free(&proxy_options, &config);
    return code;
}
