/* Judging models: a classifier's accuracy, and the Frechet distance between two sets of pictures on its
 * features. */
#ifndef PM_TRAINING_EVALUATE_H
#define PM_TRAINING_EVALUATE_H

#include "pumice_models.h"

/* Runs a classifier over pictures [count][H][W][C]: predictions u32 [count] (or NULL) and features f32
 * [count][features] (or NULL), which the caller frees; *n_features (or NULL) receives the width. What a
 * picture gets does not depend on the others. Fails with PM_BAD_USAGE when the model is no classifier or
 * count is 0, PM_FAILED when a result is not finite, and as plans do. */
pm_status pm_classify(pm_device *device, const pm_model *classifier, const uint8_t *pixels, uint32_t count,
                      uint32_t *predictions, float **features, uint32_t *n_features, pm_error *error);

#define PM_FRECHET_MAX_WIDTH 1024u

/* Frechet distance (1706.08500 eq. 6) between Gaussians fitted to two feature sets [n][width], in double;
 * time grows with width^3, under a second for 256. A set may have fewer rows than features, but the result
 * then says little. Fails with PM_BAD_USAGE for a set of less than 2 rows or a width out of 1 ..
 * PM_FRECHET_MAX_WIDTH, PM_FAILED for features that are not finite, PM_NO_MEMORY. */
pm_status pm_frechet_distance(const float *a, uint32_t n_a, const float *b, uint32_t n_b, uint32_t width,
                              double *out, pm_error *error);

#endif
