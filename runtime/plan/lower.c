/* Live nodes to dispatches. A node is live when it updates a state, writes into one, makes an output, or
 * feeds a live node. `nodes` are those of the graph, some of which do the work of others (fuse.c). */
#include "plan/plan.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>

static bool wanted_root(const pm_graph *graph, pm_tensor tensor)
{
    const pm_tensor_info *root = &graph->tensors[graph->tensors[tensor.id].base];
    return root->is_output || root->kind == PM_KIND_STATE;
}

/* Of nodes that are live so far; returns how many are. */
static uint32_t mark_live(const pm_graph *graph, const pm_node *nodes, bool *live, bool *needed)
{
    uint32_t count = 0;
    memset(needed, 0, graph->n_tensors);
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        const pm_node *node = &nodes[n];
        if (!live[n]) continue;
        live[n] = node->op->updates != 0;
        for (uint32_t i = 0; i < node->n_out; i++) {
            live[n] |= wanted_root(graph, node->out[i]) || needed[graph->tensors[node->out[i].id].base];
        }
        for (uint32_t i = 0; live[n] && i < node->n_in; i++)
            needed[graph->tensors[node->in[i].id].base] = true;
        count += live[n];
    }
    return count;
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

bool pm_disturbs(const pm_graph *graph, const pm_node *node, const pm_node *other)
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
static bool may_move(const pm_graph *graph, const pm_node *nodes, const bool *live, uint32_t first,
                     uint32_t at)
{
    const pm_node *node = &nodes[at];
    for (uint32_t n = first; n < at; n++) {
        if (!live[n]) continue;
        if (pm_disturbs(graph, &nodes[n], node) || pm_disturbs(graph, node, &nodes[n])) return false;
    }
    return true;
}

/* Lowers node n with others behind it, which are then not live any more; returns how many there were. */
static uint32_t lower_with_others(pm_lowering *lowering, const pm_node *nodes, bool *live, uint32_t n)
{
    const pm_graph *graph = lowering->graph;
    const pm_node *joined[PM_MAX_JOINED] = {&nodes[n]};
    uint32_t at[PM_MAX_JOINED], count = 1, ahead = 0;
    const pm_op *op = nodes[n].op;
    if (!op->joins) return 0;
    for (uint32_t i = n + 1; i < graph->n_nodes && ahead < LOOK_AHEAD && count < PM_MAX_JOINED; i++) {
        const pm_node *other = &nodes[i];
        if (!live[i]) continue;
        ahead++;
        if (other->op != op || !op->joins(lowering, joined[0], other) || !may_move(graph, nodes, live, n, i))
            continue;
        at[count] = i;
        joined[count++] = other;
    }
    if (count == 1 || !op->lower_joined(lowering, joined, count)) return 0;
    for (uint32_t i = 1; i < count; i++) live[at[i]] = false;
    return count - 1;
}

/* What lowering goes through; all NULL when host memory ran out. */
typedef struct work {
    pm_node *nodes;
    bool *live, *needed;
    pm_absorbed *absorbed;
} work;

static void lower_nodes(pm_plan *plan, pm_lowering *lowering, const work *w)
{
    const pm_graph *graph = lowering->graph;
    plan->stats.nodes = mark_live(graph, w->nodes, w->live, w->needed);
    if (!plan->traced) {
        lowering->failed = !pm_plan_fuse(lowering, w->nodes, w->live, w->absorbed);
        (void)mark_live(graph, w->nodes, w->live, w->needed);
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        if (!w->live[n]) continue;
        lowering->node = n;
        lowering->absorbed = w->absorbed[n];
        if (plan->traced || lower_with_others(lowering, w->nodes, w->live, n) == 0)
            w->nodes[n].op->lower(lowering, &w->nodes[n]);
    }
}

pm_status pm_plan_lower(pm_plan *plan, pm_error *error)
{
    pm_graph *graph = plan->graph;
    pm_rules rules = plan->device->rules;
    if (plan->options.precision != PM_FAST) rules.on &= ~PM_BIT(PM_MATRIX_UNITS);
    rules.rounds = plan->options.precision == PM_ROUNDED;
    pm_lowering lowering = {.graph = graph, .rules = &rules};
    find_ranges(plan, &lowering);
    size_t count = graph->n_nodes;
    work w = {malloc((count + 1) * sizeof *w.nodes), malloc(count + 1), malloc(graph->n_tensors),
              calloc(count + 1, sizeof *w.absorbed)};
    if (w.nodes && w.live && w.needed && w.absorbed) {
        if (count) memcpy(w.nodes, graph->nodes, count * sizeof *w.nodes);
        memset(w.live, true, count + 1);
        lower_nodes(plan, &lowering, &w);
    } else {
        lowering.failed = true;
    }
    free(w.nodes);
    free(w.live);
    free(w.needed);
    free(w.absorbed);
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
