/* Looks for the first operator that makes a NaN or an infinity out of finite numbers. */
#ifndef PM_TOOLS_FINITE_H
#define PM_TOOLS_FINITE_H

#include "pumice_models.h"
#include "training/trainer.h"

typedef struct finite_result {
    char found[900]; /* the first one, in words; "" when everything is finite */
    uint32_t nodes, runs;
    uint64_t numbers; /* looked at */
} finite_result;

/* A training step, node by node: from the recipe's initial weights, or from a model's (`model` may be NULL).
 * Fails only when the step could not be run. */
pm_status finite_training(pm_device *device, const pm_recipe *recipe, const pm_training_data *data,
                          const pm_model *model, pm_precision precision, finite_result *out, pm_error *error);

/* The forward passes of drawing from a model: pictures or text, a few steps. Not for classifiers. */
pm_status finite_sampling(pm_device *device, const pm_model *model, pm_precision precision,
                          finite_result *out, pm_error *error);

#endif
