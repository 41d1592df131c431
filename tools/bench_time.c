/* How long a plan takes; see bench_time.h. */
#include "bench_time.h"

#include "cli.h"

#include "plan/plan.h"

#include <math.h>
#include <stdlib.h>

#define SECONDS_PER_SAMPLE 0.05
enum { WARM_UP_RUNS = 3, MOST_RUNS = 10000 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_timing_from(bench_timing *timing, double *samples, uint32_t count)
{
    qsort(samples, count, sizeof *samples, by_value);
    timing->median = count % 2 ? samples[count / 2] : 0.5 * (samples[count / 2 - 1] + samples[count / 2]);
    timing->least = samples[0];
    timing->most = samples[count - 1];
    timing->samples = count;
}

bool bench_clock_tick(bench_clock *clock)
{
    double now = cli_seconds();
    if (clock->calls++ >= clock->warm_up && clock->count < BENCH_MOST_SAMPLES)
        clock->seconds[clock->count++] = now - clock->last;
    clock->last = now;
    return !cli_stopped();
}

static bool bound_before(const pm_dispatch *dispatch, uint32_t b)
{
    for (uint32_t i = 0; i < b; i++) {
        if (dispatch->bind[i].tensor.id == dispatch->bind[b].tensor.id) return true;
    }
    return false;
}

static double bytes_moved(const pm_plan *plan)
{
    double bytes = 0;
    for (uint32_t i = 0; i < plan->n_dispatches; i++) {
        const pm_dispatch *dispatch = &plan->dispatches[i];
        for (uint32_t b = 0; b < dispatch->n_bind; b++) {
            double size = (double)pm_bytes_of(plan->graph, dispatch->bind[b].tensor);
            if (bound_before(dispatch, b)) continue;
            bytes += dispatch->bind[b].access == PM_UPDATE ? 2 * size : size;
        }
    }
    return bytes;
}

static pm_status time_runs(pm_plan *plan, uint32_t runs, double *seconds, pm_error *error)
{
    double start = cli_seconds();
    pm_status status = pm_plan_run(plan, runs, error);
    if (status == PM_OK) status = pm_plan_wait(plan, error);
    *seconds = (cli_seconds() - start) / runs;
    return status;
}

/* Runs it until it is warm, and finds how many runs make a measurement. */
static pm_status warm_up(pm_plan *plan, uint32_t *runs, pm_error *error)
{
    double once = 0;
    pm_status status = time_runs(plan, WARM_UP_RUNS, &once, error);
    if (status == PM_OK) status = time_runs(plan, 1, &once, error);
    double wanted = ceil(SECONDS_PER_SAMPLE / (once > 1e-9 ? once : 1e-9));
    *runs = wanted > MOST_RUNS ? MOST_RUNS : wanted < 1 ? 1 : (uint32_t)wanted;
    return status;
}

pm_status bench_time_plan(pm_plan *plan, uint32_t samples, bench_timing *out, pm_error *error)
{
    bench_timing ignored;
    return bench_time_plan_and_host(plan, samples, out, &ignored, error);
}

pm_status bench_time_plan_and_host(pm_plan *plan, uint32_t samples, bench_timing *out, bench_timing *host,
                                   pm_error *error)
{
    double seconds[BENCH_MOST_SAMPLES], host_seconds[BENCH_MOST_SAMPLES];
    uint32_t runs, taken = 0;
    *host = (bench_timing){0};
    *out = (bench_timing){.flops = pm_plan_stats_of(plan).flops, .bytes = bytes_moved(plan)};
    pm_status status = warm_up(plan, &runs, error);
    while (status == PM_OK && taken < samples && !(cli_stopped() && taken > 0)) {
        status = time_runs(plan, runs, &seconds[taken], error);
        host_seconds[taken++] = pm_plan_stats_of(plan).host_seconds;
    }
    if (status == PM_OK) bench_timing_from(out, seconds, taken);
    if (status == PM_OK) bench_timing_from(host, host_seconds, taken);
    return status;
}

/* ---- Graphs -------------------------------------------------------------------------------------------- */

static pm_status make(pm_precision precision, pm_device *device, bench_build *build, const void *user,
                      bench_sampler *out, pm_error *error)
{
    pm_plan_options options = {.precision = precision};
    *out = (bench_sampler){.graph = pm_graph_create()};
    if (!out->graph) return pm_fail(error, PM_NO_MEMORY, "bench: out of host memory");
    build(out->graph, user);
    pm_status status = pm_graph_status(out->graph, error);
    return status == PM_OK ? pm_plan_create(device, out->graph, &options, &out->plan, error) : status;
}

pm_status bench_sampler_open(pm_device *device, bench_build *build, const void *user, bench_sampler *out,
                             pm_error *error)
{
    pm_status status = make(cli_precision(), device, build, user, out, error);
    if (status == PM_OK) status = warm_up(out->plan, &out->runs, error);
    if (status == PM_OK) out->flops = pm_plan_stats_of(out->plan).flops;
    return status;
}

pm_status bench_sampler_take(bench_sampler *sampler, double *seconds, pm_error *error)
{
    return time_runs(sampler->plan, sampler->runs, seconds, error);
}

void bench_sampler_close(bench_sampler *sampler)
{
    pm_plan_destroy(sampler->plan);
    pm_graph_destroy(sampler->graph);
    *sampler = (bench_sampler){0};
}

pm_status bench_time_graph_in(pm_precision precision, pm_device *device, bench_build *build, const void *user,
                              uint32_t samples, bench_timing *out, pm_error *error)
{
    bench_sampler one;
    pm_status status = make(precision, device, build, user, &one, error);
    if (status == PM_OK) status = bench_time_plan(one.plan, samples, out, error);
    bench_sampler_close(&one);
    return status;
}

pm_status bench_time_graph(pm_device *device, bench_build *build, const void *user, uint32_t samples,
                           bench_timing *out, pm_error *error)
{
    return bench_time_graph_in(cli_precision(), device, build, user, samples, out, error);
}

void bench_build_matmul(pm_graph *graph, const void *user)
{
    const pm_layout *layout = user;
    pm_init init = {PM_INIT_UNIFORM, 1};
    pm_tensor a = pm_param(graph, "a", PM_SHAPE(1024, 1024), init),
              b = pm_param(graph, "b", PM_SHAPE(1024, 1024), init);
    pm_output(graph, pm_matmul(graph, a, b, *layout, PM_NONE, PM_NONE));
}

pm_status bench_time_matmul(pm_device *device, pm_layout layout, uint32_t samples, bench_timing *out,
                            pm_error *error)
{
    return bench_time_graph(device, bench_build_matmul, &layout, samples, out, error);
}
