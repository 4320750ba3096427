#include "lib/net/http.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/memory.h"
#include "lib/net/address.h"
#include "lib/net/http_request.h"
#include "lib/net/socket.h"
#include "lib/net/stream.h"

#define HTTP_UNAUTHORIZED  401
#define ROUTES_MAX         16
#define LISTEN_BACKLOG     128
#define EXHAUSTED_RETRY_MS 250
#define CHUNK_BYTES        ((size_t)4096)
#define COUNT(array)       (sizeof(array) / sizeof((array)[0]))
#define PLAIN_TEXT         "text/plain; charset=utf-8"

struct route {
    const char *path;
    const char *content_type;
    http_handler_fn *handler;
    void *context;
    enum http_audience audience;
};

static const struct http_limits usual_limits = {
    .connections = 64, .head_bytes = 8192, .time_ms = 10000};

struct http_server {
    struct loop *loop;
    const struct admin_access *access;
    struct io io; /* of the listener; paused while there is no room for another connection */
    struct timer retry;
    int listener;
    char address[ADDRESS_TEXT_MAX];
    struct http_limits limits;
    struct route routes[ROUTES_MAX];
    unsigned nroutes;
    struct connection *connections; /* a list */
    unsigned nconnections;
    uint64_t denials;
    uint64_t failed_handshakes;
    struct log_pause handshake_pause; /* between two lines about failed ones */
};

enum connection_state {
    CONNECTION_SHAKING_HANDS,
    CONNECTION_READING,
    CONNECTION_WRITING,
    CONNECTION_DRAINING /* the reply is out; closing now could destroy it on its way */
};

struct connection {
    struct http_server *server;
    struct connection *next;
    struct connection **link; /* what points to this one */
    struct stream stream;
    struct io io;
    struct timer deadline;
    enum connection_state state;
    struct buffer head;
    struct buffer reply;
};

/* --- connections ------------------------------------------------------------------------------ */

static void close_connection(struct connection *connection)
{
    struct http_server *server = connection->server;
    *connection->link = connection->next;
    if (connection->next != NULL) {
        connection->next->link = connection->link;
    }
    timer_stop(&connection->deadline);
    io_stop(&connection->io);
    stream_close(&connection->stream);
    buffer_fini(&connection->head);
    buffer_fini(&connection->reply);
    server->failed_handshakes += connection->state == CONNECTION_SHAKING_HANDS ? 1 : 0;
    server->nconnections--;
    mem_free(connection);
    io_resume_reading(&server->io);
}

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {{HTTP_OK, "OK"},
                   {400, "Bad Request"},
                   {HTTP_UNAUTHORIZED, "Unauthorized"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {431, "Request Header Fields Too Large"},
                   {HTTP_INTERNAL_ERROR, "Internal Server Error"},
                   {HTTP_UNAVAILABLE, "Service Unavailable"}};

    size_t i = 0;
    while (i < COUNT(reasons) && reasons[i].status != status) {
        i++;
    }
    ASSERT(i < COUNT(reasons)); /* else a handler returned what is not in http.h */
    return reasons[i].reason;
}

/* Gives up the connection's reading; what still comes is dropped from now on. */
static void start_reply(struct connection *connection, int status, const char *content_type,
                        struct slice body, bool is_head)
{
    struct buffer *reply = &connection->reply;
    buffer_printf(reply, "HTTP/1.1 %d %s\r\n", status, reason_of(status));
    buffer_printf(reply, "Content-Type: %s\r\nContent-Length: %zu\r\n", content_type, body.len);
    buffer_add_text(reply, status == 405                 ? "Allow: GET, HEAD\r\n"
                           : status == HTTP_UNAUTHORIZED ? "WWW-Authenticate: Bearer\r\n"
                                                         : "");
    buffer_add_text(reply, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                           "Connection: close\r\n\r\n");
    if (!is_head) {
        buffer_add(reply, body.data, body.len);
    }
    connection->state = CONNECTION_WRITING;
    io_want_write(&connection->io);
}

static void refuse(struct connection *connection, int status, const char *text, bool is_head)
{
    start_reply(connection, status, PLAIN_TEXT, slice_of(text), is_head);
}

static const struct route *find_route(const struct http_server *server, struct slice path)
{
    for (unsigned i = 0; i < server->nroutes; i++) {
        if (slice_equal(path, slice_of(server->routes[i].path))) {
            return &server->routes[i];
        }
    }
    return NULL;
}

