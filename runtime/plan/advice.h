/* What to say when a plan does not fit: which smaller settings would, found by planning with them. */
#ifndef PM_PLAN_ADVICE_H
#define PM_PLAN_ADVICE_H

#include "pumice.h"

/* A setting that makes a plan smaller when it is halved. */
typedef struct pm_alternative {
    const char *name;      /* as a user gives it */
    uint32_t value, least; /* as it is, and the smallest worth trying */
} pm_alternative;

/* A new graph with alternative `index` at `value` and everything else as it is, or NULL when there is none
 * such. The caller destroys it. */
typedef pm_graph *(*pm_rebuild)(void *user, uint32_t index, uint32_t value);

/* After a plan failed with PM_NO_MEMORY: makes the message end with the settings that would fit. Does nothing
 * to other failures. Returns `status`. */
pm_status pm_plan_advise(pm_status status, pm_device *device, const pm_plan_options *options,
                         const pm_alternative *alternatives, uint32_t count, pm_rebuild rebuild, void *user,
                         pm_error *error);

/* pm_plan_create of a graph that has `batch` samples at a time; where that is too much the message says what
 * would fit. `rebuild` makes the graph for another batch. */
pm_status pm_plan_create_batch(pm_device *device, pm_graph *graph, const pm_plan_options *options,
                               uint32_t batch, pm_rebuild rebuild, void *user, pm_plan **out,
                               pm_error *error);

#endif
