/* Rows and tables; see bench_report.h. */
#include "bench_report.h"

#include "bench_baseline.h"
#include "cli.h"

#include "base/threads.h"

#include <stdio.h>
#include <string.h>

enum { NAME_WIDTH = 58 };

pm_status bench_report_begin(bench_report *report, const char *baseline, bool markdown, pm_error *error)
{
    *report = (bench_report){.markdown = markdown, .json = cli.json};
    pm_status status = baseline ? bench_baseline_open(baseline, &report->baseline, error) : PM_OK;
    if (status == PM_OK && !(report->rows = json_array()))
        status = pm_fail(error, PM_NO_MEMORY, "bench: out of host memory");
    return status;
}

void bench_report_end(bench_report *report)
{
    json_decref(report->rows);
    json_decref(report->baseline);
}

/* ---- One figure ---------------------------------------------------------------------------------------- */

static bool is_there(const bench_figure *figure)
{
    return figure->value > 0;
}

static const char *figure_text(const bench_figure *figure, char *text, size_t size)
{
    static const double scale[] = {[BENCH_NUMBER] = 1, [BENCH_SHARE] = 100, [BENCH_MEMORY] = 1.0 / (1 << 20)};
    double shown = figure->value * scale[figure->kind];
    text[0] = '\0';
    if (!is_there(figure)) return text;
    (void)snprintf(text, size,
                   shown >= 999.5                ? "%.0f%s"
                   : figure->kind == BENCH_SHARE ? "%.3g%s"
                                                 : "%.4g%s",
                   shown, figure->kind == BENCH_SHARE ? " %" : "");
    return text;
}

static const char *before_label(const bench_figure *figure, const char *of)
{
    return figure->kind == BENCH_SHARE ? of : "";
}

/* ---- Lines --------------------------------------------------------------------------------------------- */

static void print_line(const char *name, const bench_timing *timing, const bench_figure *figures,
                       uint32_t n_figures)
{
    char text[40];
    printf("%-*s", NAME_WIDTH, name);
    if (timing) {
        printf(" %10.4f ms  (%.4f .. %.4f)", 1e3 * timing->median, 1e3 * timing->least, 1e3 * timing->most);
    }
    for (uint32_t i = 0; i < n_figures; i++) {
        if (!is_there(&figures[i])) continue;
        printf("  %s%s %s", figure_text(&figures[i], text, sizeof text), before_label(&figures[i], " of"),
               figures[i].label);
    }
}

/* ---- Markdown ------------------------------------------------------------------------------------------ */

static void print_head(const bench_report *report, const char *columns, bool timed,
                       const bench_figure *figures, uint32_t n_figures)
{
    uint32_t count = 1 + n_figures + (timed ? 1 : 0) + (report->baseline ? 2 : 0);
    printf("\n| %s |", columns);
    if (timed) printf(" ms (least .. most) |");
    for (uint32_t i = 0; i < n_figures; i++)
        printf(" %s%s |", before_label(&figures[i], "of "), figures[i].label);
    if (report->baseline) printf(" before | ratio |");
    printf("\n|");
    for (uint32_t i = 0; i < count; i++) printf("---|");
    printf("\n");
}

static void print_cells(const char *name, const bench_timing *timing, const bench_figure *figures,
                        uint32_t n_figures)
{
    char text[40];
    printf("| %s |", name);
    if (timing) {
        printf(" %.4g (%.4g .. %.4g) |", 1e3 * timing->median, 1e3 * timing->least, 1e3 * timing->most);
    }
    for (uint32_t i = 0; i < n_figures; i++) printf(" %s |", figure_text(&figures[i], text, sizeof text));
}

/* ---- Against the baseline ------------------------------------------------------------------------------ */

static void count(bench_report *report, bench_verdict verdict)
{
    report->worse += verdict == BENCH_WORSE;
    report->better += verdict == BENCH_BETTER;
    report->same += verdict == BENCH_SAME;
    report->unknown += verdict == BENCH_UNKNOWN;
}

