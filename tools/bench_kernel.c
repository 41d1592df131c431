/* An operator as rows: forward, and the gradient of each input; see bench.h. */
#include "bench.h"

#include "ops/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A gradient by itself ------------------------------------------------------------------------------ */

/* What build_gradients makes of a kernel: with `all`, everything; else the gradient of input `input`. */
typedef struct gradient {
    const bench_kernel *kernel;
    bool all;
    uint32_t input;
} gradient;

/* The node that the kernel is about: the last one of its operator. */
static const pm_node *node_of(const pm_graph *graph, const char *op)
{
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        if (strcmp(graph->nodes[n].op->name, op) == 0) return &graph->nodes[n];
    }
    return NULL;
}

static bool differentiable(const pm_graph *graph, pm_tensor x)
{
    const pm_tensor_info *info = pm_info(graph, x), *root = &graph->tensors[info->base];
    return pm_is(x) && info->dtype == PM_DTYPE_F32 &&
           (info->base == graph->arena || root->kind == PM_KIND_TEMP);
}

/* Appends the gradients that are wanted, from one of the output that is a parameter and thus needs no node.
 * What is nothing but that gradient itself is left out. */
static void append_gradients(pm_graph *graph, const pm_node *forward, const gradient *g,
                             pm_tensor grad_in[PM_MAX_INPUTS])
{
    const pm_node node = *forward; /* emitting moves the array */
    bool wants[PM_MAX_INPUTS] = {false};
    pm_tensor grad_out[PM_MAX_OUTPUTS] = {PM_NONE};
    grad_out[0] = pm_param(graph, "gradient", pm_shape_of(graph, node.out[0]), (pm_init){PM_INIT_UNIFORM, 1});
    for (uint32_t i = 0; i < node.n_in; i++)
        wants[i] = (g->all || i == g->input) && differentiable(graph, node.in[i]);
    node.op->backward(graph, &node, grad_out, wants, grad_in);
    for (uint32_t i = 0; i < node.n_in; i++) {
        bool passed_on = pm_is(grad_in[i]) && pm_info(graph, grad_in[i])->base == graph->arena;
        if (!wants[i] || passed_on) grad_in[i] = PM_NONE;
        if (pm_is(grad_in[i])) pm_output(graph, grad_in[i]);
    }
}

static void build_gradients(pm_graph *graph, const void *user)
{
    const gradient *g = user;
    pm_tensor grad_in[PM_MAX_INPUTS] = {PM_NONE};
    g->kernel->build(graph, g->kernel->user);
    const pm_node *node = node_of(graph, g->kernel->op);
    if (!node) return;
    if (g->all) pm_output(graph, node->out[0]);
    append_gradients(graph, node, g, grad_in);
}

/* ---- Which of them are worth a row --------------------------------------------------------------------- */

typedef enum need {
    NOTHING, /* there is no such gradient, or it is the same operator again */
    ITSELF,  /* nothing of the forward pass */
    FORWARD, /* the operator itself has to run */
} need;

/* Marks the nodes that `wanted` follows from. */
static bool *live_nodes(const pm_graph *graph, pm_tensor wanted)
{
    bool *live = calloc(graph->n_nodes + 1u, 1), *needed = calloc(graph->n_tensors, 1);
    if (live && needed) needed[pm_info(graph, wanted)->base] = true;
    for (uint32_t n = live && needed ? graph->n_nodes : 0; n-- > 0;) {
        const pm_node *node = &graph->nodes[n];
        for (uint32_t i = 0; i < node->n_out; i++) live[n] |= needed[pm_info(graph, node->out[i])->base];
        for (uint32_t i = 0; live[n] && i < node->n_in; i++) needed[pm_info(graph, node->in[i])->base] = true;
    }
    free(needed);
    return live;
}

