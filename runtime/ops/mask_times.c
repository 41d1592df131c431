/* How much of each row of a batch is to be masked: a time in (0,1] with the probability of a mask at it, or a
 * number of tokens. Both with the weight that makes the cross-entropy of the masked tokens a bound on the
 * likelihood (2406.07524 eq. 10, 2406.04329 eq. 4, 2406.03736).
 *
 * Near t = 0 a weight grows as 1/t. Times come from uniforms in (0,1], multiples of 2^-24, so that none is 0
 * even for t_min = 0: weights stay below power 2^24, and there is no division by zero. */
#include "base/checked.h"
#include "base/philox.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/flat.h"
#include "ops/random.h"
#include "ops/table.h"

#include <math.h>

/* What lies between the bits of neighbours of a stratified batch: all of 2^32 in B steps, short of it by less
 * than B. */
static uint32_t spacing_of(uint32_t batch)
{
    return (uint32_t)((UINT64_C(1) << 32) / batch);
}

/* The random bits of place i of the batch. Stratified, they follow from those of the first place. */
static uint32_t bits_of(const uint32_t *counter, uint32_t stream, uint32_t i, uint32_t batch, bool stratified)
{
    if (!stratified) return pm_draw_element(counter, stream, i, 0);
    return pm_draw_element(counter, stream, 0, 0) + i * spacing_of(batch);
}

/* ---- Times --------------------------------------------------------------------------------------------- */

typedef struct times_attr {
    uint32_t stream, batch;
    pm_masking masking;
} times_attr;

enum { TIMES_TIME, TIMES_RATE, TIMES_WEIGHT };

/* What is wrong with it, or NULL. */
static const char *fault_of(const pm_masking *m)
{
    if (!(m->t_min >= 0.0f && m->t_min < 1.0f)) return "t_min must be in [0, 1)";
    switch (m->schedule) {
    case PM_MASKING_FIXED:
        return m->power >= 0.0f && m->power <= 1.0f ? NULL : "a fixed rate must be in [0, 1]";
    case PM_MASKING_POLYNOMIAL:
        if (!(m->power >= 0x1p-6f && m->power <= 64.0f)) return "the power must be in [1/64, 64]";
        break;
    case PM_MASKING_LINEAR:
    case PM_MASKING_COSINE:
        break;
    default:
        return "there is no such schedule";
    }
    /* A smaller one that is not 0 changes nothing but the range of a quotient. */
    return m->eps == 0.0f || (m->eps >= 0x1p-40f && m->eps < 0.5f) ? NULL
                                                                   : "eps must be 0, or in [2^-40, 0.5)";
}

static void shape_mask_times(pm_graph *graph, pm_node *node)
{
    const times_attr *attr = PM_ATTR(times_attr, node);
    const char *fault = fault_of(&attr->masking);
    if (!pm_check_counter(graph, node, 0)) return;
    if (fault) {
        pm_graph_fail(graph, PM_BAD_USAGE, "mask_times: %s (t_min %g, eps %g, power %g)", fault,
                      (double)attr->masking.t_min, (double)attr->masking.eps, (double)attr->masking.power);
        return;
    }
    for (uint32_t i = TIMES_TIME; i <= TIMES_WEIGHT; i++)
        pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(attr->batch));
}

static void lower_mask_times(pm_lowering *lowering, const pm_node *node)
{
    const times_attr *attr = PM_ATTR(times_attr, node);
    const pm_masking *m = &attr->masking;
    uint32_t stride = pm_flat_stride(lowering);
    pm_dispatch *d = pm_dispatch_begin(lowering, "mask_times", lowering->rules->lanes);
    pm_spec(d, m->schedule);
    pm_spec(d, m->stratified);
    pm_push_u32(d, attr->batch);
    pm_push_u32(d, attr->stream);
    pm_push_u32(d, spacing_of(attr->batch));
    pm_push_f32(d, m->t_min);
    pm_push_f32(d, 1.0f - m->t_min);
    pm_push_f32(d, m->eps);
    pm_push_f32(d, 1.0f - (m->schedule == PM_MASKING_LINEAR ? 1.0f : 2.0f) * m->eps);
    pm_push_f32(d, m->power);
    pm_bind_in(d, node->in[0], 1, 0);
    for (uint32_t i = TIMES_TIME; i <= TIMES_WEIGHT; i++) pm_bind_out(d, node->out[i], stride);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(attr->batch)), 1, 1, 0, 60.0 * attr->batch);
}

