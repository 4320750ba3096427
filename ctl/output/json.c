#include "ctl/output/json.h"

#include <stdlib.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"

const char *view_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

uint64_t view_number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (json_is_real(value)) {
        double real = json_real_value(value);
        return real > 0 ? (uint64_t)real : 0;
    }
    json_int_t number = json_integer_value(value);
    return number > 0 ? (uint64_t)number : 0;
}

bool view_flag(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

const json_t *view_member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_array(value) || json_is_object(value) ? value : NULL;
}

void set_text(json_t *object, const char *name, const char *text)
{
    set_slice(object, name, slice_of(text));
}

void set_slice(json_t *object, const char *name, struct slice text)
{
    json_t *value = json_stringn(text.data, text.len);
    if (value == NULL) { /* not UTF-8 */
        char *copy = mem_strndup(text.data, text.len);
        for (size_t i = 0; i < text.len; i++) {
            if ((unsigned char)copy[i] >= 0x80 || copy[i] == '\0') {
                copy[i] = '?';
            }
        }
        value = json_stringn(copy, text.len);
        mem_free(copy);
    }
    set_member(object, name, value);
}

void set_number(json_t *object, const char *name, uint64_t number)
{
    set_member(object, name, json_integer((json_int_t)number));
}

void set_flag(json_t *object, const char *name, bool flag)
{
    set_member(object, name, json_boolean(flag));
}

void set_member(json_t *object, const char *name, json_t *value)
{
    int failed = json_object_set_new(object, name, value);
    ASSERT(failed == 0);
}

void json_append_line(const json_t *value, struct buffer *text)
{
    char *line = json_dumps(value, JSON_COMPACT);
    ASSERT(line != NULL);
    buffer_add_text(text, line);
    free(line);
}

void json_print(const json_t *value, FILE *out)
{
    (void)json_dumpf(value, out, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    (void)fputc('\n', out);
}
