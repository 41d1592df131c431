/* Any graph in plain C, in double; see reference.h. */
#include "plan/reference.h"

#include "base/status.h"
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

static void fill_constant(pm_reference_run *run, uint32_t id, uint32_t count)
{
    const pm_tensor_info *info = &run->graph->tensors[id];
    for (uint32_t i = 0; info->data && i < count; i++) {
        switch (info->dtype) {
        case PM_DTYPE_F32:
            run->f[id][i] = (double)((const float *)info->data)[i];
            break;
        case PM_DTYPE_U32:
            run->u[id][i] = ((const uint32_t *)info->data)[i];
            break;
        case PM_DTYPE_U8:
            run->u[id][i] = ((const uint8_t *)info->data)[i];
            break;
        }
    }
}

static bool fill_params(pm_reference_run *run, uint64_t seed)
{
    const pm_graph *graph = run->graph;
    for (uint32_t p = 0; p < graph->n_params; p++) {
        const pm_tensor_info *info = &graph->tensors[graph->params[p]];
        uint32_t count = pm_shape_count(info->shape);
        float *values = malloc(count * sizeof *values);
        if (!values) return false;
        pm_init_values(info, seed, values, count);
        for (uint32_t i = 0; i < count; i++) run->f[graph->arena][info->offset / 4 + i] = (double)values[i];
        free(values);
    }
    return true;
}

pm_status pm_reference_create(const pm_graph *graph, uint64_t seed, pm_reference_run **out, pm_error *error)
{
    pm_reference_run *run = calloc(1, sizeof *run);
    *out = NULL;
    if (!run) return pm_fail(error, PM_NO_MEMORY, "reference: out of host memory");
    run->graph = graph;
    run->n_tensors = graph->n_tensors;
    run->f = calloc(run->n_tensors, sizeof *run->f);
    run->u = calloc(run->n_tensors, sizeof *run->u);
    bool ok = run->f && run->u;
    for (uint32_t id = 1; ok && id < run->n_tensors; id++) {
        const pm_tensor_info *info = &graph->tensors[id];
        if (info->base != id) continue;
        uint32_t count = pm_shape_count(info->shape);
        if (info->dtype == PM_DTYPE_F32) {
            ok = (run->f[id] = calloc(count, sizeof(double))) != NULL;
        } else {
            ok = (run->u[id] = calloc(count, sizeof(uint32_t))) != NULL;
        }
        if (ok) fill_constant(run, id, count);
    }
    if (ok) ok = fill_params(run, seed);
    if (!ok) {
        pm_reference_destroy(run);
        return pm_fail(error, PM_NO_MEMORY, "reference: out of host memory");
    }
    *out = run;
    return PM_OK;
}

void pm_reference_destroy(pm_reference_run *run)
{
    if (!run) return;
    for (uint32_t id = 0; id < run->n_tensors; id++) {
        if (run->f) free(run->f[id]);
        if (run->u) free(run->u[id]);
    }
    free(run->f);
    free(run->u);
    free(run);
}

pm_host pm_reference_host(const pm_reference_run *run, pm_tensor tensor)
{
    if (!pm_is(tensor) || tensor.id >= run->n_tensors) return (pm_host){0};
    const pm_tensor_info *info = &run->graph->tensors[tensor.id];
    uint64_t first = info->offset / pm_dtype_size(info->dtype);
    pm_host host = {.shape = info->shape, .count = pm_shape_count(info->shape)};
    if (run->f[info->base]) host.f = run->f[info->base] + first;
    if (run->u[info->base]) host.u = run->u[info->base] + first;
    return host;
}

pm_reference pm_reference_operands(const pm_reference_run *run, uint32_t n)
{
    const pm_node *node = &run->graph->nodes[n];
    pm_reference ref = {.graph = run->graph, .node = node};
    for (uint32_t i = 0; i < node->n_in; i++) ref.in[i] = pm_reference_host(run, node->in[i]);
    for (uint32_t i = 0; i < node->n_out; i++) ref.out[i] = pm_reference_host(run, node->out[i]);
    return ref;
}

void pm_reference_node(pm_reference_run *run, uint32_t n)
{
    pm_reference ref = pm_reference_operands(run, n);
    run->graph->nodes[n].op->reference(&ref);
}

void pm_reference_nodes(pm_reference_run *run, uint32_t count)
{
    for (uint32_t n = 0; n < count && n < run->graph->n_nodes; n++) pm_reference_node(run, n);
}