static need need_of(const pm_graph *graph, uint32_t forward, pm_tensor wanted, bench_gradients which)
{
    bool others = which == BENCH_ALL_GRADIENTS, *live = live_nodes(graph, wanted);
    need found = NOTHING;
    for (uint32_t n = forward + 1; live && n < graph->n_nodes; n++)
        others |= live[n] && graph->nodes[n].op != graph->nodes[forward].op;
    if (live && others) found = live[forward] ? FORWARD : ITSELF;
    free(live);
    return found;
}

typedef struct needs {
    need of[PM_MAX_INPUTS];
    char name[PM_MAX_INPUTS][32]; /* of the inputs */
    bool forward;                 /* some need it */
} needs;

static void look(const bench_kernel *kernel, uint32_t input, needs *out)
{
    pm_tensor grad_in[PM_MAX_INPUTS] = {PM_NONE};
    pm_graph *graph = pm_graph_create();
    if (!graph) return;
    kernel->build(graph, kernel->user);
    const pm_node *node = node_of(graph, kernel->op);
    if (node && pm_graph_status(graph, NULL) == PM_OK && node->op->backward && input < node->n_in &&
        differentiable(graph, node->in[input])) {
        uint32_t forward = (uint32_t)(node - graph->nodes);
        const char *path = pm_name_of(graph, node->in[input]);
        (void)snprintf(out->name[input], sizeof out->name[input], "%s", path);
        if (!*path) (void)snprintf(out->name[input], sizeof out->name[input], "input %u", input);
        append_gradients(graph, node, &(gradient){.kernel = kernel, .input = input}, grad_in);
        if (pm_graph_status(graph, NULL) == PM_OK && pm_is(grad_in[input]))
            out->of[input] = need_of(graph, forward, grad_in[input], kernel->gradients);
        out->forward |= out->of[input] == FORWARD;
    }
    pm_graph_destroy(graph);
}

/* ---- Rows ---------------------------------------------------------------------------------------------- */

static void build_forward(pm_graph *graph, const void *user)
{
    const bench_kernel *kernel = user;
    kernel->build(graph, kernel->user);
    const pm_node *node = node_of(graph, kernel->op);
    if (node) pm_output(graph, node->out[0]);
}

static pm_status row(pm_device *device, const char *name, bench_build *build, const void *user,
                     const bench_roof *roof, bench_report *report, pm_error *error)
{
    bench_timing timing;
    pm_status status = bench_time_graph(device, build, user, bench_args.samples, &timing, error);
    if (status == PM_OK) bench_kernel_row(report, name, &timing, roof);
    return status;
}

static pm_status gradient_rows(pm_device *device, const bench_kernel *kernel, const bench_roof *roof,
                               bench_report *report, pm_error *error)
{
    needs found = {0};
    char name[160];
    pm_status status = PM_OK;
    for (uint32_t i = 0; i < PM_MAX_INPUTS; i++) look(kernel, i, &found);
    if (found.forward) {
        gradient g = {.kernel = kernel, .all = true};
        (void)snprintf(name, sizeof name, "%s, and all gradients", kernel->name);
        return row(device, name, build_gradients, &g, roof, report, error);
    }
    for (uint32_t i = 0; status == PM_OK && i < PM_MAX_INPUTS && !cli_stopped(); i++) {
        gradient g = {.kernel = kernel, .input = i};
        if (found.of[i] != ITSELF) continue;
        (void)snprintf(name, sizeof name, "%s, d %s", kernel->name, found.name[i]);
        status = row(device, name, build_gradients, &g, roof, report, error);
    }
    return status;
}

pm_status bench_kernel_rows(pm_device *device, const bench_kernel *kernel, const bench_roof *roof,
                            bench_report *report, pm_error *error)
{
    pm_status status = row(device, kernel->name, build_forward, kernel, roof, report, error);
    if (status != PM_OK || kernel->gradients == BENCH_NO_GRADIENT || cli_stopped()) return status;
    return gradient_rows(device, kernel, roof, report, error);
}
