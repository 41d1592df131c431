/* Judging models: a classifier's accuracy, and the Frechet distance between two sets of pictures on its features. */
#ifndef PM_TRAINING_EVALUATE_H
#define PM_TRAINING_EVALUATE_H

#include "pumice_models.h"

/* Runs a classifier over pictures [count][H][W][C]: predictions u32 [count] (or NULL) and features f32 [count][features] (or NULL);
 * *n_features receives the width. */
pm_status pm_classify(pm_device *device, const pm_model *classifier, const uint8_t *pixels, uint32_t count,
                      uint32_t *predictions, float **features, uint32_t *n_features, pm_error *error);

/* Frechet distance (1706.08500 eq. 6) between Gaussians fitted to two feature sets [n][width], in double. */
pm_status pm_frechet_distance(const float *a, uint32_t n_a, const float *b, uint32_t n_b, uint32_t width, double *out,
                              pm_error *error);

#endif
