/* `pumice bench suite`: the figures that Pumice is held against, each with its yardstick from the same run.
 */
#include "bench.h"
#include "bench_blas.h"
#include "bench_models.h"

#include "base/words.h"

#include <stdio.h>
#include <string.h>

enum { MATMUL = 1024, LAYOUTS = 3 };

/* ---- Matrix products ----------------------------------------------------------------------------------- */

static const char *const layout_names[LAYOUTS] = {"AB", "AB^T", "A^T B"};

static void matmul_row(bench_report *report, const char *name, const bench_timing *timing, double blas,
                       double best, double roof)
{
    double rate = timing->flops / timing->median;
    bench_figure figures[] = {
        {"gflops", "GFLOP/s", rate * 1e-9, BENCH_NUMBER},
        {"of_openblas", "OpenBLAS", blas > 0 ? rate / blas : 0, BENCH_SHARE},
        {"of_best_layout", "the best layout", best > 0 ? rate / best : 0, BENCH_SHARE},
        {"of_compute_roof", "compute roof", roof > 0 ? rate / roof : 0, BENCH_SHARE},
    };
    bench_report_row(report, "matrix product", name, timing, BENCH_FIGURES(figures));
}

/* Seconds, [layout][sample]. */
typedef double samples_of[LAYOUTS][BENCH_MOST_SAMPLES];

/* Ours and OpenBLAS's of all layouts take turns. `blas` is NULL without it. */
static pm_status take_samples(bench_sampler *samplers, const bench_blas *blas, samples_of ours,
                              samples_of theirs, pm_error *error)
{
    pm_status status = PM_OK;
    for (uint32_t s = 0; s < bench_args.samples; s++) {
        for (uint32_t i = 0; status == PM_OK && i < LAYOUTS; i++) {
            status = bench_sampler_take(&samplers[i], &ours[i][s], error);
            if (status == PM_OK && blas)
                status = bench_blas_time(blas, (pm_layout)i, MATMUL, 1, &theirs[i][s], error);
        }
    }
    return status;
}

static pm_status time_layouts(pm_device *device, const bench_blas *blas, bench_timing *ours,
                              bench_timing *theirs, pm_error *error)
{
    static const pm_layout layouts[LAYOUTS] = {PM_AB, PM_ABT, PM_ATB};
    samples_of our_seconds, their_seconds;
    bench_sampler samplers[LAYOUTS] = {{0}};
    pm_status status = PM_OK;
    for (uint32_t i = 0; status == PM_OK && i < LAYOUTS; i++)
        status = bench_sampler_open(device, bench_build_matmul, &layouts[i], &samplers[i], error);
    if (status == PM_OK) status = take_samples(samplers, blas, our_seconds, their_seconds, error);
    for (uint32_t i = 0; i < LAYOUTS; i++) {
        ours[i] = theirs[i] = (bench_timing){.flops = samplers[i].flops};
        if (status == PM_OK) bench_timing_from(&ours[i], our_seconds[i], bench_args.samples);
        if (status == PM_OK && blas) bench_timing_from(&theirs[i], their_seconds[i], bench_args.samples);
        bench_sampler_close(&samplers[i]);
    }
    return status;
}

static void layout_rows(bench_report *report, const bench_timing *ours, const bench_timing *theirs,
                        uint32_t threads, const bench_roof *roof)
{
    char name[100];
    double best = 0;
    for (uint32_t i = 0; i < LAYOUTS; i++) {
        double rate = ours[i].flops / ours[i].median;
        if (rate > best) best = rate;
    }
    for (uint32_t i = 0; i < LAYOUTS; i++) {
        (void)snprintf(name, sizeof name, "matmul %d, %s", MATMUL, layout_names[i]);
        matmul_row(report, name, &ours[i], theirs ? theirs[i].flops / theirs[i].median : 0, best,
                   roof->flops);
    }
    for (uint32_t i = 0; theirs && i < LAYOUTS; i++) {
        (void)snprintf(name, sizeof name, "OpenBLAS sgemm %d, %s, %u threads", MATMUL, layout_names[i],
                       threads);
        matmul_row(report, name, &theirs[i], 0, 0, 0);
    }
}

