/* The loss of each kind of model, on batches that the device draws from the data: the part of a training step
 * that a recipe's kind decides. */
#ifndef PM_TRAINING_LOSSES_H
#define PM_TRAINING_LOSSES_H

#include "data/dataset.h"
#include "recipes/recipe.h"

/* The states that the data is written into; those of the other kind stay PM_NONE. */
typedef struct pm_batch_source {
    pm_tensor pixels, labels; /* of pictures */
    pm_tensor tokens;         /* of a text */
} pm_batch_source;

/* [1]. Of a Gaussian process: noise x0 to a random timestep, predict the target, mean squared error. Of a
 * classifier: cross-entropy. `data` gives sizes alone. */
pm_tensor pm_picture_loss(pm_graph *graph, const pm_recipe *recipe, const pm_dataset *data, pm_tensor counter,
                          pm_batch_source *source, pm_error *error);

/* [1], nats a token, on windows of transformer.context tokens of a text that has n_tokens. */
pm_tensor pm_text_loss(pm_graph *graph, const pm_recipe *recipe, uint32_t n_tokens, pm_tensor counter,
                       pm_batch_source *source);

#endif
