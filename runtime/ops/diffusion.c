/* What stepping a diffusion process needs on the device: mixing with coefficients by timestep, a reverse step
 * by table, guidance. The coefficients themselves are made on the host in double, by models/processes. */
#include "base/status.h"
#include "ops/flat.h"
#include "ops/layout.h"
#include "ops/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool has_type(const pm_graph *graph, pm_tensor tensor, pm_dtype dtype)
{
    return pm_is(tensor) && pm_dtype_of(graph, tensor) == dtype;
}

static bool same_shape(const pm_graph *graph, pm_tensor a, pm_tensor b)
{
    return pm_shape_equal(pm_shape_of(graph, a), pm_shape_of(graph, b));
}

static bool is_table(const pm_graph *graph, pm_tensor table, uint32_t columns)
{
    pm_shape shape = pm_shape_of(graph, table);
    return has_type(graph, table, PM_DTYPE_F32) && shape.rank == 2 && shape.dim[1] == columns;
}

/* ---- Timestep embedding -------------------------------------------------------------------------------- */

pm_tensor pm_timestep_table(pm_graph *graph, const char *name, uint32_t timesteps, uint32_t width)
{
    if (!pm_ok(graph)) return PM_NONE;
    size_t count = 0;
    if (width < 4 || width % 2 != 0 || timesteps == 0 || !pm_mul_size(timesteps, width, &count) ||
        count > INT32_MAX) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "timestep_table: %u timesteps of width %u; the width must be even, 4 or more",
                      timesteps, width);
        return PM_NONE;
    }
    float *table = malloc(count * sizeof *table);
    if (!table) {
        pm_graph_fail(graph, PM_NO_MEMORY, "timestep_table: out of host memory");
        return PM_NONE;
    }
    uint32_t half = width / 2;
    for (uint32_t i = 0; i < half; i++) {
        double frequency = pow(10000.0, -(double)i / (half - 1));
        for (uint32_t t = 0; t < timesteps; t++) {
            table[(size_t)t * width + i] = (float)sin(t * frequency);
            table[(size_t)t * width + half + i] = (float)cos(t * frequency);
        }
    }
    pm_tensor result = pm_constant(graph, name, PM_DTYPE_F32, PM_SHAPE(timesteps, width), table);
    free(table);
    return result;
}

/* ---- Corrupt ------------------------------------------------------------------------------------------- */

/* Column of the table that one term takes, or both terms: as in shaders/corrupt.comp. */
typedef enum corrupt_term { TERM_A = 0, TERM_B = 1, TERM_BOTH = 2 } corrupt_term;

typedef struct corrupt_attr {
    corrupt_term term;
} corrupt_attr;

/* Inputs: a, b, t, table; of the gradient: what arrives, t, table. */
static void shape_corrupt(pm_graph *graph, pm_node *node)
{
    (void)pm_node_output(graph, node, PM_DTYPE_F32, pm_shape_of(graph, node->in[0]));
}

static void lower_corrupt_term(pm_lowering *lowering, const pm_node *node, pm_tensor b, pm_tensor t,
                               pm_tensor table)
{
    const pm_graph *graph = lowering->graph;
    uint32_t count = pm_count_of(graph, node->in[0]), stride = pm_flat_stride(lowering);
    pm_dispatch *d = pm_dispatch_begin(lowering, "corrupt", lowering->rules->lanes);
    pm_spec(d, PM_ATTR(corrupt_attr, node)->term);
    pm_push_u32(d, count);
    pm_push_u32(d, count / pm_shape_of(graph, node->in[0]).dim[0]);
    pm_push_u32(d, pm_shape_of(graph, table).dim[0]);
    pm_bind_in(d, node->in[0], 4, stride);
    pm_bind_in(d, b, 4, stride);
    pm_bind_in(d, t, 1, 0);
    pm_bind_in(d, table, 1, 0);
    pm_bind_out(d, node->out[0], stride);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, 3.0 * count);
}

static void lower_corrupt_rows(pm_lowering *lowering, const pm_node *node)
{
    lower_corrupt_term(lowering, node, node->in[1], node->in[2], node->in[3]);
}

static void lower_corrupt(pm_lowering *lowering, const pm_node *node)
{
    enum { A = 1 << 0, B = 1 << 1, T = 1 << 2 };
    pm_lower_by_rows(lowering, node, A | B | T | PM_OUT_BIT(0), T, 0, lower_corrupt_rows);
}

