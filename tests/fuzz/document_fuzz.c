/* Any bytes as a topology document: no crash; what is adopted validates, and is written and read
 * back as the same text. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/assert.h"
#include "lib/topology/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct topology *topology)
{
    struct buffer first, second;
    buffer_init(&first, SIZE_MAX);
    buffer_init(&second, SIZE_MAX);
    document_format(topology, &first);
    struct topology *again = document_parse(buffer_slice(&first), NULL);
    ASSERT(again != NULL);
    document_format(again, &second);
    ASSERT(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    topology_free(again);
    buffer_fini(&first);
    buffer_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {""};
    struct topology *topology = document_parse((struct slice){(const char *)data, size}, &err);
    ASSERT((topology == NULL) == (err.text[0] != '\0'));
    if (topology != NULL) {
        ASSERT(topology_validate(topology, NULL));
        check_round_trip(topology);
        topology_free(topology);
    }
    return 0;
}
