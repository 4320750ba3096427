#include "lib/net/http_request.h"

#include <ctype.h>

/* Takes the next line off `rest`, without its LF or CRLF. False when none has ended. */
static bool take_line(struct slice *rest, struct slice *line)
{
    const char *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
    if (end == NULL) {
        return false;
    }
    size_t length = (size_t)(end - rest->data);
    *line = (struct slice){rest->data, length};
    if (length > 0 && line->data[length - 1] == '\r') {
        line->len--;
    }
    *rest = (struct slice){rest->data + length + 1, rest->len - length - 1};
    return true;
}

/* Takes what stands before the next space off `line`. */
static struct slice take_word(struct slice *line)
{
    const char *space = line->len > 0 ? memchr(line->data, ' ', line->len) : NULL;
    size_t length = space != NULL ? (size_t)(space - line->data) : line->len;
    size_t skip = space != NULL ? length + 1 : length;
    struct slice word = {line->data, length};
    *line = (struct slice){line->data + skip, line->len - skip};
    return word;
}

static bool has_control_bytes(struct slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return true;
        }
    }
    return false;
}

static bool is_method(struct slice word)
{
    for (size_t i = 0; i < word.len; i++) {
        if (!isupper((unsigned char)word.data[i])) {
            return false;
        }
    }
    return word.len > 0;
}

static bool is_version(struct slice word)
{
    return word.len == 8 && slice_starts_with(word, SLICE("HTTP/1.")) &&
           isdigit((unsigned char)word.data[7]);
}

static bool parse_request_line(struct slice line, struct http_request *request)
{
    if (has_control_bytes(line)) {
        return false;
    }
    request->method = take_word(&line);
    struct slice target = take_word(&line);
    if (!is_method(request->method) || !slice_starts_with(target, SLICE("/")) ||
        !is_version(line)) {
        return false;
    }
    const char *query = memchr(target.data, '?', target.len);
    size_t length = query != NULL ? (size_t)(query - target.data) : target.len;
    request->path = (struct slice){target.data, length};
    return true;
}

static struct slice trim(struct slice text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = (struct slice){text.data + 1, text.len - 1};
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

/* Only one field matters here, but what has none of their form is not HTTP. */
static bool parse_field(struct slice line, struct slice *name, struct slice *value)
{
    const char *colon = line.len > 0 ? memchr(line.data, ':', line.len) : NULL;
    if (colon == NULL || colon == line.data || line.data[0] == ' ' || line.data[0] == '\t' ||
        has_control_bytes(line)) {
        return false;
    }
    *name = (struct slice){line.data, (size_t)(colon - line.data)};
    *value = trim((struct slice){colon + 1, line.len - name->len - 1});
    return true;
}

/* Other schemes than Bearer are as good as none. */
static struct slice token_of(struct slice credentials)
{
    struct slice scheme = take_word(&credentials);
    return slice_equal_nocase(scheme, SLICE("Bearer")) ? trim(credentials) : SLICE("");
}

enum http_parse http_request_parse(struct slice bytes, struct http_request *request)
{
    struct slice rest = bytes, line, name, value;
    bool is_authorized = false;
    if (!take_line(&rest, &line)) {
        return HTTP_PARSE_MORE;
    }
    if (!parse_request_line(line, request)) {
        return HTTP_PARSE_BAD;
    }
    request->token = SLICE("");
    while (take_line(&rest, &line)) {
        if (line.len == 0) {
            return HTTP_PARSE_OK;
        }
        if (!parse_field(line, &name, &value)) {
            return HTTP_PARSE_BAD;
        }
        if (slice_equal_nocase(name, SLICE("Authorization"))) {
            if (is_authorized) {
                return HTTP_PARSE_BAD; /* which of them is meant? */
            }
            is_authorized = true;
            request->token = token_of(value);
        }
    }
    return HTTP_PARSE_MORE;
}