static void lower_corrupt_backward_rows(pm_lowering *lowering, const pm_node *node)
{
    lower_corrupt_term(lowering, node, node->in[0], node->in[1], node->in[2]);
}

static void lower_corrupt_backward(pm_lowering *lowering, const pm_node *node)
{
    enum { GRADIENT = 1 << 0, T = 1 << 1 };
    pm_lower_by_rows(lowering, node, GRADIENT | T | PM_OUT_BIT(0), T, 0, lower_corrupt_backward_rows);
}

/* table[t,column] for element i of a tensor; 0 for a t beyond the table. */
static double corrupt_factor(const pm_host *x, const pm_host *t, const pm_host *table, uint32_t i,
                             uint32_t column)
{
    uint32_t time = t->u[i / (x->count / t->count)];
    return time < table->shape.dim[0] ? table->f[2 * (size_t)time + column] : 0.0;
}

static void reference_corrupt(const pm_reference *ref)
{
    const pm_host *a = &ref->in[0], *b = &ref->in[1], *t = &ref->in[2], *table = &ref->in[3];
    for (uint32_t i = 0; i < a->count; i++) {
        ref->out[0].f[i] =
            corrupt_factor(a, t, table, i, 0) * a->f[i] + corrupt_factor(a, t, table, i, 1) * b->f[i];
    }
}

static void reference_corrupt_backward(const pm_reference *ref)
{
    const pm_host *grad = &ref->in[0];
    corrupt_term term = PM_ATTR(corrupt_attr, ref->node)->term;
    for (uint32_t i = 0; i < grad->count; i++) {
        ref->out[0].f[i] = corrupt_factor(grad, &ref->in[1], &ref->in[2], i, term) * grad->f[i];
    }
}

const pm_op pm_op_corrupt_backward = {
    .name = "corrupt_backward",
    .shape = shape_corrupt,
    .lower = lower_corrupt_backward,
    .reference = reference_corrupt_backward,
};

static void backward_corrupt(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                             const bool *wants, pm_tensor *grad_in)
{
    pm_tensor in[] = {grad_out[0], node->in[2], node->in[3]};
    for (uint32_t i = 0; i < 2; i++) {
        corrupt_attr attr = {i == 0 ? TERM_A : TERM_B};
        if (wants[i]) grad_in[i] = pm_emit(graph, &pm_op_corrupt_backward, in, 3, &attr, sizeof attr, NULL);
    }
}

#define CASE_TIMES 5u

static pm_tensor case_corrupt(pm_graph *graph, const uint32_t *p)
{
    static const float table[CASE_TIMES * 2] = {1, 0, 0.75f, -0.5f, 0.5f, 0.875f, -0.25f, 1, 0, 2};
    pm_shape shape = PM_SHAPE(p[0], p[1], p[2]);
    return pm_corrupt(graph, pm_case_leaf(graph, "a", shape, 1.0f), pm_case_leaf(graph, "b", shape, 1.0f),
                      pm_case_indices(graph, "t", PM_SHAPE(p[0]), CASE_TIMES + 1),
                      pm_constant(graph, "table", PM_DTYPE_F32, PM_SHAPE(CASE_TIMES, 2), table));
}

static const pm_case cases_corrupt[] = {
    {.name = "aligned samples", .build = case_corrupt, .p = {5, 2, 4}},
    {.name = "ragged samples", .build = case_corrupt, .p = {7, 3, 3}},
    {.name = "samples of one element", .build = case_corrupt, .p = {9, 1, 1}},
    {.name = "several workgroups", .build = case_corrupt, .p = {3, 37, 27}},
    {.name = "32 of 28x28", .build = case_corrupt, .p = {32, 28, 28}, .bench = true},
};

const pm_op pm_op_corrupt = {
    .name = "corrupt",
    .shape = shape_corrupt,
    .backward = backward_corrupt,
    .lower = lower_corrupt,
    .reference = reference_corrupt,
    PM_CASES(cases_corrupt),
};

pm_tensor pm_corrupt(pm_graph *graph, pm_tensor a, pm_tensor b, pm_tensor t, pm_tensor table)
{
    char text[64];
    if (!pm_ok(graph)) return PM_NONE;
    pm_shape shape = pm_shape_of(graph, a), times = pm_shape_of(graph, t);
    if (!has_type(graph, a, PM_DTYPE_F32) || !has_type(graph, b, PM_DTYPE_F32) || !same_shape(graph, a, b) ||
        !has_type(graph, t, PM_DTYPE_U32) || times.rank != 1 || times.dim[0] != shape.dim[0] ||
        !is_table(graph, table, 2)) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "corrupt: needs f32 a and b of one shape [B,...], u32 t [B], f32 table [T,2]; a is %s",
                      pm_shape_text(shape, text));
        return PM_NONE;
    }
    corrupt_attr attr = {TERM_BOTH};
    return pm_emit(graph, &pm_op_corrupt, (pm_tensor[]){a, b, t, table}, 4, &attr, sizeof attr, NULL);
}

