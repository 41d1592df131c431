/* Live nodes to dispatches. A node is live when it updates a state, writes into one, makes an output, or
 * feeds a live node. */
#include "plan/plan.h"

#include "base/status.h"

#include <stdlib.h>

static bool wanted_root(const pm_graph *graph, pm_tensor tensor)
{
    const pm_tensor_info *root = &graph->tensors[graph->tensors[tensor.id].base];
    return root->is_output || root->kind == PM_KIND_STATE;
}

static void mark_live(const pm_graph *graph, bool *live, bool *needed)
{
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        const pm_node *node = &graph->nodes[n];
        live[n] = node->op->updates != 0;
        for (uint32_t i = 0; i < node->n_out; i++) {
            live[n] |= wanted_root(graph, node->out[i]) || needed[graph->tensors[node->out[i].id].base];
        }
        for (uint32_t i = 0; live[n] && i < node->n_in; i++)
            needed[graph->tensors[node->in[i].id].base] = true;
    }
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Texel buffers count only where they reach at least as far as storage buffers: what serves an operand must
 * not depend on how others of the dispatch are bound. */
static void find_ranges(const pm_plan *plan, pm_lowering *lowering)
{
    const pm_device_facts *facts = &plan->device->facts;
    uint64_t pretended = plan->device->limits.storage_range;
    uint64_t storage = facts->max_storage_range, texels = facts->max_texel_elements * 4;
    bool use_texels = pm_on(&plan->device->rules, PM_TEXEL_INPUTS) && texels > storage + PM_VIEW_SLACK;
    if (pretended == 0) pretended = UINT64_MAX;
    uint64_t input = use_texels ? texels - PM_VIEW_SLACK : storage;
    lowering->storage_range = least_of(storage, pretended) / PM_BIND_ALIGN * PM_BIND_ALIGN;
    lowering->input_range = least_of(input, pretended) / PM_BIND_ALIGN * PM_BIND_ALIGN;
    lowering->input4_range =
        least_of(use_texels ? 4 * input : input, pretended) / PM_BIND_ALIGN * PM_BIND_ALIGN;
}

pm_status pm_plan_lower(pm_plan *plan, pm_error *error)
{
    pm_graph *graph = plan->graph;
    pm_lowering lowering = {.graph = graph, .rules = &plan->device->rules};
    find_ranges(plan, &lowering);
    bool *live = calloc(graph->n_nodes + 1u, 1), *needed = calloc(graph->n_tensors, 1);
    if (live && needed) {
        mark_live(graph, live, needed);
        for (uint32_t n = 0; n < graph->n_nodes; n++) {
            if (!live[n]) continue;
            const pm_node node = graph->nodes[n];
            lowering.node = n;
            node.op->lower(&lowering, &node);
            plan->stats.nodes++;
        }
    } else {
        lowering.failed = true;
    }
    free(live);
    free(needed);
    plan->dispatches = lowering.dispatches;
    plan->n_dispatches = lowering.count;
    plan->n_tensors = graph->n_tensors;
    plan->stats.dispatches = lowering.count;
    for (uint32_t i = 0; i < lowering.count; i++) plan->stats.flops += lowering.dispatches[i].flops;
    if (lowering.failed) return pm_fail(error, PM_NO_MEMORY, "plan: out of host memory");
    pm_status status = pm_graph_status(graph, error); /* a dispatch rule may have failed it */
    if (status != PM_OK) return status;
    plan->parts = calloc(plan->n_dispatches + 1u, sizeof *plan->parts);
    plan->costs = calloc(plan->n_dispatches + 1u, sizeof *plan->costs);
    if (!plan->parts || !plan->costs) return pm_fail(error, PM_NO_MEMORY, "plan: out of host memory");
    for (uint32_t i = 0; i < plan->n_dispatches; i++) plan->parts[i] = 1;
    return PM_OK;
}
