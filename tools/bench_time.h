/* How long a plan takes. */
#ifndef PM_TOOLS_BENCH_TIME_H
#define PM_TOOLS_BENCH_TIME_H

#include "pumice.h"

enum { BENCH_MOST_SAMPLES = 101 };

typedef struct bench_timing {
    double median, least, most; /* seconds of one run */
    /* Of one run. A multiply and an add count as two; every tensor that a dispatch is bound to counts whole
     * and once, also where it reads a part of it (slice) or reads it again and again (matmul). */
    double flops, bytes;
    uint32_t samples;
} bench_timing;

/* Sorts `samples` and fills median, least and most. */
void bench_timing_from(bench_timing *timing, double *samples, uint32_t count);

/* The times between ticks, but for the first `warm_up`, in what `seconds` has room for. */
typedef struct bench_clock {
    uint32_t warm_up;
    double last, seconds[BENCH_MOST_SAMPLES];
    uint32_t calls, count;
} bench_clock;

/* False when the user wants it all to end. */
bool bench_clock_tick(bench_clock *clock);

/* Runs a plan until it is warm, then takes `samples` measurements of several runs each. */
pm_status bench_time_plan(pm_plan *plan, uint32_t samples, bench_timing *out, pm_error *error);

/* The same, and in *host what of that the host did outside of the driver in one run (host_seconds of
 * pm_plan_stats). */
pm_status bench_time_plan_and_host(pm_plan *plan, uint32_t samples, bench_timing *out, bench_timing *host,
                                   pm_error *error);

typedef void bench_build(pm_graph *graph, const void *user);

/* Builds a graph, plans it in the command's precision, and times it. `build` gets `user`. */
pm_status bench_time_graph(pm_device *device, bench_build *build, const void *user, uint32_t samples,
                           bench_timing *out, pm_error *error);
/* The same in that precision. */
pm_status bench_time_graph_in(pm_precision precision, pm_device *device, bench_build *build, const void *user,
                              uint32_t samples, bench_timing *out, pm_error *error);

/* Measurements one by one, so that those of several things can take turns: what disturbs the machine then
 * disturbs all alike. Made and warmed up as bench_time_graph does; closed also after a failure. */
typedef struct bench_sampler {
    pm_graph *graph;
    pm_plan *plan;
    uint32_t runs; /* of a measurement */
    double flops;  /* of a run */
} bench_sampler;

pm_status bench_sampler_open(pm_device *device, bench_build *build, const void *user, bench_sampler *out,
                             pm_error *error);
/* Seconds of a run. */
pm_status bench_sampler_take(bench_sampler *sampler, double *seconds, pm_error *error);
void bench_sampler_close(bench_sampler *sampler);

/* What other work on a device is held against: a matmul of 1024 x 1024. `user` is a pm_layout. */
void bench_build_matmul(pm_graph *graph, const void *user);
pm_status bench_time_matmul(pm_device *device, pm_layout layout, uint32_t samples, bench_timing *out,
                            pm_error *error);

#endif
