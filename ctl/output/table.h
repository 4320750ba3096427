/* Lines of cells, printed in columns that are as wide as their widest cell. One thread. */
#ifndef CTL_OUTPUT_TABLE_H
#define CTL_OUTPUT_TABLE_H

#include <stdio.h>

struct table;

/* `heads`: the columns' names, between '|'. A name that begins with '>' is aligned to the right. */
struct table *table_new(const char *heads);
void table_free(struct table *table); /* null is allowed */
/* Adds the next cell, line by line; the text is copied. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Heads, then lines; nothing but the heads when there are no lines. The last line is full. */
void table_print(const struct table *table, FILE *out);

#endif
