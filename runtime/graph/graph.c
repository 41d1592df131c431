/* Tensors, nodes, names and the error state; see graph.h. */
#include "graph/graph.h"

#include "base/checked.h"
#include "base/status.h"
#include "ops/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Shapes -------------------------------------------------------------------------------------------- */

uint32_t pm_shape_count(pm_shape shape)
{
    uint32_t count = 1;
    for (uint32_t i = 0; i < shape.rank; i++) count *= shape.dim[i];
    return shape.rank ? count : 0;
}

bool pm_shape_equal(pm_shape a, pm_shape b)
{
    return a.rank == b.rank && memcmp(a.dim, b.dim, a.rank * sizeof a.dim[0]) == 0;
}

size_t pm_dtype_size(pm_dtype dtype)
{
    return dtype == PM_DTYPE_U8 ? 1 : 4;
}

const char *pm_shape_text(pm_shape shape, char text[64])
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < shape.rank && i < PM_MAX_RANK && used < 52; i++) {
        int n = snprintf(text + used, 64 - used, i ? "x%u" : "%u", shape.dim[i]);
        if (n > 0) used += (size_t)n;
    }
    return text;
}

/* Whether every extent is at least 1 and the number of elements fits in 31 bits, which is what shaders index
 * with. */
static bool shape_valid(pm_shape shape)
{
    uint64_t count = 1;
    if (shape.rank < 1 || shape.rank > PM_MAX_RANK) return false;
    for (uint32_t i = 0; i < shape.rank; i++) {
        if (shape.dim[i] == 0) return false;
        count *= shape.dim[i];
        if (count > INT32_MAX) return false;
    }
    return true;
}

/* ---- Life and errors ----------------------------------------------------------------------------------- */

pm_graph *pm_graph_create(void)
{
    pm_graph *graph = calloc(1, sizeof *graph);
    if (!graph) return NULL;
    graph->cap_tensors = 256;
    graph->tensors = calloc(graph->cap_tensors, sizeof *graph->tensors);
    if (!graph->tensors) {
        free(graph);
        return NULL;
    }
    graph->n_tensors = 1; /* id 0 is PM_NONE */
    return graph;
}

void pm_graph_destroy(pm_graph *graph)
{
    if (!graph) return;
    for (uint32_t i = 0; i < graph->n_tensors; i++) {
        free(graph->tensors[i].path);
        free(graph->tensors[i].data);
    }
    for (uint32_t i = 0; i < graph->n_nodes; i++) free(graph->nodes[i].scope);
    free(graph->tensors);
    free(graph->nodes);
    free(graph->params);
    free(graph->boundaries);
    free(graph);
}

pm_status pm_graph_status(const pm_graph *graph, pm_error *error)
{
    if (!graph) return pm_fail(error, PM_NO_MEMORY, "graph: out of host memory");
    if (graph->error.status != PM_OK && error) *error = graph->error;
    return graph->error.status;
}

void pm_graph_fail(pm_graph *graph, pm_status status, const char *format, ...)
{
    if (!pm_ok(graph)) return;
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (graph->scope[0]) {
        (void)pm_fail(&graph->error, status, "%s (in %.*s)", text, (int)strlen(graph->scope) - 1,
                      graph->scope);
    } else {
        (void)pm_fail(&graph->error, status, "%s", text);
    }
}

void pm_scope_push(pm_graph *graph, const char *name)
{
    if (!pm_ok(graph)) return;
    size_t used = strlen(graph->scope), room = sizeof graph->scope - used;
    if (graph->scope_depth == PM_MAX_SCOPES || strlen(name) + 2 > room) {
        pm_graph_fail(graph, PM_BAD_USAGE, "scope %s: more than %d levels or %d bytes", name, PM_MAX_SCOPES,
                      PM_PATH_BYTES);
        return;
    }
    graph->scope_start[graph->scope_depth++] = (uint32_t)used;
    (void)snprintf(graph->scope + used, room, "%s.", name);
}

