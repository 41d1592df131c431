/* How long a plan takes. */
#ifndef PM_TOOLS_BENCH_PLAN_H
#define PM_TOOLS_BENCH_PLAN_H

#include "cli.h"

enum { CLI_MOST_SAMPLES = 101 };

typedef struct cli_timing {
    double median, least, most; /* seconds of one run */
    /* Of one run. A multiply and an add count as two; every tensor that a dispatch is bound to counts whole
     * and once, also where it reads a part of it (slice) or reads it again and again (matmul). */
    double flops, bytes;
    uint32_t samples;
} cli_timing;

/* Sorts `samples` and fills median, least and most. */
void cli_timing_from(cli_timing *timing, double *samples, uint32_t count);

/* Runs a plan until it is warm, then takes `samples` measurements of several runs each. */
pm_status cli_time_plan(pm_plan *plan, uint32_t samples, cli_timing *out, pm_error *error);

/* Builds a graph, plans it in the command's precision, and times it. `build` gets `user`. */
pm_status cli_time_graph(pm_device *device, void (*build)(pm_graph *graph, const void *user),
                         const void *user, uint32_t samples, cli_timing *out, pm_error *error);

/* What other work on a device is held against: a matmul of 1024 x 1024, and a copy of 64 MiB (16 million
 * numbers times a constant), which no cache holds. */
pm_status cli_time_matmul_1024(pm_device *device, uint32_t samples, cli_timing *out, pm_error *error);
pm_status cli_time_copy(pm_device *device, uint32_t samples, cli_timing *out, pm_error *error);

/* The two rates of a device, per second. Work may exceed the second: what fits a cache moves faster. */
typedef struct cli_rates {
    double flops, bytes;
} cli_rates;

/* Measures both, and prints them like any timing. */
pm_status cli_measure_rates(pm_device *device, uint32_t samples, cli_rates *out, json_t *list,
                            pm_error *error);

/* One line, or one object in `list` with --json; with the shares of the device's `rates` unless they are
 * NULL. */
void cli_timing_print(const char *name, const cli_timing *timing, const cli_rates *rates, json_t *list);

#endif
