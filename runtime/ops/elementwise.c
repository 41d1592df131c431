/* Operators that work element by element: y = f(x), y = a + b, y = a * b, y = silu(g) u. */
#include "ops/elementwise.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/flat.h"
#include "ops/table.h"

#include <math.h>

/* ---- Unary --------------------------------------------------------------------------------------------- */

/* The numbers are those of shaders/unary.comp and activation.glsl. */
typedef enum unary_function { AFFINE = 0, SILU = 1, GELU = 2, SIGMOID = 3, TANH = 4 } unary_function;

typedef struct unary_attr {
    unary_function function;
    float alpha, beta; /* of AFFINE */
} unary_attr;

uint32_t pm_activation_of(const pm_node *node)
{
    return node->op == &pm_op_unary ? PM_ATTR(unary_attr, node)->function : AFFINE;
}

bool pm_is_silu(const pm_node *node)
{
    return pm_activation_of(node) == SILU;
}

static const char *kind_of_unary(const pm_node *node)
{
    static const char *const names[] = {"affine", "silu", "gelu", "sigmoid", "tanh"};
    return names[PM_ATTR(unary_attr, node)->function];
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double gelu_inner(double x)
{
    return sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x);
}

static double evaluate(const unary_attr *attr, double x)
{
    switch (attr->function) {
    case SILU:
        return x * sigmoid(x);
    case GELU:
        return 0.5 * x * (1.0 + tanh(gelu_inner(x)));
    case SIGMOID:
        return sigmoid(x);
    case TANH:
        return tanh(x);
    case AFFINE:
        break;
    }
    return (double)attr->alpha * x + (double)attr->beta;
}

static double derivative(const unary_attr *attr, double x)
{
    double s = sigmoid(x), t;
    switch (attr->function) {
    case SILU:
        return s * (1.0 + x * (1.0 - s));
    case GELU:
        t = tanh(gelu_inner(x));
        return 0.5 * (1.0 + t) +
               0.5 * x * (1.0 - t * t) * sqrt(2.0 / acos(-1.0)) * (1.0 + 3.0 * 0.044715 * x * x);
    case SIGMOID:
        return s * (1.0 - s);
    case TANH:
        return 1.0 - tanh(x) * tanh(x);
    case AFFINE:
        break;
    }
    return (double)attr->alpha;
}

/* y = f(x), or f'(x) dy. */
static void append_unary(pm_lowering *lowering, const unary_attr *attr, pm_tensor x, pm_tensor dy,
                         pm_tensor y)
{
    bool backward = pm_is(dy);
    uint32_t count = pm_count_of(lowering->graph, x);
    uint32_t stride = pm_flat_stride(lowering);
    pm_dispatch *d = pm_dispatch_begin(lowering, "unary", lowering->rules->lanes);
    pm_spec(d, attr->function);
    pm_spec(d, backward);
    pm_push_u32(d, count);
    pm_push_f32(d, attr->alpha);
    pm_push_f32(d, attr->beta);
    pm_bind_in(d, x, 4, stride);
    pm_bind_in(d, backward ? dy : x, 4, stride);
    pm_bind_out(d, y, stride);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, 0);
}

void pm_append_silu(pm_lowering *lowering, pm_tensor x, pm_tensor dy, pm_tensor y)
{
    append_unary(lowering, &(unary_attr){.function = SILU}, x, dy, y);
}

static void lower_unary(pm_lowering *lowering, const pm_node *node)
{
    append_unary(lowering, PM_ATTR(unary_attr, node), node->in[0], PM_NONE, node->out[0]);
}

static void lower_unary_backward(pm_lowering *lowering, const pm_node *node)
{
    append_unary(lowering, PM_ATTR(unary_attr, node), node->in[0], node->in[1], node->out[0]);
}

static void reference_unary(const pm_reference *ref)
{
    const unary_attr *attr = PM_ATTR(unary_attr, ref->node);
    for (uint32_t i = 0; i < ref->out[0].count; i++) ref->out[0].f[i] = evaluate(attr, ref->in[0].f[i]);
}

static void reference_unary_backward(const pm_reference *ref)
{
    const unary_attr *attr = PM_ATTR(unary_attr, ref->node);
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        ref->out[0].f[i] = ref->in[1].f[i] * derivative(attr, ref->in[0].f[i]);
    }
}

