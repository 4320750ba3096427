/* Used by every thread: posters take the lock for two pointer writes, the receiver for two reads.
 */
#include "lib/net/mailbox.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"

struct mailbox {
    struct io io;
    void *receiver;
    int fd;
    pthread_mutex_t lock;
    struct mail *first, **last; /* under lock */
};

static struct mail *take_all(struct mailbox *mailbox)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    struct mail *first = mailbox->first;
    mailbox->first = NULL;
    mailbox->last = &mailbox->first;
    (void)pthread_mutex_unlock(&mailbox->lock);
    return first;
}

static void on_readable(void *context)
{
    struct mailbox *mailbox = context;
    uint64_t count;
    ssize_t got = read(mailbox->fd, &count, sizeof(count));
    (void)got; /* EAGAIN: another turn has taken the mail already */
    struct mail *mail = take_all(mailbox);
    while (mail != NULL) {
        struct mail *next = mail->next;
        mail->deliver(mail, mailbox->receiver);
        mail = next;
    }
}

static void on_writable(void *context)
{
    (void)context;
}

struct mailbox *mailbox_new(struct loop *loop, void *receiver)
{
    struct mailbox *mailbox = mem_zalloc(sizeof(*mailbox));
    mailbox->receiver = receiver;
    mailbox->last = &mailbox->first;
    (void)pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(mailbox->fd >= 0);
    io_start(&mailbox->io, loop, mailbox->fd, on_readable, on_writable, mailbox);
    return mailbox;
}

void mailbox_free(struct mailbox *mailbox)
{
    struct mail *mail = take_all(mailbox);
    while (mail != NULL) {
        struct mail *next = mail->next;
        if (mail->drop != NULL) {
            mail->drop(mail);
        } else {
            mem_free(mail);
        }
        mail = next;
    }
    io_stop(&mailbox->io);
    (void)close(mailbox->fd);
    (void)pthread_mutex_destroy(&mailbox->lock);
    mem_free(mailbox);
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
    mail->next = NULL;
    (void)pthread_mutex_lock(&mailbox->lock);
    bool was_empty = mailbox->first == NULL;
    *mailbox->last = mail;
    mailbox->last = &mail->next;
    (void)pthread_mutex_unlock(&mailbox->lock);
    if (was_empty) {
        uint64_t one = 1;
        ssize_t written = write(mailbox->fd, &one, sizeof(one));
        ASSERT(written == (ssize_t)sizeof(one));
    }
}
