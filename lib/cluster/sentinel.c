#include "lib/cluster/sentinel.h"

#include <stdio.h>

#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/shard/shard.h"

#define SENTINELS_MAX  15
#define ASK_TIMEOUT_MS 500u

struct sentinel {
    struct topology_shard place; /* host, port, TLS */
    struct shard_link *link;     /* for questions; null: not connected */
};

struct sentinels {
    char name[SENTINELS_TEXT_MAX + 1]; /* what they call the shard */
    struct sentinel all[SENTINELS_MAX];
    unsigned count;
    unsigned next_news; /* whom to listen to when the present one is gone */
    struct shard_link *news;
};

/* --- the text -------------------------------------------------------------------------------- */

static bool add(struct sentinels *sentinels, struct slice text, struct error *err)
{
    if (sentinels->count == SENTINELS_MAX) {
        return error_set(err, "more than %d Sentinels", SENTINELS_MAX);
    }
    struct topology_shard *place = &sentinels->all[sentinels->count].place;
    if (!shard_address_parse(text, place) || place->port == 0) {
        return error_set(err, "\"%.*s\" is not of the form HOST:PORT or tls:HOST:PORT",
                         (int)text.len, text.data);
    }
    for (unsigned i = 0; i < sentinels->count; i++) {
        const struct topology_shard *other = &sentinels->all[i].place;
        if (other->port == place->port && strcmp(other->host, place->host) == 0) {
            return error_set(err, "%.*s stands there twice, and would be counted twice",
                             (int)text.len, text.data);
        }
    }
    sentinels->count++;
    return true;
}

static bool parse(struct sentinels *sentinels, const char *text, struct error *err)
{
    const char *at = strchr(text, '@');
    if (at == NULL || at == text || (size_t)(at - text) >= sizeof(sentinels->name)) {
        return error_set(err, "\"%s\" is not of the form NAME@HOST:PORT,HOST:PORT", text);
    }
    memcpy(sentinels->name, text, (size_t)(at - text));
    for (const char *rest = at; *rest != '\0';) {
        rest++; /* the '@', or a ',' */
        size_t length = strcspn(rest, ",");
        if (!add(sentinels, (struct slice){rest, length}, err)) {
            return error_prefix(err, "\"%s\"", text);
        }
        rest += length;
    }
    return true;
}

struct sentinels *sentinels_new(const char *text, struct error *err)
{
    struct sentinels *sentinels = mem_zalloc(sizeof(*sentinels));
    if (!parse(sentinels, text, err)) {
        mem_free(sentinels);
        return NULL;
    }
    return sentinels;
}

void sentinels_free(struct sentinels *sentinels)
{
    if (sentinels == NULL) {
        return;
    }
    for (unsigned i = 0; i < sentinels->count; i++) {
        shard_close(sentinels->all[i].link);
    }
    shard_close(sentinels->news);
    mem_free(sentinels);
}

/* --- asking ---------------------------------------------------------------------------------- */

static struct shard_link *open_link(const struct sentinel *sentinel, struct error *err)
{
    return shard_open_sentinel(&sentinel->place, "control", ASK_TIMEOUT_MS, err);
}

/* [host, port] */
static bool read_primary(const struct shard_reply *reply, struct address *primary)
{
    struct slice host = shard_reply_text(shard_reply_at(reply, 0));
    uint64_t port;
    if (!number_parse_u64(shard_reply_text(shard_reply_at(reply, 1)), &port) || port == 0 ||
        port > UINT16_MAX || host.len == 0 || host.len >= sizeof(primary->host)) {
        return false;
    }
    memcpy(primary->host, host.data, host.len);
    primary->host[host.len] = '\0';
    primary->port = (uint16_t)port;
    return true;
}

static bool ask_once(struct sentinel *sentinel, const char *name, struct address *primary,
                     struct error *err)
{
    if (sentinel->link == NULL && (sentinel->link = open_link(sentinel, err)) == NULL) {
        return false;
    }
    struct shard_reply *reply =
        shard_commandf(sentinel->link, err, "SENTINEL get-master-addr-by-name %s", name);
    bool is_known = reply != NULL && shard_reply_count(reply) == 2;
    bool is_good = is_known && read_primary(reply, primary);
    if (reply != NULL && !is_good) {
        (void)error_set(err, "%s: does not know \"%s\"", shard_address(sentinel->link), name);
    }
    shard_reply_free(reply);
    if (!is_good) {
        shard_close(sentinel->link);
        sentinel->link = NULL;
    }
    return is_good;
}

/* An old connection may have been closed meanwhile, which says nothing. */
static bool ask(struct sentinel *sentinel, const char *name, struct address *primary,
                struct error *err)
{
    bool was_open = sentinel->link != NULL;
    return ask_once(sentinel, name, primary, err) ||
           (was_open && ask_once(sentinel, name, primary, err));
}

static bool is_same(const struct address *a, const struct address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool sentinels_primary(struct sentinels *sentinels, struct address *primary, struct error *err)
{
    struct address named[SENTINELS_MAX];
    unsigned answers = 0;
    struct error why = {{0}};
    for (unsigned i = 0; i < sentinels->count; i++) {
        if (!ask(&sentinels->all[i], sentinels->name, &named[answers], &why)) {
            continue;
        }
        unsigned votes = 1;
        for (unsigned j = 0; j < answers; j++) {
            votes += is_same(&named[j], &named[answers]) ? 1 : 0;
        }
        if (2 * votes > sentinels->count) {
            *primary = named[answers];
            return true;
        }
        answers++;
    }
    return error_set(err, "no majority of the %u Sentinels of \"%s\" names one primary: %s",
                     sentinels->count, sentinels->name,
                     why.text[0] != '\0' ? why.text : "they disagree");
}

bool sentinel_locate(struct topology_shard *shard, struct error *err)
{
    struct address primary;
    if (shard->sentinels[0] == '\0') {
        return true;
    }
    struct sentinels *sentinels = sentinels_new(shard->sentinels, err);
    bool is_found = sentinels != NULL && sentinels_primary(sentinels, &primary, err);
    sentinels_free(sentinels);
    if (is_found) {
        (void)snprintf(shard->host, sizeof(shard->host), "%s", primary.host);
        shard->port = primary.port;
    }
    return is_found;
}

/* --- news ------------------------------------------------------------------------------------ */

static struct shard_link *subscribe(const struct sentinel *sentinel, struct error *err)
{
    struct shard_link *link = open_link(sentinel, err);
    if (link == NULL) {
        return NULL;
    }
    struct shard_reply *reply = shard_commandf(link, err, "SUBSCRIBE +switch-master");
    if (reply == NULL) {
        shard_close(link);
        return NULL;
    }
    shard_reply_free(reply);
    return link;
}

bool sentinels_listen(struct sentinels *sentinels, struct error *err)
{
    for (unsigned i = 0; i < sentinels->count && sentinels->news == NULL; i++) {
        unsigned index = sentinels->next_news++ % sentinels->count;
        sentinels->news = subscribe(&sentinels->all[index], err);
    }
    return sentinels->news != NULL;
}

int sentinels_fd(const struct sentinels *sentinels)
{
    return sentinels->news != NULL ? shard_fd(sentinels->news) : -1;
}

void sentinels_close_news(struct sentinels *sentinels)
{
    shard_close(sentinels->news);
    sentinels->news = NULL;
}
