/* `pumice bench memory`: what training needs of the device's memory, from plans that are not made. */
#include "bench.h"
#include "source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The sizes of the data that the built-in recipes name: memory depends on nothing else, so that it need not
 * be here. */
static const pm_dataset fashion_mnist = {
    .count = 60000, .height = 28, .width = 28, .channels = 1, .classes = 10};
enum { KJV_TOKENS = 3930930, KJV_CHARACTERS = 63, BYTES = 256 };

static bool is(const char *text, const char *wanted)
{
    return strcmp(text, wanted) == 0;
}

/* False where the data is none of these, or not all of it. */
static bool fit_to_known(pm_recipe *recipe, pm_training_data *data, pm_status *status, pm_error *error)
{
    const pm_dataset *p = &fashion_mnist;
    bool pictures = is(recipe->data.source, "fashion-mnist") && recipe->data.size == 0;
    bool bytes = is(recipe->data.tokenizer, "bytes"), letters = is(recipe->data.tokenizer, "characters");
    bool text = is(recipe->data.source, "kjv") && recipe->data.split_seed == 0 &&
                recipe->data.validation == 0.05f && (bytes || letters);
    if (pictures) {
        data->pictures = p;
        *status = pm_recipe_fit(recipe, p->height, p->width, p->channels, p->classes, NULL, error);
    } else if (text) {
        data->n_tokens = KJV_TOKENS;
        *status = pm_recipe_fit_text(recipe, bytes ? BYTES : KJV_CHARACTERS, error);
    }
    return pictures || text;
}

static pm_status find_needs(pm_device *device, pm_recipe *recipe, pm_plan_stats *out, pm_error *error)
{
    cli_source source = {0};
    pm_training_data data = {0};
    pm_status status = PM_OK;
    pm_plan_options options = {.precision = cli_precision()};
    if (fit_to_known(recipe, &data, &status, error))
        return status == PM_OK ? pm_trainer_needs(device, recipe, &data, &options, out, error) : status;
    status = cli_source_open(recipe, &source, error);
    if (status == PM_OK) status = cli_trainer_needs(device, recipe, &source, out, error);
    cli_source_close(&source);
    return status;
}

static void memory_row(bench_report *report, const pm_recipe *recipe, const pm_plan_stats *needs)
{
    char name[120];
    double activations = (double)needs->activation_bytes;
    bench_figure figures[] = {
        {"bytes", "MiB in all", (double)needs->persistent_bytes + activations, BENCH_MEMORY},
        {"persistent_bytes", "MiB of parameters, states and data", (double)needs->persistent_bytes,
         BENCH_MEMORY},
        {"activation_bytes", "MiB of activations", activations, BENCH_MEMORY},
        {"unshared_bytes", "MiB of those without reuse", (double)needs->unshared_bytes, BENCH_MEMORY},
    };
    (void)snprintf(name, sizeof name, "memory of %s, batch %" PRIu32, recipe->name, recipe->training.batch);
    bench_report_row(report, "memory of a training step", name, NULL, BENCH_FIGURES(figures));
}

static pm_status recipe_row(pm_device *device, const char *name, const char *data, bench_report *report,
                            pm_error *error)
{
    pm_recipe recipe;
    pm_plan_stats needs;
    pm_status status = bench_load_recipe(name, data, &recipe, error);
    if (status == PM_OK) status = find_needs(device, &recipe, &needs, error);
    if (status == PM_OK) memory_row(report, &recipe, &needs);
    return status;
}

pm_status bench_memory_rows(pm_device *device, const char *recipe, bench_report *report, pm_error *error)
{
    pm_status status = PM_OK;
    if (recipe) return recipe_row(device, recipe, bench_args.data, report, error);
    for (const char *const *name = pm_recipe_names(); status == PM_OK && *name && !cli_stopped(); name++)
        status = recipe_row(device, *name, NULL, report, error);
    return status;
}

pm_status bench_run_memory(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                           pm_error *error)
{
    return bench_memory_rows(device, count > 1 ? words[1] : NULL, report, error);
}
