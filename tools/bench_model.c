/* `pumice bench train` and `pumice bench sample`: a step of a recipe or of a model, as a whole. */
#include "bench.h"
#include "bench_models.h"
#include "sheet.h"
#include "source.h"

#include "sampling/model.h"
#include "training/trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row for one step, and one for a matmul of the same run. `units` is how many images or tokens a step
 * finishes (a part of one, when it takes many steps). */
static pm_status report_step(const char *what, pm_device *device, const bench_timing *timing,
                             const char *unit, double units, bench_report *report, pm_error *error)
{
    bench_timing matmul;
    char key[32], label[32];
    pm_status status = bench_time_matmul(device, PM_AB, bench_args.samples, &matmul, error);
    if (status != PM_OK) return status;
    double rate = timing->flops / timing->median, best = matmul.flops / matmul.median;
    (void)snprintf(key, sizeof key, "%s_per_second", unit);
    (void)snprintf(label, sizeof label, "%s/s", unit);
    bench_figure step[] = {
        {key, label, units / timing->median, BENCH_NUMBER},
        {"gflop_per_step", "GFLOP", timing->flops * 1e-9, BENCH_NUMBER},
        {"gflops", "GFLOP/s", rate * 1e-9, BENCH_NUMBER},
        {"of_matmul_rate", "this device's matmul rate", rate / best, BENCH_SHARE},
    };
    bench_report_row(report, "step", what, timing, BENCH_FIGURES(step));
    bench_figure reference[] = {
        {key, label, 0, BENCH_NUMBER},
        {"gflop_per_step", "GFLOP", matmul.flops * 1e-9, BENCH_NUMBER},
        {"gflops", "GFLOP/s", best * 1e-9, BENCH_NUMBER},
        {"of_matmul_rate", "this device's matmul rate", 0, BENCH_SHARE},
    };
    bench_report_row(report, "step", "matmul 1024 1024 1024", &matmul, BENCH_FIGURES(reference));
    return PM_OK;
}

/* ---- Training ------------------------------------------------------------------------------------------ */

pm_status bench_load_recipe(const char *name, const char *data, pm_recipe *out, pm_error *error)
{
    pm_status status = pm_recipe_load(name, out, error);
    if (status != PM_OK) return status;
    if (bench_args.batch) out->training.batch = bench_args.batch;
    if (data) (void)snprintf(out->data.source, sizeof out->data.source, "%s", data);
    return PM_OK;
}

pm_status bench_run_train(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                          pm_error *error)
{
    pm_recipe recipe;
    cli_source source = {0};
    pm_trainer *trainer = NULL;
    bench_timing timing;
    char what[128];
    (void)count;
    pm_plan_options plan_options = {.precision = cli_precision()};
    pm_status status = bench_load_recipe(words[1], bench_args.data, &recipe, error);
    if (status != PM_OK) return status;
    status = cli_source_open(&recipe, &source, error);
    if (status == PM_OK)
        status = cli_create_trainer(device, &recipe, &source, &plan_options, &trainer, error);
    if (status == PM_OK)
        status = bench_time_plan(pm_trainer_plan(trainer), bench_args.samples, &timing, error);
    pm_trainer_destroy(trainer);
    cli_source_close(&source);
    if (status != PM_OK) return status;
    (void)snprintf(what, sizeof what, "train %s, batch %" PRIu32, recipe.name, recipe.training.batch);
    return report_step(what, device, &timing, cli_unit(&recipe), cli_units_of_step(&recipe), report, error);
}

/* ---- Pictures ------------------------------------------------------------------------------------------ */

/* A call comes when all but the last few submits are done, so that the time between two is that of a step. */
static bool on_step(void *user, uint32_t done, uint32_t total)
{
    (void)done;
    (void)total;
    return bench_clock_tick(user);
}

/* The network's pass makes up nearly all of a step: its operations are those of a plan of it alone. */
static pm_status count_flops(pm_device *device, const pm_unet_config *net, uint32_t rows, double *flops,
                             pm_error *error)
{
    pm_plan_stats needs;
    pm_graph *graph = pm_graph_create();
    if (!graph) return pm_fail(error, PM_NO_MEMORY, "bench: out of host memory");
    pm_output(graph, bench_build_unet(graph, net, rows));
    pm_status status = pm_graph_status(graph, error);
    if (status == PM_OK) status = pm_plan_needs(device, graph, NULL, &needs, error);
    if (status == PM_OK) *flops = needs.flops;
    pm_graph_destroy(graph);
    return status;
}

