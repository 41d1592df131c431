/* Watching what a device computes, node by node: for finding the first operator that departs from what is
 * expected, or that makes a NaN.
 *
 * A plan that is made while its device has a trace submits each node by itself, and keeps everything that a
 * node writes until the node is done, so that it can be read then (pm_plan_read); it computes the same bits,
 * in other memory. Whoever sets device->trace keeps it until the device's plans are destroyed. */
#ifndef PM_PLAN_TRACE_H
#define PM_PLAN_TRACE_H

#include "plan/plan.h"

typedef struct pm_trace {
    /* Before each run of a plan; *watch false: this run goes unwatched. A failure ends the run with it. */
    pm_status (*begin)(void *user, pm_plan *plan, bool *watch, pm_error *error);
    /* After a node that has dispatches. A failure ends the run with it. */
    pm_status (*node)(void *user, pm_plan *plan, uint32_t node, pm_error *error);
    void *user;
} pm_trace;

/* Whether the plan has memory for the tensor: outputs that nothing uses may have none. */
bool pm_plan_holds(const pm_plan *plan, pm_tensor tensor);

/* For run.c: one run, as the device's trace wants it; *done says that it has happened here. */
pm_status pm_trace_run(pm_plan *plan, bool *done, pm_error *error);

#endif
