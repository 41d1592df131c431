/* The loss of a training step in precisions fast and rounded, scaled so that gradients survive f16
 * (pm_loss_scale), and the scale in checkpoints. */
#ifndef PM_TRAINING_SCALED_LOSS_H
#define PM_TRAINING_SCALED_LOSS_H

#include "pumice.h"

/* The tensor of a checkpoint that holds a scale, and its elements: scale, good steps since it changed, steps
 * that were skipped. */
#define PM_SCALED_LOSS_TENSOR "loss_scale"
enum { PM_SCALED_LOSS_VALUES = 3 };

/* The gradient of the loss, as pm_backward's, by way of the scaled loss. */
pm_tensor pm_scaled_backward(pm_graph *graph, pm_tensor loss, pm_loss_scale_state *out);

/* Where a run begins. */
void pm_scaled_loss_first(float values[PM_SCALED_LOSS_VALUES]);

/* To and from a plan. A scale that is no power of two from 1 to 2^40 is PM_BAD_FILE. */
pm_status pm_scaled_loss_write(pm_plan *plan, const pm_loss_scale_state *state,
                               const float values[PM_SCALED_LOSS_VALUES], pm_error *error);
pm_status pm_scaled_loss_read(pm_plan *plan, const pm_loss_scale_state *state,
                              float values[PM_SCALED_LOSS_VALUES], pm_error *error);

#endif