void pm_scope_pop(pm_graph *graph)
{
    if (!pm_ok(graph) || graph->scope_depth == 0) return;
    graph->scope[graph->scope_start[--graph->scope_depth]] = '\0';
}

/* ---- Tensors ------------------------------------------------------------------------------------------- */

pm_shape pm_shape_of(const pm_graph *graph, pm_tensor tensor)
{
    return graph ? pm_info(graph, tensor)->shape : (pm_shape){0};
}

pm_dtype pm_dtype_of(const pm_graph *graph, pm_tensor tensor)
{
    return graph ? pm_info(graph, tensor)->dtype : PM_DTYPE_F32;
}

uint32_t pm_count_of(const pm_graph *graph, pm_tensor tensor)
{
    return graph ? pm_shape_count(pm_info(graph, tensor)->shape) : 0;
}

size_t pm_bytes_of(const pm_graph *graph, pm_tensor tensor)
{
    return pm_count_of(graph, tensor) * pm_dtype_size(pm_dtype_of(graph, tensor));
}

const char *pm_name_of(const pm_graph *graph, pm_tensor tensor)
{
    const char *path = graph ? pm_info(graph, tensor)->path : NULL;
    return path ? path : "";
}

static bool grow(void **array, uint32_t *capacity, uint32_t needed, size_t element)
{
    if (needed <= *capacity) return true;
    uint32_t larger = *capacity ? *capacity * 2 : 64;
    void *moved = realloc(*array, larger * element);
    if (!moved) return false;
    memset((char *)moved + *capacity * element, 0, (larger - *capacity) * element);
    *array = moved;
    *capacity = larger;
    return true;
}

void pm_boundary(pm_graph *graph)
{
    if (!pm_ok(graph)) return;
    void *array = graph->boundaries;
    if (!grow(&array, &graph->cap_boundaries, graph->n_boundaries + 1, sizeof *graph->boundaries)) {
        pm_graph_fail(graph, PM_NO_MEMORY, "graph: out of host memory");
        return;
    }
    graph->boundaries = array;
    graph->boundaries[graph->n_boundaries++] = graph->n_nodes;
}

void pm_recompute(pm_graph *graph)
{
    if (graph) graph->recompute = true;
}

static pm_tensor add_tensor(pm_graph *graph, pm_tensor_info info)
{
    if (!pm_ok(graph)) return PM_NONE;
    void *array = graph->tensors;
    if (!grow(&array, &graph->cap_tensors, graph->n_tensors + 1, sizeof *graph->tensors)) {
        pm_graph_fail(graph, PM_NO_MEMORY, "graph: out of host memory");
        return PM_NONE;
    }
    graph->tensors = array;
    uint32_t id = graph->n_tensors++;
    if (info.base == 0) info.base = id;
    graph->tensors[id] = info;
    return (pm_tensor){id};
}

/* The full path of a named tensor, or NULL with the graph failed: the path is taken, too long, or memory ran
 * out. */
static char *claim_path(pm_graph *graph, const char *name)
{
    char path[PM_PATH_BYTES * 2];
    (void)snprintf(path, sizeof path, "%s%s", graph->scope, name);
    if (pm_is(pm_find(graph, path))) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: this name is taken", path);
        return NULL;
    }
    char *copy = malloc(strlen(path) + 1);
    if (!copy) pm_graph_fail(graph, PM_NO_MEMORY, "graph: out of host memory");
    return copy ? strcpy(copy, path) : NULL;
}

static pm_tensor add_named(pm_graph *graph, const char *name, pm_tensor_info info)
{
    char text[64];
    if (!pm_ok(graph)) return PM_NONE;
    if (!shape_valid(info.shape)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: shape %s is empty or too large", name,
                      pm_shape_text(info.shape, text));
        return PM_NONE;
    }
    info.path = claim_path(graph, name);
    if (!info.path) return PM_NONE;
    pm_tensor tensor = add_tensor(graph, info);
    if (!pm_is(tensor)) free(info.path);
    return tensor;
}

