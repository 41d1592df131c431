/* A device held against the reference; see verify.h. */
#include "plan/verify.h"

#include "base/status.h"
#include "device/device.h"
#include "plan/reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20u
#define DEFAULT_TOLERANCE 1e-5
#define GRADIENT_TOLERANCE 1e-6 /* central differences in double against analytic gradients in double */
#define ADJOINT_TOLERANCE 1e-4
#define STEP 1e-5

typedef struct verification {
    pm_device *device;
    const pm_op *op;
    const pm_case *test;
    pm_graph *graph;
    pm_tensor output, loss, gradient; /* gradient: flat, or PM_NONE */
    bool fast, bf16;                  /* operands are rounded to 16 bits, in this format */
    uint32_t forward_nodes;           /* nodes up to and including the loss */
    pm_plan *plan;
    pm_reference_run *reference;
    pm_verify_result *result;
} verification;

static void fail(verification *v, const char *format, const char *what, double got, double bound)
{
    if (!v->result->ok) return; /* the first one counts */
    char text[200];
    (void)snprintf(text, sizeof text, format, what, got, bound);
    (void)snprintf(v->result->message, sizeof v->result->message, "%s (%s): %s", v->op->name, v->test->name,
                   text);
    v->result->ok = false;
}

/* Pseudo-random from -1 to 1, the same in every run. */
static float next_weight(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

/* ---- The graph ----------------------------------------------------------------------------------------- */

static void build(verification *v)
{
    pm_graph *graph = v->graph;
    v->output = v->test->build(graph, v->test->p);
    bool differentiable = !v->test->no_gradient && pm_dtype_of(graph, v->output) == PM_DTYPE_F32;
    if (pm_ok(graph) && differentiable) {
        uint32_t count = pm_count_of(graph, v->output);
        float *weights = malloc(count * sizeof *weights);
        uint32_t state = 99;
        for (uint32_t i = 0; weights && i < count; i++) weights[i] = next_weight(&state);
        if (weights) {
            pm_tensor w =
                pm_constant(graph, "verify.weights", PM_DTYPE_F32, pm_shape_of(graph, v->output), weights);
            v->loss = pm_sum(graph, pm_mul(graph, v->output, w));
        }
        free(weights);
        v->forward_nodes = graph->n_nodes;
        v->gradient = pm_backward(graph, v->loss);
    }
    /* Everything stays readable, so that the first node that departs can be named. */
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        for (uint32_t i = 0; i < graph->nodes[n].n_out; i++) pm_output(graph, graph->nodes[n].out[i]);
    }
}

/* ---- Device against reference -------------------------------------------------------------------------- */

static double scale_of(const pm_host *host)
{
    double sum = 0;
    for (uint32_t i = 0; i < host->count; i++) sum += host->f[i] * host->f[i];
    double rms = sqrt(sum / (host->count ? host->count : 1));
    return rms > 1e-30 ? rms : 1e-30;
}

/* `bound`: what each element may depart by besides; or NULL. */
static void compare_f32(verification *v, const pm_op *op, const pm_host *want, const float *got,
                        const double *bound)
{
    double tolerance = v->test->tolerance > 0 ? v->test->tolerance : DEFAULT_TOLERANCE;
    double scale = fmax(scale_of(want), v->test->least_scale);
    double worst = 0, worst_share = 0, allowed = tolerance;
    for (uint32_t i = 0; i < want->count; i++) {
        double magnitude = fabs(want->f[i]) > scale ? fabs(want->f[i]) : scale;
        double error = fabs((double)got[i] - want->f[i]) / magnitude;
        double most = tolerance + (bound ? bound[i] / magnitude : 0.0), share = error / most;
        if (!(error <= worst)) worst = isnan(error) ? INFINITY : error;
        if (share <= worst_share) continue;
        worst_share = isnan(share) ? INFINITY : share;
        allowed = most;
    }
    if (worst > v->result->error) v->result->error = worst;
    if (worst_share > v->result->worst) v->result->worst = worst_share;
    if (worst_share > 1.0) {
        fail(v, "%s departs from its reference by %.2e (allowed %.1e)", op->name, worst_share * allowed,
             allowed);
    }
}

/* ---- Precision fast ------------------------------------------------------------------------------------ */

static const pm_half_format *half_format(const verification *v)
{
    return v->bf16 ? &pm_bf16 : &pm_f16;
}

/* How large elements are, or, rounded, how far from what they were. */
static void map(pm_host *host, const pm_host *from, double *values, const pm_half_format *rounded)
{
    *host = *from;
    host->f = values;
    for (uint32_t i = 0; i < from->count; i++)
        values[i] = rounded ? pm_half_rounding(rounded, from->f[i]) : fabs(from->f[i]);
}

/* Of a sum of products a b, in which a and b move by da and db at most, how far each output does:
 * sum |a| db + da |b| + da db, by the operator's own reference. To be freed; NULL when memory ran out. */
