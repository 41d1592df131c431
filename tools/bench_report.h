/* What `pumice bench` prints: one row after the other, as lines, as a table in Markdown or as JSON, each held
 * against an earlier result if there is one. */
#ifndef PM_TOOLS_BENCH_REPORT_H
#define PM_TOOLS_BENCH_REPORT_H

#include "bench_time.h"

#include <jansson.h>

/* One number of a row, beside its time. What is not above 0 (or is NAN) is left out. */
typedef struct bench_figure {
    const char *key;   /* in JSON */
    const char *label; /* its unit, or what it is a share of */
    double value;
    enum { BENCH_NUMBER, BENCH_SHARE /* printed in percent */, BENCH_MEMORY /* printed in MiB */ } kind;
} bench_figure;

typedef struct bench_report {
    bool markdown, json;
    json_t *rows;
    json_t *baseline;    /* NULL: none */
    const char *columns; /* of the table that is open */
    uint32_t worse, better, same, unknown;
} bench_report;

/* `baseline` is a file, or NULL. bench_report_end is for after a failure, too. Fails as bench_baseline_open
 * does. */
pm_status bench_report_begin(bench_report *report, const char *baseline, bool markdown, pm_error *error);
void bench_report_end(bench_report *report);

/* Adds a row, and prints it unless the whole is to be JSON. `columns` is the same for all rows of one table:
 * the name of what its rows are. Every row of a table has the same figures in the same order. `timing` may be
 * NULL; a figure "bytes" is then what a baseline is asked for. */
void bench_report_row(bench_report *report, const char *columns, const char *name, const bench_timing *timing,
                      const bench_figure *figures, uint32_t n_figures);

#define BENCH_FIGURES(array) (array), (uint32_t)(sizeof(array) / sizeof((array)[0]))

/* Where the numbers are from: the first lines of a report in Markdown; with a baseline, whether that is from
 * elsewhere. */
void bench_report_device(bench_report *report, const char *device, const char *driver, const char *precision);

/* What the baseline showed, in one line. PM_FAILED, with a message, when something is worse. */
pm_status bench_report_verdict(const bench_report *report, pm_error *error);

#endif