static pm_status run_sample_pictures(const pm_model *model, pm_device *device, bench_report *report,
                                     pm_error *error)
{
    bench_clock times = {.warm_up = BENCH_WARM_UP_STEPS};
    bench_timing timing = {0};
    char what[128];
    pm_status status = PM_OK;
    pm_sample_options o = pm_sample_defaults();
    const pm_model_info info = pm_model_info_of(model);
    o.count = o.batch = bench_args.batch ? bench_args.batch : 64;
    cli_resolve_sampling(model, &o);
    uint32_t recipe_steps = o.steps;
    o.steps = bench_args.steps < model->recipe.process.timesteps ? bench_args.steps
                                                                 : model->recipe.process.timesteps;
    o.progress = on_step;
    o.user = &times;
    uint8_t *pixels = calloc((size_t)o.count * info.height * info.width, info.channels);
    bool doubled = o.guidance != 1.0f && o.guidance != 0.0f;
    uint32_t rows = doubled ? 2 * o.count : o.count;
    if (!pixels) status = pm_fail(error, PM_NO_MEMORY, "bench: out of host memory");
    if (status == PM_OK) status = pm_model_sample(device, model, &o, pixels, NULL, error);
    if (status == PM_OK && times.count == 0)
        status = pm_fail(error, PM_FAILED, "stopped before anything was measured");
    if (status == PM_OK) bench_timing_from(&timing, times.seconds, times.count);
    if (status == PM_OK) status = count_flops(device, &model->recipe.unet, rows, &timing.flops, error);
    (void)snprintf(what, sizeof what, "sample %s, batch %" PRIu32 "%s", info.name, o.count,
                   doubled ? " with guidance" : "");
    if (status == PM_OK)
        status = report_step(what, device, &timing, "images", (double)o.count / recipe_steps, report, error);
    free(pixels);
    return status;
}

/* ---- Text ---------------------------------------------------------------------------------------------- */

/* One run, and so no spread: a row that no baseline is asked for. */
static void report_tokens(const char *what, uint32_t tokens, double seconds, bench_report *report)
{
    bench_figure figures[] = {
        {"tokens_per_second", "tokens/s", seconds > 0 ? tokens / seconds : 0, BENCH_NUMBER},
        {"tokens", "tokens", tokens, BENCH_NUMBER},
    };
    bench_report_row(report, "text", what, NULL, BENCH_FIGURES(figures));
}

/* Half the context as a prompt, and the rest of it drawn; the second of two runs, when pipelines are made.
 * The text is the model's own. */
static pm_status time_text(pm_device *device, const pm_model *model, pm_text_options *o, pm_texts *texts,
                           pm_error *error)
{
    pm_texts warm = {0};
    pm_status status = pm_model_generate(device, model, o, &warm, error);
    if (status == PM_OK && o->n_stop == 0) {
        char *prompt = warm.texts[0];
        pm_text_options second = *o;
        if (strcmp(pm_model_info_of(model).kind, "text-autoregressive") == 0) second.prompt = prompt;
        pm_texts ignored = {0};
        status = pm_model_generate(device, model, &second, &ignored, error);
        pm_texts_free(&ignored);
        if (status == PM_OK) status = pm_model_generate(device, model, &second, texts, error);
    }
    pm_texts_free(&warm);
    return status;
}

static pm_status bench_causal(pm_device *device, const pm_model *model, bench_report *report, pm_error *error)
{
    const pm_model_info info = pm_model_info_of(model);
    pm_texts texts = {0};
    char what[128];
    pm_text_options o = pm_text_defaults();
    o.precision = cli_precision();
    o.count = bench_args.batch ? bench_args.batch : 1;
    o.length = info.context / 2 > 1 ? info.context / 2 - 1 : 1;
    pm_device *other;
    pm_status status = bench_text_device_open(device, info.parameters, o.count, &other, error);
    if (status == PM_OK) status = time_text(other, model, &o, &texts, error);
    bench_text_device_close(device, other);
    if (status == PM_OK) {
        (void)snprintf(what, sizeof what, "sample %s, prompt, batch %u", info.name, o.count);
        report_tokens(what, texts.prompt_tokens, texts.prompt_seconds, report);
        (void)snprintf(what, sizeof what, "sample %s, decode, batch %u", info.name, o.count);
        report_tokens(what, texts.tokens, texts.seconds, report);
    }
    pm_texts_free(&texts);
    return status;
}

/* With few steps and with many: what a pass costs is the same, how many tokens it reveals is not. */
static pm_status bench_masked(pm_device *device, const pm_model *model, bench_report *report, pm_error *error)
{
    static const uint32_t tokens_a_step[] = {1, 4, 16};
    const pm_model_info info = pm_model_info_of(model);
    pm_status status = PM_OK;
    char what[128];
    for (uint32_t i = 0; status == PM_OK && i < 3; i++) {
        pm_texts texts = {0};
        pm_text_options o = pm_text_defaults();
        o.precision = cli_precision();
        o.count = bench_args.batch ? bench_args.batch : 1;
        o.steps = (info.context + tokens_a_step[i] - 1) / tokens_a_step[i];
        status = time_text(device, model, &o, &texts, error);
        (void)snprintf(what, sizeof what, "sample %s, batch %u, %u passes, %.3g tokens a pass", info.name,
                       o.count, texts.passes, texts.passes ? (double)texts.tokens / texts.passes : 0.0);
        if (status == PM_OK) report_tokens(what, texts.tokens, texts.seconds, report);
        pm_texts_free(&texts);
    }
    return status;
}

pm_status bench_run_sample(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                           pm_error *error)
{
    pm_model *model = NULL;
    (void)count;
    pm_status status = cli_open_model(words[1], &model, error);
    if (status != PM_OK) return status;
    switch (model->recipe.kind) {
    case PM_KIND_TEXT_AUTOREGRESSIVE:
        status = bench_causal(device, model, report, error);
        break;
    case PM_KIND_TEXT_MASKED:
        status = bench_masked(device, model, report, error);
        break;
    default:
        status = run_sample_pictures(model, device, report, error);
    }
    pm_model_close(model);
    return status;
}
