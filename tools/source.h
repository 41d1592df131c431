/* What a recipe is trained on: its pictures or its text. */
#ifndef PM_TOOLS_SOURCE_H
#define PM_TOOLS_SOURCE_H

#include "cli.h"
#include "training/trainer.h"

typedef struct cli_source {
    pm_dataset *pictures; /* the training part; NULL for a text */
    pm_corpus corpus;
} cli_source;

/* Opens what recipe->data names, and fits the recipe to it. The caller closes it, also after a failure. */
pm_status cli_source_open(pm_recipe *recipe, cli_source *out, pm_error *error);
void cli_source_close(cli_source *source);

/* "60000 pictures of 28x28, ..." in `buffer`. */
const char *cli_source_text(const cli_source *source, const pm_recipe *recipe, char *buffer, size_t size);

/* pm_trainer_create on it. */
pm_status cli_create_trainer(pm_device *device, const pm_recipe *recipe, const cli_source *source,
                             const pm_plan_options *options, pm_trainer **out, pm_error *error);

/* pm_trainer_needs on it. */
pm_status cli_trainer_needs(pm_device *device, const pm_recipe *recipe, const cli_source *source,
                            pm_plan_stats *out, pm_error *error);

/* With training.recompute: says what that saves and costs. */
pm_status cli_say_recompute(pm_device *device, const pm_recipe *recipe, const cli_source *source,
                            pm_trainer *trainer, pm_error *error);

/* What a training step goes through: "images" or "tokens", and how many. */
const char *cli_unit(const pm_recipe *recipe);
uint32_t cli_units_of_step(const pm_recipe *recipe);

#endif