/* 1 - alpha(t), and -alpha'(t), in double. */
static void masking_at(const pm_masking *m, double t, double *rate, double *slope)
{
    const double quarter = 1.5707963267948966; /* pi/2 */
    double eps = (double)m->eps, power = (double)m->power;
    switch (m->schedule) {
    case PM_MASKING_LINEAR:
        *rate = (1 - eps) * t;
        *slope = 1 - eps;
        break;
    case PM_MASKING_COSINE:
        *rate = 1 - ((1 - 2 * eps) * (1 - cos(quarter * (1 - t))) + eps);
        *slope = (1 - 2 * eps) * quarter * sin(quarter * (1 - t));
        break;
    case PM_MASKING_POLYNOMIAL:
        *rate = 1 - ((1 - 2 * eps) * (1 - pow(t, power)) + eps);
        *slope = (1 - 2 * eps) * power * pow(t, power - 1);
        break;
    case PM_MASKING_FIXED:
        *rate = power;
        *slope = power;
        break;
    }
}

static void reference_mask_times(const pm_reference *ref)
{
    const times_attr *attr = PM_ATTR(times_attr, ref->node);
    const pm_masking *m = &attr->masking;
    double t_min = (double)m->t_min;
    for (uint32_t i = 0; i < attr->batch; i++) {
        uint32_t bits = bits_of(ref->in[0].u, attr->stream, i, attr->batch, m->stratified);
        double t = t_min + (1 - t_min) * (double)pm_uniform01_positive(bits), rate = 0, slope = 0;
        masking_at(m, t, &rate, &slope);
        ref->out[TIMES_TIME].f[i] = t;
        ref->out[TIMES_RATE].f[i] = rate;
        ref->out[TIMES_WEIGHT].f[i] = m->schedule == PM_MASKING_FIXED ? 1.0 : slope / rate * (1 - t_min);
    }
}

pm_tensor pm_mask_times(pm_graph *graph, pm_tensor counter, uint32_t stream, uint32_t batch,
                        pm_masking masking, pm_tensor *rate, pm_tensor *weight)
{
    times_attr attr = {stream, batch, masking};
    pm_tensor out[PM_MAX_OUTPUTS] = {PM_NONE};
    (void)pm_emit(graph, &pm_op_mask_times, &counter, 1, &attr, sizeof attr, out);
    if (rate) *rate = out[TIMES_RATE];
    if (weight) *weight = out[TIMES_WEIGHT];
    return out[TIMES_TIME];
}

/* p: schedule, batch, stratified, then t_min, eps and power in thousandths */
static pm_tensor case_mask_times(pm_graph *graph, const uint32_t *p)
{
    pm_masking masking = {.schedule = (pm_mask_schedule)p[0],
                          .stratified = p[2] != 0,
                          .t_min = (float)p[3] / 1000.0f,
                          .eps = (float)p[4] / 1000.0f,
                          .power = (float)p[5] / 1000.0f};
    return pm_mask_times(graph, pm_case_counter(graph), 6, p[1], masking, NULL, NULL);
}

#define TIMES_CASE(text, ...)                                                                              \
    {                                                                                                      \
        .name = text, .build = case_mask_times, .p = {__VA_ARGS__}, .no_gradient = true, .tolerance = 1e-6 \
    }

