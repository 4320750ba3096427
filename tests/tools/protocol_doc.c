/* Print docs/protocol.md. */
#include "tests/support/protocol_doc.h"

#include <stdint.h>
#include <stdio.h>

int main(void)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    protocol_doc_write(&text);
    size_t written = fwrite(text.data, 1, buffer_length(&text), stdout);
    bool is_written = written == buffer_length(&text) && fflush(stdout) == 0;
    buffer_fini(&text);
    return is_written ? 0 : 1;
}
