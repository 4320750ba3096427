/* The head of an HTTP/1.x request: as much of it as an admin endpoint needs. Pure. */
#ifndef LIB_NET_HTTP_REQUEST_H
#define LIB_NET_HTTP_REQUEST_H

#include "lib/base/slice.h"

enum http_parse {
    HTTP_PARSE_OK,
    HTTP_PARSE_MORE, /* the empty line that ends the head has not come yet */
    HTTP_PARSE_BAD
};

/* Points into the bytes that were parsed. */
struct http_request {
    struct slice method;
    struct slice path;  /* without the query */
    struct slice token; /* of "Authorization: Bearer TOKEN"; empty: there is none */
};

enum http_parse http_request_parse(struct slice bytes, struct http_request *request)
    __attribute__((warn_unused_result));

#endif
