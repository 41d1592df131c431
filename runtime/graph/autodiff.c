/* Reverse-mode differentiation: walks the nodes backwards and asks each operator for the nodes of its
 * gradient.
 *
 * Gradients are kept per memory, not per handle: a reshape of x is x under another shape, and a parameter is
 * its range of the arena, so contributions that arrive at any of them add up in one place (`canonical`). */
#include "base/status.h"
#include "graph/graph.h"
#include "graph/recompute.h"
#include "ops/op.h"

#include <stdlib.h>
#include <string.h>

typedef struct autodiff {
    pm_graph *graph;
    uint32_t n_tensors; /* of the forward graph; what is emitted later is not differentiated again */
    uint32_t *canonical;
    bool *depends; /* by canonical id: some wanted tensor flows into it */
    pm_tensor *gradient;
    pm_recomputation recomputed;
} autodiff;

static uint32_t find_param_at(const pm_graph *graph, uint64_t offset)
{
    uint32_t low = 0, high = graph->n_params; /* creation order is offset order */
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        uint64_t at = graph->tensors[graph->params[middle]].offset;
        if (at == offset) return graph->params[middle];
        if (at < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return 0;
}

/* The one tensor that stands for everything that covers the same bytes. */
static uint32_t canonical_of(const pm_graph *graph, uint32_t id)
{
    const pm_tensor_info *info = &graph->tensors[id];
    if (info->base == id) return id;
    uint32_t count = pm_shape_count(info->shape);
    if (info->base == graph->arena) {
        uint32_t param = find_param_at(graph, info->offset);
        if (param && pm_shape_count(graph->tensors[param].shape) == count) return param;
    }
    bool whole = info->offset == 0 && pm_shape_count(graph->tensors[info->base].shape) == count;
    return whole ? info->base : id;
}

static void mark_dependence(autodiff *ad, const pm_tensor *wrt, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) ad->depends[ad->canonical[wrt[i].id]] = true;
    for (uint32_t n = 0; n < ad->graph->n_nodes; n++) {
        const pm_node *node = &ad->graph->nodes[n];
        bool any = false;
        for (uint32_t i = 0; i < node->n_in; i++) any |= ad->depends[ad->canonical[node->in[i].id]];
        for (uint32_t i = 0; any && i < node->n_out; i++) {
            bool differentiable = ad->graph->tensors[node->out[i].id].dtype == PM_DTYPE_F32;
            ad->depends[ad->canonical[node->out[i].id]] |= differentiable;
        }
    }
}

/* Adds a contribution to the gradient of what `to` stands for. */
static void accumulate(autodiff *ad, pm_tensor to, pm_tensor contribution)
{
    if (!pm_is(contribution) || !pm_ok(ad->graph)) return;
    uint32_t id = ad->canonical[to.id];
    pm_shape shape = pm_shape_of(ad->graph, (pm_tensor){id});
    if (!pm_shape_equal(pm_shape_of(ad->graph, contribution), shape)) {
        contribution = pm_reshape(ad->graph, contribution, shape);
    }
    ad->gradient[id] =
        pm_is(ad->gradient[id]) ? pm_add(ad->graph, ad->gradient[id], contribution) : contribution;
}

static void differentiate_node(autodiff *ad, uint32_t index)
{
    pm_graph *graph = ad->graph;
    const pm_node node = graph->nodes[index]; /* a copy: emitting moves the array */
    pm_tensor grad_out[PM_MAX_OUTPUTS] = {PM_NONE}, grad_in[PM_MAX_INPUTS] = {PM_NONE};
    bool wants[PM_MAX_INPUTS] = {false}, any_in = false, any_out = false;
    for (uint32_t i = 0; i < node.n_out; i++) {
        grad_out[i] = ad->gradient[ad->canonical[node.out[i].id]];
        any_out |= pm_is(grad_out[i]);
        if (pm_is(grad_out[i])) {
            grad_out[i] = pm_reshape(graph, grad_out[i], pm_shape_of(graph, node.out[i]));
        }
    }
    for (uint32_t i = 0; i < node.n_in; i++) {
        wants[i] = pm_is(node.in[i]) && ad->depends[ad->canonical[node.in[i].id]];
        any_in |= wants[i];
    }
    if (!any_in || !any_out) return;
    if (!node.op->backward) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: cannot be differentiated", node.op->name);
        return;
    }
    const pm_node seen = pm_recompute_node(&ad->recomputed, &node);
    graph->origin = node.scope;
    node.op->backward(graph, &seen, grad_out, wants, grad_in);
    for (uint32_t i = 0; i < node.n_in; i++) {
        if (wants[i]) accumulate(ad, node.in[i], grad_in[i]);
    }
    graph->origin = NULL;
}

