#include "lib/store/etcd_place.h"

#include <stdlib.h>

#include "lib/base/buffer.h"
#include "lib/base/file.h"
#include "lib/base/memory.h"
#include "lib/net/address.h"

#define DEFAULT_PREFIX     "/sluice"
#define PASSWORD_MAX_BYTES ((size_t)131072) /* file_read asks for 64 kB of room at a time */

/* The options of the URL, and the variable that stands in for each. */
struct option {
    const char *name, *variable;
    char *value;
};

enum option_index {
    OPTION_CA,
    OPTION_CERT,
    OPTION_KEY,
    OPTION_USER,
    OPTION_PASSWORD_FILE,
    OPTION_COUNT
};

static const char plain_scheme[] = "etcd:", tls_scheme[] = "etcds:";

static bool is_tls(const char *url)
{
    return strncmp(url, tls_scheme, sizeof(tls_scheme) - 1) == 0;
}

bool etcd_place_is_one(const char *url)
{
    return is_tls(url) || strncmp(url, plain_scheme, sizeof(plain_scheme) - 1) == 0;
}

/* --- the endpoints ------------------------------------------------------------------------- */

static bool add_endpoint(struct etcd_place *place, struct slice text, bool tls, struct error *err)
{
    struct address address;
    char written[ADDRESS_TEXT_MAX];
    if (place->nendpoints == ETCD_ENDPOINTS_MAX) {
        return error_set(err, "more than %u endpoints", ETCD_ENDPOINTS_MAX);
    }
    if (!address_parse(text, &address, err)) {
        return false;
    }
    if (address.port == 0) {
        return error_set(err, "\"%.*s\" has port 0", (int)text.len, text.data);
    }
    address_format(&address, written);
    place->endpoints[place->nendpoints++] = mem_printf("%s://%s", tls ? "https" : "http", written);
    return true;
}

static bool parse_endpoints(struct etcd_place *place, struct slice text, bool tls,
                            struct error *err)
{
    while (true) {
        const char *comma = text.len > 0 ? memchr(text.data, ',', text.len) : NULL;
        size_t length = comma != NULL ? (size_t)(comma - text.data) : text.len;
        if (!add_endpoint(place, (struct slice){text.data, length}, tls, err)) {
            return false;
        }
        if (comma == NULL) {
            return true;
        }
        text = (struct slice){comma + 1, text.len - length - 1};
    }
}

/* Slashes at the end would make "//" in the keys. */
static void set_prefix(struct etcd_place *place, struct slice text)
{
    while (text.len > 0 && text.data[text.len - 1] == '/') {
        text.len--;
    }
    place->prefix = text.len > 0 ? mem_strndup(text.data, text.len) : mem_strdup(DEFAULT_PREFIX);
}

/* --- the options --------------------------------------------------------------------------- */

static bool set_option(struct option *options, const char *text, size_t length, struct error *err)
{
    const char *equals = memchr(text, '=', length);
    size_t name_length = equals != NULL ? (size_t)(equals - text) : length;
    for (unsigned i = 0; equals != NULL && i < OPTION_COUNT; i++) {
        if (slice_equal((struct slice){text, name_length}, slice_of(options[i].name))) {
            mem_free(options[i].value);
            options[i].value = mem_strndup(equals + 1, length - name_length - 1);
            return true;
        }
    }
    return error_set(err,
                     "unknown option \"%.*s\" (known: ca=FILE, cert=FILE, key=FILE, user=NAME, "
                     "password-file=FILE)",
                     (int)name_length, text);
}

static bool parse_options(struct option *options, const char *text, struct error *err)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "&");
        if (!set_option(options, text, length, err)) {
            return false;
        }
        text += length + (text[length] == '&');
    }
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        const char *value = getenv(options[i].variable);
        if (options[i].value == NULL && value != NULL && value[0] != '\0') {
            options[i].value = mem_strdup(value);
        }
    }
    return true;
}

/* The first line of the file. */
static bool read_password(struct etcd_place *place, const char *path, struct error *err)
{
    struct buffer text;
    buffer_init(&text, PASSWORD_MAX_BYTES);
    bool ok = file_read(path, &text, NULL, err);
    if (ok) {
        struct slice all = buffer_slice(&text);
        const char *end = all.len > 0 ? memchr(all.data, '\n', all.len) : NULL;
        place->password = mem_strndup(all.data, end != NULL ? (size_t)(end - all.data) : all.len);
    }
    buffer_fini(&text);
    return ok || error_prefix(err, "cannot read the password");
}

static bool set_password(struct etcd_place *place, const char *path, struct error *err)
{
    const char *password = getenv("SLUICE_STORE_PASSWORD");
    if (place->user == NULL) {
        return true;
    }
    if (path != NULL) {
        return read_password(place, path, err);
    }
    if (password == NULL) {
        return error_set(err,
                         "user \"%s\" has no password: give password-file=FILE, or set "
                         "SLUICE_STORE_PASSWORD",
                         place->user);
    }
    place->password = mem_strdup(password);
    return true;
}

static bool take_options(struct etcd_place *place, const char *text, bool tls, struct error *err)
{
    struct option options[OPTION_COUNT] = {
        [OPTION_CA] = {"ca", "SLUICE_STORE_CA", NULL},
        [OPTION_CERT] = {"cert", "SLUICE_STORE_CERT", NULL},
        [OPTION_KEY] = {"key", "SLUICE_STORE_KEY", NULL},
        [OPTION_USER] = {"user", "SLUICE_STORE_USER", NULL},
        [OPTION_PASSWORD_FILE] = {"password-file", "SLUICE_STORE_PASSWORD_FILE", NULL},
    };
    bool ok = parse_options(options, text, err);
    place->ca = options[OPTION_CA].value;
    place->cert = options[OPTION_CERT].value;
    place->key = options[OPTION_KEY].value;
    place->user = options[OPTION_USER].value;
    if (ok && (place->cert == NULL) != (place->key == NULL)) {
        ok = error_set(err, "cert and key go together");
    }
    if (ok && !tls && place->cert != NULL) {
        ok = error_set(err, "a client certificate needs \"etcds:\"");
    }
    ok = ok && set_password(place, options[OPTION_PASSWORD_FILE].value, err);
    mem_free(options[OPTION_PASSWORD_FILE].value);
    return ok;
}

bool etcd_place_init(struct etcd_place *place, const char *url, struct error *err)
{
    *place = (struct etcd_place){.nendpoints = 0};
    bool tls = is_tls(url);
    const char *text = url + (tls ? sizeof(tls_scheme) : sizeof(plain_scheme)) - 1;
    size_t hosts = strcspn(text, "/?");
    size_t all = strcspn(text, "?");
    set_prefix(place, (struct slice){text + hosts, all - hosts});
    bool ok = parse_endpoints(place, (struct slice){text, hosts}, tls, err) &&
              take_options(place, text[all] == '?' ? text + all + 1 : "", tls, err);
    if (!ok) {
        etcd_place_fini(place);
    }
    return ok;
}

void etcd_place_fini(struct etcd_place *place)
{
    for (unsigned i = 0; i < place->nendpoints; i++) {
        mem_free(place->endpoints[i]);
    }
    mem_free(place->prefix);
    mem_free(place->ca);
    mem_free(place->cert);
    mem_free(place->key);
    mem_free(place->user);
    mem_free(place->password);
    *place = (struct etcd_place){.nendpoints = 0};
}
