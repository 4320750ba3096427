/* How far a migration has come: a bar that redraws itself on a terminal, plain lines elsewhere.
 * One thread. */
#ifndef CTL_OUTPUT_PROGRESS_H
#define CTL_OUTPUT_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One moment of one or several migrations. */
struct progress_view {
    char label[64];    /* "m42" */
    const char *phase; /* "dual-write" */
    uint64_t keys_total;
    uint64_t keys_copied;
    uint64_t keys_verified;
    uint64_t bytes_copied;
    uint64_t dirty;
    uint64_t eta_ms;
    bool has_counts; /* the migrator has told keys_* */
    bool has_eta;
    bool is_paused;
};

/* 0..100: copying is the first half, verifying the second. */
unsigned progress_percent(const struct progress_view *view);
/* "m42 dual-write [#####     ]  52% 5200/10000 keys, 12.3s left", at most `columns` wide. */
void progress_format_bar(const struct progress_view *view, unsigned columns, char *text,
                         size_t size);
/* "m42 phase=dual-write percent=52 keys=5200/10000 verified=0 dirty=3 left=12.3s". */
void progress_format_line(const struct progress_view *view, char *text, size_t size);

struct progress;

struct progress *progress_new(FILE *out);
/* Ends the bar's line. Null is allowed. */
void progress_free(struct progress *progress);
/* Draws the bar anew, or prints a line when it says something new and the last one is old. */
void progress_show(struct progress *progress, const struct progress_view *view);
/* A line of text that stays, above the bar. */
void progress_note(struct progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
