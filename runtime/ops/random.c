/* Random numbers on the device: normals, uniforms, indices, draws from a softmax, and the counter that they
 * come from. All of it is a function of seed, step, sample, element and stream (base/philox.h); nothing is
 * kept. */
#include "ops/random.h"

#include "base/exact.h"
#include "base/philox.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/flat.h"
#include "ops/slab.h"
#include "ops/table.h"

#include <string.h>

/* ---- Shared -------------------------------------------------------------------------------------------- */

void pm_draw_block(const uint32_t counter[4], uint32_t stream, uint32_t sample, uint32_t block,
                   uint32_t bits[4])
{
    const uint32_t place[4] = {block, counter[0], counter[1] + sample, stream};
    pm_philox4x32(place, counter + 2, bits);
}

uint32_t pm_draw_element(const uint32_t counter[4], uint32_t stream, uint32_t sample, uint32_t element)
{
    uint32_t bits[4];
    pm_draw_block(counter, stream, sample, element / 4, bits);
    return bits[element % 4];
}

bool pm_check_counter(pm_graph *graph, const pm_node *node, uint32_t i)
{
    if (!pm_check_operand(graph, node, i, PM_DTYPE_U32)) return false;
    if (pm_count_of(graph, node->in[i]) == 4) return true;
    pm_graph_fail(graph, PM_BAD_USAGE, "%s: the counter must be u32 [4], as pm_counter makes it",
                  node->op->name);
    return false;
}

pm_tensor pm_case_counter(pm_graph *graph)
{
    static const uint32_t value[4] = {3, 50, 0x12345678, 9};
    return pm_constant(graph, "counter", PM_DTYPE_U32, PM_SHAPE(4), value);
}

/* ---- The counter --------------------------------------------------------------------------------------- */

pm_tensor pm_counter(pm_graph *graph)
{
    if (!pm_ok(graph)) return PM_NONE;
    pm_tensor found = pm_find(graph, "counter");
    if (pm_is(found)) return found;
    char scope[PM_PATH_BYTES];
    memcpy(scope, graph->scope, sizeof scope); /* one for all scopes */
    graph->scope[0] = '\0';
    pm_tensor counter = pm_state(graph, "counter", PM_DTYPE_U32, PM_SHAPE(4));
    memcpy(graph->scope, scope, sizeof scope);
    return counter;
}

static void shape_advance(pm_graph *graph, pm_node *node)
{
    if (pm_check_counter(graph, node, 0) && pm_info(graph, node->in[0])->kind != PM_KIND_STATE) {
        pm_graph_fail(graph, PM_BAD_USAGE, "advance: the counter must be a state, as pm_counter makes it");
    }
}

static void lower_advance(pm_lowering *lowering, const pm_node *node)
{
    pm_dispatch *d = pm_dispatch_begin(lowering, "advance", 1);
    pm_bind_update(d, node->in[0], 0);
    pm_groups(d, 1, 1, 1, 0, 0);
}

static void reference_advance(const pm_reference *ref)
{
    ref->in[0].u[0]++;
}

void pm_advance(pm_graph *graph, pm_tensor counter)
{
    (void)pm_emit(graph, &pm_op_advance, &counter, 1, NULL, 0, NULL);
}

static pm_tensor case_advance(pm_graph *graph, const uint32_t *p)
{
    pm_tensor counter = pm_counter(graph);
    for (uint32_t i = 0; i < p[0]; i++) pm_advance(graph, counter);
    return pm_uniform(graph, counter, 1, PM_SHAPE(2, 4));
}

static const pm_case cases_advance[] = {
    {.name = "three steps", .build = case_advance, .p = {3}, .no_gradient = true},
};

const pm_op pm_op_advance = {
    .name = "advance",
    .updates = 1,
    .shape = shape_advance,
    .lower = lower_advance,
    .reference = reference_advance,
    PM_CASES(cases_advance),
};

/* ---- Normals and uniforms ------------------------------------------------------------------------------ */

typedef struct random_attr {
    pm_shape shape;
    uint32_t stream;
    bool normal;
} random_attr;

