/* The optimiser: norm of the gradient, and AdamW (1711.05101) with clipping and an exponential moving
 * average, as one flat pass over the arena of parameters.
 *
 * What changes from step to step in a known way is a table, made here in double and looked up by the
 * counter's step: learning rates; bias corrections 1 / (1 - beta^t), which end when they round to 1; 1 -
 * decay of the average. The last row of each holds on. The average's first row is 1, so the first update
 * makes it a copy of the parameters.
 *
 * A step whose gradient norm is not below 2^60 (infinite and NaN included) changes neither parameters nor
 * moments. */
#include "base/status.h"
#include "ops/chunk_sum.h"
#include "ops/flat.h"
#include "ops/good_norm.h"
#include "ops/reduce.h"
#include "ops/table.h"

#include <math.h>
#include <stdlib.h>

/* ---- Norm ---------------------------------------------------------------------------------------------- */

static void shape_norm(pm_graph *graph, pm_node *node)
{
    if (!pm_is(node->in[0]) || pm_dtype_of(graph, node->in[0]) != PM_DTYPE_F32) {
        pm_graph_fail(graph, PM_BAD_USAGE, "norm_of: needs an f32 tensor");
        return;
    }
    (void)pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(1));
}

static void lower_norm(pm_lowering *lowering, const pm_node *node)
{
    uint32_t count = pm_count_of(lowering->graph, node->in[0]), partials = pm_chunk_partials(count);
    pm_tensor partial = pm_scratch(lowering, PM_DTYPE_F32, partials * 4);
    pm_dispatch *d = pm_dispatch_begin(lowering, "global_norm", PM_CHUNK_LANES);
    pm_push_u32(d, count);
    pm_bind_in(d, node->in[0], 4, PM_CHUNK_ELEMENTS * 4);
    pm_bind_out(d, partial, PM_CHUNK_LANES * 16);
    pm_groups(d, pm_chunks(count), 1, 1, 0, 2.0 * count);

    if (!pm_fits_whole(lowering, partial, 4)) { /* what the leaves of the tree would begin with */
        pm_tensor lane_sums = pm_scratch(lowering, PM_DTYPE_F32, PM_TREE_LEAVES * 4);
        pm_lower_columns(lowering, partial, lane_sums, partials * 4, PM_TREE_LEAVES * 4);
        partial = lane_sums;
        partials = PM_TREE_LEAVES;
    }
    d = pm_dispatch_begin(lowering, "global_norm_finish", lowering->rules->group_lanes);
    d->shared_bytes = 16 * PM_TREE_LEAVES;
    pm_push_u32(d, partials);
    pm_bind_in(d, partial, 4, 0);
    pm_bind_out(d, node->out[0], 0);
    pm_groups(d, 1, 1, 1, 0, partials);
}

static void reference_norm(const pm_reference *ref)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < ref->in[0].count; i++) sum += ref->in[0].f[i] * ref->in[0].f[i];
    ref->out[0].f[0] = isfinite(sum) ? sqrt(sum) : INFINITY;
}

/* p: number of elements, decimal exponent of their size + 100. */
static pm_tensor case_norm(pm_graph *graph, const uint32_t *p)
{
    float size = (float)pow(10.0, (double)p[1] - 100.0);
    return pm_norm_of(graph, pm_case_leaf(graph, "x", PM_SHAPE(p[0]), size));
}

static const pm_case cases_norm[] = {
    {.name = "one element", .build = case_norm, .p = {1, 100}, .no_gradient = true},
    {.name = "a few", .build = case_norm, .p = {7, 100}, .no_gradient = true},
    {.name = "several workgroups", .build = case_norm, .p = {20003, 98}, .no_gradient = true},
    {.name = "squares too large for f32", .build = case_norm, .p = {101, 133}, .no_gradient = true},
    {.name = "squares too small for f32", .build = case_norm, .p = {101, 74}, .no_gradient = true},
    {.name = "ordinary and large", .build = case_norm, .p = {101, 114}, .no_gradient = true},
    {.name = "ordinary and small", .build = case_norm, .p = {101, 86}, .no_gradient = true},
    {.name = "1.6 million", .build = case_norm, .p = {1600000, 100}, .no_gradient = true, .bench = true},
};

