/* progress: see the header. Rate and time left are based on the average over the whole
 * task so far, which is stable and needs no history. */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "printable.h"

static const double redraw_seconds = 0.1, line_seconds = 5, line_fraction = 0.05;
enum { LINE_SIZE = 512, DEFAULT_WIDTH = 80 };

double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

const char *duration_text(double seconds, char *text, size_t size)
{
    const double max_seconds = 1e12;
    if (!(seconds >= 0 && seconds < max_seconds)) {
        snprintf(text, size, "?");
        return text;
    }
    long long whole = (long long)(seconds + 0.5);
    if (whole < 60)
        snprintf(text, size, "%lld s", whole);
    else if (whole < 3600)
        snprintf(text, size, "%lld min %lld s", whole / 60, whole % 60);
    else
        snprintf(text, size, "%lld h %lld min", whole / 3600, whole % 3600 / 60);
    return text;
}

/* Three digits and a unit: "950", "12.3 k", "4.56 M". */
static const char *rate_text(double rate, char *text, size_t size)
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    size_t unit = 0;
    for (; rate >= 999.5 && unit < 4; unit++)
        rate /= 1000;
    int decimals = rate < 9.995 ? 2 : rate < 99.95 ? 1 : 0;
    snprintf(text, size, "%.*f%s", decimals, rate, units[unit]);
    return text;
}

const char *progress_line(const struct progress *progress, uint64_t done, double elapsed,
                          const char *note, char *text, size_t size)
{
    char rate[32], left[32];
    double speed = elapsed > 0 ? (double)done / elapsed : 0;
    double remaining = done < progress->total ? (double)(progress->total - done) : 0;
    duration_text(done ? remaining / speed : -1, left, sizeof left);
    bool has_note = note && *note;
    int percent =
        progress->total ? (int)(100.0 * (double)done / (double)progress->total) : 0;
    if (progress->total)
        snprintf(text, size, "%s: %llu of %llu %s, %d %%, %s %s/s, %s left%s%s",
                 progress->task, (unsigned long long)done,
                 (unsigned long long)progress->total, progress->unit, percent,
                 rate_text(speed, rate, sizeof rate), progress->unit, left,
                 has_note ? ", " : "", has_note ? note : "");
    else
        snprintf(text, size, "%s: %llu %s, %s %s/s%s%s", progress->task,
                 (unsigned long long)done, progress->unit,
                 rate_text(speed, rate, sizeof rate), progress->unit,
                 has_note ? ", " : "", has_note ? note : "");
    return text;
}

static size_t terminal_width(void)
{
    struct winsize window;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col < 2)
        return DEFAULT_WIDTH;
    return window.ws_col;
}

/* One write, so that lines of several processes don't mix. */
static void write_stderr(const char *text, size_t length)
{
    ssize_t written = write(STDERR_FILENO, text, length);
    (void)written; /* nowhere left to report to */
}

/* The bytes of `text` that fit in `width` columns, counting each UTF-8 character as one
 * column. */
static size_t cut_to_width(const char *text, size_t width)
{
    size_t i = 0;
    for (size_t columns = 0; text[i]; i++) {
        bool begins = ((unsigned char)text[i] & 0xC0) != 0x80;
        if (begins && columns++ == width)
            break;
    }
    return i;
}

static void redraw(const char *text)
{
    static const char clear_to_end[] = "\033[K";
    char line[LINE_SIZE + 16];
    size_t length = cut_to_width(text, terminal_width() - 1); /* the last column wraps */
    int used = snprintf(line, sizeof line, "\r%.*s%s", (int)length, text, clear_to_end);
    write_stderr(line, (size_t)used);
}

void progress_begin(struct progress *progress, const char *task, const char *unit,
                    uint64_t total)
{
    double now = clock_seconds();
    const char *terminal = getenv("TERM");
    bool supports_escapes = terminal && strcmp(terminal, "dumb") != 0;
    *progress =
        (struct progress){.unit = unit,
                          .total = total,
                          .started = now,
                          .last_drawn = now,
                          .terminal = supports_escapes && isatty(STDERR_FILENO) == 1};
    snprintf(progress->task, sizeof progress->task, "%s", task);
}

void progress_update(struct progress *progress, uint64_t done, const char *note)
{
    double now = clock_seconds();
    double interval = line_fraction * (now - progress->started);
    double wait = progress->terminal        ? redraw_seconds
                  : interval > line_seconds ? interval
                                            : line_seconds;
    if (log_is_muted() || now - progress->last_drawn < wait)
        return;
    char line[LINE_SIZE], text[LINE_SIZE];
    progress_line(progress, done, now - progress->started, note, line, sizeof line);
    printable_copy(text, sizeof text, line);
    progress->last_drawn = now;
    if (progress->terminal)
        redraw(text);
    else
        log_info("%s", text);
}

void progress_end(struct progress *progress)
{
    if (progress->terminal && !log_is_muted())
        redraw("");
}
