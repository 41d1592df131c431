/* The gradient of normalisation (norm.h has the formula), in three operators:
 *   norm_sums      per sample and channel, the sums over positions of du and du xhat, with du = dL/du;
 *   norm_params    from them: gamma, beta, and a modulation that is the same for a whole sample;
 *   norm_backward  from them (groups) or from sums along each row (layers): x, and a modulation per token. */
#include "base/checked.h"
#include "ops/elementwise.h"
#include "ops/norm.h"
#include "ops/table.h"

#include <math.h>

enum { ROWS_PER_LANE = 16, UNUSED_ELEMENTS = 4 };

/* Where the modulation differs from token to token its gain is part of the sums; else they are multiplied by
 * it later. */
static bool gain_in_sums(const pm_norm_geometry *g)
{
    return g->per_token;
}

/* ---- Reference of what all three need ------------------------------------------------------------------ */

typedef struct element {
    pm_norm_factors factors;
    double hat, du;
    uint32_t statistic;
} element;

static element element_at(const pm_reference *ref, const pm_norm_geometry *g, uint32_t index)
{
    uint32_t row = index / g->channels, channel = index % g->channels;
    element e = {.factors = pm_norm_factors_at(ref, g, row, channel),
                 .statistic = pm_norm_statistic_at(g, row, channel)};
    e.hat = (ref->in[PM_NORM_X].f[index] - ref->in[PM_NORM_MEAN].f[e.statistic]) *
            ref->in[PM_NORM_RSTD].f[e.statistic];
    e.du = ref->in[PM_NORM_DY].f[index];
    if (PM_ATTR(pm_norm_attr, ref->node)->silu) {
        double u = (e.hat * e.factors.gamma + e.factors.beta) * e.factors.gain + e.factors.shift;
        double s = 1.0 / (1.0 + exp(-u));
        e.du *= s * (1.0 + u * (1.0 - s));
    }
    return e;
}

/* ---- norm_sums ----------------------------------------------------------------------------------------- */

static void shape_sums(pm_graph *graph, pm_node *node)
{
    if (!pm_norm_check(graph, node)) return;
    pm_norm_geometry g = pm_norm_geometry_of(graph, node);
    pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(g.samples, g.channels)); /* of du */
    pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(g.samples, g.channels)); /* of du xhat */
}

static void lower_merge_sums(pm_lowering *lowering, const pm_norm_geometry *g, const pm_tensor *parts,
                             const pm_tensor *sums)
{
    uint32_t lanes = pm_norm_few_lanes(lowering);
    pm_dispatch *d = pm_dispatch_begin(lowering, "norm_merge_sums", lanes);
    pm_push_u32(d, g->samples);
    pm_push_u32(d, g->chunks);
    pm_push_u32(d, g->channels);
    for (uint32_t i = 0; i < 2; i++) pm_bind_in(d, parts[i], 1, 0);
    for (uint32_t i = 0; i < 2; i++) pm_bind_out(d, sums[i], 0);
    pm_groups(d, pm_ceil_div(g->samples * pm_ceil_div(g->channels, 4), lanes), 1, 1, 0, 0);
}

/* The node; or one of the same gradients without SiLU, whose dy is du. */
static pm_node without_silu(pm_lowering *lowering, const pm_node *node)
{
    pm_node plain = *node;
    if (!pm_norm_takes_silu_out(lowering, &plain)) return plain;
    pm_tensor dy = node->in[PM_NORM_DY];
    uint32_t count = pm_count_of(lowering->graph, dy);
    pm_tensor u = pm_scratch(lowering, PM_DTYPE_F32, count);
    plain.in[PM_NORM_DY] = pm_scratch(lowering, PM_DTYPE_F32, count);
    pm_norm_append_apply(lowering, &plain, node->in[PM_NORM_MEAN], node->in[PM_NORM_RSTD], u);
    pm_append_silu(lowering, u, dy, plain.in[PM_NORM_DY]);
    return plain;
}