const pm_op pm_op_norm_of = {
    .name = "norm_of",
    .shape = shape_norm,
    .lower = lower_norm,
    .reference = reference_norm,
    PM_CASES(cases_norm),
};

pm_tensor pm_norm_of(pm_graph *graph, pm_tensor x)
{
    return pm_emit(graph, &pm_op_norm_of, &x, 1, NULL, 0, NULL);
}

/* ---- AdamW --------------------------------------------------------------------------------------------- */

enum {
    IN_PARAMS,
    IN_FIRST,
    IN_SECOND,
    IN_AVERAGE, /* or PM_NONE */
    IN_GRADIENT,
    IN_NORM,
    IN_COUNTER,
    IN_RATES,       /* [n] */
    IN_CORRECTIONS, /* [n,2] */
    IN_AVERAGES,    /* 1 - decay, [n]; or PM_NONE */
    IN_DECAYS,      /* u32, a bit for each PM_ARENA_ALIGN elements of the arena: weight decay applies */
    N_IN
};

typedef struct adamw_attr {
    float beta1, beta2, eps, weight_decay, clip;
} adamw_attr;

static void shape_adamw(pm_graph *graph, pm_node *node)
{
    (void)graph; /* pm_adamw has looked at everything */
    (void)node;
}

static uint32_t rows_of(const pm_lowering *lowering, pm_tensor table)
{
    return pm_is(table) ? pm_shape_of(lowering->graph, table).dim[0] : 0;
}

static pm_tensor lower_adamw_step(pm_lowering *lowering, const pm_node *node)
{
    const pm_tensor *in = node->in;
    pm_tensor result = pm_scratch(lowering, PM_DTYPE_F32, 8);
    pm_dispatch *d = pm_dispatch_begin(lowering, "adamw_step", 1);
    pm_push_u32(d, rows_of(lowering, in[IN_RATES]));
    pm_push_u32(d, rows_of(lowering, in[IN_CORRECTIONS]));
    pm_push_u32(d, rows_of(lowering, in[IN_AVERAGES]));
    pm_push_f32(d, PM_ATTR(adamw_attr, node)->clip);
    pm_bind_in(d, in[IN_NORM], 1, 0);
    pm_bind_in(d, in[IN_COUNTER], 1, 0);
    pm_bind_in(d, in[IN_RATES], 1, 0);
    pm_bind_in(d, in[IN_CORRECTIONS], 1, 0);
    pm_bind_in(d, pm_is(in[IN_AVERAGES]) ? in[IN_AVERAGES] : in[IN_RATES], 1, 0); /* not read without */
    pm_bind_out(d, result, 0);
    pm_groups(d, 1, 1, 1, 0, 0);
    return result;
}

/* One kernel of `shared`, what all parameters share: for the parameters and moments, the average, or both. */
static void append_adamw(pm_lowering *lowering, const pm_node *node, pm_tensor shared, bool step,
                         bool average)
{
    const adamw_attr *attr = PM_ATTR(adamw_attr, node);
    const pm_tensor *in = node->in;
    uint32_t count = pm_count_of(lowering->graph, in[IN_PARAMS]), stride = pm_flat_stride(lowering);
    pm_tensor unused = average ? PM_NONE : pm_scratch(lowering, PM_DTYPE_F32, 4);
    pm_dispatch *d = pm_dispatch_begin(lowering, "adamw", lowering->rules->lanes);
    pm_spec(d, step);
    pm_spec(d, average);
    pm_push_u32(d, count);
    pm_push_f32(d, attr->beta1);
    pm_push_f32(d, (float)(1.0 - (double)attr->beta1));
    pm_push_f32(d, attr->beta2);
    pm_push_f32(d, (float)(1.0 - (double)attr->beta2));
    pm_push_f32(d, attr->eps);
    pm_push_f32(d, attr->weight_decay);
    for (uint32_t i = IN_PARAMS; i <= IN_SECOND; i++) pm_bind_update(d, in[i], stride);
    if (average) {
        pm_bind_update(d, in[IN_AVERAGE], stride);
    } else {
        pm_bind_out(d, unused, 0);
    }
    pm_bind_in(d, in[IN_GRADIENT], 4, stride);
    pm_bind_in(d, shared, 4, 0);
    pm_bind_in(d, in[IN_DECAYS], 1, 0);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, (step ? 20.0 : 3.0) * count);
}

