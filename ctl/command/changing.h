/* What pause, resume, verify, switch, rollback, finalize and abort have in common: find the
 * migration, refuse in the wrong phase with a message that says what to do instead, change it by a
 * compare-and-swap, note it in the journal, wait if asked. */
#ifndef CTL_COMMAND_CHANGING_H
#define CTL_COMMAND_CHANGING_H

#include "ctl/command/command.h"
#include "ctl/command/waiting.h"

/* Changes the migration in the next topology. It is called again when another change came first,
 * so it looks at the phase itself. False with a message. */
typedef bool changing_fn(struct topology *next, struct migration *migration,
                         const struct settings *settings, struct error *err);

struct changing_verb {
    const char *request; /* the word in the journal: "pause" */
    changing_fn *change;
    bool can_wait;
    enum waiting_goal goal;
    bool needs_migrator; /* it is the migrator that will act on it */
};

enum command_result changing_run(struct command_run *run, const struct changing_verb *verb,
                                 struct error *err);

/* The migration that the command line names, or the only open one. Null with a message: `*result`
 * (may be null) tells whether the words are wrong. */
struct migration *changing_find(const struct command_run *run, const struct topology *topology,
                                enum command_result *result, struct error *err);

/* "m42 is in hold: advice" with the advice for the present phase; true when that is null. */
bool changing_check_phase(const struct migration *migration, const char *const *advice,
                          struct error *err) __attribute__((warn_unused_result));

#define CHANGING_PHASES (PHASE_ABORTING + 1)

#endif
