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

/* ---- Nodes that are one dispatch ----------------------------------------------------------------------- */

/* Live nodes behind one among which others are looked for that it can be computed with. */
#define LOOK_AHEAD 16u

/* Whether `node` writes anything that `other` uses. */
static bool disturbs(const pm_graph *graph, const pm_node *node, const pm_node *other)
{
    pm_tensor writes[PM_MAX_WRITES];
    uint32_t count = pm_node_writes(node, writes);
    for (uint32_t w = 0; w < count; w++) {
        uint32_t base = pm_info(graph, writes[w])->base;
        for (uint32_t i = 0; i < other->n_in; i++) {
            if (pm_is(other->in[i]) && pm_info(graph, other->in[i])->base == base) return true;
        }
        for (uint32_t i = 0; i < other->n_out; i++) {
            if (pm_info(graph, other->out[i])->base == base) return true;
        }
    }
    return false;
}

/* Whether what node `at` does may be done where node `first` is: nothing in between that is still to be done
 * makes or changes what it needs, or uses what it writes. */
static bool may_move(const pm_graph *graph, const bool *live, uint32_t first, uint32_t at)
{
    const pm_node *node = &graph->nodes[at];
    for (uint32_t n = first; n < at; n++) {
        if (!live[n]) continue;
        if (disturbs(graph, &graph->nodes[n], node) || disturbs(graph, node, &graph->nodes[n])) return false;
    }
    return true;
}

/* Lowers node n with others behind it, which are then not live any more; returns how many there were. */
static uint32_t lower_with_others(pm_lowering *lowering, bool *live, uint32_t n)
{
    const pm_graph *graph = lowering->graph;
    const pm_node *nodes[PM_MAX_JOINED] = {&graph->nodes[n]};
    uint32_t at[PM_MAX_JOINED], count = 1, ahead = 0;
    const pm_op *op = nodes[0]->op;
    if (!op->joins) return 0;
    for (uint32_t i = n + 1; i < graph->n_nodes && ahead < LOOK_AHEAD && count < PM_MAX_JOINED; i++) {
        const pm_node *other = &graph->nodes[i];
        if (!live[i]) continue;
        ahead++;
        if (other->op != op || !op->joins(lowering, nodes[0], other) || !may_move(graph, live, n, i))
            continue;
        at[count] = i;
        nodes[count++] = other;
    }
    if (count == 1 || !op->lower_joined(lowering, nodes, count)) return 0;
    for (uint32_t i = 1; i < count; i++) live[at[i]] = false;
    return count - 1;
}

pm_status pm_plan_lower(pm_plan *plan, pm_error *error)
{
    pm_graph *graph = plan->graph;
    pm_rules rules = plan->device->rules;
    if (plan->options.precision != PM_FAST) rules.on &= ~PM_BIT(PM_MATRIX_UNITS);
    pm_lowering lowering = {.graph = graph, .rules = &rules};
    find_ranges(plan, &lowering);
    bool *live = calloc(graph->n_nodes + 1u, 1), *needed = calloc(graph->n_tensors, 1);
    if (live && needed) {
        mark_live(graph, live, needed);
        for (uint32_t n = 0; n < graph->n_nodes; n++) {
            if (!live[n]) continue;
            const pm_node node = graph->nodes[n];
            lowering.node = n;
            uint32_t others = plan->traced ? 0 : lower_with_others(&lowering, live, n);
            plan->stats.nodes += 1 + others;
            if (others == 0) node.op->lower(&lowering, &node);
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