static void lower_sample_sums(pm_lowering *lowering, const pm_node *whole)
{
    const pm_node plain = without_silu(lowering, whole), *node = &plain;
    pm_norm_geometry g = pm_norm_geometry_of(lowering->graph, node);
    pm_norm_grid grid = pm_norm_grid_of(lowering, &g, g.chunk);
    pm_tensor parts[2] = {node->out[0], node->out[1]};
    for (uint32_t i = 0; g.chunks > 1 && i < 2; i++) {
        parts[i] = pm_scratch(lowering, PM_DTYPE_F32, g.samples * g.chunks * g.channels);
    }
    pm_dispatch *d = pm_norm_begin(lowering, node, &grid, PM_NORM_SHADER(&g, "norm_sums"), g.chunk,
                                   node->in[PM_NORM_MEAN], node->in[PM_NORM_RSTD]);
    pm_bind_in(d, node->in[PM_NORM_DY], pm_norm_width(&g), pm_norm_stride(&grid));
    for (uint32_t i = 0; i < 2; i++) pm_bind_out(d, parts[i], 0);
    pm_norm_end(d, &grid, 4);
    if (g.chunks > 1) lower_merge_sums(lowering, &g, parts, node->out);
}

/* Where nothing differs between samples there is one sum over all rows, which no block has. */
static void lower_sums(pm_lowering *lowering, const pm_node *node)
{
    enum { STATISTICS = 1 << PM_NORM_MEAN | 1 << PM_NORM_RSTD, SUMS = PM_OUT_BIT(0) | PM_OUT_BIT(1) };
    pm_norm_geometry g = pm_norm_geometry_of(lowering->graph, node);
    uint64_t chunk_bytes = g.chunks > 1 ? (uint64_t)g.chunks * g.channels * 4 : 0;
    if (g.samples == 1) {
        lower_sample_sums(lowering, node);
    } else {
        pm_norm_lower_by_rows(lowering, node, STATISTICS | 1 << PM_NORM_DY | SUMS, STATISTICS | SUMS,
                              chunk_bytes, lower_sample_sums);
    }
}

static void reference_norm_sums(const pm_reference *ref)
{
    pm_norm_geometry g = pm_norm_geometry_of(ref->graph, ref->node);
    for (uint32_t i = 0; i < ref->out[0].count; i++) ref->out[0].f[i] = ref->out[1].f[i] = 0.0;
    for (uint32_t i = 0; i < g.rows * g.channels; i++) {
        element e = element_at(ref, &g, i);
        uint32_t at = i / g.channels / g.positions * g.channels + i % g.channels;
        double du = gain_in_sums(&g) ? e.du * e.factors.gain : e.du;
        ref->out[0].f[at] += du;
        ref->out[1].f[at] += du * e.hat;
    }
}

const pm_op pm_op_norm_sums = {
    .name = "norm_sums",
    .shape = shape_sums,
    .lower = lower_sums,
    .reference = reference_norm_sums,
};

/* ---- norm_params --------------------------------------------------------------------------------------- */

typedef struct params_attr {
    bool modulated; /* per sample */
} params_attr;

enum { PARAMS_SUM_DU, PARAMS_SUM_DU_HAT, PARAMS_GAMMA, PARAMS_BETA, PARAMS_SCALE, PARAMS_INPUTS };

static void shape_params(pm_graph *graph, pm_node *node)
{
    pm_shape sums = pm_shape_of(graph, node->in[PARAMS_SUM_DU]);
    pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(sums.dim[1])); /* dgamma */
    pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(sums.dim[1])); /* dbeta */
    if (!PM_ATTR(params_attr, node)->modulated) return;
    pm_node_output(graph, node, PM_DTYPE_F32, sums); /* dscale */
    pm_node_output(graph, node, PM_DTYPE_F32, sums); /* dshift */
}

