/* The graph: tensors, and the nodes that make them. It knows no operator by name; an operator is a table of
 * functions (ops/op.h) that a node points to.
 *
 * Every tensor is a range of bytes of a root: a tensor is its own root, or a view of another one (a reshape,
 * a parameter inside the arena, a gradient inside the flat gradient). Only roots own memory. */
#ifndef PM_GRAPH_GRAPH_H
#define PM_GRAPH_GRAPH_H

#include "pumice.h"

#define PM_MAX_INPUTS 12
#define PM_MAX_OUTPUTS 4
#define PM_ATTR_BYTES 64
#define PM_PATH_BYTES 128
#define PM_MAX_SCOPES 16

struct pm_op;

typedef enum pm_tensor_kind {
    PM_KIND_TEMP,     /* made by a node; its memory is reused */
    PM_KIND_STATE,    /* keeps its contents */
    PM_KIND_CONSTANT, /* keeps its contents, which were given */
} pm_tensor_kind;

typedef struct pm_tensor_info {
    pm_dtype dtype;
    pm_shape shape;
    pm_tensor_kind kind;
    uint32_t base;   /* id of the root; its own id for a root */
    uint64_t offset; /* in bytes from the start of the root */
    bool is_param, is_output;
    pm_init init; /* of a parameter */
    char *path;   /* NULL when it has none */
    void *data;   /* of a constant */
} pm_tensor_info;

typedef struct pm_node {
    const struct pm_op *op;
    uint32_t n_in, n_out;
    pm_tensor in[PM_MAX_INPUTS];
    pm_tensor out[PM_MAX_OUTPUTS];
    _Alignas(8) unsigned char attr[PM_ATTR_BYTES];
    char *scope;   /* where in the model it was made, "mid.attention."; NULL when host memory ran out */
    bool backward; /* made by differentiating a node of that scope */
} pm_node;

struct pm_graph {
    pm_error error;
    pm_tensor_info *tensors; /* [0] is PM_NONE */
    uint32_t n_tensors, cap_tensors;
    pm_node *nodes;
    uint32_t n_nodes, cap_nodes;
    uint32_t *params; /* ids */
    uint32_t n_params, cap_params;
    uint32_t arena;          /* id of the flat parameter tensor; 0 before the first parameter */
    uint32_t arena_elements; /* grows with every parameter, each rounded up to PM_ARENA_ALIGN */
    bool arena_sealed;       /* a flat tensor of its size exists: no more parameters */
    char scope[PM_PATH_BYTES];
    uint32_t scope_start[PM_MAX_SCOPES], scope_depth; /* where each open scope's name begins */
    uint32_t *boundaries; /* numbers of nodes before each pm_boundary, ascending */
    uint32_t n_boundaries, cap_boundaries;
    bool recompute;
    const char *origin; /* scope of the node being differentiated; NULL: none is */
};

/* Each parameter begins at a multiple of this many elements, so that it can be bound by itself on every
 * device. */
#define PM_ARENA_ALIGN 64u

static inline bool pm_ok(const pm_graph *graph)
{
    return graph && graph->error.status == PM_OK;
}

static inline bool pm_is(pm_tensor tensor)
{
    return tensor.id != 0;
}

static inline const pm_tensor_info *pm_info(const pm_graph *graph, pm_tensor tensor)
{
    return &graph->tensors[tensor.id < graph->n_tensors ? tensor.id : 0];
}

/* Whether two tensors begin at the same place of the same memory, or neither is there. */
static inline bool pm_same_place(const pm_graph *graph, pm_tensor a, pm_tensor b)
{
    const pm_tensor_info *x = pm_info(graph, a), *y = pm_info(graph, b);
    return pm_is(a) == pm_is(b) && x->base == y->base && x->offset == y->offset;
}

uint32_t pm_shape_count(pm_shape shape);
bool pm_shape_equal(pm_shape a, pm_shape b);
size_t pm_dtype_size(pm_dtype dtype);
size_t pm_bytes_of(const pm_graph *graph, pm_tensor tensor);
/* Writes "32x28x28x1" into text and returns it. */
const char *pm_shape_text(pm_shape shape, char text[64]);

/* Appends a node of `op` and returns its first output. The operator's shape rule runs at once; in a graph in
 * error state nothing happens and PM_NONE comes back. Optional inputs that are absent are PM_NONE. `attr` (at
 * most PM_ATTR_BYTES) is copied into the node. The other outputs, if any, are out[1..] of the node: pass
 * `outputs` to get all of them. */
pm_tensor pm_emit(pm_graph *graph, const struct pm_op *op, const pm_tensor *in, uint32_t n_in,
                  const void *attr, size_t attr_bytes, pm_tensor *outputs);

/* For shape rules: declares the next output of the node being made. */
pm_tensor pm_node_output(pm_graph *graph, pm_node *node, pm_dtype dtype, pm_shape shape);

/* Everything that a node writes: its outputs, then the inputs that it updates in place. Returns how many. */
#define PM_MAX_WRITES (PM_MAX_OUTPUTS + PM_MAX_INPUTS)
uint32_t pm_node_writes(const pm_node *node, pm_tensor out[PM_MAX_WRITES]);

/* For messages, into `text`, which is returned: "node 12, conv2d_weight, backward of down.0.conv1", and
 * "the gradient of down.0.conv1.weight [3x3x8x8]" or "an unnamed tensor [5x12x12x8]". */
const char *pm_node_text(const pm_graph *graph, uint32_t node, char *text, size_t size);
const char *pm_tensor_text(const pm_graph *graph, pm_tensor tensor, char *text, size_t size);

/* A fresh temporary without a node; for scratch memory of a lowering. */
pm_tensor pm_new_temp(pm_graph *graph, pm_dtype dtype, pm_shape shape);

/* The same memory, from `offset` bytes on, as a tensor of this shape. */
pm_tensor pm_view(pm_graph *graph, pm_tensor base, uint64_t offset, pm_shape shape);

/* The flat parameter arena [arena_elements] (and its size is final from now on). */
pm_tensor pm_param_arena(pm_graph *graph);

#endif