/* ---- Reverse step -------------------------------------------------------------------------------------- */

typedef struct step_attr {
    float clip; /* 0: not */
} step_attr;

enum { STEP_X, STEP_PREDICTION, STEP_NOISE, STEP_COUNTER, STEP_TABLE };

static void shape_denoise_step(pm_graph *graph, pm_node *node)
{
    (void)pm_node_output(graph, node, PM_DTYPE_F32, pm_shape_of(graph, node->in[STEP_X]));
}

static void lower_denoise_step(pm_lowering *lowering, const pm_node *node)
{
    float clip = PM_ATTR(step_attr, node)->clip;
    const pm_tensor *in = node->in;
    uint32_t count = pm_count_of(lowering->graph, in[STEP_X]), stride = pm_flat_stride(lowering);
    bool noise = pm_is(in[STEP_NOISE]);
    pm_dispatch *d = pm_dispatch_begin(lowering, "denoise_step", lowering->rules->lanes);
    pm_spec(d, clip > 0);
    pm_spec(d, noise);
    pm_push_u32(d, count);
    pm_push_u32(d, pm_shape_of(lowering->graph, in[STEP_TABLE]).dim[0]);
    pm_push_f32(d, clip);
    pm_bind_update(d, in[STEP_X], stride);
    pm_bind_in(d, in[STEP_PREDICTION], 4, stride);
    pm_bind_in(d, noise ? in[STEP_NOISE] : in[STEP_PREDICTION], 4, stride); /* not read without noise */
    pm_bind_in(d, in[STEP_COUNTER], 1, 0);
    pm_bind_in(d, in[STEP_TABLE], 4, 0);
    pm_bind_out(d, node->out[0], stride);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, 14.0 * count);
}

static void reference_denoise_step(const pm_reference *ref)
{
    double clip = PM_ATTR(step_attr, ref->node)->clip;
    const pm_host *in = ref->in;
    uint32_t step = in[STEP_COUNTER].u[0], rows = in[STEP_TABLE].shape.dim[0];
    const double *c = in[STEP_TABLE].f + (size_t)(step < rows ? step : rows - 1) * PM_STEP_COLUMNS;
    for (uint32_t i = 0; i < in[STEP_X].count; i++) {
        double x = in[STEP_X].f[i], z = in[STEP_NOISE].count ? in[STEP_NOISE].f[i] : 0.0;
        double x0 = c[PM_STEP_X0_X] * x + c[PM_STEP_X0_PRED] * in[STEP_PREDICTION].f[i];
        if (clip > 0) x0 = fmin(fmax(x0, -clip), clip);
        double eps = c[PM_STEP_NOISE_X] * x + c[PM_STEP_NOISE_X0] * x0;
        ref->out[0].f[i] = x0;
        in[STEP_X].f[i] =
            c[PM_STEP_OUT_X0] * x0 + c[PM_STEP_OUT_NOISE] * eps + c[PM_STEP_OUT_X] * x + c[PM_STEP_OUT_Z] * z;
    }
}

/* Two steps with different rows, and a third beyond the table, which takes its last row. p: with noise, clip
 * * 4, shape. */
static pm_tensor case_denoise_step(pm_graph *graph, const uint32_t *p)
{
    static const float table[2 * PM_STEP_COLUMNS] = {1.25f,  -0.75f, 1.5f,  -0.5f,  0.5f, 0.25f,
                                                     0.125f, 0.375f, 1.0f,  -0.5f,  2.0f, -1.25f,
                                                     0.875f, -0.5f,  0.25f, 0.0625f};
    pm_shape shape = PM_SHAPE(p[2], p[3]);
    pm_tensor x = pm_case_leaf(graph, "x", shape, 1.0f);
    pm_tensor prediction = pm_case_leaf(graph, "prediction", shape, 1.0f);
    pm_tensor noise = p[0] ? pm_case_leaf(graph, "noise", shape, 1.0f) : PM_NONE;
    pm_tensor steps = pm_constant(graph, "steps", PM_DTYPE_F32, PM_SHAPE(2, PM_STEP_COLUMNS), table);
    pm_tensor counter = pm_counter(graph), x0 = PM_NONE;
    for (uint32_t i = 0; i < 3; i++) {
        x0 = pm_denoise_step(graph, x, prediction, noise, counter, steps, (float)p[1] / 4.0f);
        pm_advance(graph, counter);
    }
    return x0;
}