static double *bound_of_products(const verification *v, uint32_t node)
{
    pm_reference ref = pm_reference_operands(v->reference, node),
                 moved = {.graph = ref.graph, .node = ref.node};
    uint32_t counts[2] = {ref.in[0].count, ref.in[1].count}, out = ref.out[0].count;
    double *all = malloc(((size_t)counts[0] + counts[1] + 2 * (size_t)out) * sizeof *all), *bound;
    if (!all) return NULL;
    moved.out[0] = ref.out[0];
    moved.out[0].f = all + counts[0] + counts[1];
    bound = moved.out[0].f + out;
    memset(bound, 0, out * sizeof *bound);
    for (uint32_t term = 1; term < 4; term++) {
        map(&moved.in[0], &ref.in[0], all, term & 1u ? half_format(v) : NULL);
        map(&moved.in[1], &ref.in[1], all + counts[0], term & 2u ? half_format(v) : NULL);
        ref.node->op->reference(&moved);
        for (uint32_t i = 0; i < out; i++) bound[i] += moved.out[0].f[i];
    }
    memmove(all, bound, out * sizeof *bound);
    return all;
}

/* By the operator's own rule: of all outputs, one after the other. */
static double *bound_by_rule(const verification *v, uint32_t node)
{
    pm_reference ref = pm_reference_operands(v->reference, node);
    size_t count = 0;
    for (uint32_t i = 0; i < ref.node->n_out; i++) count += ref.out[i].count;
    double *all = malloc(count * sizeof *all);
    if (!all) return NULL;
    for (uint32_t i = 0, at = 0; i < ref.node->n_out; at += ref.out[i++].count) ref.out[i].f = all + at;
    ref.half = half_format(v);
    ref.node->op->rounding(&ref);
    return all;
}

static pm_status compare_tensor(verification *v, const pm_op *op, pm_tensor tensor, const double *bound,
                                pm_error *error)
{
    pm_host want = pm_reference_host(v->reference, tensor);
    size_t bytes = want.count * pm_dtype_size(pm_dtype_of(v->graph, tensor));
    void *got = malloc(bytes);
    if (!got) return pm_fail(error, PM_NO_MEMORY, "verify: out of host memory");
    pm_status status = pm_plan_read(v->plan, tensor, got, bytes, error);
    if (status == PM_OK && want.f) compare_f32(v, op, &want, got, bound);
    /* What follows is computed from what the device has. */
    for (uint32_t i = 0; status == PM_OK && v->fast && want.f && i < want.count; i++)
        want.f[i] = (double)((const float *)got)[i];
    if (status == PM_OK && want.u && pm_dtype_of(v->graph, tensor) == PM_DTYPE_U32) {
        uint32_t wrong = 0;
        for (uint32_t i = 0; i < want.count; i++) wrong += ((const uint32_t *)got)[i] != want.u[i];
        if (wrong) fail(v, "%s: %.0f of %.0f integers are wrong", op->name, wrong, want.count);
    }
    free(got);
    return status;
}

static bool read_by_plan(const verification *v, pm_tensor tensor)
{
    const pm_tensor_info *root = &v->graph->tensors[pm_info(v->graph, tensor)->base];
    return root->is_output || root->kind == PM_KIND_STATE;
}

static pm_status compare_outputs(verification *v, uint32_t n, pm_error *error)
{
    const pm_node *node = &v->graph->nodes[n];
    pm_status status = PM_OK;
    bool bounded = v->fast && (node->op->products || node->op->rounding);
    double *bound = !bounded ? NULL : node->op->rounding ? bound_by_rule(v, n) : bound_of_products(v, n);
    const double *of_output = bound;
    if (bounded && !bound) return pm_fail(error, PM_NO_MEMORY, "verify: out of host memory");
    for (uint32_t i = 0; status == PM_OK && i < node->n_out; i++) {
        if (read_by_plan(v, node->out[i]))
            status = compare_tensor(v, node->op, node->out[i], of_output, error);
        if (bounded) of_output += pm_count_of(v->graph, node->out[i]);
    }
    free(bound);
    return status;
}

/* In precisions fast and rounded each node is held against the reference of the inputs that it had there. */
static pm_status compare_nodes(verification *v, pm_error *error)
{
    pm_status status = pm_plan_run(v->plan, 1, error);
    if (status == PM_OK && !v->fast) pm_reference_nodes(v->reference, v->graph->n_nodes);
    for (uint32_t n = 0; status == PM_OK && n < v->graph->n_nodes; n++) {
        const pm_node *node = &v->graph->nodes[n];
        if (v->fast) pm_reference_node(v->reference, n);
        status = compare_outputs(v, n, error);
        for (uint32_t i = 0; status == PM_OK && i < node->n_in; i++) {
            if (pm_is(node->in[i]) && node->op->updates >> i & 1u)
                status = compare_tensor(v, node->op, node->in[i], NULL, error);
        }
        v->result->nodes++;
    }
    return status;
}

/* ---- Gradients ----------------------------------------------------------------------------------------- */

static double loss_at(verification *v, double *where, double value)
{
    double before = *where;
    *where = value;
    pm_reference_nodes(v->reference, v->forward_nodes);
    *where = before;
    return pm_reference_host(v->reference, v->loss).f[0];
}