/* `is_trusted`: who asks has shown a token, or need not. */
static void reply_by(struct connection *connection, const struct route *route, bool is_trusted,
                     bool is_head)
{
    struct buffer body;
    buffer_init(&body, SIZE_MAX);
    int status = route->handler(route->context, &body);
    if (route->audience == HTTP_STATUS_FOR_ALL && !is_trusted) {
        buffer_clear(&body);
        buffer_printf(&body, "%s\n", reason_of(status));
    }
    start_reply(connection, status, route->content_type, buffer_slice(&body), is_head);
    buffer_fini(&body);
}

static void answer(struct connection *connection, const struct http_request *request)
{
    const struct route *route = find_route(connection->server, request->path);
    bool is_head = slice_equal(request->method, SLICE("HEAD"));
    bool is_trusted = admin_access_admits(connection->server->access, request->token);
    if (route == NULL) {
        refuse(connection, 404, "there is nothing here\n", is_head);
        return;
    }
    if (route->audience == HTTP_FOR_TOKENS && !is_trusted) {
        connection->server->denials++;
        refuse(connection, HTTP_UNAUTHORIZED, "this asks for a token: Authorization: Bearer ...\n",
               is_head);
        return;
    }
    if (!is_head && !slice_equal(request->method, SLICE("GET"))) {
        refuse(connection, 405, "only GET and HEAD are allowed\n", false);
        return;
    }
    reply_by(connection, route, is_trusted, is_head);
}

static void on_head_bytes(struct connection *connection, struct slice bytes)
{
    /* A body may stand behind the head in the same bytes: only the head must fit. */
    size_t room = connection->head.limit - buffer_length(&connection->head);
    bool fits = bytes.len <= room;
    buffer_add(&connection->head, bytes.data, fits ? bytes.len : room);
    struct http_request request;
    enum http_parse result = http_request_parse(buffer_slice(&connection->head), &request);
    if (result == HTTP_PARSE_OK) {
        answer(connection, &request);
    } else if (result == HTTP_PARSE_BAD) {
        refuse(connection, 400, "this is not HTTP/1.1\n", false);
    } else if (!fits) {
        refuse(connection, 431, "the request is too large\n", false);
    }
}

/* The connection is closed. */
static void give_up_handshake(struct connection *connection)
{
    struct http_server *server = connection->server;
    if (log_pause_is_over(&server->handshake_pause, loop_now_us(server->loop))) {
        log_warn("admin client refused why=\"%s\"", stream_why(&connection->stream));
    }
    close_connection(connection);
}

/* A plain stream is done at once. */
static void shake_hands(struct connection *connection)
{
    bool wants_write;
    enum stream_result result = stream_shake_hands(&connection->stream, &wants_write);
    if (result == STREAM_END) {
        give_up_handshake(connection);
    } else if (result == STREAM_AGAIN && wants_write) {
        io_want_write(&connection->io);
    } else if (result == STREAM_OK) {
        connection->state = CONNECTION_READING;
        stream_resume_reading(&connection->stream, &connection->io);
    }
}

static void on_readable(void *context)
{
    struct connection *connection = context;
    char chunk[CHUNK_BYTES];
    size_t count = 0;
    if (connection->state == CONNECTION_SHAKING_HANDS) {
        shake_hands(connection);
        return;
    }
    enum stream_result result = stream_read(&connection->stream, chunk, sizeof(chunk), &count);
    if (connection->stream.has_pending) {
        io_read_again(&connection->io);
    }
    if (result == STREAM_END) {
        /* A client may close its half once it has asked; the reply is still written. */
        if (connection->state == CONNECTION_WRITING) {
            io_pause_reading(&connection->io);
        } else {
            close_connection(connection);
        }
    } else if (result == STREAM_OK && connection->state == CONNECTION_READING) {
        on_head_bytes(connection, (struct slice){chunk, count});
    }
}

static void on_writable(void *context)
{
    struct connection *connection = context;
    if (connection->state == CONNECTION_SHAKING_HANDS) {
        shake_hands(connection);
        return;
    }
    struct slice rest = buffer_slice(&connection->reply);
    size_t count = 0;
    enum stream_result result = stream_write(&connection->stream, rest.data, rest.len, &count);
    if (result == STREAM_END) {
        close_connection(connection);
        return;
    }
    buffer_consume(&connection->reply, count);
    if (buffer_length(&connection->reply) > 0) {
        io_want_write(&connection->io);
        return;
    }
    connection->state = CONNECTION_DRAINING;
    stream_end_writing(&connection->stream);
    stream_resume_reading(&connection->stream, &connection->io);
}

