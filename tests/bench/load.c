/* load: asks a proxy as fast as it goes, or at a rate, checks every reply, and tells the latencies.
 *
 *   load --port 6380 [--kind get] [--clients 50] [--pipeline 1] [--requests 100000]
 *        [--keys 100000] [--value-min 64] [--value-max 64] [--rate 0]
 *
 * Each client sends `pipeline` requests, waits for all their replies, and begins again, as
 * redis-benchmark does. With --rate each client has its own timetable instead and latency counts
 * from the time that the table says, so that a stall is seen by all who would have come meanwhile.
 *
 * Lines on standard input end an interval: "NAME" prints what happened since the last one under
 * that name, and "stop" ends the load. At the end, and for each interval, one line of JSON goes to
 * standard output. An error reply is counted; a wrong one ends the program with exit code 1. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/options.h"
#include "lib/metrics/histogram.h"
#include "lib/net/socket.h"
#include "tests/support/load/workload.h"

#define EVENTS_MAX   256
#define SCRATCH_SIZE ((size_t)256 << 10)
#define STALL_US     30000000u
#define TICK_MS      1000
#define CONNECT_MS   10000

struct settings {
    uint64_t port, clients, pipeline, requests, keys, value_min, value_max, rate;
    char *kind;
};

struct client {
    int fd;
    struct buffer out;
    struct buffer in; /* of a reply that is not whole yet */
    struct asked *asked;
    unsigned first, waiting; /* in `asked`, which holds one pipeline */
    uint64_t due_us;         /* with a rate: when the next one is to be sent */
};

struct load {
    struct settings settings;
    struct workload workload;
    struct client *clients;
    int epoll, timer;
    uint64_t sent, answered, errors;
    uint64_t begun_us, interval_us, heard_us;
    uint64_t interval_answered, interval_errors;
    struct histogram latency; /* of the interval */
    char first_error[200];
    char scratch[SCRATCH_SIZE];
    bool is_input_open, is_stopped;
};

// clang-format off
#define SPEC(name_, type_, field_, default_, min_, max_, text_)                                 \
    {.name = (name_), .type = (type_), .offset = offsetof(struct settings, field_),             \
     .default_value = (default_), .min = (min_), .max = (max_), .text = (text_)}
static const struct option_spec specs[] = {
    SPEC("port", OPTION_NUMBER, port, "6380", 1, 65535, "port of the proxy on 127.0.0.1"),
    SPEC("kind", OPTION_TEXT, kind, "get", 0, 0, "get, set, mix (of both), mget (10 keys), fill"),
    SPEC("clients", OPTION_NUMBER, clients, "50", 1, 20000, "connections"),
    SPEC("pipeline", OPTION_NUMBER, pipeline, "1", 1, 10000, "requests sent together"),
    SPEC("requests", OPTION_NUMBER, requests, "100000", 1, UINT64_MAX, "how many in all"),
    SPEC("keys", OPTION_NUMBER, keys, "100000", 1, 1000000000, "how many different keys"),
    SPEC("value-min", OPTION_SIZE, value_min, "64", WORKLOAD_VALUE_MIN, 1 << 20, "bytes of the smallest value"),
    SPEC("value-max", OPTION_SIZE, value_max, "64", WORKLOAD_VALUE_MIN, 1 << 20, "bytes of the largest value"),
    SPEC("rate", OPTION_NUMBER, rate, "0", 0, 10000000, "requests a second; 0: as fast as it goes"),
};
// clang-format on
static const struct option_table options = {
    .program = "load",
    .usage = "--port PORT [OPTION...]",
    .about = "Asks a Redis proxy, checks every reply, tells throughput and latencies as JSON.",
    .specs = specs,
    .count = sizeof(specs) / sizeof(specs[0]),
};

static void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "load: %s: %s\n", what, why);
    exit(1);
}

/* --- report ---------------------------------------------------------------------------------- */

static void report(struct load *load, const char *name)
{
    uint64_t now = clock_now_us();
    const struct histogram *latency = &load->latency;
    uint64_t answered = load->answered - load->interval_answered;
    double seconds = (double)(now - load->interval_us) / 1e6;
    (void)printf("{\"name\": \"%s\", \"requests\": %" PRIu64 ", \"errors\": %" PRIu64
                 ", \"seconds\": %.3f, \"rps\": %.0f, \"p50_us\": %" PRIu64 ", \"p99_us\": %" PRIu64
                 ", \"p999_us\": %" PRIu64 ", \"max_us\": %" PRIu64 "}\n",
                 name, answered, load->errors - load->interval_errors, seconds,
                 (double)answered / (seconds > 0 ? seconds : 1e-6),
                 histogram_quantile_us(latency, 0.5), histogram_quantile_us(latency, 0.99),
                 histogram_quantile_us(latency, 0.999), histogram_max_us(latency));
    (void)fflush(stdout);
    histogram_clear(&load->latency);
    load->interval_us = now;
    load->interval_answered = load->answered;
    load->interval_errors = load->errors;
}

