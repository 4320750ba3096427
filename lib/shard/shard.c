/* hiredis' reader and formatter over a stream of our own under a poll loop: hiredis' own
 * connections know no TLS in this version, and their blocking mode bounds each read(2), not the
 * call, so that a shard that trickles would hold the caller for ever. */
#include "lib/shard/shard.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

#include <hiredis/hiredis.h>

#include "lib/base/assert.h"
#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/number.h"
#include "lib/net/stream.h"
#include "lib/resp/writer.h"
#include "lib/shard/credentials.h"
#include "lib/shard/reply_reader.h"

#define READ_BYTES     ((size_t)16 << 10)
#define KEPT_OUT_BYTES ((size_t)1 << 20)

struct shard_link {
    struct stream stream; /* fd -1: was never opened */
    struct buffer out;    /* appended, not written yet */
    struct reply_reader *reader;
    char address[SHARD_ADDRESS_MAX];
    uint64_t timeout_ms;
    bool is_broken;
    struct shard_identity identity;
};

/* Set before there are threads, then only read. */
static struct tls_context *shard_tls;

void shard_use_tls(struct tls_context *context)
{
    shard_tls = context;
}

static uint64_t deadline_of(const struct shard_link *link)
{
    return clock_now_us() + link->timeout_ms * 1000;
}

static bool broken(struct shard_link *link, struct error *err, const char *what)
{
    link->is_broken = true;
    return error_set(err, "%s: %s", link->address, what);
}

