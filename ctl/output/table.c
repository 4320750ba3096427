#include "ctl/output/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/assert.h"
#include "lib/base/memory.h"

#define COLUMNS_MAX 16

struct table {
    unsigned ncolumns;
    bool is_right[COLUMNS_MAX];
    size_t width[COLUMNS_MAX];
    char **cells; /* the heads first */
    size_t count;
    size_t capacity;
};

/* Consumes the text. */
static void add_cell(struct table *table, char *text)
{
    MEM_GROW(table->cells, table->count, table->capacity);
    size_t column = table->count % table->ncolumns;
    size_t length = strlen(text);
    if (length > table->width[column]) {
        table->width[column] = length;
    }
    table->cells[table->count++] = text;
}

struct table *table_new(const char *heads)
{
    struct table *table = mem_zalloc(sizeof(*table));
    table->ncolumns = 1;
    for (const char *c = heads; *c != '\0'; c++) {
        table->ncolumns += *c == '|' ? 1 : 0;
    }
    ASSERT(table->ncolumns <= COLUMNS_MAX);
    const char *head = heads;
    for (unsigned i = 0; i < table->ncolumns; i++) {
        table->is_right[i] = *head == '>';
        head += table->is_right[i] ? 1 : 0;
        size_t length = strcspn(head, "|");
        add_cell(table, mem_strndup(head, length));
        head += length + 1;
    }
    return table;
}

void table_free(struct table *table)
{
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->count; i++) {
        mem_free(table->cells[i]);
    }
    mem_free(table->cells);
    mem_free(table);
}

void table_cell(struct table *table, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    add_cell(table, mem_strdup(text));
}

void table_print(const struct table *table, FILE *out)
{
    ASSERT(table->count % table->ncolumns == 0);
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->ncolumns;
        bool is_last = column + 1 == table->ncolumns;
        int width = (int)table->width[column];
        if (table->is_right[column]) {
            (void)fprintf(out, "%*s", width, table->cells[i]);
        } else {
            /* No blanks at the end of a line. */
            (void)fprintf(out, "%-*s", is_last ? 0 : width, table->cells[i]);
        }
        (void)fputs(is_last ? "\n" : "  ", out);
    }
}