static void lower_adamw(pm_lowering *lowering, const pm_node *node)
{
    bool average = pm_is(node->in[IN_AVERAGE]), at_once = pm_on(lowering->rules, PM_AVERAGE_EPILOGUE);
    pm_tensor shared = lower_adamw_step(lowering, node);
    append_adamw(lowering, node, shared, true, average && at_once);
    if (average && !at_once) append_adamw(lowering, node, shared, false, true);
}

/* Row of a table for this step; the last one holds on. */
static uint32_t row_of(const pm_host *table, uint32_t step)
{
    return step < table->shape.dim[0] ? step : table->shape.dim[0] - 1;
}

static void reference_adamw(const pm_reference *ref)
{
    const adamw_attr *attr = PM_ATTR(adamw_attr, ref->node);
    const pm_host *in = ref->in;
    uint32_t step = in[IN_COUNTER].u[0];
    double b1 = attr->beta1, b2 = attr->beta2, norm = in[IN_NORM].f[0];
    double rate = in[IN_RATES].f[row_of(&in[IN_RATES], step)];
    const double *correction = in[IN_CORRECTIONS].f + 2 * (size_t)row_of(&in[IN_CORRECTIONS], step);
    double factor = attr->clip > 0.0f && norm > (double)attr->clip ? (double)attr->clip / norm : 1.0;
    bool apply = pm_good_norm(norm);
    for (uint32_t i = 0; i < in[IN_PARAMS].count; i++) {
        double *p = &in[IN_PARAMS].f[i], *m = &in[IN_FIRST].f[i], *v = &in[IN_SECOND].f[i];
        if (apply) {
            double g = factor * in[IN_GRADIENT].f[i];
            uint32_t block = i / PM_ARENA_ALIGN;
            bool decays = in[IN_DECAYS].u[block / 32] >> (block % 32) & 1u;
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            double move = correction[0] * *m / (sqrt(correction[1] * *v) + (double)attr->eps);
            *p -= rate * (move + (decays ? (double)attr->weight_decay * *p : 0.0));
        }
        if (in[IN_AVERAGE].count) {
            double share = in[IN_AVERAGES].f[row_of(&in[IN_AVERAGES], step)];
            in[IN_AVERAGE].f[i] += share * (*p - in[IN_AVERAGE].f[i]);
        }
    }
}

/* ---- Tables -------------------------------------------------------------------------------------------- */

/* Rows of [1/(1 - beta1^t), 1/(1 - beta2^t)], t = 1.., until both round to 1. */
static pm_tensor correction_table(pm_graph *graph, double beta1, double beta2)
{
    double beta = fmax(beta1, beta2);
    /* beta^t < 2^-26 ends it; the betas are at most 1 - 2^-24, so there are fewer than 2^29 rows, and usually
     * 18,000. */
    uint32_t rows = beta > 0.0 ? (uint32_t)ceil(-26.0 * log(2.0) / log(beta)) : 1;
    float *table = malloc((size_t)rows * 2 * sizeof *table);
    if (!table) {
        pm_graph_fail(graph, PM_NO_MEMORY, "adamw: out of host memory for %u bias corrections", rows);
        return PM_NONE;
    }
    for (uint32_t i = 0; i < rows; i++) {
        table[2 * (size_t)i] = (float)(1.0 / (1.0 - pow(beta1, i + 1.0)));
        table[2 * (size_t)i + 1] = (float)(1.0 / (1.0 - pow(beta2, i + 1.0)));
    }
    pm_tensor result =
        pm_constant(graph, "optimizer.bias_corrections", PM_DTYPE_F32, PM_SHAPE(rows, 2), table);
    free(table);
    return result;
}

