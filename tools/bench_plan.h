/* How long a plan takes. */
#ifndef PM_TOOLS_BENCH_PLAN_H
#define PM_TOOLS_BENCH_PLAN_H

#include "cli.h"

enum { CLI_MOST_SAMPLES = 101 };

typedef struct cli_timing {
    double median, least, most; /* seconds of one run */
    double flops, bytes; /* of one run: multiply and add count as two; what every dispatch reads and writes,
                            once each */
    uint32_t samples;
} cli_timing;

/* Sorts `samples` and fills median, least and most. */
void cli_timing_from(cli_timing *timing, double *samples, uint32_t count);

/* Runs a plan until it is warm, then takes `samples` measurements of several runs each. */
pm_status cli_time_plan(pm_plan *plan, uint32_t samples, cli_timing *out, pm_error *error);

/* Builds a graph, plans it in the command's precision, and times it. `build` gets `user`. */
pm_status cli_time_graph(pm_device *device, void (*build)(pm_graph *graph, const void *user),
                         const void *user, uint32_t samples, cli_timing *out, pm_error *error);

/* Multiplications of 1024 x 1024 matrices: what other work is held against. Seconds and flops of one. */
pm_status cli_time_matmul_1024(pm_device *device, uint32_t samples, cli_timing *out, pm_error *error);

/* One line, or one object in `list` with --json. */
void cli_timing_print(const char *name, const cli_timing *timing, json_t *list);

#endif