/* dx = dy f'(x); itself not differentiable. */
const pm_op pm_op_unary_backward = {
    .name = "unary_backward",
    .shape = pm_shape_of_equals,
    .lower = lower_unary_backward,
    .reference = reference_unary_backward,
};

static void backward_unary(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out, const bool *wants,
                           pm_tensor *grad_in)
{
    const unary_attr *attr = PM_ATTR(unary_attr, node);
    (void)wants;
    if (attr->function == AFFINE) {
        grad_in[0] = attr->alpha == 1.0f ? grad_out[0] : pm_affine(graph, grad_out[0], attr->alpha, 0.0f);
        return;
    }
    pm_tensor in[] = {node->in[0], grad_out[0]};
    grad_in[0] = pm_emit(graph, &pm_op_unary_backward, in, 2, attr, sizeof *attr, NULL);
}

static pm_tensor case_unary(pm_graph *graph, const uint32_t *p)
{
    pm_tensor x = pm_case_leaf(graph, "x", PM_SHAPE(p[1], p[2]), 3.0f);
    switch (p[0]) {
    case SILU:
        return pm_silu(graph, x);
    case GELU:
        return pm_gelu(graph, x);
    case SIGMOID:
        return pm_sigmoid(graph, x);
    case TANH:
        return pm_tanh_of(graph, x);
    default:
        return pm_affine(graph, x, -0.75f, 0.25f);
    }
}

static const pm_case cases_unary[] = {
    {.name = "silu", .build = case_unary, .p = {SILU, 3, 7}},
    {.name = "gelu", .build = case_unary, .p = {GELU, 5, 5}},
    {.name = "sigmoid", .build = case_unary, .p = {SIGMOID, 1, 1}},
    {.name = "tanh", .build = case_unary, .p = {TANH, 2, 13}},
    {.name = "affine", .build = case_unary, .p = {AFFINE, 9, 31}},
    {.name = "silu, several workgroups", .build = case_unary, .p = {SILU, 41, 129}},
    {.name = "silu, large", .build = case_unary, .p = {SILU, 6271, 33}, .large = true},
    {.name = "silu, 28x28, 32 channels", .build = case_unary, .p = {SILU, 25088, 32}, .bench = true},
    {.name = "gelu, 16x256, 1024 channels", .build = case_unary, .p = {GELU, 4096, 1024}, .bench = true},
};

const pm_op pm_op_unary = {
    .name = "unary",
    .kind = kind_of_unary,
    .shape = pm_shape_of_equals,
    .backward = backward_unary,
    .lower = lower_unary,
    .reference = reference_unary,
    PM_CASES(cases_unary),
};

static pm_tensor unary(pm_graph *graph, pm_tensor x, unary_attr attr)
{
    return pm_emit(graph, &pm_op_unary, &x, 1, &attr, sizeof attr, NULL);
}

pm_tensor pm_silu(pm_graph *graph, pm_tensor x)
{
    return unary(graph, x, (unary_attr){.function = SILU});
}

pm_tensor pm_gelu(pm_graph *graph, pm_tensor x)
{
    return unary(graph, x, (unary_attr){.function = GELU});
}

pm_tensor pm_sigmoid(pm_graph *graph, pm_tensor x)
{
    return unary(graph, x, (unary_attr){.function = SIGMOID});
}

pm_tensor pm_tanh_of(pm_graph *graph, pm_tensor x)
{
    return unary(graph, x, (unary_attr){.function = TANH});
}

pm_tensor pm_affine(pm_graph *graph, pm_tensor x, float alpha, float beta)
{
    return unary(graph, x, (unary_attr){.function = AFFINE, .alpha = alpha, .beta = beta});
}

/* ---- Binary -------------------------------------------------------------------------------------------- */

typedef struct binary_attr {
    bool multiply;
} binary_attr;

bool pm_adds(const pm_node *node)
{
    return node->op == &pm_op_binary && !PM_ATTR(binary_attr, node)->multiply;
}

bool pm_multiplies(const pm_node *node)
{
    return node->op == &pm_op_binary && PM_ATTR(binary_attr, node)->multiply;
}

static const char *kind_of_binary(const pm_node *node)
{
    return PM_ATTR(binary_attr, node)->multiply ? "mul" : "add";
}

