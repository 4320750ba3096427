/* Fields out of the text that a server answers to INFO. Pure. */
#ifndef PROXY_CONTROL_INFO_TEXT_H
#define PROXY_CONTROL_INFO_TEXT_H

#include <stdint.h>

#include "lib/base/slice.h"

/* What stands between `label` ("\nrole:") and the first of `ends`; empty when the label is not
 * there. */
struct slice info_text_after(struct slice text, const char *label, const char *ends);
/* The same as a number, up to the end of its line or a comma; 0 when it is none. */
uint64_t info_number_after(struct slice text, const char *label);

#endif
