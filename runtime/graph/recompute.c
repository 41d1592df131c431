/* See recompute.h. */
#include "graph/recompute.h"

#include "ops/op.h"

#include <stdlib.h>

bool pm_recompute_begin(pm_graph *graph, pm_recomputation *out)
{
    *out = (pm_recomputation){.graph = graph, .n_nodes = graph->n_nodes, .n_tensors = graph->n_tensors};
    if (!graph->recompute) return true;
    out->again = calloc(graph->n_tensors, sizeof *out->again);
    return out->again != NULL;
}

void pm_recompute_end(pm_recomputation *r)
{
    free(r->again);
    r->again = NULL;
}

/* What stands for a tensor: itself, its copy, or the same view of its root's copy. */
static pm_tensor standing_for(pm_recomputation *r, pm_tensor tensor)
{
    if (!pm_is(tensor) || tensor.id >= r->n_tensors) return tensor;
    const pm_tensor_info *info = pm_info(r->graph, tensor);
    if (r->again[tensor.id] == 0 && info->base != tensor.id && r->again[info->base]) {
        pm_tensor root = {r->again[info->base]};
        r->again[tensor.id] = pm_view(r->graph, root, info->offset, info->shape).id;
    }
    return r->again[tensor.id] ? (pm_tensor){r->again[tensor.id]} : tensor;
}

pm_node pm_recompute_node(pm_recomputation *r, const pm_node *node)
{
    pm_node seen = *node;
    if (!r->again) return seen;
    for (uint32_t i = 0; i < seen.n_in; i++) seen.in[i] = standing_for(r, seen.in[i]);
    for (uint32_t i = 0; i < seen.n_out; i++) seen.out[i] = standing_for(r, seen.out[i]);
    return seen;
}

/* Whether the memory of a tensor is kept: it is no temporary, is read by the host, or is used by the forward
 * pass outside the nodes first .. end - 1. */
static bool is_kept(const pm_recomputation *r, uint32_t root, uint32_t first, uint32_t end)
{
    const pm_tensor_info *info = &r->graph->tensors[root];
    if (info->kind != PM_KIND_TEMP || info->is_output) return true;
    for (uint32_t n = 0; n < r->n_nodes; n++) {
        const pm_node *node = &r->graph->nodes[n];
        if (n >= first && n < end) continue;
        for (uint32_t i = 0; i < node->n_in; i++) {
            if (pm_is(node->in[i]) && pm_info(r->graph, node->in[i])->base == root) return true;
        }
    }
    return false;
}

/* Emits node n of a segment again, and notes the copies of what is not kept. What changes a state is left as
 * it is. */
static void emit_again(pm_recomputation *r, uint32_t n, uint32_t first, uint32_t end)
{
    const pm_node node = r->graph->nodes[n]; /* a copy: emitting moves the array */
    pm_tensor out[PM_MAX_OUTPUTS], in[PM_MAX_INPUTS];
    bool kept[PM_MAX_OUTPUTS], all = true;
    for (uint32_t i = 0; i < node.n_out; i++) {
        kept[i] = is_kept(r, pm_info(r->graph, node.out[i])->base, first, end);
        all &= kept[i];
    }
    if (all || node.op->updates) return;
    for (uint32_t i = 0; i < node.n_in; i++) in[i] = standing_for(r, node.in[i]);
    r->graph->origin = node.scope;
    (void)pm_emit(r->graph, node.op, in, node.n_in, node.attr, PM_ATTR_BYTES, out);
    r->graph->origin = NULL;
    for (uint32_t i = 0; i < node.n_out && pm_ok(r->graph); i++) {
        if (!kept[i]) r->again[node.out[i].id] = out[i].id;
    }
}

void pm_recompute_before(pm_recomputation *r, uint32_t n)
{
    const pm_graph *graph = r->graph;
    for (uint32_t i = 0; r->again && i + 1 < graph->n_boundaries; i++) {
        uint32_t first = graph->boundaries[i], end = graph->boundaries[i + 1];
        if (end != n + 1) continue;
        for (uint32_t m = first; m < end && pm_ok(graph); m++) emit_again(r, m, first, end);
    }
}