pm_tensor pm_state(pm_graph *graph, const char *name, pm_dtype dtype, pm_shape shape)
{
    return add_named(graph, name, (pm_tensor_info){.dtype = dtype, .shape = shape, .kind = PM_KIND_STATE});
}

pm_tensor pm_constant(pm_graph *graph, const char *name, pm_dtype dtype, pm_shape shape, const void *data)
{
    pm_tensor tensor =
        add_named(graph, name, (pm_tensor_info){.dtype = dtype, .shape = shape, .kind = PM_KIND_CONSTANT});
    if (!pm_is(tensor)) return tensor;
    size_t bytes = pm_bytes_of(graph, tensor);
    void *copy = malloc(bytes);
    if (!copy) {
        pm_graph_fail(graph, PM_NO_MEMORY, "%s: out of host memory (%zu bytes)", name, bytes);
        return PM_NONE;
    }
    graph->tensors[tensor.id].data = memcpy(copy, data, bytes);
    return tensor;
}

/* The arena's root, made with the first parameter; its shape follows arena_elements. */
static uint32_t arena_root(pm_graph *graph)
{
    if (!graph->arena && pm_ok(graph)) {
        graph->arena =
            add_tensor(graph,
                       (pm_tensor_info){.dtype = PM_DTYPE_F32, .shape = PM_SHAPE(1), .kind = PM_KIND_STATE})
                .id;
    }
    return graph->arena;
}

pm_tensor pm_param(pm_graph *graph, const char *name, pm_shape shape, pm_init init)
{
    if (!pm_ok(graph)) return PM_NONE;
    if (graph->arena_sealed) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: parameters come before pm_backward and the optimiser", name);
        return PM_NONE;
    }
    uint32_t arena = arena_root(graph);
    void *array = graph->params;
    if (!arena || !grow(&array, &graph->cap_params, graph->n_params + 1, sizeof *graph->params)) {
        pm_graph_fail(graph, PM_NO_MEMORY, "graph: out of host memory");
        return PM_NONE;
    }
    graph->params = array;
    pm_tensor tensor = add_named(graph, name,
                                 (pm_tensor_info){.dtype = PM_DTYPE_F32,
                                                  .shape = shape,
                                                  .kind = PM_KIND_STATE,
                                                  .base = arena,
                                                  .offset = (uint64_t)graph->arena_elements * 4,
                                                  .is_param = true,
                                                  .init = init});
    if (!pm_is(tensor)) return tensor;
    size_t end = 0;
    if (!pm_align_size((size_t)graph->arena_elements + pm_count_of(graph, tensor), PM_ARENA_ALIGN, &end) ||
        end > INT32_MAX) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: more than 2^31 parameters", name);
        return PM_NONE;
    }
    graph->arena_elements = (uint32_t)end;
    graph->tensors[arena].shape = PM_SHAPE(graph->arena_elements);
    graph->params[graph->n_params++] = tensor.id;
    return tensor;
}

pm_tensor pm_param_arena(pm_graph *graph)
{
    if (!pm_ok(graph)) return PM_NONE;
    if (!graph->arena) {
        pm_graph_fail(graph, PM_BAD_USAGE, "this graph has no parameters");
        return PM_NONE;
    }
    graph->arena_sealed = true;
    return (pm_tensor){graph->arena};
}

uint32_t pm_param_count(const pm_graph *graph)
{
    return graph ? graph->n_params : 0;
}

pm_tensor pm_param_at(const pm_graph *graph, uint32_t index)
{
    return graph && index < graph->n_params ? (pm_tensor){graph->params[index]} : PM_NONE;
}

pm_tensor pm_find(const pm_graph *graph, const char *path)
{
    for (uint32_t i = 1; graph && i < graph->n_tensors; i++) {
        if (graph->tensors[i].path && strcmp(graph->tensors[i].path, path) == 0) return (pm_tensor){i};
    }
    return PM_NONE;
}