static void append_binary(pm_lowering *lowering, bool multiply, pm_tensor a, pm_tensor b, pm_tensor y)
{
    uint32_t count = pm_count_of(lowering->graph, a);
    uint32_t stride = pm_flat_stride(lowering);
    pm_dispatch *d = pm_dispatch_begin(lowering, "binary", lowering->rules->lanes);
    pm_spec(d, multiply);
    pm_push_u32(d, count);
    pm_bind_in(d, a, 4, stride);
    pm_bind_in(d, b, 4, stride);
    pm_bind_out(d, y, stride);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, count);
}

static void lower_binary(pm_lowering *lowering, const pm_node *node)
{
    append_binary(lowering, PM_ATTR(binary_attr, node)->multiply, node->in[0], node->in[1], node->out[0]);
}

static void reference_binary(const pm_reference *ref)
{
    bool multiply = PM_ATTR(binary_attr, ref->node)->multiply;
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        double a = ref->in[0].f[i], b = ref->in[1].f[i];
        ref->out[0].f[i] = multiply ? a * b : a + b;
    }
}

static void backward_binary(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                            const bool *wants, pm_tensor *grad_in)
{
    bool multiply = PM_ATTR(binary_attr, node)->multiply;
    for (uint32_t i = 0; i < 2; i++) {
        if (!wants[i]) continue;
        grad_in[i] = multiply ? pm_mul(graph, grad_out[0], node->in[1 - i]) : grad_out[0];
    }
}

static pm_tensor case_binary(pm_graph *graph, const uint32_t *p)
{
    pm_tensor a = pm_case_leaf(graph, "a", PM_SHAPE(p[1], p[2], p[3]), 1.0f);
    pm_tensor b = pm_case_leaf(graph, "b", p[4] ? PM_SHAPE(p[4], p[5]) : PM_SHAPE(p[1], p[2], p[3]), 1.0f);
    return p[0] ? pm_mul(graph, a, b) : pm_add(graph, a, b);
}

static const pm_case cases_binary[] = {
    {.name = "add", .build = case_binary, .p = {0, 2, 3, 5}},
    {.name = "mul", .build = case_binary, .p = {1, 1, 7, 3}},
    {.name = "add, one operand repeated", .build = case_binary, .p = {0, 2, 3, 5, 1, 5}},
    {.name = "mul, one operand repeated", .build = case_binary, .p = {1, 4, 3, 5, 3, 1}},
    {.name = "add, large", .build = case_binary, .p = {0, 7, 784, 33}, .large = true},
    {.name = "add, 28x28, 32 channels", .build = case_binary, .p = {0, 32, 784, 32}, .bench = true},
};

const pm_op pm_op_binary = {
    .name = "binary",
    .kind = kind_of_binary,
    .shape = pm_shape_of_equals,
    .backward = backward_binary,
    .lower = lower_binary,
    .reference = reference_binary,
    PM_CASES(cases_binary),
};

static pm_tensor binary(pm_graph *graph, pm_tensor a, pm_tensor b, bool multiply)
{
    if (!pm_ok(graph)) return PM_NONE;
    pm_shape shape = pm_shape_of(graph, a);
    if (pm_is(b) && !pm_shape_equal(shape, pm_shape_of(graph, b))) b = pm_broadcast(graph, b, shape);
    binary_attr attr = {multiply};
    return pm_emit(graph, &pm_op_binary, (pm_tensor[]){a, b}, 2, &attr, sizeof attr, NULL);
}

pm_tensor pm_add(pm_graph *graph, pm_tensor a, pm_tensor b)
{
    return binary(graph, a, b, false);
}

pm_tensor pm_mul(pm_graph *graph, pm_tensor a, pm_tensor b)
{
    return binary(graph, a, b, true);
}

/* ---- Gated units --------------------------------------------------------------------------------------- */

enum { IN_GATE, IN_UP, IN_DY };

static void append_gated(pm_lowering *lowering, const pm_node *node)
{
    bool backward = node->n_out == 2;
    uint32_t count = pm_count_of(lowering->graph, node->in[IN_GATE]), stride = pm_flat_stride(lowering);
    pm_dispatch *d = pm_dispatch_begin(lowering, "gated", lowering->rules->lanes);
    pm_spec(d, backward);
    pm_push_u32(d, count);
    pm_bind_in(d, node->in[IN_GATE], 4, stride);
    pm_bind_in(d, node->in[IN_UP], 4, stride);
    pm_bind_in(d, node->in[backward ? IN_DY : IN_UP], 4, stride);
    pm_bind_out(d, node->out[0], stride);
    pm_bind_out(d, node->out[backward ? 1 : 0], stride);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, backward ? 3.0 * count : count);
}

