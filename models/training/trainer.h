/* Training: the whole step (batch, corrupt, network, loss, gradients, clip, AdamW, EMA) as one plan, its
 * checkpoints, and the data on the device. */
#ifndef PM_TRAINING_TRAINER_H
#define PM_TRAINING_TRAINER_H

#include "data/dataset.h"
#include "recipes/recipe.h"

typedef struct pm_trainer pm_trainer;

/* What is trained on: pictures, or the tokens of a text. */
typedef struct pm_training_data {
    const pm_dataset *pictures;
    const uint32_t *tokens; /* [n_tokens], each below the recipe's transformer.vocabulary */
    uint32_t n_tokens;
    const char *tokenizer; /* its JSON, which goes into the model's file */
} pm_training_data;

/* Copies the data to the device and plans the step. `recipe` must have been fitted to the data
 * (pm_recipe_fit, pm_recipe_fit_text). Parameters start from recipe->training.seed. The device must outlive
 * the trainer. */
pm_status pm_trainer_create(pm_device *device, const pm_recipe *recipe, const pm_training_data *data,
                            const pm_plan_options *options, pm_trainer **out, pm_error *error);
void pm_trainer_destroy(pm_trainer *trainer);

/* What a step of such a trainer would need, without one and without allocating anything on the device. Of the
 * data only its sizes are looked at. */
pm_status pm_trainer_needs(pm_device *device, const pm_recipe *recipe, const pm_training_data *data,
                           const pm_plan_options *options, pm_plan_stats *out, pm_error *error);

/* Runs `steps` steps. */
pm_status pm_trainer_run(pm_trainer *trainer, uint32_t steps, pm_error *error);

/* Number of steps done, and the loss and the gradient norm of the last one (waits for the device). */
uint64_t pm_trainer_step(const pm_trainer *trainer);
pm_status pm_trainer_loss(pm_trainer *trainer, float *loss, float *grad_norm, pm_error *error);

/* Writes a checkpoint: weights, their average, both moments, step, seed and recipe, in
 * precisions fast and rounded the scale of the loss, as safetensors, beside
 * the target and then renamed. A run that is resumed from it continues bit for bit. */
pm_status pm_trainer_save(pm_trainer *trainer, const char *path, pm_error *error);

/* Takes over the state of a checkpoint of the same network, seed and batch; PM_BAD_FILE when something does
 * not fit. */
pm_status pm_trainer_resume(pm_trainer *trainer, const char *path, pm_error *error);

/* Writes only what sampling needs (the average where there is one, else the weights) and the recipe. */
pm_status pm_trainer_export(pm_trainer *trainer, const char *path, pm_error *error);

pm_plan *pm_trainer_plan(pm_trainer *trainer);

#endif