static const pm_case cases_mask_times[] = {
    TIMES_CASE("linear", PM_MASKING_LINEAR, 33, 0, 1, 1, 0),
    TIMES_CASE("linear, stratified", PM_MASKING_LINEAR, 20, 1, 1, 1, 0),
    TIMES_CASE("linear, stratified, no eps", PM_MASKING_LINEAR, 7, 1, 0, 0, 0),
    TIMES_CASE("cosine", PM_MASKING_COSINE, 50, 0, 0, 1, 0),
    TIMES_CASE("cosine, stratified, no eps", PM_MASKING_COSINE, 61, 1, 10, 0, 0),
    TIMES_CASE("square", PM_MASKING_POLYNOMIAL, 31, 0, 100, 0, 2000),
    TIMES_CASE("power 1/2, stratified", PM_MASKING_POLYNOMIAL, 5, 1, 2, 1, 500),
    TIMES_CASE("power 5", PM_MASKING_POLYNOMIAL, 40, 1, 0, 5, 5000),
    TIMES_CASE("fixed", PM_MASKING_FIXED, 9, 0, 0, 0, 150),
    TIMES_CASE("one sample", PM_MASKING_COSINE, 1, 1, 0, 1, 0),
    TIMES_CASE("several workgroups", PM_MASKING_LINEAR, 9001, 1, 1, 1, 0),
    {.name = "4096 times",
     .build = case_mask_times,
     .p = {PM_MASKING_COSINE, 4096, 0, 0, 1, 0},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_mask_times = {
    .name = "mask_times",
    .shape = shape_mask_times,
    .lower = lower_mask_times,
    .reference = reference_mask_times,
    PM_CASES(cases_mask_times),
};

/* ---- Counts -------------------------------------------------------------------------------------------- */

typedef struct counts_attr {
    uint32_t stream, batch, length;
    bool stratified;
} counts_attr;

static void shape_mask_counts(pm_graph *graph, pm_node *node)
{
    const counts_attr *attr = PM_ATTR(counts_attr, node);
    if (!pm_check_counter(graph, node, 0)) return;
    if (attr->length == 0) {
        pm_graph_fail(graph, PM_BAD_USAGE, "mask_counts: of 0 tokens none can be masked");
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_U32, PM_SHAPE(attr->batch));
    pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(attr->batch));
}

static void lower_mask_counts(pm_lowering *lowering, const pm_node *node)
{
    const counts_attr *attr = PM_ATTR(counts_attr, node);
    uint32_t stride = pm_flat_stride(lowering);
    pm_dispatch *d = pm_dispatch_begin(lowering, "mask_counts", lowering->rules->lanes);
    pm_spec(d, attr->stratified);
    pm_push_u32(d, attr->batch);
    pm_push_u32(d, attr->stream);
    pm_push_u32(d, spacing_of(attr->batch));
    pm_push_u32(d, attr->length);
    pm_bind_in(d, node->in[0], 1, 0);
    pm_bind_out(d, node->out[0], stride);
    pm_bind_out(d, node->out[1], stride);
    pm_groups(d, pm_flat_groups(lowering, pm_quads(attr->batch)), 1, 1, 0, 10.0 * attr->batch);
}

static void reference_mask_counts(const pm_reference *ref)
{
    const counts_attr *attr = PM_ATTR(counts_attr, ref->node);
    for (uint32_t i = 0; i < attr->batch; i++) {
        uint32_t bits = bits_of(ref->in[0].u, attr->stream, i, attr->batch, attr->stratified);
        ref->out[0].u[i] = 1 + pm_below(bits, attr->length);
        ref->out[1].f[i] = (double)attr->length / ref->out[0].u[i];
    }
}

pm_tensor pm_mask_counts(pm_graph *graph, pm_tensor counter, uint32_t stream, uint32_t batch, uint32_t length,
                         bool stratified, pm_tensor *weight)
{
    counts_attr attr = {stream, batch, length, stratified};
    pm_tensor out[PM_MAX_OUTPUTS] = {PM_NONE};
    (void)pm_emit(graph, &pm_op_mask_counts, &counter, 1, &attr, sizeof attr, out);
    if (weight) *weight = out[1];
    return out[0];
}

/* p: batch, length, stratified */
static pm_tensor case_mask_counts(pm_graph *graph, const uint32_t *p)
{
    return pm_mask_counts(graph, pm_case_counter(graph), 8, p[0], p[1], p[2] != 0, NULL);
}

static const pm_case cases_mask_counts[] = {
    {.name = "each by itself", .build = case_mask_counts, .p = {33, 100, 0}, .no_gradient = true},
    {.name = "stratified", .build = case_mask_counts, .p = {16, 256, 1}, .no_gradient = true},
    {.name = "stratified, odd", .build = case_mask_counts, .p = {7, 13, 1}, .no_gradient = true},
    {.name = "one token", .build = case_mask_counts, .p = {5, 1, 0}, .no_gradient = true},
    {.name = "several workgroups", .build = case_mask_counts, .p = {9001, 1000, 1}, .no_gradient = true},
    {.name = "4096 counts",
     .build = case_mask_counts,
     .p = {4096, 1024, 0},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_mask_counts = {
    .name = "mask_counts",
    .shape = shape_mask_counts,
    .lower = lower_mask_counts,
    .reference = reference_mask_counts,
    PM_CASES(cases_mask_counts),
};
