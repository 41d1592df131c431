/* What a recipe is trained on; see source.h. */
#include "source.h"

#include <inttypes.h>
#include <stdio.h>

pm_status cli_source_open(pm_recipe *recipe, cli_source *out, pm_error *error)
{
    *out = (cli_source){0};
    if (pm_kind_is_text(recipe->kind)) return cli_open_text(recipe, &out->corpus, error);
    pm_status status = cli_open_data(recipe, NULL, PM_SPLIT_TRAIN, &out->pictures, error);
    if (status != PM_OK) return status;
    const pm_dataset *data = out->pictures;
    return pm_recipe_fit(recipe, data->height, data->width, data->channels, data->classes,
                         (const char *const *)data->class_names, error);
}

void cli_source_close(cli_source *source)
{
    pm_dataset_close(source->pictures);
    pm_corpus_close(&source->corpus);
}

const char *cli_source_text(const cli_source *source, const pm_recipe *recipe, char *buffer, size_t size)
{
    const pm_dataset *data = source->pictures;
    if (data) {
        (void)snprintf(buffer, size,
                       "%" PRIu32 " pictures of %" PRIu32 "x%" PRIu32 ", %" PRIu32 " classes, batch %" PRIu32,
                       data->count, data->width, data->height, data->classes, recipe->training.batch);
    } else {
        (void)snprintf(buffer, size, "%" PRIu32 " tokens of %" PRIu32 " kinds, batch %" PRIu32 " of %" PRIu32,
                       source->corpus.n_train, recipe->transformer.vocabulary, recipe->training.batch,
                       recipe->transformer.context);
    }
    return buffer;
}

static pm_training_data data_of(const cli_source *source)
{
    return (pm_training_data){.pictures = source->pictures,
                              .tokens = source->corpus.train,
                              .n_tokens = source->corpus.n_train,
                              .tokenizer = source->corpus.tokenizer_json};
}

pm_status cli_trainer_needs(pm_device *device, const pm_recipe *recipe, const cli_source *source,
                            pm_plan_stats *out, pm_error *error)
{
    pm_training_data data = data_of(source);
    pm_plan_options options = {.precision = cli_precision()};
    return pm_trainer_needs(device, recipe, &data, &options, out, error);
}

pm_status cli_say_recompute(pm_device *device, const pm_recipe *recipe, const cli_source *source,
                            pm_trainer *trainer, pm_error *error)
{
    pm_recipe keeping = *recipe;
    pm_plan_stats kept, again = pm_plan_stats_of(pm_trainer_plan(trainer));
    char few[32], many[32];
    keeping.training.recompute = false;
    if (!recipe->training.recompute) return PM_OK;
    pm_status status = cli_trainer_needs(device, &keeping, source, &kept, error);
    if (status == PM_OK) {
        cli_say("recompute: activations take %s instead of %s, a step %.2f times the operations",
                cli_size(again.activation_bytes, few, sizeof few),
                cli_size(kept.activation_bytes, many, sizeof many), again.flops / kept.flops);
    }
    return status;
}

pm_status cli_create_trainer(pm_device *device, const pm_recipe *recipe, const cli_source *source,
                             const pm_plan_options *options, pm_trainer **out, pm_error *error)
{
    pm_training_data data = data_of(source);
    return pm_trainer_create(device, recipe, &data, options, out, error);
}

const char *cli_unit(const pm_recipe *recipe)
{
    return pm_kind_is_text(recipe->kind) ? "tokens" : "images";
}

uint32_t cli_units_of_step(const pm_recipe *recipe)
{
    uint32_t batch = recipe->training.batch;
    return pm_kind_is_text(recipe->kind) ? batch * recipe->transformer.context : batch;
}
