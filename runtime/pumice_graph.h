/* Tensors, the graphs that they are built in, and gradients. Part of pumice.h. */
#ifndef PUMICE_GRAPH_H
#define PUMICE_GRAPH_H

#include <stdint.h>

#include "pumice_status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PM_MAX_RANK 4

typedef enum pm_dtype { PM_DTYPE_F32 = 0, PM_DTYPE_U32 = 1, PM_DTYPE_U8 = 2 } pm_dtype;

typedef struct pm_shape {
    uint32_t rank;
    uint32_t dim[PM_MAX_RANK];
} pm_shape;

/* PM_SHAPE(32, 28, 28, 1) */
#define PM_SHAPE(...)                                                                     \
    ((pm_shape){.rank = (uint32_t)(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)), \
                .dim = {__VA_ARGS__}})

typedef struct pm_graph pm_graph;

/* A handle into its graph, valid as long as that. id 0 is "no tensor": what optional arguments take and what
 * a failed graph returns. */
typedef struct pm_tensor {
    uint32_t id;
} pm_tensor;

#define PM_NONE ((pm_tensor){0})

/* NULL when host memory ran out. The caller destroys it, after every plan that was made from it. */
pm_graph *pm_graph_create(void);
void pm_graph_destroy(pm_graph *graph);

/* PM_OK, or the first thing that went wrong while building. */
pm_status pm_graph_status(const pm_graph *graph, pm_error *error);

/* Puts the graph in its error state, unless it is in one; for functions that build networks. */
void pm_graph_fail(pm_graph *graph, pm_status status, const char *format, ...) PM_PRINTF(3, 4);

/* Names of parameters made between push and pop begin with "name." ; scopes nest. */
void pm_scope_push(pm_graph *graph, const char *name);
void pm_scope_pop(pm_graph *graph);

pm_shape pm_shape_of(const pm_graph *graph, pm_tensor tensor);
pm_dtype pm_dtype_of(const pm_graph *graph, pm_tensor tensor);
/* Number of elements; 0 for PM_NONE. */
uint32_t pm_count_of(const pm_graph *graph, pm_tensor tensor);

/* How a parameter starts: value 0 or 1, N(0, amount^2), or uniform on [-amount, amount]. Drawn on the host
 * from the plan's seed and the parameter's path, so that it depends on neither the device nor the other
 * parameters. */
typedef enum pm_init_kind { PM_INIT_ZERO, PM_INIT_ONE, PM_INIT_NORMAL, PM_INIT_UNIFORM } pm_init_kind;
typedef struct pm_init {
    pm_init_kind kind;
    float amount;
} pm_init;

/* A trainable f32 tensor. All parameters of a graph lie in one flat arena, in the order of their creation.
 * The path (scopes and name) must be new: it is what names the parameter in messages and files. A tensor,
 * this or any other, has at least one element and fewer than 2^31. */
pm_tensor pm_param(pm_graph *graph, const char *name, pm_shape shape, pm_init init);

/* A tensor that keeps its contents from run to run: written by the host (pm_plan_write) or by operators that
 * say so. Zero when the plan is made. */
pm_tensor pm_state(pm_graph *graph, const char *name, pm_dtype dtype, pm_shape shape);

/* A tensor that never changes; `data` is copied. */
pm_tensor pm_constant(pm_graph *graph, const char *name, pm_dtype dtype, pm_shape shape, const void *data);

/* Keeps a tensor readable by the host after a run; otherwise its memory is reused within the run. */
void pm_output(pm_graph *graph, pm_tensor tensor);

/* Parameters by position (creation order), and any named tensor (parameter, state, constant) by path. */
uint32_t pm_param_count(const pm_graph *graph);
pm_tensor pm_param_at(const pm_graph *graph, uint32_t index);
pm_tensor pm_find(const pm_graph *graph, const char *path);
/* The path of a named tensor; "" for others. Owned by the graph. */
const char *pm_name_of(const pm_graph *graph, pm_tensor tensor);

/* ---- Differentiation ----------------------------------------------------------------------------------- */

/* Appends the gradient of the one-element tensor `loss` with respect to every parameter, laid out like the
 * parameter arena (reverse-mode differentiation; a parameter that the loss does not depend on gets zeros).
 * Call it once, after the last pm_param. Returns the flat gradient [arena elements]. */
pm_tensor pm_backward(pm_graph *graph, pm_tensor loss);

/* Appends d loss / d wrt[i], of wrt[i]'s shape, for `count` f32 tensors; out[i] is PM_NONE where the loss
 * does not depend on wrt[i]. */
void pm_gradients(pm_graph *graph, pm_tensor loss, const pm_tensor *wrt, uint32_t count, pm_tensor *out);

/* Marks where one block of a network ends and the next begins. Nothing comes of it but for pm_recompute. */
void pm_boundary(pm_graph *graph);
/* To be called before pm_backward or pm_gradients, which then keep of what lies between two boundaries only
 * what others use, and compute the rest once more: less memory, about a third more operations, the same bits.
 */
void pm_recompute(pm_graph *graph);

/* The part of a flat tensor (gradient, moment, average) that belongs to a parameter, in the parameter's
 * shape. */
pm_tensor pm_param_view(pm_graph *graph, pm_tensor arena, pm_tensor param);

#ifdef __cplusplus
}
#endif
#endif
