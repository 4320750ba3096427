#include "tests/support/bank/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"

#define CONNECT_MS 1000
#define RETRY_MS   20

static struct timeval time_of_ms(unsigned ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

bool link_open(struct link *link)
{
    if (link->context != NULL) {
        return true;
    }
    unsigned proxy = (link->home + link->tries) % link->bank->nproxies;
    link->context = redisConnectWithTimeout(
        link->bank->proxies[proxy].host, link->bank->proxies[proxy].port, time_of_ms(CONNECT_MS));
    if (link->context != NULL && link->context->err == 0) {
        (void)redisSetTimeout(link->context, time_of_ms(link->bank->timeout_ms));
        return true;
    }
    link->report->errors[ERROR_REFUSED]++;
    link->tries++;
    link_close(link);
    clock_sleep_ms(RETRY_MS);
    return false;
}

void link_close(struct link *link)
{
    if (link->context != NULL) {
        redisFree(link->context);
        link->context = NULL;
    }
}

static enum bank_error kind_of(const redisReply *reply)
{
    if (strncmp(reply->str, "UNAVAILABLE", strlen("UNAVAILABLE")) == 0) {
        return ERROR_UNAVAILABLE;
    }
    return strncmp(reply->str, "UNKNOWN ", strlen("UNKNOWN ")) == 0 ? ERROR_UNKNOWN : ERROR_OTHER;
}

redisReply *link_read(struct link *link)
{
    void *answer = NULL;
    if (redisGetReply(link->context, &answer) != REDIS_OK) {
        bool is_timeout =
            link->context->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);
        link->report->errors[is_timeout ? ERROR_TIMEOUT : ERROR_CLOSED]++;
        link_close(link);
        link->tries++;
        return NULL;
    }
    redisReply *reply = answer;
    if (reply->type == REDIS_REPLY_ERROR) {
        enum bank_error kind = kind_of(reply);
        link->report->errors[kind]++;
        if (kind == ERROR_OTHER && link->report->nsamples < BANK_SAMPLES_MAX) {
            (void)snprintf(link->report->samples[link->report->nsamples++],
                           sizeof(link->report->samples[0]), "error reply: %s", reply->str);
        }
    }
    return reply;
}
