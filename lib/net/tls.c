/* OpenSSL in its own non-blocking mode on the socket itself.
 *
 * What a request proxy relies on: bytes that SSL_write has not confirmed have not reached the other
 * side as data, even if part of their record is in the kernel: a record that is not whole cannot be
 * authenticated. So a connection that is lost with such bytes may send them again elsewhere; and
 * tls_close must not help the rest of a record out (has_cut_record). */
#include "lib/net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"

#define TEXTS_MAX 6

#ifdef __SANITIZE_THREAD__
/* What libcrypto caches of a certificate it publishes by an atomic store, which the sanitizer does
 * not see, for that library was built without it. */
const char *__tsan_default_suppressions(void); // NOLINT(bugprone-reserved-identifier)

const char *__tsan_default_suppressions(void) // NOLINT(bugprone-reserved-identifier)
{
    return "race:ASN1_STRING_cmp\n";
}
#endif

struct tls_context {
    struct tls_options options;
    char *texts[TEXTS_MAX]; /* of the options, owned */
    unsigned ntexts;
    pthread_mutex_t lock; /* of `current`; taken once a connection, not on the data path */
    SSL_CTX *current;     /* null: nothing was asked of it yet, see is_default */
};

struct tls_session {
    SSL *ssl;
    const char *prefix; /* of the options; the context outlives the session */
    char *host;         /* whom the certificate must name; null for a server */
    char *why;          /* it ended for; null while it is well */
    bool is_established;
    bool has_cut_record; /* part of one is in the kernel */
};

bool tls_auth_parse(const char *text, enum tls_auth *auth)
{
    static const char *const words[] = {"no", "optional", "yes"};
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i]) == 0) {
            *auth = (enum tls_auth)i;
            return true;
        }
    }
    return false;
}

/* --- contexts -------------------------------------------------------------------------------- */

/* The newest reason is at the end of OpenSSL's queue: for a file, why it could not be used. */
static const char *openssl_reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason =
        ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    return reason != NULL ? reason : "unknown to OpenSSL";
}

static bool refuse(const struct tls_options *options, const char *option, const char *value,
                   struct error *err)
{
    return error_set(err, "cannot use %s%s \"%s\": %s", options->prefix, option, value,
                     openssl_reason());
}