static void compare(bench_report *report, json_t *row, const char *name, bool memory)
{
    bench_cost now = {0}, old = bench_baseline_find(report->baseline, name);
    if (!bench_row_cost(row, &now) || !(now.median > 0)) return;
    bench_verdict verdict = bench_compare(old, now);
    const char *word = bench_verdict_word(verdict, memory);
    double ratio = verdict == BENCH_UNKNOWN ? 0 : now.median / old.median;
    double scale = memory ? 1.0 / (1 << 20) : 1e3;
    const char *unit = memory ? "MiB" : "ms";
    count(report, verdict);
    if (ratio > 0) {
        (void)json_object_set_new(row, "before", json_real(old.median));
        (void)json_object_set_new(row, "ratio", json_real(ratio));
    }
    (void)json_object_set_new(row, "verdict",
                              json_string(verdict == BENCH_UNKNOWN  ? "unknown"
                                          : verdict == BENCH_BETTER ? "better"
                                          : verdict == BENCH_WORSE  ? "worse"
                                                                    : "same"));
    if (report->json) return;
    if (report->markdown && ratio > 0) {
        printf(" %.4g %s | %.3f %s |", scale * old.median, unit, ratio, word);
    } else if (report->markdown) {
        printf(" | |");
    } else if (ratio > 0) {
        printf("  before %.4g %s, x %.3f%s%s", scale * old.median, unit, ratio, *word ? " " : "", word);
    } else {
        printf("  before: no such row");
    }
}

/* ---- Rows ---------------------------------------------------------------------------------------------- */

static json_t *row_of(const char *name, const bench_timing *timing, const bench_figure *figures,
                      uint32_t n_figures)
{
    json_t *row = json_pack("{s:s}", "name", name);
    if (timing) {
        (void)json_object_set_new(row, "seconds", json_real(timing->median));
        (void)json_object_set_new(row, "least", json_real(timing->least));
        (void)json_object_set_new(row, "most", json_real(timing->most));
        (void)json_object_set_new(row, "samples", json_integer(timing->samples));
    }
    for (uint32_t i = 0; i < n_figures; i++) {
        if (is_there(&figures[i])) (void)json_object_set_new(row, figures[i].key, cli_real(figures[i].value));
    }
    return row;
}

void bench_report_row(bench_report *report, const char *columns, const char *name, const bench_timing *timing,
                      const bench_figure *figures, uint32_t n_figures)
{
    json_t *row = row_of(name, timing, figures, n_figures);
    (void)json_array_append(report->rows, row);
    if (!report->json && report->markdown) {
        if (!report->columns || strcmp(report->columns, columns) != 0)
            print_head(report, columns, timing, figures, n_figures);
        print_cells(name, timing, figures, n_figures);
    } else if (!report->json) {
        print_line(name, timing, figures, n_figures);
    }
    report->columns = columns;
    if (report->baseline) compare(report, row, name, !timing);
    if (!report->json) {
        putchar('\n');
        (void)fflush(stdout);
    }
    json_decref(row);
}

/* ---- Around them --------------------------------------------------------------------------------------- */

void bench_report_device(bench_report *report, const char *device, const char *driver, const char *precision)
{
    const char *values[] = {device, driver, precision};
    static const char *const keys[] = {"device", "driver", "precision"};
    if (report->markdown && !report->json)
        printf("%s, %s, %u cores, precision %s, pumice " PM_VERSION "\n", device, driver, pm_cores(),
               precision);
    for (uint32_t i = 0; report->baseline && i < 3; i++) {
        const char *before = bench_baseline_text(report->baseline, keys[i]);
        if (strcmp(before, values[i]) != 0)
            cli_say("the %s was another one before: %s", keys[i], *before ? before : "unknown");
    }
}

pm_status bench_report_verdict(const bench_report *report, pm_error *error)
{
    if (!report->baseline) return PM_OK;
    if (!report->json) {
        printf("%sbeyond the spread: %u better, %u worse; within it: %u; not measured before: %u\n",
               report->markdown ? "\n" : "", report->better, report->worse, report->same, report->unknown);
    }
    if (report->worse == 0) return PM_OK;
    return pm_fail(error, PM_FAILED, "%u of %u rows are worse than before, beyond the spread", report->worse,
                   report->worse + report->better + report->same);
}
