/* SVG by hand: two polylines, ticks, and labels, in a box of fixed size. */
#include "plot.h"

#include "files/file_error.h"
#include "files/file_io.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 760, HEIGHT = 420, LEFT = 70, RIGHT = 20, TOP = 40, BOTTOM = 50, MOST_POINTS = 1500 };

/* Text that grows. */
typedef struct text {
    char *data;
    size_t size, room;
    bool failed;
} text;

static void put(text *t, const char *format, ...) PM_PRINTF(2, 3);
static void put(text *t, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0 || t->failed) return;
    size_t add = (size_t)length < sizeof line ? (size_t)length : sizeof line - 1;
    if (t->size + add + 1 > t->room) {
        size_t room = 2 * (t->room + sizeof line);
        char *data = realloc(t->data, room);
        t->failed = !data;
        if (!data) return;
        t->data = data;
        t->room = room;
    }
    memcpy(t->data + t->size, line, add + 1);
    t->size += add;
}

static void put_escaped(text *t, const char *words)
{
    for (; *words; words++) {
        switch (*words) {
        case '&':
            put(t, "&amp;");
            break;
        case '<':
            put(t, "&lt;");
            break;
        case '>':
            put(t, "&gt;");
            break;
        default:
            put(t, "%c", *words);
        }
    }
}

typedef struct frame {
    double x0, x1, y0, y1; /* y in powers of ten */
} frame;

static double to_x(const frame *f, double x)
{
    return LEFT + (x - f->x0) / (f->x1 - f->x0) * (WIDTH - LEFT - RIGHT);
}

static double to_y(const frame *f, double log_y)
{
    return TOP + (f->y1 - log_y) / (f->y1 - f->y0) * (HEIGHT - TOP - BOTTOM);
}

static bool usable(const cli_point *p)
{
    return isfinite(p->x) && isfinite(p->y) && p->y > 0;
}

static frame frame_of(const cli_point *points, size_t count)
{
    frame f = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (size_t i = 0; i < count; i++) {
        if (!usable(&points[i])) continue;
        double y = log10(points[i].y);
        if (points[i].x < f.x0) f.x0 = points[i].x;
        if (points[i].x > f.x1) f.x1 = points[i].x;
        if (y < f.y0) f.y0 = y;
        if (y > f.y1) f.y1 = y;
    }
    if (!(f.x0 <= f.x1)) return (frame){0, 1, 0, 1};
    if (f.x1 - f.x0 < 1e-9) f.x1 = f.x0 + 1;
    double margin = 0.05 * (f.y1 - f.y0) + 0.01;
    f.y0 -= margin;
    f.y1 += margin;
    return f;
}

/* Of a long curve every k-th point is drawn; the smoothed one is a running mean of the logarithm over about a
 * fiftieth. */
static void put_curve(text *t, const frame *f, const cli_point *points, size_t count, bool smooth)
{
    size_t every = count / MOST_POINTS + 1;
    double weight = 1.0, mean = 0, fastest = 2.0 / (1.0 + (double)count / 50.0);
    put(t, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" points=\"",
        smooth ? "#b5401f" : "#d9c2b6", smooth ? "2" : "1");
    for (size_t i = 0; i < count; i++) {
        if (!usable(&points[i])) continue;
        double y = log10(points[i].y);
        mean += weight * (y - mean);
        weight = 1.0 / (1.0 / weight + 1.0);
        if (fastest < 1.0 && weight < fastest) weight = fastest;
        if (i % every == 0 || i + 1 == count)
            put(t, "%.1f,%.1f ", to_x(f, points[i].x), to_y(f, smooth ? mean : y));
    }
    put(t, "\"/>\n");
}

/* 1, 2 or 5 times a power of ten, about a sixth of `range`. */
static double tick_step(double range)
{
    double power = pow(10.0, floor(log10(range / 6.0))), rest = range / 6.0 / power;
    return power * (rest < 1.5 ? 1 : rest < 3.5 ? 2 : rest < 7.5 ? 5 : 10);
}

static void put_x_ticks(text *t, const frame *f)
{
    double step = tick_step(f->x1 - f->x0);
    for (double x = ceil(f->x0 / step) * step; x <= f->x1 + step * 1e-6; x += step) {
        put(t, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#eee\"/>", to_x(f, x), to_x(f, x),
            TOP, HEIGHT - BOTTOM);
        put(t, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.10g</text>\n", to_x(f, x),
            HEIGHT - BOTTOM + 18, x);
    }
}

/* A line at y, and its number where the last one leaves room for it. */
static void put_y_tick(text *t, const frame *f, double y, double *last)
{
    double at = to_y(f, log10(y));
    if (log10(y) < f->y0 || log10(y) > f->y1) return;
    put(t, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#eee\"/>", LEFT, WIDTH - RIGHT, at,
        at);
    if (fabs(at - *last) < 18) return;
    put(t, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n", LEFT - 6, at + 4, y);
    *last = at;
}

/* 1 .. 9 of each decade; round numbers where all lies within a third of one. */
static void put_y_ticks(text *t, const frame *f)
{
    double low = pow(10.0, f->y0), high = pow(10.0, f->y1), last = -1e9;
    if (high < 2 * low) {
        double step = tick_step(high - low);
        for (double y = ceil(low / step) * step; y <= high; y += step) put_y_tick(t, f, y, &last);
        return;
    }
    for (int decade = (int)floor(f->y0); decade <= (int)ceil(f->y1); decade++) {
        for (int digit = 1; digit <= 9; digit++) put_y_tick(t, f, digit * pow(10.0, decade), &last);
    }
}

pm_status cli_plot_write(const char *path, const char *title, const char *x_label, const char *y_label,
                         const cli_point *points, size_t count, pm_error *error)
{
    text t = {0};
    frame f = frame_of(points, count);
    put(&t,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
        "font-size=\"12\" "
        "fill=\"#333\">\n",
        WIDTH, HEIGHT);
    put(&t, "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n<text x=\"%d\" y=\"24\" font-size=\"15\">",
        WIDTH, HEIGHT, LEFT);
    put_escaped(&t, title);
    put(&t, "</text>\n");
    put_x_ticks(&t, &f);
    put_y_ticks(&t, &f);
    put_curve(&t, &f, points, count, false);
    put_curve(&t, &f, points, count, true);
    put(&t, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12);
    put_escaped(&t, x_label);
    put(&t, "</text>\n<text x=\"16\" y=\"%d\" text-anchor=\"middle\" transform=\"rotate(-90 16 %d)\">",
        (TOP + HEIGHT - BOTTOM) / 2, (TOP + HEIGHT - BOTTOM) / 2);
    put_escaped(&t, y_label);
    put(&t, "</text>\n</svg>\n");
    pm_bytes chunk = {t.data, t.size};
    pm_status status =
        t.failed || !t.data ? pm_fail_memory(error, path) : pm_write_file(path, &chunk, 1, error);
    free(t.data);
    return status;
}
