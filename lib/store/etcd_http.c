#include "lib/store/etcd_http.h"

#include <stdlib.h>

#include "lib/base/assert.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"

#define TIMEOUT_US UINT64_C(5000000) /* for the whole question, however many are asked */
/* For one member: one that has lost its leader may sit on a question for long, and answers the next
 * when there is another leader. */
#define CALL_TIMEOUT_US  UINT64_C(1000000)
#define HEDGE_US         UINT64_C(250000) /* so long one member is waited for alone */
#define ROUND_PAUSE_US   UINT64_C(100000)
#define ANSWER_MAX_BYTES ((size_t)128 << 20)

/* gRPC's codes, as the gateway passes them on. */
enum grpc_code {
    GRPC_UNKNOWN = 2,
    GRPC_DEADLINE = 4,
    GRPC_ABORTED = 10,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16
};

/* One member being asked. */
struct call {
    CURL *easy; /* null: not asked, or over */
    struct buffer body;
    char why[CURL_ERROR_SIZE]; /* it failed; empty: the library has nothing to add to its code */
};

struct etcd_http {
    const struct etcd_place *place;
    CURLM *multi; /* keeps the connections */
    struct curl_slist *headers;
    bool is_logged_in;
    unsigned preferred;
};

/* A question on its way. */
struct asking {
    struct etcd_http *http;
    const char *path;
    const struct buffer *body;
    struct call calls[ETCD_ENDPOINTS_MAX];
    uint64_t deadline_us;
    unsigned nstarted, nended; /* of this round */
    bool may_be_done;          /* somebody got it and did not say no */
    bool is_over;
    bool needs_login;
    enum etcd_outcome outcome;
    json_t *answer;
    struct error why; /* of the last failure */
};

static void set_headers(struct etcd_http *http, const char *token)
{
    libcurl()->slist_free_all(http->headers);
    http->headers = libcurl()->slist_append(NULL, "Content-Type: application/json");
    http->headers = libcurl()->slist_append(http->headers, "Expect:");
    if (token != NULL) {
        char *line = mem_printf("Authorization: %s", token);
        http->headers = libcurl()->slist_append(http->headers, line);
        mem_free(line);
    }
}

struct etcd_http *etcd_http_new(const struct etcd_place *place)
{
    struct etcd_http *http = mem_zalloc(sizeof(*http));
    http->place = place;
    http->multi = libcurl()->multi_init();
    ASSERT(http->multi != NULL);
    set_headers(http, NULL);
    return http;
}

void etcd_http_free(struct etcd_http *http)
{
    (void)libcurl()->multi_cleanup(http->multi);
    libcurl()->slist_free_all(http->headers);
    mem_free(http);
}

unsigned etcd_http_preferred(const struct etcd_http *http)
{
    return http->preferred;
}

void etcd_http_forget_login(struct etcd_http *http)
{
    http->is_logged_in = false;
    set_headers(http, NULL);
}

/* --- one handle ---------------------------------------------------------------------------- */

#define SET(easy, option, value) (void)libcurl()->easy_setopt(easy, option, value)

