#include "bench_plan.h"

#include "plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SECONDS_PER_SAMPLE 0.05
enum { WARM_UP_RUNS = 3, MOST_RUNS = 10000 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void cli_timing_from(cli_timing *timing, double *samples, uint32_t count)
{
    qsort(samples, count, sizeof *samples, by_value);
    timing->median = count % 2 ? samples[count / 2] : 0.5 * (samples[count / 2 - 1] + samples[count / 2]);
    timing->least = samples[0];
    timing->most = samples[count - 1];
    timing->samples = count;
}

static double bytes_moved(const pm_plan *plan)
{
    double bytes = 0;
    for (uint32_t i = 0; i < plan->n_dispatches; i++) {
        const pm_dispatch *dispatch = &plan->dispatches[i];
        for (uint32_t b = 0; b < dispatch->n_bind; b++) {
            double size = (double)pm_bytes_of(plan->graph, dispatch->bind[b].tensor);
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

pm_status cli_time_plan(pm_plan *plan, uint32_t samples, cli_timing *out, pm_error *error)
{
    double seconds[CLI_MOST_SAMPLES], once;
    *out = (cli_timing){.flops = pm_plan_stats_of(plan).flops, .bytes = bytes_moved(plan)};
    pm_status status = time_runs(plan, WARM_UP_RUNS, &once, error);
    if (status == PM_OK) status = time_runs(plan, 1, &once, error);
    double wanted = ceil(SECONDS_PER_SAMPLE / (once > 1e-9 ? once : 1e-9));
    uint32_t runs = wanted > MOST_RUNS ? MOST_RUNS : wanted < 1 ? 1 : (uint32_t)wanted, taken = 0;
    while (status == PM_OK && taken < samples && !(cli_stopped() && taken > 0)) {
        status = time_runs(plan, runs, &seconds[taken++], error);
    }
    if (status == PM_OK) cli_timing_from(out, seconds, taken);
    return status;
}

pm_status cli_time_graph(pm_device *device, void (*build)(pm_graph *graph, const void *user),
                         const void *user, uint32_t samples, cli_timing *out, pm_error *error)
{
    pm_plan *plan = NULL;
    pm_plan_options options = {.precision = cli_precision()};
    pm_graph *graph = pm_graph_create();
    if (!graph) return pm_fail(error, PM_NO_MEMORY, "bench: out of host memory");
    build(graph, user);
    pm_status status = pm_graph_status(graph, error);
    if (status == PM_OK) status = pm_plan_create(device, graph, &options, &plan, error);
    if (status == PM_OK) status = cli_time_plan(plan, samples, out, error);
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
    return status;
}

static void build_matmul_1024(pm_graph *graph, const void *user)
{
    (void)user;
    pm_init init = {PM_INIT_UNIFORM, 1};
    pm_tensor a = pm_param(graph, "a", PM_SHAPE(1024, 1024), init),
              b = pm_param(graph, "b", PM_SHAPE(1024, 1024), init);
    pm_output(graph, pm_matmul(graph, a, b, PM_AB, PM_NONE, PM_NONE));
}

pm_status cli_time_matmul_1024(pm_device *device, uint32_t samples, cli_timing *out, pm_error *error)
{
    return cli_time_graph(device, build_matmul_1024, NULL, samples, out, error);
}

static void build_copy(pm_graph *graph, const void *user)
{
    (void)user;
    pm_tensor x = pm_param(graph, "x", PM_SHAPE(1 << 24), (pm_init){PM_INIT_UNIFORM, 1});
    pm_output(graph, pm_affine(graph, x, 0.5f, 0.0f));
}

pm_status cli_time_copy(pm_device *device, uint32_t samples, cli_timing *out, pm_error *error)
{
    return cli_time_graph(device, build_copy, NULL, samples, out, error);
}

pm_status cli_measure_rates(pm_device *device, uint32_t samples, cli_rates *out, json_t *list,
                            pm_error *error)
{
    cli_timing matmul, copy;
    pm_status status = cli_time_matmul_1024(device, samples, &matmul, error);
    if (status == PM_OK) status = cli_time_copy(device, samples, &copy, error);
    if (status != PM_OK) return status;
    cli_timing_print("rate: matmul 1024 1024 1024", &matmul, NULL, list);
    cli_timing_print("rate: copy of 64 MiB", &copy, NULL, list);
    *out = (cli_rates){matmul.flops / matmul.median, copy.bytes / copy.median};
    return PM_OK;
}

/* One rate as text: in thousand millions a second, and the share of the device's own if that is known. */
static void print_rate(double amount, double seconds, double best, const char *unit)
{
    if (!(amount > 0)) return;
    printf("  %.2f %s", amount / seconds * 1e-9, unit);
    if (best > 0) printf(" (%.0f %%)", 100 * amount / seconds / best);
}

void cli_timing_print(const char *name, const cli_timing *timing, const cli_rates *rates, json_t *list)
{
    double flops = timing->flops / timing->median, bytes = timing->bytes / timing->median;
    json_t *row = json_pack("{s:s, s:f, s:f, s:f, s:i, s:o, s:o}", "name", name, "seconds", timing->median,
                            "least", timing->least, "most", timing->most, "samples", (int)timing->samples,
                            "gflops", cli_real(flops * 1e-9), "gbytes_per_second", cli_real(bytes * 1e-9));
    if (rates) {
        (void)json_object_set_new(row, "of_matmul_rate", cli_real(flops / rates->flops));
        (void)json_object_set_new(row, "of_copy_rate", cli_real(bytes / rates->bytes));
    }
    (void)json_array_append_new(list, row);
    if (cli.json) return;
    printf("%-56s %10.4f ms  (%.4f .. %.4f)", name, 1e3 * timing->median, 1e3 * timing->least,
           1e3 * timing->most);
    print_rate(timing->flops, timing->median, rates ? rates->flops : 0, "GFLOP/s");
    print_rate(timing->bytes, timing->median, rates ? rates->bytes : 0, "GB/s");
    putchar('\n');
    (void)fflush(stdout);
}
