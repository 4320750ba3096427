/* docs/protocol.md, from the command table: printed by tests/tools/protocol_doc, and compared with
 * the file by a unit test. */
#ifndef TESTS_SUPPORT_PROTOCOL_DOC_H
#define TESTS_SUPPORT_PROTOCOL_DOC_H

#include "lib/base/buffer.h"

void protocol_doc_write(struct buffer *text);

#endif