void pm_output(pm_graph *graph, pm_tensor tensor)
{
    if (pm_ok(graph) && pm_is(tensor)) graph->tensors[graph->tensors[tensor.id].base].is_output = true;
}

pm_tensor pm_new_temp(pm_graph *graph, pm_dtype dtype, pm_shape shape)
{
    char text[64];
    if (!pm_ok(graph)) return PM_NONE;
    if (!shape_valid(shape)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "a tensor of shape %s is empty or too large",
                      pm_shape_text(shape, text));
        return PM_NONE;
    }
    return add_tensor(graph, (pm_tensor_info){.dtype = dtype, .shape = shape, .kind = PM_KIND_TEMP});
}

pm_tensor pm_view(pm_graph *graph, pm_tensor base, uint64_t offset, pm_shape shape)
{
    if (!pm_ok(graph) || !pm_is(base)) return PM_NONE;
    pm_tensor_info info = *pm_info(graph, base);
    info.shape = shape;
    info.offset += offset;
    info.is_param = false;
    info.path = NULL;
    info.data = NULL;
    return add_tensor(graph, info);
}

pm_tensor pm_reshape(pm_graph *graph, pm_tensor x, pm_shape shape)
{
    char from[64], to[64];
    if (!pm_ok(graph) || !pm_is(x)) return PM_NONE;
    if (!shape_valid(shape) || pm_shape_count(shape) != pm_count_of(graph, x)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "reshape: %s does not have as many elements as %s",
                      pm_shape_text(shape, to), pm_shape_text(pm_shape_of(graph, x), from));
        return PM_NONE;
    }
    return pm_view(graph, x, 0, shape);
}

pm_tensor pm_param_view(pm_graph *graph, pm_tensor arena, pm_tensor param)
{
    if (!pm_ok(graph)) return PM_NONE;
    const pm_tensor_info *info = pm_info(graph, param);
    if (!info->is_param || pm_count_of(graph, arena) != graph->arena_elements) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "pm_param_view: not a flat tensor of the parameters, or not a parameter");
        return PM_NONE;
    }
    return pm_view(graph, arena, info->offset, info->shape);
}

/* ---- Nodes --------------------------------------------------------------------------------------------- */

pm_tensor pm_node_output(pm_graph *graph, pm_node *node, pm_dtype dtype, pm_shape shape)
{
    char text[64];
    if (!pm_ok(graph)) return PM_NONE;
    if (!shape_valid(shape)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: output shape %s is empty or too large", node->op->name,
                      pm_shape_text(shape, text));
        return PM_NONE;
    }
    pm_tensor tensor = pm_new_temp(graph, dtype, shape);
    node->out[node->n_out++] = tensor;
    return tensor;
}

pm_tensor pm_emit(pm_graph *graph, const struct pm_op *op, const pm_tensor *in, uint32_t n_in,
                  const void *attr, size_t attr_bytes, pm_tensor *outputs)
{
    if (!pm_ok(graph)) return PM_NONE;
    pm_node node = {.op = op, .n_in = n_in};
    if (n_in > PM_MAX_INPUTS || attr_bytes > PM_ATTR_BYTES) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: too many operands", op->name);
        return PM_NONE;
    }
    memcpy(node.in, in, n_in * sizeof in[0]);
    if (attr_bytes) memcpy(node.attr, attr, attr_bytes);
    op->shape(graph, &node);
    void *array = graph->nodes;
    if (!pm_ok(graph)) return PM_NONE;
    if (!grow(&array, &graph->cap_nodes, graph->n_nodes + 1, sizeof *graph->nodes)) {
        pm_graph_fail(graph, PM_NO_MEMORY, "graph: out of host memory");
        return PM_NONE;
    }
    graph->nodes = array;
    node.scope = strdup(graph->origin ? graph->origin : graph->scope);
    node.backward = graph->origin != NULL;
    graph->nodes[graph->n_nodes++] = node;
    for (uint32_t i = 0; outputs && i < node.n_out; i++) outputs[i] = node.out[i];
    return node.out[0];
}