static const pm_case cases_denoise_step[] = {
    {.name = "noise, clipping", .build = case_denoise_step, .p = {1, 4, 3, 5}, .no_gradient = true},
    {.name = "no noise, no clipping", .build = case_denoise_step, .p = {0, 0, 2, 8}, .no_gradient = true},
    {.name = "several workgroups", .build = case_denoise_step, .p = {1, 3, 7, 1001}, .no_gradient = true},
    {.name = "three steps of 32 of 28x28",
     .build = case_denoise_step,
     .p = {1, 4, 32, 784},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_denoise_step = {
    .name = "denoise_step",
    .updates = 1u << STEP_X,
    .shape = shape_denoise_step,
    .lower = lower_denoise_step,
    .reference = reference_denoise_step,
    PM_CASES(cases_denoise_step),
};

pm_tensor pm_denoise_step(pm_graph *graph, pm_tensor x, pm_tensor prediction, pm_tensor noise,
                          pm_tensor counter, pm_tensor table, float clip)
{
    if (!pm_ok(graph)) return PM_NONE;
    bool shapes = has_type(graph, x, PM_DTYPE_F32) && has_type(graph, prediction, PM_DTYPE_F32) &&
                  same_shape(graph, x, prediction) &&
                  (!pm_is(noise) || (has_type(graph, noise, PM_DTYPE_F32) && same_shape(graph, x, noise)));
    if (!shapes || pm_info(graph, x)->kind != PM_KIND_STATE) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "denoise_step: needs a state x, and prediction and noise of its shape");
    } else if (!has_type(graph, counter, PM_DTYPE_U32) || pm_count_of(graph, counter) != 4) {
        pm_graph_fail(graph, PM_BAD_USAGE, "denoise_step: the counter must be one from pm_counter");
    } else if (!is_table(graph, table, PM_STEP_COLUMNS) || !(clip >= 0)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "denoise_step: needs a table [S,%d] and a clip of 0 or more",
                      PM_STEP_COLUMNS);
    }
    step_attr attr = {clip};
    return pm_emit(graph, &pm_op_denoise_step, (pm_tensor[]){x, prediction, noise, counter, table}, 5, &attr,
                   sizeof attr, NULL);
}

/* ---- Guidance ------------------------------------------------------------------------------------------ */

/* Inputs: prediction [2B,...], weight [1]. */
static void shape_guide(pm_graph *graph, pm_node *node)
{
    pm_shape shape = pm_shape_of(graph, node->in[0]);
    if (!has_type(graph, node->in[0], PM_DTYPE_F32) || shape.dim[0] % 2 != 0 ||
        !has_type(graph, node->in[1], PM_DTYPE_F32) || pm_count_of(graph, node->in[1]) != 1) {
        pm_graph_fail(graph, PM_BAD_USAGE, "guide: needs an f32 prediction [2B,...] and an f32 weight [1]");
        return;
    }
    shape.dim[0] /= 2;
    (void)pm_node_output(graph, node, PM_DTYPE_F32, shape);
}

/* Both halves lie in one binding, or, where that is too large, the unconditional one in a copy. */
static void lower_guide(pm_lowering *lowering, const pm_node *node)
{
    enum { WHOLE = 0, RAGGED = 1, APART = 2 }; /* of shaders/guide.comp */
    pm_tensor halves = node->in[0], copy = PM_NONE;
    uint32_t count = pm_count_of(lowering->graph, node->out[0]), stride = pm_flat_stride(lowering);
    if (!pm_fits_whole(lowering, halves, 1)) {
        copy = pm_scratch(lowering, PM_DTYPE_F32, count);
        pm_strided second = {.rank = 1, .extent = {count}, .stride = {1}, .first = count};
        pm_lower_gather(lowering, halves, copy, second, 1.0f);
    }
    bool apart = pm_is(copy);
    pm_dispatch *d = pm_dispatch_begin(lowering, "guide", lowering->rules->lanes);
    pm_spec(d, apart ? APART : count % 4 != 0 ? RAGGED : WHOLE);
    pm_push_u32(d, count);
    pm_bind_in(d, halves, 4, apart ? stride : 0);
    pm_bind_in(d, apart ? copy : halves, 4, apart ? stride : 0);
    pm_bind_in(d, apart ? copy : halves, 1, apart ? stride : 0);
    pm_bind_in(d, node->in[1], 1, 0);
    pm_bind_out(d, node->out[0], pm_flat_stride(lowering));
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, 3.0 * count);
}