static void set_tls(CURL *easy, const struct etcd_place *place)
{
    SET(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (place->ca != NULL) {
        SET(easy, CURLOPT_CAINFO, place->ca);
        SET(easy, CURLOPT_CAPATH, NULL);
        /* Else a file that was read is believed for a day, whatever has been written to it. */
        SET(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    }
    if (place->cert != NULL) {
        SET(easy, CURLOPT_SSLCERT, place->cert);
        SET(easy, CURLOPT_SSLKEY, place->key);
    }
}

static CURL *make_easy(const struct etcd_http *http, unsigned endpoint, const char *path,
                       const struct buffer *body)
{
    CURL *easy = libcurl()->easy_init();
    ASSERT(easy != NULL);
    char *url = mem_printf("%s%s", http->place->endpoints[endpoint], path);
    SET(easy, CURLOPT_URL, url);
    mem_free(url);
    SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(easy, CURLOPT_PROXY, ""); /* the environment's proxies are not for us */
    SET(easy, CURLOPT_NOSIGNAL, 1L);
    SET(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(easy, CURLOPT_TCP_KEEPIDLE, 5L);
    SET(easy, CURLOPT_TCP_KEEPINTVL, 2L);
    SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(CALL_TIMEOUT_US / 1000));
    SET(easy, CURLOPT_HTTPHEADER, http->headers);
    SET(easy, CURLOPT_POST, 1L);
    SET(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)buffer_length(body));
    SET(easy, CURLOPT_POSTFIELDS, buffer_slice(body).data);
    set_tls(easy, http->place);
    return easy;
}

static size_t take_bytes(char *data, size_t size, size_t count, void *body)
{
    return buffer_append(body, data, size * count) ? size * count : 0;
}

/* --- what was answered --------------------------------------------------------------------- */

/* The member cannot serve, or lost its leader meanwhile: another may, and it may yet be done. */
static bool is_passing(long status, json_int_t code)
{
    switch (code) {
    case GRPC_UNKNOWN:
    case GRPC_DEADLINE:
    case GRPC_ABORTED:
    case GRPC_INTERNAL:
    case GRPC_UNAVAILABLE:
        return true;
    default:
        return code == 0 && status >= 500;
    }
}

static const char *error_text(const json_t *answer)
{
    const char *text = json_string_value(json_object_get(answer, "error"));
    return text != NULL ? text : json_string_value(json_object_get(answer, "message"));
}

/* A token that ran out, or was given before users and roles were changed. */
static bool is_about_login(json_int_t code, const char *text)
{
    return code == GRPC_UNAUTHENTICATED ||
           (text != NULL && strstr(text, "auth store is old") != NULL);
}

static void note_failure(struct asking *asking, unsigned endpoint, const char *why)
{
    (void)error_set(&asking->why, "etcd at %s%s: %s", asking->http->place->endpoints[endpoint],
                    asking->path, why);
}

/* What etcd, or whoever listens there, says without JSON. */
static const char *strange_text(struct slice text)
{
    static const char about_name[] = "CommonName of client";
    return memmem(text.data, text.len, about_name, strlen(about_name)) != NULL
               ? "where etcd has users it takes only client certificates without a CommonName: "
                 "issue one, or use none"
               : "this is no answer of etcd";
}

static void take_answer(struct asking *asking, unsigned endpoint, long status, struct slice body)
{
    json_t *answer = json_loadb(body.data, body.len, 0, NULL);
    json_int_t code = json_integer_value(json_object_get(answer, "code"));
    if (status == 200 && answer != NULL) {
        asking->is_over = true;
        asking->outcome = ETCD_ANSWERED;
        asking->answer = answer;
        asking->http->preferred = endpoint;
        return;
    }
    const char *text = error_text(answer);
    note_failure(asking, endpoint, text != NULL ? text : strange_text(body));
    if (is_passing(status, code) || status == 200) {
        asking->may_be_done = true;
    } else {
        asking->is_over = true;
        asking->outcome = ETCD_REFUSED;
        asking->needs_login = is_about_login(code, text);
    }
    json_decref(answer);
}

static bool is_before_sending(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return true;
    default:
        return false;
    }
}

/* --- asking -------------------------------------------------------------------------------- */

static unsigned endpoint_of(const struct asking *asking, unsigned turn)
{
    return (asking->http->preferred + turn) % asking->http->place->nendpoints;
}

static void start_call(struct asking *asking)
{
    unsigned endpoint = endpoint_of(asking, asking->nstarted);
    struct call *call = &asking->calls[endpoint];
    asking->nstarted++;
    buffer_init(&call->body, ANSWER_MAX_BYTES);
    call->easy = make_easy(asking->http, endpoint, asking->path, asking->body);
    SET(call->easy, CURLOPT_TIMEOUT_MS, (long)(CALL_TIMEOUT_US / 1000));
    call->why[0] = '\0';
    SET(call->easy, CURLOPT_ERRORBUFFER, call->why);
    SET(call->easy, CURLOPT_WRITEFUNCTION, take_bytes);
    SET(call->easy, CURLOPT_WRITEDATA, &call->body);
    (void)libcurl()->multi_add_handle(asking->http->multi, call->easy);
}