/* Reference gradient against (L(x+h) - L(x-h)) / 2h for every element of every leaf. */
static void check_differences(verification *v)
{
    pm_host gradient = pm_reference_host(v->reference, v->gradient);
    double *analytic = malloc(gradient.count * sizeof *analytic);
    if (!analytic) return;
    memcpy(analytic, gradient.f, gradient.count * sizeof *analytic);
    double scale = scale_of(&gradient);
    for (uint32_t p = 0; p < v->graph->n_params; p++) {
        pm_tensor param = pm_param_at(v->graph, p);
        pm_host leaf = pm_reference_host(v->reference, param);
        uint64_t first = pm_info(v->graph, param)->offset / 4;
        for (uint32_t i = 0; i < leaf.count; i++) {
            double x = leaf.f[i];
            double numeric =
                (loss_at(v, &leaf.f[i], x + STEP) - loss_at(v, &leaf.f[i], x - STEP)) / (2 * STEP);
            double error =
                fabs(numeric - analytic[first + i]) / (fabs(numeric) > scale ? fabs(numeric) : scale);
            if (!(error <= v->result->gradient_error)) v->result->gradient_error = error;
        }
    }
    pm_reference_nodes(v->reference, v->graph->n_nodes); /* back to where it was */
    free(analytic);
    if (!(v->result->gradient_error <= GRADIENT_TOLERANCE)) {
        fail(v, "the gradient of %s departs from central differences by %.2e (allowed %.1e)", v->op->name,
             v->result->gradient_error, GRADIENT_TOLERANCE);
    }
}

/* <dy, J dx> by the reference along a random direction, against <J^T dy, dx> with the gradient that the
 * device computed. */
static pm_status check_adjoint(verification *v, pm_error *error)
{
    uint32_t count = v->graph->arena_elements, state = 7;
    float *gradient = malloc(count * sizeof *gradient);
    double *direction = malloc(count * sizeof *direction), dot = 0, norm = 0, size = 0;
    pm_host arena = pm_reference_host(v->reference, (pm_tensor){v->graph->arena});
    pm_status status = gradient && direction ? pm_plan_read(v->plan, v->gradient, gradient, count * 4, error)
                                             : pm_fail(error, PM_NO_MEMORY, "verify: out of host memory");
    for (uint32_t i = 0; status == PM_OK && i < count; i++) {
        direction[i] = (double)next_weight(&state);
        dot += (double)gradient[i] * direction[i];
        norm += (double)gradient[i] * (double)gradient[i];
        size += direction[i] * direction[i];
    }
    if (status == PM_OK) {
        double along[2];
        for (int side = 0; side < 2; side++) {
            double h = side ? -STEP : STEP;
            for (uint32_t i = 0; i < count; i++) arena.f[i] += h * direction[i];
            pm_reference_nodes(v->reference, v->forward_nodes);
            along[side] = pm_reference_host(v->reference, v->loss).f[0];
            for (uint32_t i = 0; i < count; i++) arena.f[i] -= h * direction[i];
        }
        double derivative = (along[0] - along[1]) / (2 * STEP);
        /* What a random pair would give. */
        double magnitude = sqrt(norm * size / (count ? count : 1)) + 1e-30;
        v->result->adjoint_error = fabs(derivative - dot) / magnitude;
        if (!(v->result->adjoint_error <= ADJOINT_TOLERANCE)) {
            fail(v, "%s: <dy, J dx> and <J^T dy, dx> differ by %.2e (allowed %.1e)", v->op->name,
                 v->result->adjoint_error, ADJOINT_TOLERANCE);
        }
    }
    free(gradient);
    free(direction);
    return status;
}

pm_status pm_verify_case(pm_device *device, const pm_op *op, const pm_case *test, pm_precision precision,
                         bool gradient, pm_verify_result *out, pm_error *error)
{
    memset(out, 0, sizeof *out);
    out->ok = true;
    verification v = {.device = device,
                      .op = op,
                      .test = test,
                      .result = out,
                      .fast = pm_precision_is_half(precision),
                      .bf16 = precision == PM_FAST && device->rules.bf16};
    pm_plan_options options = {.precision = precision, .seed = SEED};
    v.graph = pm_graph_create();
    if (!v.graph) return pm_fail(error, PM_NO_MEMORY, "verify: out of host memory");
    build(&v);
    pm_status status = pm_graph_status(v.graph, error);
    if (status == PM_OK) status = pm_plan_create(device, v.graph, &options, &v.plan, error);
    if (status == PM_OK) status = pm_reference_create(v.graph, SEED, &v.reference, error);
    if (status == PM_OK) status = compare_nodes(&v, error);
    if (status == PM_OK && gradient && pm_is(v.gradient)) {
        if (!test->no_differences) check_differences(&v);
        status = check_adjoint(&v, error);
    }
    pm_reference_destroy(v.reference);
    pm_plan_destroy(v.plan);
    pm_graph_destroy(v.graph);
    if (status != PM_OK) (void)pm_fail_prefix(error, status, "%s (%s)", op->name, test->name);
    return status;
}