/* The gradients of gamma and beta go on from those of the samples before. */
static void lower_sample_params(pm_lowering *lowering, const pm_node *node)
{
    pm_shape sums = pm_shape_of(lowering->graph, node->in[PARAMS_SUM_DU]);
    bool modulated = PM_ATTR(params_attr, node)->modulated;
    uint32_t lanes = pm_norm_few_lanes(lowering);
    pm_dispatch *d = pm_dispatch_begin(lowering, "norm_params", lanes);
    pm_spec(d, modulated);
    for (uint32_t i = PARAMS_GAMMA; i < PARAMS_INPUTS; i++) pm_spec(d, pm_is(node->in[i]));
    pm_spec(d, lowering->first_row > 0);
    pm_push_u32(d, sums.dim[0]);
    pm_push_u32(d, sums.dim[1]);
    for (uint32_t i = 0; i < PARAMS_INPUTS; i++) {
        pm_bind_in(d, node->in[pm_is(node->in[i]) ? i : PARAMS_SUM_DU], 1, 0);
    }
    pm_bind_update(d, node->out[0], 0);
    pm_bind_update(d, node->out[1], 0);
    for (uint32_t i = 2; i < 4; i++) {
        pm_bind_out(d, modulated ? node->out[i] : pm_scratch(lowering, PM_DTYPE_F32, UNUSED_ELEMENTS), 0);
    }
    pm_groups(d, pm_ceil_div(pm_ceil_div(sums.dim[1], 4), lanes), 1, 1, 0, 0);
}

static void lower_params(pm_lowering *lowering, const pm_node *node)
{
    enum { INPUTS = 1 << PARAMS_SUM_DU | 1 << PARAMS_SUM_DU_HAT | 1 << PARAMS_SCALE };
    uint32_t all = INPUTS | PM_OUT_BIT(2) | PM_OUT_BIT(3);
    pm_lower_by_rows(lowering, node, all, all, 0, lower_sample_params);
}

static void reference_norm_params(const pm_reference *ref)
{
    const pm_host *in = ref->in, *out = ref->out;
    bool modulated = PM_ATTR(params_attr, ref->node)->modulated;
    uint32_t channels = in[PARAMS_SUM_DU].shape.dim[1];
    for (uint32_t c = 0; c < channels; c++) out[0].f[c] = out[1].f[c] = 0.0;
    for (uint32_t i = 0; i < in[PARAMS_SUM_DU].count; i++) {
        uint32_t c = i % channels;
        double du = in[PARAMS_SUM_DU].f[i], du_hat = in[PARAMS_SUM_DU_HAT].f[i];
        double gain = in[PARAMS_SCALE].count ? 1.0 + in[PARAMS_SCALE].f[i] : 1.0;
        out[0].f[c] += du_hat * gain;
        out[1].f[c] += du * gain;
        if (!modulated) continue;
        double gamma = in[PARAMS_GAMMA].count ? in[PARAMS_GAMMA].f[c] : 1.0;
        double beta = in[PARAMS_BETA].count ? in[PARAMS_BETA].f[c] : 0.0;
        out[2].f[i] = du_hat * gamma + du * beta;
        out[3].f[i] = du;
    }
}

const pm_op pm_op_norm_params = {
    .name = "norm_params",
    .shape = shape_params,
    .lower = lower_params,
    .reference = reference_norm_params,
};

/* ---- norm_backward ------------------------------------------------------------------------------------- */

static void shape_backward(pm_graph *graph, pm_node *node)
{
    if (!pm_norm_check(graph, node)) return;
    pm_shape x = pm_shape_of(graph, node->in[PM_NORM_X]);
    pm_node_output(graph, node, PM_DTYPE_F32, x); /* dx */
    if (!pm_norm_geometry_of(graph, node).per_token) return;
    pm_node_output(graph, node, PM_DTYPE_F32, x); /* dscale */
    pm_node_output(graph, node, PM_DTYPE_F32, x); /* dshift */
}

/* means[0] = <dxhat> and means[1] = <dxhat xhat>, over what shares a mean and rstd. */
static void lower_group_sums(pm_lowering *lowering, const pm_node *node, const pm_norm_geometry *g,
                             const pm_tensor *means)
{
    uint32_t lanes = pm_norm_few_lanes(lowering);
    bool gain = pm_is(node->in[PM_NORM_SCALE]) && !gain_in_sums(g);
    pm_tensor sums = node->in[PM_NORM_SUM_DU], gamma = node->in[PM_NORM_GAMMA];
    pm_dispatch *d = pm_dispatch_begin(lowering, "norm_group_sums", lanes);
    pm_spec(d, pm_is(gamma));
    pm_spec(d, gain);
    pm_push_u32(d, g->samples);
    pm_push_u32(d, g->channels);
    pm_push_u32(d, g->group_channels);
    pm_push_f32(d, (float)(1.0 / ((double)g->positions * g->group_channels)));
    pm_bind_in(d, sums, 1, 0);
    pm_bind_in(d, node->in[PM_NORM_SUM_DU_HAT], 1, 0);
    pm_bind_in(d, pm_is(gamma) ? gamma : sums, 1, 0);
    pm_bind_in(d, gain ? node->in[PM_NORM_SCALE] : sums, 1, 0);
    for (uint32_t i = 0; i < 2; i++) pm_bind_out(d, means[i], 0);
    pm_groups(d, pm_ceil_div(g->statistics, lanes), 1, 1, 0, 0);
}