/* 1 - decay of the average by step; with warm-up the decay is min(ema, (1 + step) / (10 + step)). */
static pm_tensor average_table(pm_graph *graph, double ema, bool warmup)
{
    /* (1 + n) / (10 + n) reaches ema at n = (10 ema - 1) / (1 - ema). */
    double last = warmup ? ceil((10.0 * ema - 1.0) / (1.0 - ema)) : 1.0;
    uint32_t rows = (uint32_t)fmax(last, 1.0) + 1;
    float *table = malloc(rows * sizeof *table);
    if (!table) {
        pm_graph_fail(graph, PM_NO_MEMORY, "adamw: out of host memory for %u decays of the average", rows);
        return PM_NONE;
    }
    table[0] = 1.0f;
    for (uint32_t i = 1; i < rows; i++) {
        table[i] = (float)(1.0 - (warmup ? fmin(ema, (1.0 + i) / (10.0 + i)) : ema));
    }
    pm_tensor result = pm_constant(graph, "optimizer.averages", PM_DTYPE_F32, PM_SHAPE(rows), table);
    free(table);
    return result;
}

/* A bit for each PM_ARENA_ALIGN elements: they belong to a parameter of rank 2 or more. */
static pm_tensor decay_bits(pm_graph *graph)
{
    uint32_t words = pm_ceil_div(graph->arena_elements / PM_ARENA_ALIGN, 32);
    uint32_t *bits = calloc(words, sizeof *bits);
    if (!bits) {
        pm_graph_fail(graph, PM_NO_MEMORY, "adamw: out of host memory");
        return PM_NONE;
    }
    for (uint32_t i = 0; i < graph->n_params; i++) {
        const pm_tensor_info *info = pm_info(graph, pm_param_at(graph, i));
        if (info->shape.rank < 2) continue;
        uint32_t block = (uint32_t)(info->offset / 4) / PM_ARENA_ALIGN;
        uint32_t end = block + pm_ceil_div(pm_shape_count(info->shape), PM_ARENA_ALIGN);
        for (; block < end; block++) bits[block / 32] |= 1u << (block % 32);
    }
    pm_tensor result = pm_constant(graph, "optimizer.decays", PM_DTYPE_U32, PM_SHAPE(words), bits);
    free(bits);
    return result;
}

/* ---- The public function and its cases ----------------------------------------------------------------- */

static bool check_adamw(pm_graph *graph, pm_tensor gradient, pm_tensor counter, const pm_adamw_args *args)
{
    if (pm_dtype_of(graph, gradient) != PM_DTYPE_F32 ||
        pm_count_of(graph, gradient) != graph->arena_elements) {
        pm_graph_fail(graph, PM_BAD_USAGE, "adamw: the gradient must be flat, as pm_backward returns it");
    } else if (pm_dtype_of(graph, counter) != PM_DTYPE_U32 || pm_count_of(graph, counter) != 4) {
        pm_graph_fail(graph, PM_BAD_USAGE, "adamw: the counter must be one from pm_counter");
    } else if (!args->learning_rates || args->n_learning_rates == 0) {
        pm_graph_fail(graph, PM_BAD_USAGE, "adamw: needs at least one learning rate");
    } else if (!(args->beta1 >= 0 && args->beta1 < 1 && args->beta2 >= 0 && args->beta2 < 1)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "adamw: beta1 and beta2 must lie in [0, 1)");
    } else if (!(args->eps >= 1e-20f && args->eps < INFINITY)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "adamw: eps must be at least 1e-20");
    } else if (!(args->ema >= 0 && args->ema < 1)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "adamw: the decay of the average must lie in [0, 1)");
    } else if (!(args->clip_norm >= 0 && args->weight_decay >= 0)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "adamw: clip_norm and weight_decay must not be negative");
    }
    return pm_ok(graph);
}