static const unary_attr silu_attr = {.function = SILU};

static void lower_gated(pm_lowering *lowering, const pm_node *node)
{
    if (pm_on(lowering->rules, PM_GATED_UNITS)) {
        append_gated(lowering, node);
        return;
    }
    pm_tensor gate = node->in[IN_GATE];
    pm_tensor silu = pm_scratch(lowering, PM_DTYPE_F32, pm_count_of(lowering->graph, gate));
    append_unary(lowering, &silu_attr, gate, PM_NONE, silu);
    append_binary(lowering, true, silu, node->in[IN_UP], node->out[0]);
}

static void lower_gated_backward(pm_lowering *lowering, const pm_node *node)
{
    if (pm_on(lowering->rules, PM_GATED_UNITS)) {
        append_gated(lowering, node);
        return;
    }
    pm_tensor gate = node->in[IN_GATE], dy = node->in[IN_DY];
    uint32_t count = pm_count_of(lowering->graph, gate);
    pm_tensor silu = pm_scratch(lowering, PM_DTYPE_F32, count);
    pm_tensor d_silu = pm_scratch(lowering, PM_DTYPE_F32, count);
    append_binary(lowering, true, dy, node->in[IN_UP], d_silu);
    append_unary(lowering, &silu_attr, gate, d_silu, node->out[0]);
    append_unary(lowering, &silu_attr, gate, PM_NONE, silu);
    append_binary(lowering, true, dy, silu, node->out[1]);
}

static void reference_gated(const pm_reference *ref)
{
    for (uint32_t i = 0; i < ref->out[0].count; i++)
        ref->out[0].f[i] = evaluate(&silu_attr, ref->in[IN_GATE].f[i]) * ref->in[IN_UP].f[i];
}

static void reference_gated_backward(const pm_reference *ref)
{
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        double gate = ref->in[IN_GATE].f[i], up = ref->in[IN_UP].f[i], dy = ref->in[IN_DY].f[i];
        ref->out[0].f[i] = dy * up * derivative(&silu_attr, gate);
        ref->out[1].f[i] = dy * evaluate(&silu_attr, gate);
    }
}

static void shape_gated_backward(pm_graph *graph, pm_node *node)
{
    for (uint32_t i = 0; i < 2; i++)
        pm_node_output(graph, node, PM_DTYPE_F32, pm_shape_of(graph, node->in[IN_GATE]));
}

/* Gradients of gate and up; itself not differentiable. */
const pm_op pm_op_gated_backward = {
    .name = "gated_backward",
    .shape = shape_gated_backward,
    .lower = lower_gated_backward,
    .reference = reference_gated_backward,
};

static void backward_gated(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out, const bool *wants,
                           pm_tensor *grad_in)
{
    pm_tensor in[] = {node->in[IN_GATE], node->in[IN_UP], grad_out[0]}, out[PM_MAX_OUTPUTS] = {PM_NONE};
    (void)wants;
    (void)pm_emit(graph, &pm_op_gated_backward, in, 3, NULL, 0, out);
    grad_in[IN_GATE] = out[0];
    grad_in[IN_UP] = out[1];
}

static pm_tensor case_gated(pm_graph *graph, const uint32_t *p)
{
    pm_tensor gate = pm_case_leaf(graph, "gate", PM_SHAPE(p[0], p[1]), 3.0f);
    return pm_silu_mul(graph, gate, pm_case_leaf(graph, "up", PM_SHAPE(p[0], p[1]), 1.0f));
}

static const pm_case cases_gated[] = {
    {.name = "a few", .build = case_gated, .p = {2, 3}},
    {.name = "several workgroups", .build = case_gated, .p = {41, 129}},
    {.name = "large", .build = case_gated, .p = {6271, 33}, .large = true},
    {.name = "16x256, 1024 channels", .build = case_gated, .p = {4096, 1024}, .bench = true},
};

const pm_op pm_op_gated = {
    .name = "gated",
    .shape = pm_shape_of_equals,
    .backward = backward_gated,
    .lower = lower_gated,
    .reference = reference_gated,
    PM_CASES(cases_gated),
};

pm_tensor pm_silu_mul(pm_graph *graph, pm_tensor gate, pm_tensor up)
{
    return pm_emit(graph, &pm_op_gated, (pm_tensor[]){gate, up}, 2, NULL, 0, NULL);
}