static void lower_row_sums(pm_lowering *lowering, const pm_node *node, const pm_norm_geometry *g,
                           const pm_tensor *means)
{
    pm_norm_grid grid = pm_norm_grid_of(lowering, g, 0);
    pm_dispatch *d = pm_norm_begin(lowering, node, &grid, PM_NORM_SHADER(g, "norm_row_sums"), 1,
                                   node->in[PM_NORM_MEAN], node->in[PM_NORM_RSTD]);
    pm_bind_in(d, node->in[PM_NORM_DY], pm_norm_width(g), pm_norm_stride(&grid));
    for (uint32_t i = 0; i < 2; i++) pm_bind_out(d, means[i], 0);
    pm_norm_end(d, &grid, 6);
}

static void lower_samples(pm_lowering *lowering, const pm_node *whole)
{
    const pm_node plain = without_silu(lowering, whole), *node = &plain;
    pm_norm_geometry g = pm_norm_geometry_of(lowering->graph, node);
    pm_tensor means[2];
    for (uint32_t i = 0; i < 2; i++) means[i] = pm_scratch(lowering, PM_DTYPE_F32, g.statistics);
    if (g.per_row) {
        lower_row_sums(lowering, node, &g, means);
    } else {
        lower_group_sums(lowering, node, &g, means);
    }
    pm_norm_grid grid = pm_norm_grid_of(lowering, &g, ROWS_PER_LANE);
    uint32_t rows = pm_norm_stride(&grid);
    pm_dispatch *d = pm_norm_begin(lowering, node, &grid, PM_NORM_SHADER(&g, "norm_dx"), ROWS_PER_LANE,
                                   node->in[PM_NORM_MEAN], node->in[PM_NORM_RSTD]);
    pm_bind_in(d, node->in[PM_NORM_DY], pm_norm_width(&g), rows);
    for (uint32_t i = 0; i < 2; i++) pm_bind_in(d, means[i], 1, 0);
    pm_bind_out(d, node->out[0], rows);
    for (uint32_t i = 1; i < 3; i++) {
        if (g.per_token) {
            pm_bind_out(d, node->out[i], rows);
        } else {
            pm_bind_out(d, pm_scratch(lowering, PM_DTYPE_F32, UNUSED_ELEMENTS), 0);
        }
    }
    pm_norm_end(d, &grid, 10);
}

static void lower_backward(pm_lowering *lowering, const pm_node *node)
{
    enum { STATISTICS = 1 << PM_NORM_MEAN | 1 << PM_NORM_RSTD };
    enum { SUMS = 1 << PM_NORM_SUM_DU | 1 << PM_NORM_SUM_DU_HAT };
    uint32_t rows = STATISTICS | 1 << PM_NORM_DY | SUMS | PM_OUT_BIT(0) | PM_OUT_BIT(1) | PM_OUT_BIT(2);
    pm_norm_lower_by_rows(lowering, node, rows, STATISTICS | SUMS, 0, lower_samples);
}