static void shape_random(pm_graph *graph, pm_node *node)
{
    const random_attr *attr = PM_ATTR(random_attr, node);
    if (pm_check_counter(graph, node, 0)) pm_node_output(graph, node, PM_DTYPE_F32, attr->shape);
}

static void lower_random(pm_lowering *lowering, const pm_node *node)
{
    const random_attr *attr = PM_ATTR(random_attr, node);
    uint32_t count = pm_shape_count(attr->shape), length = count / attr->shape.dim[0];
    pm_dispatch *d = pm_dispatch_begin(lowering, "random", lowering->rules->lanes);
    pm_spec(d, attr->normal);
    pm_spec(d, pm_is_quads(length));
    pm_push_u32(d, count);
    pm_push_u32(d, attr->stream);
    pm_push_divisor(d, length);
    pm_bind_in(d, node->in[0], 1, 0);
    pm_bind_out(d, node->out[0], pm_flat_stride(lowering));
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, 0);
}

static void reference_random(const pm_reference *ref)
{
    const random_attr *attr = PM_ATTR(random_attr, ref->node);
    uint32_t length = ref->out[0].count / attr->shape.dim[0];
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        uint32_t sample = i / length, element = i % length, bits[4];
        float normals[4];
        pm_draw_block(ref->in[0].u, attr->stream, sample, element / 4, bits);
        pm_normal4(bits, normals);
        ref->out[0].f[i] = (double)(attr->normal ? normals[element % 4] : pm_uniform01(bits[element % 4]));
    }
}

static pm_tensor random_tensor(pm_graph *graph, pm_tensor counter, uint32_t stream, pm_shape shape,
                               bool normal)
{
    random_attr attr = {shape, stream, normal};
    return pm_emit(graph, &pm_op_random, &counter, 1, &attr, sizeof attr, NULL);
}

pm_tensor pm_normal(pm_graph *graph, pm_tensor counter, uint32_t stream, pm_shape shape)
{
    return random_tensor(graph, counter, stream, shape, true);
}

pm_tensor pm_uniform(pm_graph *graph, pm_tensor counter, uint32_t stream, pm_shape shape)
{
    return random_tensor(graph, counter, stream, shape, false);
}

static pm_tensor case_random(pm_graph *graph, const uint32_t *p)
{
    pm_shape shape = PM_SHAPE(p[1], p[2], p[3]);
    pm_tensor counter = pm_case_counter(graph);
    return p[0] ? pm_normal(graph, counter, 7, shape) : pm_uniform(graph, counter, 7, shape);
}

/* Exact: the reference draws the same bits, and rounds as the device does. */
#define EXACT 1e-12