static pm_status run_matmul(pm_device *device, const bench_roof *roof, bench_report *report, pm_error *error)
{
    bench_blas blas;
    bench_timing ours[LAYOUTS], theirs[LAYOUTS];
    bool there = bench_blas_open(&blas);
    if (there) {
        cli_say("%s", blas.config);
    } else {
        cli_say("OpenBLAS's sgemm is left out: there is no libopenblas (Debian: libopenblas0-pthread)");
    }
    pm_status status = time_layouts(device, there ? &blas : NULL, ours, theirs, error);
    if (status == PM_OK) layout_rows(report, ours, there ? theirs : NULL, blas.threads, roof);
    bench_blas_close(&blas);
    return status;
}

/* ---- Convolutions -------------------------------------------------------------------------------------- */

/* Those that the U-Net below is made of. */
static const uint32_t convolutions[][7] = {
    {32, 28, 28, 32, 32, 3, 1},  {32, 28, 28, 96, 32, 3, 1}, {32, 14, 14, 64, 64, 3, 1},
    {32, 14, 14, 128, 64, 3, 1}, {32, 28, 28, 32, 32, 3, 2}, {32, 28, 28, 64, 32, 1, 1},
};

static void build_conv(pm_graph *graph, const void *user)
{
    (void)bench_build_conv(graph, user);
}

static pm_status run_conv(pm_device *device, const bench_roof *roof, bench_report *report, pm_error *error)
{
    pm_status status = PM_OK;
    for (uint32_t i = 0; i < sizeof convolutions / sizeof convolutions[0]; i++) {
        const uint32_t *n = convolutions[i];
        char name[100];
        (void)snprintf(name, sizeof name, "conv %ux%u%s, %ux%u, %u to %u", n[5], n[5],
                       n[6] == 2 ? " stride 2" : "", n[1], n[2], n[3], n[4]);
        bench_kernel kernel = {
            .name = name, .op = "conv2d", .build = build_conv, .user = n, .gradients = BENCH_ALL_GRADIENTS};
        if (status == PM_OK && !cli_stopped())
            status = bench_kernel_rows(device, &kernel, roof, report, error);
    }
    return status;
}

/* ---- Training steps ------------------------------------------------------------------------------------ */

typedef struct step {
    bench_timing timing, host;
    pm_plan_stats stats;
} step;

static pm_status time_step(pm_device *device, const bench_model *model, step *out, pm_error *error)
{
    pm_trainer *trainer = NULL;
    pm_plan_options options = {.precision = cli_precision()};
    pm_status status = pm_trainer_create(device, &model->recipe, &model->data, &options, &trainer, error);
    if (status == PM_OK) {
        pm_plan *plan = pm_trainer_plan(trainer);
        status = bench_time_plan_and_host(plan, bench_args.samples, &out->timing, &out->host, error);
        out->stats = pm_plan_stats_of(plan);
    }
    pm_trainer_destroy(trainer);
    return status;
}

static void step_row(bench_report *report, const char *name, const step *s, const bench_roof *roof)
{
    double rate = s->timing.flops / s->timing.median;
    bench_figure figures[] = {
        {"gflop", "GFLOP", s->timing.flops * 1e-9, BENCH_NUMBER},
        {"gflops", "GFLOP/s", rate * 1e-9, BENCH_NUMBER},
        {"of_matmul_rate", "matmul", rate / roof->matmul, BENCH_SHARE},
        {"dispatches", "dispatches", s->stats.dispatches, BENCH_NUMBER},
        {"submits", "submits", s->stats.submits, BENCH_NUMBER},
        {"memory_bytes", "MiB", (double)(s->stats.persistent_bytes + s->stats.activation_bytes),
         BENCH_MEMORY},
    };
    bench_report_row(report, "training step", name, &s->timing, BENCH_FIGURES(figures));
}