/* Milliseconds for poll(2), rounded up so that the last wait does not spin. */
static int remaining_ms(uint64_t deadline_us)
{
    uint64_t now = clock_now_us();
    if (now >= deadline_us) {
        return 0;
    }
    uint64_t ms = (deadline_us - now + 999) / 1000;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static bool wait_until_ready(struct shard_link *link, short events, uint64_t deadline_us,
                             struct error *err)
{
    struct pollfd poller = {.fd = link->stream.fd, .events = events};
    for (;;) {
        int ready = poll(&poller, 1, remaining_ms(deadline_us));
        if (ready > 0) {
            return true;
        }
        if (ready == 0) {
            link->is_broken = true;
            return error_set(err, "%s: no answer within %llu ms", link->address,
                             (unsigned long long)link->timeout_ms);
        }
        if (errno != EINTR) {
            return broken(link, err, strerror(errno));
        }
    }
}

static bool shake_hands(struct shard_link *link, uint64_t deadline_us, struct error *err)
{
    for (;;) {
        bool wants_write;
        switch (stream_shake_hands(&link->stream, &wants_write)) {
        case STREAM_OK:
            return true;
        case STREAM_END:
            return error_set(err, "cannot connect to %s: %s", link->address,
                             stream_why(&link->stream));
        case STREAM_AGAIN:
            break;
        }
        if (!wait_until_ready(link, wants_write ? POLLOUT : POLLIN, deadline_us, err)) {
            return error_prefix(err, "cannot connect");
        }
    }
}

static bool find_place(const struct shard_link *link, const struct topology_shard *place,
                       struct endpoint *endpoint, struct error *err)
{
    if (!endpoint_resolve(endpoint, place->host, place->port, err)) {
        return error_prefix(err, "cannot connect to %s", link->address);
    }
    if (place->is_tls && shard_tls == NULL) {
        return error_set(err, "cannot connect to %s: this program was not set up for TLS",
                         link->address);
    }
    if (place->is_tls) {
        (void)snprintf(endpoint->tls_host, sizeof(endpoint->tls_host), "%s", place->host);
    }
    return true;
}

static bool connect_link(struct shard_link *link, const struct topology_shard *place,
                         struct error *err)
{
    struct endpoint endpoint;
    uint64_t deadline_us = deadline_of(link);
    if (!find_place(link, place, &endpoint, err)) {
        return false;
    }
    int fd = socket_connect(&endpoint);
    if (fd < 0) {
        return error_set(err, "cannot connect to %s: %s", link->address, strerror(errno));
    }
    stream_open_to(&link->stream, fd, &endpoint, shard_tls);
    if (!wait_until_ready(link, POLLOUT, deadline_us, err)) {
        return error_prefix(err, "cannot connect");
    }
    int failure = socket_error(fd);
    if (failure != 0) {
        return error_set(err, "cannot connect to %s: %s", link->address, strerror(failure));
    }
    return shake_hands(link, deadline_us, err);
}

static bool read_identity(struct shard_link *link, struct error *err)
{
    struct shard_identity *identity = &link->identity;
    return shard_info(link, "server", "run_id", identity->run_id, sizeof(identity->run_id), err) &&
           shard_info(link, "replication", "master_replid", identity->replid,
                      sizeof(identity->replid), err);
}

/* A server that has no such user refuses. */
static bool log_in(struct shard_link *link, const struct credentials *own, struct error *err)
{
    if (own->password.len == 0) {
        return true;
    }
    const struct slice words[] = {SLICE("AUTH"), own->user, own->password};
    struct shard_reply *reply = shard_command(link, words, 3, err);
    bool is_in = reply != NULL;
    if (is_in) {
        shard_reply_free(reply);
    }
    return is_in;
}

static struct shard_link *open_link(const struct topology_shard *place, uint64_t timeout_ms,
                                    struct error *err)
{
    struct shard_link *link = mem_zalloc(sizeof(*link));
    shard_address_format(place, link->address);
    link->timeout_ms = timeout_ms;
    link->stream.fd = -1;
    buffer_init(&link->out, SIZE_MAX); /* its users bound what they have under way */
    link->reader = reply_reader_new();
    if (!connect_link(link, place, err)) {
        shard_close(link);
        return NULL;
    }
    return link;
}

static bool name_link(struct shard_link *link, const char *role, struct error *err)
{
    struct shard_reply *named = shard_commandf(link, err, "CLIENT SETNAME sluice:%s", role);
    bool is_named = named != NULL;
    if (is_named) {
        shard_reply_free(named);
    }
    return is_named;
}

struct shard_link *shard_open_sentinel(const struct topology_shard *place, const char *role,
                                       uint64_t timeout_ms, struct error *err)
{
    struct shard_link *link = open_link(place, timeout_ms, err);
    if (link != NULL &&
        !(log_in(link, sentinel_credentials(), err) && name_link(link, role, err))) {
        shard_close(link);
        return NULL;
    }
    return link;
}

struct shard_link *shard_open(const struct topology_shard *place, const char *role,
                              uint64_t timeout_ms, struct error *err)
{
    struct shard_link *link = open_link(place, timeout_ms, err);
    if (link != NULL && !(log_in(link, shard_credentials(), err) && name_link(link, role, err) &&
                          read_identity(link, err))) {
        shard_close(link);
        return NULL;
    }
    return link;
}

void shard_close(struct shard_link *link)
{
    if (link == NULL) {
        return;
    }
    stream_close(&link->stream);
    buffer_fini(&link->out);
    reply_reader_free(link->reader);
    mem_free(link);
}

int shard_fd(const struct shard_link *link)
{
    return link->stream.fd;
}

const char *shard_address(const struct shard_link *link)
{
    return link->address;
}

const struct shard_identity *shard_link_identity(const struct shard_link *link)
{
    return &link->identity;
}

bool shard_is_broken(const struct shard_link *link)
{
    return link->is_broken;
}

/* --- sending ------------------------------------------------------------- */

void shard_append(struct shard_link *link, const struct slice *argv, unsigned argc)
{
    ASSERT(argc > 0 && argc <= INT_MAX);
    write_command(&link->out, argv, argc);
}

static void append_formatted(struct shard_link *link, const char *format, va_list args)
{
    char *bytes = NULL;
    int length = redisvFormatCommand(&bytes, format, args);
    ASSERT(length > 0);
    buffer_add(&link->out, bytes, (size_t)length);
    redisFreeCommand(bytes);
}

void shard_appendf(struct shard_link *link, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    append_formatted(link, format, args);
    va_end(args);
}

void shard_append_script(struct shard_link *link, enum shard_script script,
                         const struct slice *argv, unsigned argc, unsigned nkeys)
{
    ASSERT(nkeys <= argc);
    char digits[20];
    struct slice *words = mem_alloc((argc + 3) * sizeof(*words));
    words[0] = SLICE("EVALSHA");
    words[1] = script_sha(script);
    words[2] = (struct slice){digits, number_format_u64(digits, nkeys)};
    if (argc > 0) {
        memcpy(words + 3, argv, argc * sizeof(*argv));
    }
    shard_append(link, words, argc + 3);
    mem_free(words);
}

bool shard_flush(struct shard_link *link, struct error *err)
{
    uint64_t deadline_us = deadline_of(link);
    if (link->is_broken) {
        return broken(link, err, "the connection is broken");
    }
    while (buffer_length(&link->out) > 0) {
        struct slice out = buffer_slice(&link->out);
        size_t count = 0;
        switch (stream_write(&link->stream, out.data, out.len, &count)) {
        case STREAM_OK:
            buffer_consume(&link->out, count);
            break;
        case STREAM_END:
            return broken(link, err, stream_why(&link->stream));
        case STREAM_AGAIN:
            if (!wait_until_ready(link, POLLOUT, deadline_us, err)) {
                return false;
            }
        }
    }
    buffer_recycle(&link->out, KEPT_OUT_BYTES);
    return true;
}

/* --- receiving ------------------------------------------------------------ */

/* What the stream has is read before anything is waited for: TLS may hold some of it already. */
static bool read_some(struct shard_link *link, uint64_t deadline_us, struct error *err)
{
    char bytes[READ_BYTES];
    for (;;) {
        size_t count = 0;
        switch (stream_read(&link->stream, bytes, sizeof(bytes), &count)) {
        case STREAM_OK:
            return reply_reader_feed(link->reader, bytes, count) ||
                   broken(link, err, reply_reader_why(link->reader));
        case STREAM_END:
            return broken(link, err, stream_why(&link->stream));
        case STREAM_AGAIN:
            if (!wait_until_ready(link, POLLIN, deadline_us, err)) {
                return false;
            }
        }
    }
}

struct shard_reply *shard_take(struct shard_link *link, struct error *err)
{
    uint64_t deadline_us = deadline_of(link);
    if (!shard_flush(link, err)) {
        return NULL;
    }
    for (;;) {
        struct shard_reply *reply = NULL;
        if (!reply_reader_next(link->reader, &reply)) {
            (void)broken(link, err, reply_reader_why(link->reader));
            return NULL;
        }
        if (reply != NULL) {
            return reply;
        }
        if (!read_some(link, deadline_us, err)) {
            return NULL;
        }
    }
}

/* An error reply becomes an error: "ADDRESS: COMMAND: text". */
static struct shard_reply *refuse_error(struct shard_link *link, struct shard_reply *reply,
                                        struct slice command, struct error *err)
{
    if (reply == NULL || shard_reply_type(reply) != REPLY_ERROR) {
        return reply;
    }
    struct slice text = shard_reply_text(reply);
    (void)error_set(err, "%s: %.*s: %.*s", link->address, (int)command.len, command.data,
                    (int)text.len, text.data);
    shard_reply_free(reply);
    return NULL;
}

struct shard_reply *shard_commandf(struct shard_link *link, struct error *err, const char *format,
                                   ...)
{
    va_list args;
    va_start(args, format);
    append_formatted(link, format, args);
    va_end(args);
    struct slice command = {format, strcspn(format, " ")};
    return refuse_error(link, shard_take(link, err), command, err);
}

struct shard_reply *shard_command(struct shard_link *link, const struct slice *argv, unsigned argc,
                                  struct error *err)
{
    shard_append(link, argv, argc);
    return refuse_error(link, shard_take(link, err), argv[0], err);
}

static bool is_error_word(const struct shard_reply *reply, struct slice word)
{
    return shard_reply_type(reply) == REPLY_ERROR &&
           slice_starts_with(shard_reply_text(reply), word);
}

bool shard_load_script(struct shard_link *link, enum shard_script script, struct error *err)
{
    struct slice words[] = {SLICE("SCRIPT"), SLICE("LOAD"), script_text(script)};
    struct shard_reply *reply = shard_command(link, words, 3, err);
    if (reply == NULL) {
        return false;
    }
    ASSERT(slice_equal(shard_reply_text(reply), script_sha(script)));
    shard_reply_free(reply);
    return true;
}

struct shard_reply *shard_script(struct shard_link *link, enum shard_script script,
                                 const struct slice *argv, unsigned argc, unsigned nkeys,
                                 struct error *err)
{
    shard_append_script(link, script, argv, argc, nkeys);
    struct shard_reply *reply = shard_take(link, err);
    if (reply != NULL && is_error_word(reply, SLICE("NOSCRIPT"))) {
        shard_reply_free(reply);
        if (!shard_load_script(link, script, err)) {
            return NULL;
        }
        shard_append_script(link, script, argv, argc, nkeys);
        reply = shard_take(link, err);
    }
    if (reply != NULL && shard_reply_type(reply) == REPLY_ERROR) {
        struct slice text = shard_reply_text(reply);
        (void)error_set(err, "%.*s", (int)text.len, text.data);
        shard_reply_free(reply);
        return NULL;
    }
    return reply;
}

bool shard_load_scripts(struct shard_link *link, struct error *err)
{
    for (unsigned i = 0; i < SCRIPT_COUNT; i++) {
        if (!shard_load_script(link, (enum shard_script)i, err)) {
            return false;
        }
    }
    return true;
}

/* --- INFO ----------------------------------------------------------------- */

/* The value behind "field:" at the beginning of a line. */
static bool find_field(struct slice info, struct slice field, struct slice *value)
{
    while (info.len > 0) {
        const char *end = memchr(info.data, '\n', info.len);
        size_t line = end == NULL ? info.len : (size_t)(end - info.data) + 1;
        if (line > field.len && info.data[field.len] == ':' && slice_starts_with(info, field)) {
            value->data = info.data + field.len + 1;
            value->len = strcspn(value->data, "\r\n");
            return true;
        }
        info.data += line;
        info.len -= line;
    }
    return false;
}

bool shard_info(struct shard_link *link, const char *section, const char *field, char *text,
                size_t size, struct error *err)
{
    struct shard_reply *reply = shard_commandf(link, err, "INFO %s", section);
    struct slice value;
    if (reply == NULL) {
        return false;
    }
    bool found = find_field(shard_reply_text(reply), slice_of(field), &value);
    if (!found) {
        (void)error_set(err, "%s: INFO %s has no field %s: is this a Redis server?", link->address,
                        section, field);
    } else if (value.len >= size) {
        found = error_set(err, "%s: INFO's %s is longer than %zu bytes", link->address, field,
                          size - 1);
    } else {
        memcpy(text, value.data, value.len);
        text[value.len] = '\0';
    }
    shard_reply_free(reply);
    return found;
}