/* Else OpenSSL asks the terminal. */
static int no_password(char *text, int size, int is_writing, void *context)
{
    (void)text;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

static bool load_certificate(SSL_CTX *built, const struct tls_options *options, struct error *err)
{
    const char *cert = options->cert_file, *key = options->key_file;
    if (cert == NULL && key == NULL && !options->is_server) {
        return true;
    }
    if (cert == NULL || key == NULL) {
        return error_set(err, "%scert-file and %skey-file must both be given", options->prefix,
                         options->prefix);
    }
    if (SSL_CTX_use_certificate_chain_file(built, cert) != 1) {
        return refuse(options, "cert-file", cert, err);
    }
    if (SSL_CTX_use_PrivateKey_file(built, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(built) != 1) {
        return refuse(options, "key-file", key, err);
    }
    return true;
}

static bool load_authorities(SSL_CTX *built, const struct tls_options *options, struct error *err)
{
    const char *ca = options->ca_cert_file;
    if (options->is_server && options->auth_clients == TLS_AUTH_NO) {
        return true;
    }
    if (ca == NULL && options->is_server) {
        return error_set(err,
                         "%sca-cert-file must say whose client certificates are good, or "
                         "%sauth-clients must be \"no\"",
                         options->prefix, options->prefix);
    }
    int is_loaded = ca != NULL ? SSL_CTX_load_verify_locations(built, ca, NULL)
                               : SSL_CTX_set_default_verify_paths(built);
    if (is_loaded != 1) {
        return refuse(options, "ca-cert-file", ca != NULL ? ca : "(of the system)", err);
    }
    if (options->is_server) {
        SSL_CTX_set_client_CA_list(built, SSL_load_client_CA_file(ca)); /* names to choose by */
    }
    return true;
}

static bool set_ciphers(SSL_CTX *built, const struct tls_options *options, struct error *err)
{
    if (options->ciphers != NULL && SSL_CTX_set_cipher_list(built, options->ciphers) != 1) {
        return refuse(options, "ciphers", options->ciphers, err);
    }
    if (options->ciphersuites != NULL &&
        SSL_CTX_set_ciphersuites(built, options->ciphersuites) != 1) {
        return refuse(options, "ciphersuites", options->ciphersuites, err);
    }
    return true;
}

static int verify_mode(const struct tls_options *options)
{
    if (!options->is_server || options->auth_clients == TLS_AUTH_YES) {
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    return options->auth_clients == TLS_AUTH_OPTIONAL ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
}

static void set_protocol(SSL_CTX *built, const struct tls_options *options)
{
    long is_bounded = SSL_CTX_set_min_proto_version(built, TLS1_2_VERSION);
    ASSERT(is_bounded == 1);
    /* RESP frames itself, so an end without close_notify cuts off nothing unnoticed. */
    (void)SSL_CTX_set_options(built, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                         SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(built, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(built, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(built, 0);
    SSL_CTX_set_read_ahead(built, 1); /* one read(2) a record, not two */
    SSL_CTX_set_default_passwd_cb(built, no_password);
    SSL_CTX_set_verify(built, verify_mode(options), NULL);
}

static SSL_CTX *build(const struct tls_options *options, struct error *err)
{
    ERR_clear_error();
    SSL_CTX *built = SSL_CTX_new(options->is_server ? TLS_server_method() : TLS_client_method());
    ASSERT(built != NULL);
    set_protocol(built, options);
    if (load_certificate(built, options, err) && load_authorities(built, options, err) &&
        set_ciphers(built, options, err)) {
        return built;
    }
    SSL_CTX_free(built);
    return NULL;
}

static const char *keep(struct tls_context *context, const char *text)
{
    if (text == NULL) {
        return NULL;
    }
    ASSERT(context->ntexts < TEXTS_MAX);
    return context->texts[context->ntexts++] = mem_strdup(text);
}

/* OpenSSL's defaults, in which nothing can be wrong: built for the first connection, since OpenSSL
 * takes megabytes as soon as it is touched, and most need none. */
static bool is_default(const struct tls_options *options)
{
    return !options->is_server && options->cert_file == NULL && options->key_file == NULL &&
           options->ca_cert_file == NULL && options->ciphers == NULL &&
           options->ciphersuites == NULL;
}

struct tls_context *tls_context_new(const struct tls_options *options, struct error *err)
{
    SSL_CTX *built = is_default(options) ? NULL : build(options, err);
    if (built == NULL && !is_default(options)) {
        return NULL;
    }
    struct tls_context *context = mem_zalloc(sizeof(*context));
    context->options = (struct tls_options){.prefix = keep(context, options->prefix),
                                            .cert_file = keep(context, options->cert_file),
                                            .key_file = keep(context, options->key_file),
                                            .ca_cert_file = keep(context, options->ca_cert_file),
                                            .ciphers = keep(context, options->ciphers),
                                            .ciphersuites = keep(context, options->ciphersuites),
                                            .is_server = options->is_server,
                                            .auth_clients = options->auth_clients};
    context->current = built;
    int failed = pthread_mutex_init(&context->lock, NULL);
    ASSERT(failed == 0);
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL) {
        return;
    }
    for (unsigned i = 0; i < context->ntexts; i++) {
        mem_free(context->texts[i]);
    }
    SSL_CTX_free(context->current);
    (void)pthread_mutex_destroy(&context->lock);
    mem_free(context);
}

static bool is_built(struct tls_context *context)
{
    (void)pthread_mutex_lock(&context->lock);
    bool is = context->current != NULL;
    (void)pthread_mutex_unlock(&context->lock);
    return is;
}

bool tls_context_reload(struct tls_context *context, struct error *err)
{
    if (context == NULL || !is_built(context)) {
        return true;
    }
    SSL_CTX *built = build(&context->options, err);
    if (built == NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&context->lock);
    SSL_CTX *older = context->current;
    context->current = built;
    (void)pthread_mutex_unlock(&context->lock);
    SSL_CTX_free(older); /* its sessions count it too */
    return true;
}

static SSL *new_ssl(struct tls_context *context)
{
    (void)pthread_mutex_lock(&context->lock);
    if (context->current == NULL) {
        context->current = build(&context->options, NULL);
        ASSERT(context->current != NULL);
    }
    SSL *ssl = SSL_new(context->current);
    (void)pthread_mutex_unlock(&context->lock);
    ASSERT(ssl != NULL);
    return ssl;
}

/* --- why it ended ---------------------------------------------------------------------------- */

/* What we found wrong with the certificate of the other side. */
static char *certificate_reason(const struct tls_session *tls, long verdict)
{
    const char *host = tls->host != NULL ? tls->host : "the client";
    const char *said = X509_verify_cert_error_string(verdict);
    switch (verdict) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return mem_printf("TLS: the certificate of %s is not valid now (%s): renew it there, or "
                          "set the clock right",
                          host, said);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return mem_printf("TLS: the certificate is not for \"%s\" (%s): use an address that it "
                          "names, or add this one to its subjectAltName",
                          host, said);
    default:
        return mem_printf("TLS: the certificate of %s is not trusted (%s): name the authority that "
                          "signed it by %sca-cert-file",
                          host, said, tls->prefix);
    }
}

/* What OpenSSL reports, or what the other side told it in an alert. */
static char *protocol_reason(const struct tls_session *tls)
{
    unsigned long code = ERR_peek_last_error();
    const char *said = openssl_reason();
    switch (ERR_GET_REASON(code)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        return mem_printf("TLS: the other side does not speak TLS (%s): connect to a port that "
                          "does, or without TLS",
                          said);
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        return mem_printf("TLS: refused by the other side (%s): it may want a client certificate "
                          "that it trusts, see %scert-file and %skey-file",
                          said, tls->prefix, tls->prefix);
    default:
        return mem_printf("TLS: %s", said);
    }
}

static char *reason_of(const struct tls_session *tls, int failure)
{
    int number = errno;
    if (failure == SSL_ERROR_ZERO_RETURN) {
        return mem_strdup("the other end closed the connection");
    }
    long verdict = SSL_get_verify_result(tls->ssl);
    if (verdict != X509_V_OK && !tls->is_established) {
        return certificate_reason(tls, verdict);
    }
    if (failure == SSL_ERROR_SYSCALL) {
        return mem_strdup(number != 0 ? strerror(number) : "the other end closed the connection");
    }
    return protocol_reason(tls);
}

static enum stream_result judge(struct stream *stream, int returned, bool *wants_write)
{
    struct tls_session *tls = stream->tls;
    int failure = SSL_get_error(tls->ssl, returned);
    *wants_write = failure == SSL_ERROR_WANT_WRITE;
    if (*wants_write || failure == SSL_ERROR_WANT_READ) {
        return STREAM_AGAIN;
    }
    if (tls->why == NULL) {
        tls->why = reason_of(tls, failure);
    }
    /* After a fatal error OpenSSL may not be asked to say good-bye. */
    tls->is_established = tls->is_established && failure == SSL_ERROR_ZERO_RETURN;
    return STREAM_END;
}

/* --- streams --------------------------------------------------------------------------------- */

static enum stream_result tls_shake_hands(struct stream *stream, bool *wants_write)
{
    ERR_clear_error();
    errno = 0;
    int done = SSL_do_handshake(stream->tls->ssl);
    if (done != 1) {
        return judge(stream, done, wants_write);
    }
    stream->tls->is_established = true;
    stream->has_pending = SSL_has_pending(stream->tls->ssl) == 1;
    *wants_write = false;
    return STREAM_OK;
}

/* Fills the room record by record, until the socket has no more: a short count means, as with a
 * plain socket, that there is nothing left. */
static enum stream_result tls_read(struct stream *stream, void *data, size_t size, size_t *count)
{
    enum stream_result result = STREAM_OK;
    bool wants_write; /* only to answer a key update: goes with what is written next */
    *count = 0;
    while (*count < size && result == STREAM_OK) {
        size_t got = 0;
        ERR_clear_error();
        errno = 0;
        int done = SSL_read_ex(stream->tls->ssl, (char *)data + *count, size - *count, &got);
        *count += got;
        result = done == 1 ? STREAM_OK : judge(stream, done, &wants_write);
    }
    /* An end behind some bytes is told by the next read: the socket may not announce it again. */
    stream->has_pending = result == STREAM_END
                              ? *count > 0
                              : result == STREAM_OK && SSL_has_pending(stream->tls->ssl) == 1;
    return *count > 0 ? STREAM_OK : result;
}

static enum stream_result tls_write(struct stream *stream, const void *data, size_t size,
                                    size_t *count)
{
    bool wants_write;
    *count = 0;
    ERR_clear_error();
    errno = 0;
    int done = SSL_write_ex(stream->tls->ssl, data, size, count);
    enum stream_result result = done == 1 ? STREAM_OK : judge(stream, done, &wants_write);
    stream->tls->has_cut_record = result == STREAM_AGAIN;
    return result;
}

static void say_goodbye(struct tls_session *tls)
{
    if (tls->is_established && !tls->has_cut_record) {
        ERR_clear_error();
        (void)SSL_shutdown(tls->ssl); /* best effort: the other end reads the close anyway */
    }
}

static void tls_end_writing(struct stream *stream)
{
    say_goodbye(stream->tls);
    (void)shutdown(stream->fd, SHUT_WR);
}

static const char *tls_why(const struct stream *stream)
{
    return stream->tls->why != NULL ? stream->tls->why : "";
}

static void tls_close(struct stream *stream)
{
    struct tls_session *tls = stream->tls;
    say_goodbye(tls);
    SSL_free(tls->ssl);
    (void)close(stream->fd);
    mem_free(tls->host);
    mem_free(tls->why);
    mem_free(tls);
    stream->tls = NULL;
}

static const struct stream_ops tls_ops = {tls_shake_hands, tls_read, tls_write,
                                          tls_end_writing, tls_why,  tls_close};

static SSL *open_session(struct stream *stream, int fd, struct tls_context *context)
{
    ASSERT(context != NULL);
    struct tls_session *tls = mem_zalloc(sizeof(*tls));
    tls->ssl = new_ssl(context);
    tls->prefix = context->options.prefix;
    int is_set = SSL_set_fd(tls->ssl, fd);
    ASSERT(is_set == 1);
    *stream = (struct stream){.ops = &tls_ops, .fd = fd, .tls = tls};
    return tls->ssl;
}

void stream_accept_tls(struct stream *stream, int fd, struct tls_context *context)
{
    SSL_set_accept_state(open_session(stream, fd, context));
}

static bool is_number(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* The certificate must name the host as the topology does. Names go into the hello too (SNI),
 * numbers may not. */
static void expect_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *wanted = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int is_set = is_number(host)
                     ? X509_VERIFY_PARAM_set1_ip_asc(wanted, host)
                     : SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host) == 1;
    ASSERT(is_set == 1);
}

void stream_open_to(struct stream *stream, int fd, const struct endpoint *endpoint,
                    struct tls_context *context)
{
    if (endpoint->tls_host[0] == '\0') {
        stream_open_plain(stream, fd);
        return;
    }
    SSL *ssl = open_session(stream, fd, context);
    stream->tls->host = mem_strdup(endpoint->tls_host);
    SSL_set_connect_state(ssl);
    expect_host(ssl, endpoint->tls_host);
}
