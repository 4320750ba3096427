/* What a worker reports, as mail to the control thread. The functions run on the worker's thread,
 * the deliveries on the control thread. */
#include <stdio.h>

#include "lib/base/memory.h"
#include "proxy/client/round.h"
#include "proxy/control/control_internal.h"

struct report {
    struct mail mail;
    unsigned worker;
    char shard[SHARD_NAME_MAX + 1];
    struct shard_identity process;
    uint64_t number; /* an epoch, or a connection id */
};

static void post(void *context, const struct report *report)
{
    struct control *control = context;
    struct report *copy = mem_dup(report, sizeof(*report));
    mailbox_post(control->mailbox, &copy->mail);
}

static void set_shard(struct report *report, const char *shard)
{
    (void)snprintf(report->shard, sizeof(report->shard), "%s", shard);
}

static void deliver_fenced(struct mail *mail, void *receiver)
{
    control_refresh(receiver);
    mem_free(mail);
}

static void on_fenced(void *context)
{
    struct report report = {.mail.deliver = deliver_fenced};
    post(context, &report);
}

static void deliver_unfenced(struct mail *mail, void *receiver)
{
    control_take_over(receiver, ((struct report *)mail)->shard);
    mem_free(mail);
}

static void on_unfenced(void *context, const char *shard)
{
    struct report report = {.mail.deliver = deliver_unfenced};
    set_shard(&report, shard);
    post(context, &report);
}

static void deliver_given_up(struct mail *mail, void *receiver)
{
    const struct report *report = (const struct report *)mail;
    struct control *control = receiver;
    struct publisher *publisher = control_publisher(control, report->shard);
    if (publisher != NULL) {
        publisher_kill(publisher, report->worker, &report->process, report->number);
    }
    mem_free(mail);
}

static void on_given_up(void *context, unsigned worker, const char *shard,
                        const struct shard_identity *process, uint64_t connection_id)
{
    struct report report = {.mail.deliver = deliver_given_up,
                            .worker = worker,
                            .process = *process,
                            .number = connection_id};
    set_shard(&report, shard);
    post(context, &report);
}

static void deliver_drained(struct mail *mail, void *receiver)
{
    const struct report *report = (const struct report *)mail;
    struct publisher *publisher = control_publisher(receiver, report->shard);
    if (publisher != NULL) {
        publisher_drained(publisher, report->worker, report->number);
    }
    mem_free(mail);
}

static void on_drained(void *context, unsigned worker, const char *shard, uint64_t epoch)
{
    struct report report = {.mail.deliver = deliver_drained, .worker = worker, .number = epoch};
    set_shard(&report, shard);
    post(context, &report);
}

static void deliver_idle(struct mail *mail, void *receiver)
{
    struct control *control = receiver;
    control->nidle++;
    mem_free(mail);
}

static void on_idle(void *context, unsigned worker)
{
    struct report report = {.mail.deliver = deliver_idle, .worker = worker};
    post(context, &report);
}

struct reload_mail {
    struct mail mail;
    unsigned worker;
    struct round *round;
};

static void deliver_reload(struct mail *mail, void *receiver)
{
    const struct reload_mail *reload = (const struct reload_mail *)mail;
    struct control *control = receiver;
    struct error err;
    bool is_loaded = users_load(control, &err);
    worker_pass_on(control->workers[reload->worker], reload->round, is_loaded ? NULL : err.text);
    mem_free(mail);
}

static void drop_reload(struct mail *mail)
{
    round_drop(((struct reload_mail *)mail)->round);
    mem_free(mail);
}

static void on_reload_users(void *context, unsigned worker, struct round *round)
{
    struct control *control = context;
    struct reload_mail *mail = mem_alloc(sizeof(*mail));
    *mail = (struct reload_mail){{NULL, deliver_reload, drop_reload}, worker, round};
    mailbox_post(control->mailbox, &mail->mail);
}

struct worker_reports reports_of(struct control *control)
{
    return (struct worker_reports){on_fenced, on_unfenced,     on_given_up, on_drained,
                                   on_idle,   on_reload_users, control};
}