static void end_call(struct asking *asking, struct call *call)
{
    (void)libcurl()->multi_remove_handle(asking->http->multi, call->easy);
    libcurl()->easy_cleanup(call->easy);
    call->easy = NULL;
    buffer_fini(&call->body);
    asking->nended++;
}

static const char *failure_text(const struct call *call, CURLcode code)
{
    if (code == CURLE_COULDNT_CONNECT) {
        return "could not connect: is etcd running there? --store names it";
    }
    return call->why[0] != '\0' ? call->why : libcurl()->easy_strerror(code);
}

static void on_ended(struct asking *asking, CURL *easy, CURLcode code)
{
    unsigned endpoint = 0;
    while (asking->calls[endpoint].easy != easy) {
        endpoint++;
        ASSERT(endpoint < asking->http->place->nendpoints);
    }
    struct call *call = &asking->calls[endpoint];
    if (code == CURLE_OK) {
        long status = 0;
        (void)libcurl()->easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        take_answer(asking, endpoint, status, buffer_slice(&call->body));
    } else {
        asking->may_be_done = asking->may_be_done || !is_before_sending(code);
        note_failure(asking, endpoint, failure_text(call, code));
    }
    end_call(asking, call);
}

static void take_ended(struct asking *asking)
{
    int left = 0;
    const CURLMsg *message;
    while (!asking->is_over &&
           (message = libcurl()->multi_info_read(asking->http->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            on_ended(asking, message->easy_handle, message->data.result);
        }
    }
}

/* What is given up may still be done. */
static void end_all(struct asking *asking)
{
    for (unsigned i = 0; i < asking->http->place->nendpoints; i++) {
        if (asking->calls[i].easy != NULL) {
            asking->may_be_done = true;
            end_call(asking, &asking->calls[i]);
        }
    }
}

static void wait_for_calls(const struct asking *asking, uint64_t hedge_us)
{
    const unsigned count = asking->http->place->nendpoints;
    uint64_t now_us = clock_now_us();
    uint64_t until_us = asking->nstarted < count ? hedge_us : asking->deadline_us;
    int wait_ms = until_us > now_us ? (int)((until_us - now_us) / 1000) + 1 : 0;
    (void)libcurl()->multi_poll(asking->http->multi, NULL, 0, wait_ms, NULL);
}

/* Every member once. Starts the next when all that were asked have failed, or the last is slow. */
static void run_round(struct asking *asking)
{
    const unsigned count = asking->http->place->nendpoints;
    uint64_t hedge_us = 0;
    asking->nstarted = asking->nended = 0;
    while (!asking->is_over && asking->nended < count && clock_now_us() < asking->deadline_us) {
        if (asking->nstarted < count &&
            (asking->nended == asking->nstarted || clock_now_us() >= hedge_us)) {
            start_call(asking);
            hedge_us = clock_now_us() + HEDGE_US;
        }
        int running = 0;
        (void)libcurl()->multi_perform(asking->http->multi, &running);
        take_ended(asking);
        if (!asking->is_over && asking->nended < asking->nstarted) {
            wait_for_calls(asking, hedge_us);
        }
    }
    end_all(asking);
}

/* Until somebody answers, or nobody can be reached, or the time is over. */
static void run_rounds(struct asking *asking)
{
    asking->deadline_us = clock_now_us() + TIMEOUT_US;
    do {
        uint64_t round_us = clock_now_us();
        run_round(asking);
        if (asking->is_over || !asking->may_be_done) {
            return;
        }
        uint64_t took_us = clock_now_us() - round_us;
        if (took_us < ROUND_PAUSE_US) {
            clock_sleep_ms((ROUND_PAUSE_US - took_us) / 1000);
        }
    } while (clock_now_us() < asking->deadline_us);
}

/* err is left alone when it is answered. */
static enum etcd_outcome ask_once(struct asking *asking, struct error *err)
{
    asking->outcome = ETCD_UNKNOWN;
    (void)error_set(&asking->why, "etcd at %s%s does not answer within %u ms",
                    asking->http->place->endpoints[asking->http->preferred], asking->path,
                    (unsigned)(TIMEOUT_US / 1000));
    run_rounds(asking);
    if (!asking->is_over) {
        /* The next question begins with somebody else. */
        asking->http->preferred = endpoint_of(asking, 1);
        asking->outcome = asking->may_be_done ? ETCD_UNKNOWN : ETCD_UNSENT;
    }
    /* One member said no while another may be doing it: only what was answered is certain. */
    if (asking->outcome == ETCD_REFUSED && asking->may_be_done) {
        asking->outcome = ETCD_UNKNOWN;
    }
    if (asking->outcome != ETCD_ANSWERED) {
        (void)error_set(err, "%s", asking->why.text);
    }
    return asking->outcome;
}

static void format_json(const json_t *question, struct buffer *body)
{
    char *text = json_dumps(question, JSON_COMPACT);
    ASSERT(text != NULL);
    buffer_add_text(body, text);
    free(text); /* jansson's, not ours */
}

/* --- logging in ---------------------------------------------------------------------------- */

static bool log_in(struct etcd_http *http, struct error *err)
{
    if (http->place->user == NULL || http->is_logged_in) {
        return true;
    }
    struct buffer body;
    buffer_init(&body, SIZE_MAX);
    json_t *question =
        json_pack("{s:s, s:s}", "name", http->place->user, "password", http->place->password);
    if (question == NULL) {
        return error_set(err, "the store's user or password is not UTF-8");
    }
    format_json(question, &body);
    json_decref(question);
    struct asking asking = {.http = http, .path = "/v3/auth/authenticate", .body = &body};
    bool ok = ask_once(&asking, err) == ETCD_ANSWERED;
    const char *token = json_string_value(json_object_get(asking.answer, "token"));
    if (ok && token == NULL) {
        ok = error_set(err, "etcd gives user \"%s\" no token", http->place->user);
    }
    if (ok) {
        set_headers(http, token);
        http->is_logged_in = true;
    }
    json_decref(asking.answer);
    buffer_fini(&body);
    return ok;
}

enum etcd_outcome etcd_ask(struct etcd_http *http, const char *path, json_t *question,
                           json_t **answer, struct error *err)
{
    struct buffer body;
    enum etcd_outcome outcome = ETCD_UNSENT;
    bool again = true;
    bool may_be_done = false;
    *answer = NULL;
    buffer_init(&body, SIZE_MAX);
    format_json(question, &body);
    json_decref(question);
    /* A token runs out, or its member forgot it in a restart: once more with a new one. */
    for (unsigned tries = 0; tries < 2 && again; tries++) {
        struct asking asking = {.http = http, .path = path, .body = &body};
        again = false;
        outcome = log_in(http, err) ? ask_once(&asking, err) : ETCD_UNSENT;
        *answer = asking.answer;
        may_be_done = may_be_done || asking.may_be_done;
        if (asking.needs_login && http->place->user != NULL) {
            again = true;
            etcd_http_forget_login(http);
        }
    }
    buffer_fini(&body);
    /* By the member that did not answer before another one wanted a new login. */
    return outcome != ETCD_ANSWERED && may_be_done ? ETCD_UNKNOWN : outcome;
}

CURL *etcd_http_open(struct etcd_http *http, unsigned endpoint, const char *path,
                     const struct buffer *body, struct error *err)
{
    return log_in(http, err) ? make_easy(http, endpoint, path, body) : NULL;
}
