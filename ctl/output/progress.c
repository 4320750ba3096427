#include "ctl/output/progress.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/output/human.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"

#define LINE_EVERY_US 2000000u /* plain lines come no faster, unless the phase changes */
#define BAR_MAX       40u

struct progress {
    FILE *out;
    bool is_terminal;
    bool has_bar;          /* the cursor stands behind a bar */
    char last_phase[32];   /* plain lines: of the last one */
    char last_line[256];   /* plain lines: not printed twice */
    uint64_t last_line_us; /* plain lines */
};

unsigned progress_percent(const struct progress_view *view)
{
    if (!view->has_counts || view->keys_total == 0) {
        return 0;
    }
    /* The total is an estimate that writes may pass. */
    double total = (double)view->keys_total;
    double copied = (double)view->keys_copied / total;
    double verified = (double)view->keys_verified / total;
    copied = copied > 1 ? 1 : copied;
    verified = verified > 1 ? 1 : verified;
    return (unsigned)(50 * copied + 50 * verified);
}

static void format_tail(const struct progress_view *view, char *text, size_t size)
{
    char left[HUMAN_TEXT_MAX];
    if (view->is_paused) {
        (void)snprintf(text, size, "paused");
    } else if (view->has_eta) {
        (void)snprintf(text, size, "%s left", human_duration(view->eta_ms, left));
    } else {
        text[0] = '\0';
    }
}

void progress_format_bar(const struct progress_view *view, unsigned columns, char *text,
                         size_t size)
{
    unsigned percent = progress_percent(view);
    char tail[48];
    char counts[96] = "";
    format_tail(view, tail, sizeof(tail));
    if (view->has_counts) {
        (void)snprintf(counts, sizeof(counts), " %3u%% %llu/%llu keys", percent,
                       (unsigned long long)view->keys_copied, (unsigned long long)view->keys_total);
    }
    size_t fixed = strlen(view->label) + strlen(view->phase) + strlen(counts) + strlen(tail) + 8;
    unsigned width = columns > fixed + 4 ? (unsigned)(columns - fixed) : 0;
    width = width > BAR_MAX ? BAR_MAX : width;
    char bar[BAR_MAX + 1];
    for (unsigned i = 0; i < width; i++) {
        bar[i] = i * 100 < percent * width ? '#' : ' ';
    }
    bar[width] = '\0';
    (void)snprintf(text, size, "%s %s [%s]%s%s%s", view->label, view->phase, bar, counts,
                   tail[0] != '\0' ? ", " : "", tail);
    if (columns < size) {
        text[columns] = '\0';
    }
}

void progress_format_line(const struct progress_view *view, char *text, size_t size)
{
    char left[HUMAN_TEXT_MAX];
    char counts[160] = "";
    if (view->has_counts) {
        (void)snprintf(counts, sizeof(counts),
                       " percent=%u keys=%llu/%llu verified=%llu dirty=%llu",
                       progress_percent(view), (unsigned long long)view->keys_copied,
                       (unsigned long long)view->keys_total,
                       (unsigned long long)view->keys_verified, (unsigned long long)view->dirty);
    }
    (void)snprintf(text, size, "%s phase=%s%s%s%s%s", view->label, view->phase, counts,
                   view->has_eta ? " left=" : "",
                   view->has_eta ? human_duration(view->eta_ms, left) : "",
                   view->is_paused ? " paused" : "");
}

struct progress *progress_new(FILE *out)
{
    struct progress *progress = mem_zalloc(sizeof(*progress));
    progress->out = out;
    progress->is_terminal = isatty(fileno(out)) == 1;
    return progress;
}

static void end_bar(struct progress *progress)
{
    if (progress->has_bar) {
        (void)fputc('\n', progress->out);
        (void)fflush(progress->out);
        progress->has_bar = false;
    }
}

void progress_free(struct progress *progress)
{
    if (progress == NULL) {
        return;
    }
    end_bar(progress);
    mem_free(progress);
}

static unsigned terminal_columns(FILE *out)
{
    struct winsize window;
    bool is_known = ioctl(fileno(out), TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
    return is_known ? window.ws_col : 80;
}

static void draw_bar(struct progress *progress, const struct progress_view *view)
{
    char text[256];
    progress_format_bar(view, terminal_columns(progress->out) - 1, text, sizeof(text));
    (void)fprintf(progress->out, "\r%s\033[K", text);
    (void)fflush(progress->out);
    progress->has_bar = true;
}

static void print_line(struct progress *progress, const struct progress_view *view)
{
    char text[256];
    progress_format_line(view, text, sizeof(text));
    uint64_t now = clock_now_us();
    bool is_new_phase = strcmp(progress->last_phase, view->phase) != 0;
    bool is_due = now - progress->last_line_us >= LINE_EVERY_US;
    if (strcmp(progress->last_line, text) == 0 || (!is_new_phase && !is_due)) {
        return;
    }
    (void)snprintf(progress->last_phase, sizeof(progress->last_phase), "%s", view->phase);
    memcpy(progress->last_line, text, sizeof(text));
    progress->last_line_us = now;
    (void)fprintf(progress->out, "%s\n", text);
    (void)fflush(progress->out);
}

void progress_show(struct progress *progress, const struct progress_view *view)
{
    if (progress->is_terminal) {
        draw_bar(progress, view);
    } else {
        print_line(progress, view);
    }
}

void progress_note(struct progress *progress, const char *format, ...)
{
    if (progress->has_bar) {
        (void)fputs("\r\033[K", progress->out);
        progress->has_bar = false;
    }
    va_list args;
    va_start(args, format);
    (void)vfprintf(progress->out, format, args);
    va_end(args);
    (void)fputc('\n', progress->out);
    (void)fflush(progress->out);
}
