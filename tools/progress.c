/* The line of progress; see progress.h. */
#include "progress.h"

#include "base/clock.h"
#include "base/posix.h"
#include "cli.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <sys/ioctl.h>
#endif

#define SMOOTHING_SECONDS 10.0
#define BAR_EVERY_SECONDS 0.1
#define LINE_EVERY_SECONDS 10.0

static bool bar_shown; /* the cursor stands at the end of a bar */

double cli_seconds(void)
{
    return pm_seconds();
}

static void clear_bar(void)
{
    if (bar_shown) fputs("\r\033[K", stderr);
    bar_shown = false;
}

void cli_say(const char *format, ...)
{
    if (cli.quiet) return;
    clear_bar();
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

const char *cli_duration(double seconds, char *buffer, size_t size)
{
    if (!(seconds >= 0 && seconds < 1e9)) seconds = 0;
    unsigned long whole = (unsigned long)(seconds + 0.5);
    if (whole >= 3600) {
        (void)snprintf(buffer, size, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
    } else {
        (void)snprintf(buffer, size, "%lu:%02lu", whole / 60, whole % 60);
    }
    return buffer;
}

const char *cli_size(uint64_t bytes, char *buffer, size_t size)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    uint32_t unit = 0;
    while (value >= 1024 && unit < 4) value /= 1024, unit++;
    (void)snprintf(buffer, size, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return buffer;
}

void cli_progress_begin(cli_progress *progress, const char *what, const char *unit, uint64_t first,
                        uint64_t total)
{
    double now = cli_seconds();
    *progress = (cli_progress){.what = what,
                               .unit = unit,
                               .total = total,
                               .first = first,
                               .start = now,
                               .updated = now,
                               .shown = now,
                               .counted = first};
}

double cli_progress_seconds(const cli_progress *progress)
{
    return cli_seconds() - progress->start;
}

/* The rate follows changes within about SMOOTHING_SECONDS. */
static void measure(cli_progress *progress, uint64_t done, double now)
{
    double seconds = now - progress->updated;
    if (done <= progress->counted || seconds < 1e-3) return;
    double rate = (double)(done - progress->counted) / seconds;
    double weight = progress->rate > 0 ? 1.0 - exp(-seconds / SMOOTHING_SECONDS) : 1.0;
    progress->rate += weight * (rate - progress->rate);
    progress->counted = done;
    progress->updated = now;
}

/* Seconds that are left; negative: not known. */
static double time_left(const cli_progress *progress, uint64_t done, double now)
{
    double left = progress->rate > 0 ? (double)(progress->total - done) / progress->rate : -1;
    double until = progress->deadline - now;
    if (progress->deadline > 0 && (left < 0 || until < left)) left = until > 0 ? until : 0;
    return left;
}

static uint32_t terminal_width(void)
{
#ifdef TIOCGWINSZ
    struct winsize window;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col >= 20) return window.ws_col;
#endif
    return 80;
}

static void show_bar(const char *what, double fraction, const char *text)
{
    enum { LONGEST = 30 };
    char bar[LONGEST + 1];
    int width = (int)terminal_width() - 1, length = width - (int)strlen(what) - (int)strlen(text) - 5;
    if (length > LONGEST) length = LONGEST;
    clear_bar();
    if (length >= 5) {
        int filled = (int)(fraction * length);
        memset(bar, '-', (size_t)length);
        memset(bar, '#', (size_t)filled);
        fprintf(stderr, "%s [%.*s] %s", what, length, bar, text);
    } else {
        fprintf(stderr, "%.*s", width, text);
    }
    (void)fflush(stderr);
    bar_shown = true;
}

void cli_progress_update(cli_progress *progress, uint64_t done, const char *extra)
{
    double now = cli_seconds();
    bool terminal = isatty(STDERR_FILENO) == 1;
    if (done > progress->total) done = progress->total;
    measure(progress, done, now);
    if (now - progress->shown < (terminal ? BAR_EVERY_SECONDS : LINE_EVERY_SECONDS) || cli.quiet) return;
    progress->shown = now;
    char text[300], left_text[40] = "", duration[32];
    double left = time_left(progress, done, now);
    if (left >= 0)
        (void)snprintf(left_text, sizeof left_text, "  ETA %s",
                       cli_duration(left, duration, sizeof duration));
    double fraction = progress->total ? (double)done / (double)progress->total : 0;
    (void)snprintf(text, sizeof text, "%3.0f%%  %llu/%llu %s  %.3g/s%s%s%s", 100 * fraction,
                   (unsigned long long)done, (unsigned long long)progress->total, progress->unit,
                   progress->rate, left_text, extra ? "  " : "", extra ? extra : "");
    if (terminal) {
        show_bar(progress->what, fraction, text);
    } else {
        cli_say("%s: %s", progress->what, text);
    }
}

void cli_progress_skip(cli_progress *progress)
{
    progress->updated = cli_seconds();
}

void cli_progress_end(cli_progress *progress)
{
    (void)progress;
    clear_bar();
}
