/* Bearer tokens: whoever shows one of them may ask. Several are good at once, so that a new one can
 * be handed out before the old one goes. Only their hashes are kept. One thread. */
#ifndef LIB_NET_TOKENS_H
#define LIB_NET_TOKENS_H

#include "lib/base/error.h"
#include "lib/base/slice.h"

#define TOKEN_MIN  16 /* letters: a shorter one could be guessed */
#define TOKEN_MAX  512
#define TOKENS_MAX 64

struct tokens;

/* The lines of `text`, a token each, of the letters that a header takes: A-Z a-z 0-9 - . _ ~ + /
 * and = at its end. Empty lines and those behind # do not count. Null with a message, which says
 * the line and never what is in it, when one is wrong or there is none. */
struct tokens *tokens_parse(struct slice text, struct error *err)
    __attribute__((warn_unused_result));
/* The same from a file. */
struct tokens *tokens_read(const char *path, struct error *err) __attribute__((warn_unused_result));
void tokens_free(struct tokens *tokens); /* null is allowed */
/* How long it takes tells nothing about the tokens. */
bool tokens_have(const struct tokens *tokens, struct slice token)
    __attribute__((warn_unused_result));

#endif