static pm_tensor one(pm_graph *graph)
{
    static const float value = 1.0f;
    pm_tensor found = pm_find(graph, "autodiff.one");
    return pm_is(found) ? found : pm_constant(graph, "autodiff.one", PM_DTYPE_F32, PM_SHAPE(1), &value);
}

void pm_gradients(pm_graph *graph, pm_tensor loss, const pm_tensor *wrt, uint32_t count, pm_tensor *out)
{
    for (uint32_t i = 0; i < count; i++) out[i] = PM_NONE;
    if (!pm_ok(graph)) return;
    if (pm_count_of(graph, loss) != 1 || pm_dtype_of(graph, loss) != PM_DTYPE_F32) {
        pm_graph_fail(graph, PM_BAD_USAGE, "gradient: the loss must be one f32 element");
        return;
    }
    autodiff ad = {.graph = graph, .n_tensors = graph->n_tensors};
    uint32_t n_nodes = graph->n_nodes;
    ad.canonical = calloc(ad.n_tensors, sizeof *ad.canonical);
    ad.depends = calloc(ad.n_tensors, sizeof *ad.depends);
    ad.gradient = calloc(ad.n_tensors, sizeof *ad.gradient);
    if (ad.canonical && ad.depends && ad.gradient && pm_recompute_begin(graph, &ad.recomputed)) {
        for (uint32_t i = 1; i < ad.n_tensors; i++) ad.canonical[i] = canonical_of(graph, i);
        mark_dependence(&ad, wrt, count);
        pm_tensor seed = one(graph);
        ad.gradient[ad.canonical[loss.id]] = pm_reshape(graph, seed, pm_shape_of(graph, loss));
        for (uint32_t n = n_nodes; n-- > 0 && pm_ok(graph);) {
            pm_recompute_before(&ad.recomputed, n);
            differentiate_node(&ad, n);
        }
        for (uint32_t i = 0; i < count && pm_ok(graph); i++) {
            pm_tensor gradient = ad.gradient[ad.canonical[wrt[i].id]];
            if (pm_is(gradient)) out[i] = pm_reshape(graph, gradient, pm_shape_of(graph, wrt[i]));
        }
    } else {
        pm_graph_fail(graph, PM_NO_MEMORY, "gradient: out of host memory");
    }
    free(ad.canonical);
    free(ad.depends);
    free(ad.gradient);
    pm_recompute_end(&ad.recomputed);
}

/* Makes a tensor's root a range of `arena` instead of memory of its own; only a whole temporary that is
 * nowhere else can. */
static bool place_in_arena(pm_graph *graph, pm_tensor tensor, uint32_t arena, uint64_t offset)
{
    const pm_tensor_info *info = pm_info(graph, tensor);
    uint32_t root = info->base;
    const pm_tensor_info *root_info = &graph->tensors[root];
    if (root_info->kind != PM_KIND_TEMP || root_info->is_output || root_info->base != root ||
        info->offset != 0 || pm_shape_count(root_info->shape) != pm_shape_count(info->shape)) {
        return false;
    }
    for (uint32_t i = 1; i < graph->n_tensors; i++) {
        if (graph->tensors[i].base != root) continue;
        graph->tensors[i].base = arena;
        graph->tensors[i].offset += offset;
        graph->tensors[i].kind = PM_KIND_STATE;
    }
    return true;
}

pm_tensor pm_backward(pm_graph *graph, pm_tensor loss)
{
    pm_tensor params = pm_param_arena(graph);
    if (!pm_ok(graph)) return PM_NONE;
    uint32_t count = graph->n_params;
    pm_tensor *wrt = calloc(count, sizeof *wrt), *gradient = calloc(count, sizeof *gradient);
    pm_tensor arena = PM_NONE;
    if (wrt && gradient) {
        for (uint32_t i = 0; i < count; i++) wrt[i] = pm_param_at(graph, i);
        pm_gradients(graph, loss, wrt, count, gradient);
        arena = pm_state(graph, "gradient", PM_DTYPE_F32, pm_shape_of(graph, params));
        for (uint32_t i = 0; i < count && pm_ok(graph); i++) {
            uint64_t offset = pm_info(graph, wrt[i])->offset;
            if (!pm_is(gradient[i]) || place_in_arena(graph, gradient[i], arena.id, offset)) continue;
            pm_tensor copy = pm_affine(graph, gradient[i], 1.0f, 0.0f);
            if (pm_ok(graph)) (void)place_in_arena(graph, copy, arena.id, offset);
        }
    } else {
        pm_graph_fail(graph, PM_NO_MEMORY, "gradient: out of host memory");
    }
    free(wrt);
    free(gradient);
    return arena;
}