static void read_marks(struct load *load)
{
    char text[256];
    ssize_t count = read(STDIN_FILENO, text, sizeof(text) - 1);
    if (count <= 0) {
        (void)epoll_ctl(load->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        return;
    }
    text[count] = '\0';
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strcmp(line, "stop") == 0) {
            load->is_stopped = true;
        } else {
            report(load, line);
        }
    }
}

/* --- sending --------------------------------------------------------------------------------- */

static void watch(struct load *load, struct client *client, bool wants_write)
{
    uint32_t events = wants_write ? (uint32_t)EPOLLIN | (uint32_t)EPOLLOUT : (uint32_t)EPOLLIN;
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, client->fd, &event) != 0) {
        fail("epoll_ctl", strerror(errno));
    }
}

static void flush(struct load *load, struct client *client, bool is_watched)
{
    while (buffer_length(&client->out) > 0) {
        struct slice out = buffer_slice(&client->out);
        ssize_t count = write(client->fd, out.data, out.len);
        if (count < 0 && errno != EAGAIN) {
            fail("cannot send", strerror(errno));
        }
        if (count < 0) {
            watch(load, client, true);
            return;
        }
        buffer_consume(&client->out, (size_t)count);
    }
    if (is_watched) {
        watch(load, client, false);
    }
}

static void send_batch(struct load *load, struct client *client, uint64_t at_us)
{
    client->first = 0;
    client->waiting = 0;
    while (client->waiting < load->settings.pipeline && load->sent < load->settings.requests) {
        struct asked *asked = &client->asked[client->waiting++];
        workload_ask(&load->workload, &client->out, asked);
        asked->at_us = at_us;
        load->sent++;
    }
    flush(load, client, false);
}

/* With a rate: whoever is due and idle sends; the timer is set to the next. */
static void send_due(struct load *load)
{
    uint64_t now = clock_now_us();
    uint64_t next = now + 1000000;
    uint64_t step =
        1000000 * load->settings.clients * load->settings.pipeline / load->settings.rate;
    for (uint64_t i = 0; i < load->settings.clients; i++) {
        struct client *client = &load->clients[i];
        if (client->waiting == 0 && client->due_us <= now && load->sent < load->settings.requests) {
            send_batch(load, client, client->due_us);
            client->due_us += step;
        }
        if (client->waiting == 0 && client->due_us < next) {
            next = client->due_us;
        }
    }
    uint64_t wait_us = next > now ? next - now : 1;
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(wait_us / 1000000),
                                           .tv_nsec = (long)(wait_us % 1000000) * 1000}};
    (void)timerfd_settime(load->timer, 0, &when, NULL);
}

/* --- receiving ------------------------------------------------------------------------------- */

static void wrong(const struct asked *asked, const char *data, size_t size)
{
    char text[300];
    (void)snprintf(text, sizeof(text), "to key %" PRIu64 " (%s): %.*s", asked->key,
                   asked->is_set ? "set" : "read", (int)(size < 200 ? size : 200), data);
    fail("wrong reply", text);
}

/* How many of the bytes were whole replies. */
static size_t take_replies(struct load *load, struct client *client, const char *data, size_t size)
{
    uint64_t now = clock_now_us();
    size_t at = 0;
    while (client->waiting > 0 && at < size) {
        const struct asked *asked = &client->asked[client->first];
        size_t used = 0;
        enum reply_check check =
            workload_check(&load->workload, asked, data + at, size - at, &used);
        if (check == REPLY_MORE) {
            return at;
        }
        if (check == REPLY_WRONG) {
            wrong(asked, data + at, size - at);
        }
        if (check == REPLY_ERROR) {
            if (load->errors++ == 0) {
                (void)snprintf(load->first_error, sizeof(load->first_error), "%.*s", (int)used,
                               data + at);
            }
        }
        histogram_record(&load->latency, now > asked->at_us ? now - asked->at_us : 0);
        load->answered++;
        client->first++;
        client->waiting--;
        at += used;
    }
    if (at < size) {
        fail("bytes that nobody asked for", "more than the replies");
    }
    return at;
}

static void receive(struct load *load, struct client *client)
{
    ssize_t count = read(client->fd, load->scratch, sizeof(load->scratch));
    if (count < 0 && errno == EAGAIN) {
        return;
    }
    if (count <= 0) {
        fail("the proxy closed a connection", count < 0 ? strerror(errno) : "end of file");
    }
    load->heard_us = clock_now_us();
    if (buffer_length(&client->in) == 0) {
        size_t used = take_replies(load, client, load->scratch, (size_t)count);
        buffer_add(&client->in, load->scratch + used, (size_t)count - used);
    } else {
        buffer_add(&client->in, load->scratch, (size_t)count);
        struct slice in = buffer_slice(&client->in);
        buffer_consume(&client->in, take_replies(load, client, in.data, in.len));
    }
    if (client->waiting == 0 && load->settings.rate == 0) {
        send_batch(load, client, clock_now_us());
    }
}