static void reference_guide(const pm_reference *ref)
{
    const double *c = ref->in[0].f, *u = c + ref->out[0].count;
    for (uint32_t i = 0; i < ref->out[0].count; i++)
        ref->out[0].f[i] = u[i] + ref->in[1].f[0] * (c[i] - u[i]);
}

/* dc = w dy, du = (1 - w) dy, dw = sum of dy (c - u): put together from other operators, as it is rare. */
static void backward_guide(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out, const bool *wants,
                           pm_tensor *grad_in)
{
    pm_tensor dy = grad_out[0], weight = pm_reshape(graph, node->in[1], PM_SHAPE(1));
    uint32_t half = pm_shape_of(graph, dy).dim[0];
    if (wants[0]) {
        pm_tensor rest = pm_affine(graph, weight, -1.0f, 1.0f);
        grad_in[0] = pm_concat(graph, pm_mul(graph, dy, weight), pm_mul(graph, dy, rest), 0);
    }
    if (wants[1]) {
        pm_tensor c = pm_slice(graph, node->in[0], 0, 0, half);
        pm_tensor u = pm_slice(graph, node->in[0], 0, half, 2 * half);
        pm_tensor difference = pm_add(graph, c, pm_affine(graph, u, -1.0f, 0.0f));
        grad_in[1] = pm_sum(graph, pm_mul(graph, dy, difference));
    }
}

static pm_tensor case_guide(pm_graph *graph, const uint32_t *p)
{
    return pm_guide(graph, pm_case_leaf(graph, "prediction", PM_SHAPE(2 * p[0], p[1]), 1.0f),
                    pm_case_leaf(graph, "weight", PM_SHAPE(1), 4.0f));
}

static const pm_case cases_guide[] = {
    {.name = "aligned halves", .build = case_guide, .p = {2, 6}},
    {.name = "ragged halves", .build = case_guide, .p = {3, 5}},
    {.name = "one element", .build = case_guide, .p = {1, 1}},
    {.name = "several workgroups", .build = case_guide, .p = {5, 301}},
    {.name = "32 of 28x28", .build = case_guide, .p = {32, 784}, .bench = true},
};

const pm_op pm_op_guide = {
    .name = "guide",
    .shape = shape_guide,
    .backward = backward_guide,
    .lower = lower_guide,
    .reference = reference_guide,
    PM_CASES(cases_guide),
};

pm_tensor pm_guide(pm_graph *graph, pm_tensor prediction, pm_tensor weight)
{
    return pm_emit(graph, &pm_op_guide, (pm_tensor[]){prediction, weight}, 2, NULL, 0, NULL);
}

/* u32 [n], all `label`: made once for each n and label. */
static pm_tensor constant_labels(pm_graph *graph, uint32_t n, uint32_t label)
{
    char name[64], path[PM_PATH_BYTES * 2];
    (void)snprintf(name, sizeof name, "labels.%ux%u", n, label);
    (void)snprintf(path, sizeof path, "%s%s", graph->scope, name);
    pm_tensor found = pm_find(graph, path);
    if (pm_is(found)) return found;
    uint32_t *labels = malloc((size_t)n * sizeof *labels);
    if (!labels) {
        pm_graph_fail(graph, PM_NO_MEMORY, "guide_labels: out of host memory");
        return PM_NONE;
    }
    for (uint32_t i = 0; i < n; i++) labels[i] = label;
    found = pm_constant(graph, name, PM_DTYPE_U32, PM_SHAPE(n), labels);
    free(labels);
    return found;
}

pm_tensor pm_guide_labels(pm_graph *graph, pm_tensor labels, uint32_t null_label)
{
    if (!pm_ok(graph)) return PM_NONE;
    if (!has_type(graph, labels, PM_DTYPE_U32) || pm_shape_of(graph, labels).rank != 1) {
        pm_graph_fail(graph, PM_BAD_USAGE, "guide_labels: needs u32 labels [n]");
        return PM_NONE;
    }
    pm_tensor null_labels = constant_labels(graph, pm_count_of(graph, labels), null_label);
    return pm_concat(graph, labels, null_labels, 0);
}

pm_tensor pm_repeat_batch(pm_graph *graph, pm_tensor x)
{
    return pm_concat(graph, x, x, 0);
}
