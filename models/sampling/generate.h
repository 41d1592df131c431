/* What drawing text of either kind shares; pm_model_generate picks the kind. */
#ifndef PM_SAMPLING_GENERATE_H
#define PM_SAMPLING_GENERATE_H

#include "recipes/recipe_fields.h"
#include "sampling/model.h"

/* Options with every "the recipe's" filled in, and the result that grows. */
typedef struct pm_generation {
    pm_device *device;
    const pm_model *model;
    pm_text_options options;
    pm_draw_args draw;
    pm_texts *out;
} pm_generation;

/* Appends bytes to text i. */
pm_status pm_generation_append(pm_generation *g, uint32_t i, const void *bytes, size_t count,
                               pm_error *error);

/* pm_ar_options.load and the like: writes the model's weights into a plan. `user` begins with a
 * pm_generation. */
pm_status pm_generation_load(void *user, pm_plan *plan, const pm_graph *graph, pm_error *error);

pm_status pm_generate_autoregressive(pm_generation *g, pm_error *error);
pm_status pm_generate_masked(pm_generation *g, pm_error *error);

#endif
