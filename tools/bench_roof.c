/* `pumice bench roof`: what a device can do at most, measured. */
#include "bench.h"

#include "ops/roof.h"

#include <math.h>
#include <stdio.h>

/* ---- Arithmetic ---------------------------------------------------------------------------------------- */

typedef struct multiply_add {
    uint32_t chains, rounds;
} multiply_add;

enum { INVOCATIONS = 1 << 18, ROUNDS = 16, LONGER = 16, TRIES = 3 };
#define TOO_SHORT 1e-3 /* seconds, of which submitting would be a part */

static void build_multiply_add(pm_graph *graph, const void *user)
{
    const multiply_add *m = user;
    pm_output(graph, pm_roof_multiply_add(graph, INVOCATIONS, m->chains, m->rounds));
}

static pm_status time_chains(pm_device *device, pm_precision precision, uint32_t chains, uint32_t samples,
                             bench_timing *out, pm_error *error)
{
    multiply_add m = {chains, ROUNDS};
    pm_status status = bench_time_graph_in(precision, device, build_multiply_add, &m, samples, out, error);
    if (status != PM_OK || out->median > TOO_SHORT) return status;
    m.rounds *= LONGER;
    return bench_time_graph_in(precision, device, build_multiply_add, &m, samples, out, error);
}

/* How many chains hide the latency of an addition and still fit the registers is the device's secret: the
 * fastest number counts. */
static pm_status time_multiply_add(pm_device *device, pm_precision precision, bench_timing *out,
                                   pm_error *error)
{
    static const uint32_t chains[] = {1, 2, 4, 6};
    uint32_t best = 0;
    double best_rate = 0;
    pm_status status = PM_OK;
    for (uint32_t i = 0; status == PM_OK && i < sizeof chains / sizeof chains[0]; i++) {
        bench_timing timing;
        status = time_chains(device, precision, chains[i], TRIES, &timing, error);
        double rate = status == PM_OK ? timing.flops / timing.least : 0;
        if (rate > best_rate) {
            best_rate = rate;
            best = chains[i];
        }
    }
    return status == PM_OK ? time_chains(device, precision, best, bench_args.samples, out, error) : status;
}

/* ---- Memory -------------------------------------------------------------------------------------------- */

static const uint32_t copy_kib[BENCH_COPIES] = {64, 1024, 8 << 10, 64 << 10};

static void build_copy(pm_graph *graph, const void *user)
{
    const uint32_t *kib = user;
    pm_tensor x = pm_param(graph, "x", PM_SHAPE(*kib * 256), (pm_init){PM_INIT_UNIFORM, 1});
    pm_output(graph, pm_roof_copy(graph, x));
}

double bench_copy_roof(const bench_roof *roof, double bytes)
{
    uint32_t nearest = 0;
    double least = INFINITY;
    for (uint32_t i = 0; i < BENCH_COPIES; i++) {
        double distance = fabs(log(bytes / (2048.0 * copy_kib[i])));
        if (distance >= least) continue;
        least = distance;
        nearest = i;
    }
    return roof->copies[nearest];
}

/* ---- Rows ---------------------------------------------------------------------------------------------- */

static void roof_row(bench_report *report, const char *name, const bench_timing *timing)
{
    bench_figure figures[] = {
        {"gflops", "GFLOP/s", timing->flops / timing->median * 1e-9, BENCH_NUMBER},
        {"gbytes_per_second", "GB/s", timing->flops > 0 ? 0 : timing->bytes / timing->median * 1e-9,
         BENCH_NUMBER},
    };
    bench_report_row(report, "roof", name, timing, BENCH_FIGURES(figures));
}

static const char *multiply_add_name(pm_precision precision)
{
    return precision == PM_EXACT ? "roof: multiply and add" : "roof: fma";
}

static pm_status multiply_add_row(pm_device *device, pm_precision precision, bench_report *report,
                                  bench_timing *timing, pm_error *error)
{
    pm_status status = time_multiply_add(device, precision, timing, error);
    if (status == PM_OK) roof_row(report, multiply_add_name(precision), timing);
    return status;
}

static pm_status copy_rows(pm_device *device, bench_report *report, double rates[BENCH_COPIES],
                           pm_error *error)
{
    pm_status status = PM_OK;
    for (uint32_t i = 0; status == PM_OK && i < BENCH_COPIES; i++) {
        bench_timing timing;
        char name[40];
        uint32_t kib = copy_kib[i];
        (void)snprintf(name, sizeof name, "roof: copy of %u %s", kib < 1024 ? kib : kib / 1024,
                       kib < 1024 ? "KiB" : "MiB");
        status = bench_time_graph(device, build_copy, &copy_kib[i], bench_args.samples, &timing, error);
        if (status != PM_OK) return status;
        roof_row(report, name, &timing);
        rates[i] = timing.bytes / timing.least;
    }
    return status;
}

pm_status bench_measure_roof(pm_device *device, bench_report *report, bench_roof *out, pm_error *error)
{
    bench_timing arithmetic, matmul;
    pm_status status = multiply_add_row(device, cli_precision(), report, &arithmetic, error);
    if (status == PM_OK) status = copy_rows(device, report, out->copies, error);
    if (status == PM_OK) status = bench_time_matmul(device, PM_AB, bench_args.samples, &matmul, error);
    if (status != PM_OK) return status;
    roof_row(report, "matmul 1024 1024 1024", &matmul);
    out->flops = arithmetic.flops / arithmetic.least;
    out->matmul = matmul.flops / matmul.median;
    return PM_OK;
}

pm_status bench_run_roof(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                         pm_error *error)
{
    bench_timing timing;
    double ignored[BENCH_COPIES];
    (void)count;
    (void)words;
    pm_status status = multiply_add_row(device, PM_EXACT, report, &timing, error);
    if (status == PM_OK) status = multiply_add_row(device, PM_F32, report, &timing, error);
    return status == PM_OK ? copy_rows(device, report, ignored, error) : status;
}

/* What bounds a kernel is what its work would take longer for at the roof: its operations, or its bytes. */
void bench_kernel_row(bench_report *report, const char *name, const bench_timing *timing,
                      const bench_roof *roof)
{
    double flops = timing->flops / timing->median, bytes = timing->bytes / timing->median;
    double compute = roof ? flops / roof->flops : 0,
           copy = roof ? bytes / bench_copy_roof(roof, timing->bytes) : 0;
    bool arithmetic = compute >= copy;
    bench_figure figures[] = {
        {"gflops", "GFLOP/s", flops * 1e-9, BENCH_NUMBER},
        {"gbytes_per_second", "GB/s", bytes * 1e-9, BENCH_NUMBER},
        {"of_compute_roof", "compute roof", arithmetic ? compute : 0, BENCH_SHARE},
        {"of_copy_roof", "copy roof", arithmetic ? 0 : copy, BENCH_SHARE},
        {"of_matmul_rate", "matmul", roof && arithmetic ? flops / roof->matmul : 0, BENCH_SHARE},
    };
    uint32_t shown = roof ? 5 : 2;
    bench_report_row(report, roof ? "operator" : "kernel", name, timing, figures, shown);
}