static void on_deadline(void *context)
{
    close_connection(context);
}

static void open_stream(const struct http_server *server, struct stream *stream, int fd)
{
    struct tls_context *tls = admin_access_tls(server->access);
    if (tls != NULL) {
        stream_accept_tls(stream, fd, tls);
    } else {
        stream_open_plain(stream, fd);
    }
}

static void open_connection(struct http_server *server, int fd)
{
    struct connection *connection = mem_zalloc(sizeof(*connection));
    connection->server = server;
    connection->link = &server->connections;
    connection->next = server->connections;
    if (connection->next != NULL) {
        connection->next->link = &connection->next;
    }
    server->connections = connection;
    server->nconnections++;
    buffer_init(&connection->head, server->limits.head_bytes);
    buffer_init(&connection->reply, SIZE_MAX);
    open_stream(server, &connection->stream, fd);
    io_start(&connection->io, server->loop, fd, on_readable, on_writable, connection);
    timer_init(&connection->deadline, server->loop, on_deadline, connection);
    timer_start(&connection->deadline, server->limits.time_ms);
    shake_hands(connection);
}

/* --- the server ------------------------------------------------------------------------------- */

static void on_connection(void *context)
{
    struct http_server *server = context;
    bool is_exhausted;
    int fd = socket_accept(server->listener, &is_exhausted);
    if (fd >= 0) {
        open_connection(server, fd);
    }
    if (is_exhausted || server->nconnections >= server->limits.connections) {
        io_pause_reading(&server->io); /* close_connection resumes */
    }
    if (is_exhausted) {
        timer_start(&server->retry, EXHAUSTED_RETRY_MS); /* perhaps no connection is ours */
    }
}

static void on_retry(void *context)
{
    struct http_server *server = context;
    if (server->nconnections < server->limits.connections) {
        io_resume_reading(&server->io);
    }
}

/* Unlike socket_listen without SO_REUSEPORT: two programs must not share an admin address. */
static int listen_alone(const struct endpoint *endpoint)
{
    int on = 1;
    int fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->length) == 0 &&
        listen(fd, LISTEN_BACKLOG) == 0) {
        return fd;
    }
    int why = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    errno = why;
    return -1;
}

struct http_server *http_server_open(struct loop *loop, const char *address,
                                     const struct admin_access *access,
                                     const struct http_limits *limits, struct error *err)
{
    struct address parsed;
    struct endpoint endpoint;
    if (!address_parse(slice_of(address), &parsed, err) ||
        !address_resolve(&parsed, &endpoint, err)) {
        (void)error_prefix(err, "the admin address");
        return NULL;
    }
    int listener = listen_alone(&endpoint);
    if (listener < 0) {
        (void)error_set(err, "cannot listen on the admin address \"%s\": %s", address,
                        socket_listen_failure(errno));
        return NULL;
    }
    struct http_server *server = mem_zalloc(sizeof(*server));
    server->loop = loop;
    server->access = access;
    server->listener = listener;
    server->limits = limits != NULL ? *limits : usual_limits;
    parsed.port = socket_port(listener);
    address_format(&parsed, server->address);
    io_start(&server->io, loop, listener, on_connection, NULL, server);
    timer_init(&server->retry, loop, on_retry, server);
    return server;
}

void http_server_close(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    while (server->connections != NULL) {
        close_connection(server->connections);
    }
    timer_stop(&server->retry);
    io_stop(&server->io);
    (void)close(server->listener);
    mem_free(server);
}

void http_server_route(struct http_server *server, const char *path, const char *content_type,
                       enum http_audience audience, http_handler_fn *handler, void *context)
{
    ASSERT(server->nroutes < ROUTES_MAX);
    ASSERT(path[0] == '/' && find_route(server, slice_of(path)) == NULL);
    server->routes[server->nroutes++] =
        (struct route){path, content_type, handler, context, audience};
}

const char *http_server_address(const struct http_server *server)
{
    return server->address;
}

unsigned http_server_connections(const struct http_server *server)
{
    return server->nconnections;
}

uint64_t http_server_failed_handshakes(const struct http_server *server)
{
    return server->failed_handshakes;
}

uint64_t http_server_denials(const struct http_server *server)
{
    return server->denials;
}