static void reference_norm_backward(const pm_reference *ref)
{
    pm_norm_geometry g = pm_norm_geometry_of(ref->graph, ref->node);
    double per_statistic = (double)g.rows * g.channels / g.statistics;
    bool rms = PM_ATTR(pm_norm_attr, ref->node)->rms; /* the mean, a constant 0, has no gradient */
    for (uint32_t s = 0; s < g.statistics; s++) {
        double dhat = 0.0, dhat_hat = 0.0;
        for (uint32_t i = 0; i < g.rows * g.channels; i++) {
            if (pm_norm_statistic_at(&g, i / g.channels, i % g.channels) != s) continue;
            element e = element_at(ref, &g, i);
            if (!rms) dhat += e.du * e.factors.gain * e.factors.gamma / per_statistic;
            dhat_hat += e.du * e.factors.gain * e.factors.gamma * e.hat / per_statistic;
        }
        for (uint32_t i = 0; i < g.rows * g.channels; i++) {
            if (pm_norm_statistic_at(&g, i / g.channels, i % g.channels) != s) continue;
            element e = element_at(ref, &g, i);
            double own = e.du * e.factors.gain * e.factors.gamma;
            ref->out[0].f[i] = ref->in[PM_NORM_RSTD].f[s] * (own - dhat - e.hat * dhat_hat);
            if (!g.per_token) continue;
            ref->out[1].f[i] = e.du * (e.hat * e.factors.gamma + e.factors.beta);
            ref->out[2].f[i] = e.du;
        }
    }
}

const pm_op pm_op_norm_backward = {
    .name = "norm_backward",
    .shape = shape_backward,
    .lower = lower_backward,
    .reference = reference_norm_backward,
};

/* ---- The rule ------------------------------------------------------------------------------------------ */

static void emit_params(pm_graph *graph, const pm_node *node, const pm_tensor *sums, bool modulated,
                        pm_tensor *grad_in)
{
    params_attr attr = {.modulated = modulated};
    pm_tensor in[PARAMS_INPUTS] = {sums[0], sums[1], node->in[PM_NORM_GAMMA], node->in[PM_NORM_BETA],
                                   PM_NONE};
    if (modulated) in[PARAMS_SCALE] = node->in[PM_NORM_SCALE];
    pm_tensor out[PM_MAX_OUTPUTS] = {PM_NONE};
    pm_emit(graph, &pm_op_norm_params, in, PARAMS_INPUTS, &attr, sizeof attr, out);
    grad_in[PM_NORM_GAMMA] = out[0];
    grad_in[PM_NORM_BETA] = out[1];
    if (!modulated) return;
    grad_in[PM_NORM_SCALE] = out[2];
    grad_in[PM_NORM_SHIFT] = out[3];
}

void pm_norm_emit_backward(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out, const bool *wants,
                           pm_tensor *grad_in)
{
    const pm_norm_attr *attr = PM_ATTR(pm_norm_attr, node);
    pm_norm_geometry g = pm_norm_geometry_of(graph, node);
    if (!pm_is(grad_out[0])) return;
    bool wants_modulation = wants[PM_NORM_SCALE] || wants[PM_NORM_SHIFT];
    bool wants_params = wants[PM_NORM_GAMMA] || wants[PM_NORM_BETA] || (wants_modulation && !g.per_token);
    bool wants_x = wants[PM_NORM_X] || (wants_modulation && g.per_token);

    pm_tensor in[] = {node->in[0],  node->in[1],  node->in[2], node->in[3], node->in[4],
                      node->out[1], node->out[2], grad_out[0], PM_NONE,     PM_NONE};
    if (wants_params || (wants_x && !g.per_row)) {
        pm_tensor sums[PM_MAX_OUTPUTS] = {PM_NONE};
        pm_emit(graph, &pm_op_norm_sums, in, PM_NORM_DY + 1, attr, sizeof *attr, sums);
        in[PM_NORM_SUM_DU] = sums[0];
        in[PM_NORM_SUM_DU_HAT] = sums[1];
        if (wants_params) emit_params(graph, node, sums, g.modulated && !g.per_token, grad_in);
    }
    if (wants_x) {
        pm_tensor out[PM_MAX_OUTPUTS] = {PM_NONE};
        uint32_t n_in = g.per_row ? PM_NORM_DY + 1 : PM_NORM_SUM_DU_HAT + 1;
        pm_emit(graph, &pm_op_norm_backward, in, n_in, attr, sizeof *attr, out);
        grad_in[PM_NORM_X] = out[0];
        if (g.per_token) {
            grad_in[PM_NORM_SCALE] = out[1];
            grad_in[PM_NORM_SHIFT] = out[2];
        }
    }
}
