/* Reading what the journal and the commands put into JSON, and printing it: jansson with short
 * names for the few things sluicectl does. One thread. */
#ifndef CTL_OUTPUT_JSON_H
#define CTL_OUTPUT_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "lib/base/buffer.h"
#include "lib/base/slice.h"

/* A member's text; "" when it is not there or is no text. Lives as long as the object. */
const char *view_text(const json_t *object, const char *name);
/* A member's number; 0 when it is not there or is none. */
uint64_t view_number(const json_t *object, const char *name);
bool view_flag(const json_t *object, const char *name);
/* A member that is an array or object; null otherwise. Borrowed. */
const json_t *view_member(const json_t *object, const char *name);

void set_text(json_t *object, const char *name, const char *text);
/* Text that is not terminated and may be no UTF-8 (a client's key): other bytes become '?'. */
void set_slice(json_t *object, const char *name, struct slice text);
void set_number(json_t *object, const char *name, uint64_t number);
void set_flag(json_t *object, const char *name, bool flag);
/* Consumes the value. */
void set_member(json_t *object, const char *name, json_t *value);

/* One line, as the journal wants it. */
void json_append_line(const json_t *value, struct buffer *text);
/* Indented, with a newline at its end. */
void json_print(const json_t *value, FILE *out);

#endif
