/* Nodes and tensors in words, for messages about what a model computes; see graph.h. */
#include "graph/graph.h"
#include "ops/op.h"

#include <stdio.h>
#include <string.h>

uint32_t pm_node_writes(const pm_node *node, pm_tensor out[PM_MAX_WRITES])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->n_out; i++) out[count++] = node->out[i];
    for (uint32_t i = 0; i < node->n_in; i++) {
        if (pm_is(node->in[i]) && node->op->updates >> i & 1u) out[count++] = node->in[i];
    }
    return count;
}

const char *pm_node_text(const pm_graph *graph, uint32_t node, char *text, size_t size)
{
    const pm_node *n = &graph->nodes[node];
    size_t length = n->scope ? strlen(n->scope) : 0;
    int scope = length ? (int)length - 1 : 0; /* without the dot at its end */
    (void)snprintf(text, size, "node %u, %s%s%.*s", node, n->op->name,
                   n->backward && scope ? ", backward of "
                   : n->backward        ? ", backward"
                   : scope              ? ", in "
                                        : "",
                   scope, n->scope ? n->scope : "");
    return text;
}

/* The path of the parameter that begins at this offset of the arena and has this many elements, or NULL. */
static const char *param_path_at(const pm_graph *graph, uint64_t offset, uint32_t count)
{
    for (uint32_t i = 0; i < graph->n_params; i++) {
        const pm_tensor_info *info = &graph->tensors[graph->params[i]];
        if (info->offset == offset && pm_shape_count(info->shape) == count) return info->path;
    }
    return NULL;
}

const char *pm_tensor_text(const pm_graph *graph, pm_tensor tensor, char *text, size_t size)
{
    char shape[64];
    const pm_tensor_info *info = pm_info(graph, tensor), *root = &graph->tensors[info->base];
    const char *path = info->path ? info->path : root->path, *part = NULL;
    bool whole = pm_shape_count(info->shape) == pm_shape_count(root->shape);
    bool arena = info->base == graph->arena && graph->arena;
    /* The flat gradient and the optimiser's states have the arena's layout. */
    if (!info->path && !whole) part = param_path_at(graph, info->offset, pm_shape_count(info->shape));
    (void)pm_shape_text(info->shape, shape);
    if (part && arena) {
        (void)snprintf(text, size, "%s [%s]", part, shape);
    } else if (part && path) {
        (void)snprintf(text, size, "the %s of %s [%s]", path, part, shape);
    } else if (path) {
        (void)snprintf(text, size, "%s [%s]", path, shape);
    } else {
        (void)snprintf(text, size, "an unnamed tensor [%s]", shape);
    }
    return text;
}