static const pm_case cases_random[] = {
    {.name = "uniform", .build = case_random, .p = {0, 3, 5, 4}, .no_gradient = true, .tolerance = EXACT},
    {.name = "uniform, odd samples",
     .build = case_random,
     .p = {0, 5, 7, 3},
     .no_gradient = true,
     .tolerance = EXACT},
    {.name = "uniform, one a sample",
     .build = case_random,
     .p = {0, 9, 1, 1},
     .no_gradient = true,
     .tolerance = EXACT},
    {.name = "normal", .build = case_random, .p = {1, 2, 28, 28}, .no_gradient = true, .tolerance = 1e-6},
    {.name = "normal, odd, several workgroups",
     .build = case_random,
     .p = {1, 41, 9, 15},
     .no_gradient = true,
     .tolerance = 1e-6},
    {.name = "normal, 28x28, 32 channels",
     .build = case_random,
     .p = {1, 32, 784, 32},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_random = {
    .name = "random",
    .shape = shape_random,
    .lower = lower_random,
    .reference = reference_random,
    PM_CASES(cases_random),
};

/* ---- One choice a sample ------------------------------------------------------------------------------- */

typedef struct choice_attr {
    uint32_t stream;
    uint32_t count;
    uint32_t n;        /* random_index: the bound; drop_labels: the label that replaces others */
    float probability; /* drop_labels: of replacing */
} choice_attr;

static void lower_choice(pm_lowering *lowering, const pm_node *node, bool drop)
{
    const choice_attr *attr = PM_ATTR(choice_attr, node);
    uint32_t lanes = lowering->rules->lanes, stride = 4 * lanes,
             count = pm_count_of(lowering->graph, node->out[0]);
    pm_dispatch *d = pm_dispatch_begin(lowering, "random_index", lanes);
    pm_spec(d, drop);
    pm_push_u32(d, count);
    pm_push_u32(d, attr->stream);
    pm_push_u32(d, attr->n);
    pm_push_f32(d, attr->probability);
    pm_bind_in(d, node->in[0], 1, 0);
    pm_bind_in(d, node->in[drop ? 1 : 0], 1, drop ? stride : 0);
    pm_bind_out(d, node->out[0], stride);
    pm_groups(d, pm_ceil_div(count, lanes), 1, 1, 0, 0);
}

static void shape_random_index(pm_graph *graph, pm_node *node)
{
    const choice_attr *attr = PM_ATTR(choice_attr, node);
    if (!pm_check_counter(graph, node, 0)) return;
    if (attr->n == 0) {
        pm_graph_fail(graph, PM_BAD_USAGE, "random_index: there is no index below 0");
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_U32, PM_SHAPE(attr->count));
}

static void lower_random_index(pm_lowering *lowering, const pm_node *node)
{
    lower_choice(lowering, node, false);
}

static void reference_random_index(const pm_reference *ref)
{
    const choice_attr *attr = PM_ATTR(choice_attr, ref->node);
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        ref->out[0].u[i] = pm_below(pm_draw_element(ref->in[0].u, attr->stream, i, 0), attr->n);
    }
}

pm_tensor pm_random_index(pm_graph *graph, pm_tensor counter, uint32_t stream, uint32_t count, uint32_t n)
{
    choice_attr attr = {stream, count, n, 0.0f};
    return pm_emit(graph, &pm_op_random_index, &counter, 1, &attr, sizeof attr, NULL);
}

static pm_tensor case_random_index(pm_graph *graph, const uint32_t *p)
{
    return pm_random_index(graph, pm_case_counter(graph), 2, p[0], p[1]);
}

static const pm_case cases_random_index[] = {
    {.name = "timesteps", .build = case_random_index, .p = {32, 1000}, .no_gradient = true},
    {.name = "one value", .build = case_random_index, .p = {3, 1}, .no_gradient = true},
    {.name = "several workgroups", .build = case_random_index, .p = {333, 4000000000u}, .no_gradient = true},
    {.name = "4096 timesteps",
     .build = case_random_index,
     .p = {4096, 1000},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_random_index = {
    .name = "random_index",
    .shape = shape_random_index,
    .lower = lower_random_index,
    .reference = reference_random_index,
    PM_CASES(cases_random_index),
};

static void shape_drop_labels(pm_graph *graph, pm_node *node)
{
    const choice_attr *attr = PM_ATTR(choice_attr, node);
    if (!pm_check_counter(graph, node, 0) || !pm_check_operand(graph, node, 1, PM_DTYPE_U32)) return;
    if (!(attr->probability >= 0.0f && attr->probability <= 1.0f)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "drop_labels: %g is not a probability", (double)attr->probability);
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_U32, pm_shape_of(graph, node->in[1]));
}

static void lower_drop_labels(pm_lowering *lowering, const pm_node *node)
{
    lower_choice(lowering, node, true);
}

static void reference_drop_labels(const pm_reference *ref)
{
    const choice_attr *attr = PM_ATTR(choice_attr, ref->node);
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        float u = pm_uniform01(pm_draw_element(ref->in[0].u, attr->stream, i, 0));
        ref->out[0].u[i] = u < attr->probability ? attr->n : ref->in[1].u[i];
    }
}

pm_tensor pm_drop_labels(pm_graph *graph, pm_tensor labels, float p, uint32_t null_label, pm_tensor counter,
                         uint32_t stream)
{
    choice_attr attr = {stream, 0, null_label, p};
    return pm_emit(graph, &pm_op_drop_labels, (pm_tensor[]){counter, labels}, 2, &attr, sizeof attr, NULL);
}

static pm_tensor case_drop_labels(pm_graph *graph, const uint32_t *p)
{
    pm_tensor labels = pm_case_indices(graph, "labels", PM_SHAPE(p[0]), 10);
    return pm_drop_labels(graph, labels, (float)p[1] / 100.0f, 10, pm_case_counter(graph), 3);
}

static const pm_case cases_drop_labels[] = {
    {.name = "some", .build = case_drop_labels, .p = {200, 10}, .no_gradient = true},
    {.name = "none", .build = case_drop_labels, .p = {5, 0}, .no_gradient = true},
    {.name = "all", .build = case_drop_labels, .p = {7, 100}, .no_gradient = true},
    {.name = "4096 labels", .build = case_drop_labels, .p = {4096, 10}, .no_gradient = true, .bench = true},
};

const pm_op pm_op_drop_labels = {
    .name = "drop_labels",
    .shape = shape_drop_labels,
    .lower = lower_drop_labels,
    .reference = reference_drop_labels,
    PM_CASES(cases_drop_labels),
};

/* ---- Draws from a softmax ------------------------------------------------------------------------------ */

#define CHUNK 128u /* as in shaders/include/categorical.glsl, like the other numbers of this part */

typedef struct categorical_attr {
    uint32_t stream;
} categorical_attr;

static void shape_categorical(pm_graph *graph, pm_node *node)
{
    if (!pm_check_operand(graph, node, 0, PM_DTYPE_F32) || !pm_check_counter(graph, node, 1)) return;
    pm_shape logits = pm_shape_of(graph, node->in[0]);
    char text[64];
    if (logits.rank != 2) {
        pm_graph_fail(graph, PM_BAD_USAGE, "categorical: the logits must be [B,V], not %s",
                      pm_shape_text(logits, text));
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_U32, PM_SHAPE(logits.dim[0]));
}

/* Two passes, so that a long row is not one invocation's work: maximum and sum of each chunk, then the
 * choice. */
static void lower_categorical(pm_lowering *lowering, const pm_node *node)
{
    pm_shape logits = pm_shape_of(lowering->graph, node->in[0]);
    uint32_t rows = logits.dim[0], width = logits.dim[1], chunks = pm_ceil_div(width, CHUNK);
    uint32_t lanes = lowering->rules->lanes;
    pm_tensor partial = pm_scratch(lowering, PM_DTYPE_F32, rows * chunks * 2);
    pm_slab slab = pm_slab_of(lowering, rows, chunks, 1);

    pm_dispatch *d = pm_dispatch_begin(lowering, "categorical_chunk", lanes);
    pm_push_slab(d, &slab, rows * chunks);
    pm_push_u32(d, width);
    pm_push_divisor(d, chunks);
    pm_bind_in(d, node->in[0], 1, pm_slab_stride(&slab, width));
    pm_bind_out(d, partial, pm_slab_stride(&slab, chunks * 2));
    pm_groups(d, slab.groups_x, slab.groups_y, 1, 1, (double)rows * width * 20);

    d = pm_dispatch_begin(lowering, "categorical", lanes);
    pm_push_u32(d, rows);
    pm_push_u32(d, width);
    pm_push_u32(d, chunks);
    pm_push_u32(d, PM_ATTR(categorical_attr, node)->stream);
    pm_bind_in(d, node->in[1], 1, 0);
    pm_bind_in(d, node->in[0], 1, 4 * lanes * width);
    pm_bind_in(d, partial, 1, 4 * lanes * chunks * 2);
    pm_bind_out(d, node->out[0], 4 * lanes);
    pm_groups(d, pm_ceil_div(rows, lanes), 1, 1, 0, (double)rows * (chunks + CHUNK) * 20);
}

static float weight_of(double logit, float maximum)
{
    float x = (float)logit - maximum;
    return x > -69.0f ? pmf_exp(x) : 0.0f;
}

/* Maximum and sum of the weights of one chunk. */
static void weigh_chunk(const double *logits, uint32_t n, float *maximum, float *sum)
{
    *maximum = -3e38f;
    *sum = 0.0f;
    for (uint32_t i = 0; i < n; i++) *maximum = (float)logits[i] > *maximum ? (float)logits[i] : *maximum;
    for (uint32_t i = 0; i < n; i++) *sum += weight_of(logits[i], *maximum);
}

/* The first index whose running sum of weights exceeds u times the sum of all. */
static uint32_t draw_from(const double *logits, uint32_t width, float u)
{
    uint32_t chunks = pm_ceil_div(width, CHUNK), chunk = 0;
    float maximum = -3e38f, total = 0.0f, m, s;
    for (uint32_t c = 0; c < chunks; c++) {
        weigh_chunk(logits + c * CHUNK, c + 1 < chunks ? CHUNK : width - c * CHUNK, &m, &s);
        if (m > maximum) maximum = m;
    }
    for (uint32_t c = 0; c < chunks; c++) {
        weigh_chunk(logits + c * CHUNK, c + 1 < chunks ? CHUNK : width - c * CHUNK, &m, &s);
        total += s * weight_of((double)m, maximum);
    }
    float target = u * total, running = 0.0f, before = 0.0f, scale = 0.0f, chunk_maximum = maximum;
    for (uint32_t c = 0; c < chunks && running <= target; c++) {
        weigh_chunk(logits + c * CHUNK, c + 1 < chunks ? CHUNK : width - c * CHUNK, &m, &s);
        float sum = s * weight_of((double)m, maximum);
        if (sum > 0.0f) {
            chunk = c;
            chunk_maximum = m;
            before = running;
            scale = weight_of((double)m, maximum);
        }
        running += sum;
    }
    uint32_t begin = chunk * CHUNK, end = begin + CHUNK < width ? begin + CHUNK : width, drawn = begin;
    running = before;
    for (uint32_t i = begin; i < end && running <= target; i++) {
        float weight = pmf_flush(weight_of(logits[i], chunk_maximum) * scale);
        if (weight > 0.0f) drawn = i;
        running += weight;
    }
    return drawn;
}

/* In float, as the device does: the draw is a comparison, and a double would decide some of them
 * otherwise. */
static void reference_categorical(const pm_reference *ref)
{
    uint32_t stream = PM_ATTR(categorical_attr, ref->node)->stream, width = ref->in[0].shape.dim[1];
    for (uint32_t row = 0; row < ref->out[0].count; row++) {
        float u = pm_uniform01(pm_draw_element(ref->in[1].u, stream, row, 0));
        ref->out[0].u[row] = draw_from(ref->in[0].f + row * width, width, u);
    }
}

pm_tensor pm_categorical(pm_graph *graph, pm_tensor logits, pm_tensor counter, uint32_t stream)
{
    categorical_attr attr = {stream};
    return pm_emit(graph, &pm_op_categorical, (pm_tensor[]){logits, counter}, 2, &attr, sizeof attr, NULL);
}

static pm_tensor case_categorical(pm_graph *graph, const uint32_t *p)
{
    pm_tensor logits = pm_case_leaf(graph, "logits", PM_SHAPE(p[0], p[1]), (float)p[2]);
    return pm_categorical(graph, logits, pm_case_counter(graph), 4);
}

static const pm_case cases_categorical[] = {
    {.name = "bytes", .build = case_categorical, .p = {40, 257, 2}, .no_gradient = true},
    {.name = "few classes", .build = case_categorical, .p = {100, 3, 1}, .no_gradient = true},
    {.name = "one class", .build = case_categorical, .p = {2, 1, 1}, .no_gradient = true},
    {.name = "far apart", .build = case_categorical, .p = {50, 300, 90}, .no_gradient = true},
    {.name = "many classes", .build = case_categorical, .p = {3, 5000, 4}, .no_gradient = true},
    {.name = "16x256 of 257",
     .build = case_categorical,
     .p = {4096, 257, 2},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_categorical = {
    .name = "categorical",
    .shape = shape_categorical,
    .lower = lower_categorical,
    .reference = reference_categorical,
    PM_CASES(cases_categorical),
};
