/* One run of a plan, node by node; see trace.h. */
#include "plan/trace.h"

bool pm_plan_holds(const pm_plan *plan, pm_tensor tensor)
{
    uint32_t root = pm_info(plan->graph, tensor)->base;
    return pm_is(tensor) && root < plan->n_tensors && plan->placements[root].used;
}

static uint32_t node_of(const pm_plan *plan, uint32_t grain)
{
    return plan->dispatches[plan->pieces[plan->grains[grain].first].dispatch].node;
}

pm_status pm_trace_run(pm_plan *plan, bool *done, pm_error *error)
{
    const pm_trace *trace = plan->device->trace;
    *done = false;
    if (!plan->traced || !trace) return PM_OK;
    pm_status status = pm_plan_wait(plan, error);
    if (status == PM_OK) status = trace->begin(trace->user, plan, done, error);
    if (!*done) return status;
    for (uint32_t i = 0; status == PM_OK && i < plan->n_grains; i++) {
        uint32_t node = node_of(plan, i);
        status = pm_queue_submit(plan->device, 1, plan->grains[i].commands, &plan->last_value, error);
        if (status == PM_OK) status = pm_queue_wait(plan->device, plan->last_value, error);
        bool last = i + 1 == plan->n_grains || node_of(plan, i + 1) != node;
        if (status == PM_OK && last) status = trace->node(trace->user, plan, node, error);
    }
    return status;
}