pm_adamw_state pm_adamw(pm_graph *graph, pm_tensor gradient, pm_tensor counter, pm_adamw_args args)
{
    pm_adamw_state state = {PM_NONE, PM_NONE, PM_NONE, PM_NONE};
    pm_tensor params = pm_param_arena(graph);
    if (!pm_ok(graph) || !check_adamw(graph, gradient, counter, &args)) return state;
    pm_shape shape = pm_shape_of(graph, params);
    pm_tensor in[N_IN] = {params};
    in[IN_FIRST] = state.first_moment = pm_state(graph, "optimizer.m", PM_DTYPE_F32, shape);
    in[IN_SECOND] = state.second_moment = pm_state(graph, "optimizer.v", PM_DTYPE_F32, shape);
    in[IN_GRADIENT] = gradient;
    in[IN_NORM] = state.grad_norm = pm_norm_of(graph, gradient);
    in[IN_COUNTER] = counter;
    in[IN_RATES] = pm_constant(graph, "optimizer.learning_rates", PM_DTYPE_F32,
                               PM_SHAPE(args.n_learning_rates), args.learning_rates);
    in[IN_CORRECTIONS] = correction_table(graph, (double)args.beta1, (double)args.beta2);
    in[IN_DECAYS] = decay_bits(graph);
    if (args.ema > 0) {
        in[IN_AVERAGE] = state.average = pm_state(graph, "optimizer.ema", PM_DTYPE_F32, shape);
        in[IN_AVERAGES] = average_table(graph, (double)args.ema, args.ema_warmup);
    }
    adamw_attr attr = {args.beta1, args.beta2, args.eps, args.weight_decay, args.clip_norm};
    (void)pm_emit(graph, &pm_op_adamw, in, N_IN, &attr, sizeof attr, NULL);
    pm_output(graph, state.grad_norm);
    return state;
}

/* Two steps, the second with other moments, rates and corrections. p: with average, clipping, size of a large
 * parameter. */
static pm_tensor case_adamw(pm_graph *graph, const uint32_t *p)
{
    static const float rates[] = {0.1f, 0.05f};
    (void)pm_case_leaf(graph, "matrix", PM_SHAPE(3, 5), 1.0f);
    (void)pm_case_leaf(graph, "bias", PM_SHAPE(70), 1.0f);
    (void)pm_case_leaf(graph, "large", PM_SHAPE(p[2], 33), 1.0f);
    (void)pm_case_leaf(graph, "gain", PM_SHAPE(1), 1.0f);
    pm_tensor params = pm_param_arena(graph), counter = pm_counter(graph);
    if (!pm_ok(graph)) return PM_NONE;
    pm_adamw_args args = {.beta1 = 0.9f,
                          .beta2 = 0.99f,
                          .eps = 1e-3f,
                          .weight_decay = 0.1f,
                          .clip_norm = p[1] ? 0.5f : 0.0f,
                          .learning_rates = rates,
                          .n_learning_rates = 2,
                          .ema = p[0] ? 0.9f : 0.0f};
    pm_tensor gradient = pm_affine(graph, params, -0.5f, 0.1f);
    pm_adamw_state state = pm_adamw(graph, gradient, counter, args);
    pm_advance(graph, counter);
    if (!pm_ok(graph)) return PM_NONE;
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        const pm_node node = graph->nodes[n];
        if (node.op != &pm_op_adamw) continue;
        (void)pm_emit(graph, node.op, node.in, node.n_in, node.attr, sizeof(adamw_attr), NULL);
        break;
    }
    return state.grad_norm;
}

static const pm_case cases_adamw[] = {
    {.name = "average, clipping", .build = case_adamw, .p = {1, 1, 2}, .no_gradient = true},
    {.name = "no average", .build = case_adamw, .p = {0, 0, 2}, .no_gradient = true},
    {.name = "several workgroups", .build = case_adamw, .p = {1, 0, 137}, .no_gradient = true},
    {.name = "two updates of 1.6 million, average",
     .build = case_adamw,
     .p = {1, 1, 48000},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_adamw = {
    .name = "adamw",
    .updates = 1u << IN_PARAMS | 1u << IN_FIRST | 1u << IN_SECOND | 1u << IN_AVERAGE,
    .shape = shape_adamw,
    .lower = lower_adamw,
    .reference = reference_adamw,
    PM_CASES(cases_adamw),
};