/* --- life ------------------------------------------------------------------------------------ */

/* One after the other, so that a listener's backlog seldom overflows; TCP tries again after a
 * second. */
static void connect_client(struct client *client, const struct endpoint *endpoint)
{
    client->fd = socket_connect(endpoint);
    struct pollfd wait = {.fd = client->fd, .events = POLLOUT};
    bool is_open =
        client->fd >= 0 && poll(&wait, 1, CONNECT_MS) == 1 && socket_error(client->fd) == 0;
    if (!is_open) {
        fail("cannot connect", strerror(errno));
    }
}

static void open_clients(struct load *load)
{
    struct endpoint endpoint;
    struct error err;
    if (!endpoint_resolve(&endpoint, "127.0.0.1", (uint16_t)load->settings.port, &err)) {
        fail("address", err.text);
    }
    load->clients = mem_zalloc(load->settings.clients * sizeof(*load->clients));
    for (uint64_t i = 0; i < load->settings.clients; i++) {
        struct client *client = &load->clients[i];
        connect_client(client, &endpoint);
        buffer_init(&client->out, SIZE_MAX);
        buffer_init(&client->in, SIZE_MAX);
        client->asked = mem_zalloc(load->settings.pipeline * sizeof(*client->asked));
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->fd, &event) != 0) {
            fail("epoll_ctl", strerror(errno));
        }
    }
}

static void watch_others(struct load *load)
{
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = load};
    load->is_input_open = epoll_ctl(load->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) == 0;
    struct epoll_event timer = {.events = EPOLLIN, .data.ptr = &load->timer};
    load->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (load->timer < 0 || epoll_ctl(load->epoll, EPOLL_CTL_ADD, load->timer, &timer) != 0) {
        fail("timerfd", strerror(errno));
    }
}

static void begin(struct load *load)
{
    const struct settings *settings = &load->settings;
    load->begun_us = load->interval_us = load->heard_us = clock_now_us();
    for (uint64_t i = 0; i < settings->clients; i++) {
        struct client *client = &load->clients[i];
        if (settings->rate == 0) {
            send_batch(load, client, load->begun_us);
        } else {
            client->due_us = load->begun_us + 1000000 * i * settings->pipeline / settings->rate;
        }
    }
}

static void handle(struct load *load, const struct epoll_event *event)
{
    if (event->data.ptr == load) {
        read_marks(load);
    } else if (event->data.ptr == &load->timer) {
        uint64_t expired;
        ssize_t count = read(load->timer, &expired, sizeof(expired));
        (void)count; /* send_due sets it anew */
    } else {
        struct client *client = event->data.ptr;
        if ((event->events & (uint32_t)EPOLLOUT) != 0) {
            flush(load, client, true);
        }
        if ((event->events & ~(uint32_t)EPOLLOUT) != 0) {
            receive(load, client);
        }
    }
}

static void run(struct load *load)
{
    struct epoll_event events[EVENTS_MAX];
    begin(load);
    while (load->answered < load->settings.requests && !load->is_stopped) {
        if (load->settings.rate > 0) {
            send_due(load);
        }
        int count = epoll_wait(load->epoll, events, EVENTS_MAX, TICK_MS);
        for (int i = 0; i < count; i++) {
            handle(load, &events[i]);
        }
        if (load->sent > load->answered && clock_now_us() > load->heard_us + STALL_US) {
            fail("no reply for 30 s", "gave up");
        }
    }
}

static void close_clients(struct load *load)
{
    for (uint64_t i = 0; i < load->settings.clients; i++) {
        struct client *client = &load->clients[i];
        (void)close(client->fd);
        buffer_fini(&client->out);
        buffer_fini(&client->in);
        mem_free(client->asked);
    }
    mem_free(load->clients);
    (void)close(load->timer);
    (void)close(load->epoll);
}

int main(int argc, char **argv)
{
    struct error err;
    enum options_action action;
    struct load *load = mem_zalloc(sizeof(*load));
    if (!options_load(&options, &load->settings, argc, argv, &action, &err)) {
        fail("options", err.text);
    }
    if (action == OPTIONS_HELP) {
        options_print_help(&options, stdout);
        return 0;
    }
    struct settings *settings = &load->settings;
    if (settings->value_max < settings->value_min) {
        settings->value_max = settings->value_min;
    }
    if (!workload_init(&load->workload, settings->kind, settings->keys, settings->value_min,
                       settings->value_max, &err)) {
        fail("--kind", err.text);
    }
    if (load->workload.kind == WORKLOAD_FILL) {
        settings->requests = settings->keys;
    }
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    open_clients(load);
    watch_others(load);
    run(load);
    report(load, "all");
    if (load->errors > 0) {
        (void)fprintf(stderr, "load: %" PRIu64 " errors, the first: %s", load->errors,
                      load->first_error);
    }
    close_clients(load);
    workload_fini(&load->workload);
    options_free(&options, settings);
    mem_free(load);
    return 0;
}