static pm_status run_train(pm_device *device, const bench_roof *roof, bench_report *report, pm_error *error)
{
    enum { UNET, TRANSFORMER, STEPS };
    bench_model model;
    step steps[STEPS];
    char names[STEPS][100] = {"", ""}, name[sizeof names + 40];
    pm_status status = bench_unet(&model, error);
    if (status == PM_OK) {
        (void)snprintf(names[UNET], sizeof names[UNET], "U-Net of %.2f M parameters, 28x28, batch 32",
                       1e-6 * bench_unet_parameters(&model.recipe.unet));
        status = time_step(device, &model, &steps[UNET], error);
    }
    bench_model_free(&model);
    if (status == PM_OK) step_row(report, names[UNET], &steps[UNET], roof);
    if (status != PM_OK || cli_stopped()) return status;
    status = bench_transformer(&model, error);
    if (status == PM_OK) {
        (void)snprintf(names[TRANSFORMER], sizeof names[TRANSFORMER],
                       "transformer of %.2f M parameters, 16x256 bytes",
                       1e-6 * bench_transformer_parameters(&model.recipe.transformer));
        status = time_step(device, &model, &steps[TRANSFORMER], error);
    }
    bench_model_free(&model);
    if (status != PM_OK) return status;
    step_row(report, names[TRANSFORMER], &steps[TRANSFORMER], roof);
    for (uint32_t i = 0; i < STEPS; i++) {
        (void)snprintf(name, sizeof name, "%s: the host outside of the driver", names[i]);
        bench_report_row(report, "of such a step", name, &steps[i].host, NULL, 0);
    }
    return PM_OK;
}

/* ---- Parts --------------------------------------------------------------------------------------------- */

static pm_status run_text(pm_device *device, const bench_roof *roof, bench_report *report, pm_error *error)
{
    (void)roof;
    return bench_text_rows(device, report, error);
}

static pm_status run_memory(pm_device *device, const bench_roof *roof, bench_report *report, pm_error *error)
{
    (void)roof;
    return bench_memory_rows(device, NULL, report, error);
}

static pm_status run_start(pm_device *device, const bench_roof *roof, bench_report *report, pm_error *error)
{
    (void)device;
    (void)roof;
    return bench_start_rows(NULL, NULL, report, error);
}

static const struct part {
    const char *name;
    bool roof; /* is held against it */
    pm_status (*run)(pm_device *device, const bench_roof *roof, bench_report *report, pm_error *error);
} parts[] = {
    {"roof", true, NULL},          {"matmul", true, run_matmul}, {"conv", true, run_conv},
    {"train", true, run_train},    {"start", false, run_start},  {"text", false, run_text},
    {"memory", false, run_memory},
};
enum { PARTS = sizeof parts / sizeof parts[0] };

pm_status bench_check_suite(uint32_t count, const char *const *words, pm_error *error)
{
    if (count < 2) return PM_OK;
    pm_nearest nearest = {.word = words[1]};
    for (uint32_t i = 0; i < PARTS; i++) {
        if (strcmp(parts[i].name, words[1]) == 0) return PM_OK;
        pm_nearest_try(&nearest, parts[i].name);
    }
    return pm_fail(error, PM_BAD_USAGE, "the suite has no part \"%.40s\"; did you mean %s?", words[1],
                   nearest.best);
}

pm_status bench_run_suite(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                          pm_error *error)
{
    bench_roof roof;
    bool measured = false;
    pm_status status = PM_OK;
    for (uint32_t i = 0; status == PM_OK && i < PARTS && !cli_stopped(); i++) {
        if (count > 1 && strcmp(parts[i].name, words[1]) != 0) continue;
        if (parts[i].roof && !measured) status = bench_measure_roof(device, report, &roof, error);
        measured |= parts[i].roof;
        if (status == PM_OK && parts[i].run) status = parts[i].run(device, &roof, report, error);
    }
    return status;
}
