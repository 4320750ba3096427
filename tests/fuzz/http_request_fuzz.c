/* Any bytes as the head of an HTTP request, and as an address: no crash; what is found lies within
 * the bytes, and a longer text never turns OK or BAD into something else. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/assert.h"
#include "lib/net/address.h"
#include "lib/net/http_request.h"

static void check_inside(struct slice part, struct slice whole)
{
    ASSERT(part.len > 0 && part.data >= whole.data);
    ASSERT(part.data + part.len <= whole.data + whole.len);
}

static void check_request(struct slice whole)
{
    struct http_request request;
    enum http_parse decided = HTTP_PARSE_MORE;
    for (size_t length = 0; length <= whole.len; length++) {
        enum http_parse result = http_request_parse((struct slice){whole.data, length}, &request);
        ASSERT(decided == HTTP_PARSE_MORE || result == decided);
        decided = result;
        if (result == HTTP_PARSE_OK) {
            check_inside(request.method, whole);
            check_inside(request.path, whole);
            if (request.token.len > 0) {
                check_inside(request.token, whole);
            }
        }
    }
}

static void check_address(struct slice text)
{
    struct address address, again;
    char formatted[ADDRESS_TEXT_MAX];
    if (!address_parse(text, &address, NULL)) {
        return;
    }
    address_format(&address, formatted);
    bool is_read_back = address_parse(slice_of(formatted), &again, NULL);
    ASSERT(is_read_back && again.port == address.port && strcmp(again.host, address.host) == 0);
}

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size < 512 ? size : 512};
    check_request(text);
    check_address(text);
    return 0;
}
