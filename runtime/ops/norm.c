/* Group and layer normalisation with modulation and SiLU (norm.h has the formula). Group normalisation: mean
 * and squared deviations of each channel over chunks of positions, merged for each group, then an
 * element-by-element pass. Layer normalisation: a lane finds the statistics of a row; then the same last
 * pass. */
#include "ops/norm.h"

#include "base/checked.h"
#include "base/status.h"
#include "ops/elementwise.h"
#include "ops/slab.h"
#include "ops/table.h"

#include <math.h>

/* ---- Shapes -------------------------------------------------------------------------------------------- */

static bool fail_shape(pm_graph *graph, const pm_node *node, const char *what, pm_tensor tensor)
{
    char x[64], t[64];
    pm_graph_fail(graph, PM_BAD_USAGE, "%s: %s has shape %s, which does not fit x %s", node->op->name, what,
                  pm_shape_text(pm_shape_of(graph, tensor), t),
                  pm_shape_text(pm_shape_of(graph, node->in[PM_NORM_X]), x));
    return false;
}

static bool is_per_token(const pm_graph *graph, const pm_node *node, pm_tensor tensor)
{
    return pm_shape_equal(pm_shape_of(graph, tensor), pm_shape_of(graph, node->in[PM_NORM_X]));
}

static bool check_inputs(pm_graph *graph, const pm_node *node)
{
    static const char *const names[] = {"x", "gamma", "beta", "scale", "shift"};
    pm_shape x = pm_shape_of(graph, node->in[PM_NORM_X]);
    uint32_t channels = x.rank ? x.dim[x.rank - 1] : 0;
    for (uint32_t i = PM_NORM_X; i <= PM_NORM_SHIFT; i++) {
        pm_tensor tensor = node->in[i];
        if (!pm_is(tensor) && i != PM_NORM_X) continue;
        if (!pm_is(tensor) || pm_dtype_of(graph, tensor) != PM_DTYPE_F32) {
            pm_graph_fail(graph, PM_BAD_USAGE, "%s: %s must be an f32 tensor", node->op->name, names[i]);
            return false;
        }
        pm_shape vector = PM_SHAPE(channels), matrix = PM_SHAPE(x.dim[0], channels);
        bool fits = i == PM_NORM_X ||
                    pm_shape_equal(pm_shape_of(graph, tensor), i < PM_NORM_SCALE ? vector : matrix) ||
                    (i >= PM_NORM_SCALE && is_per_token(graph, node, tensor));
        if (!fits) return fail_shape(graph, node, names[i], tensor);
    }
    pm_tensor scale = node->in[PM_NORM_SCALE], shift = node->in[PM_NORM_SHIFT];
    if (pm_is(scale) && pm_is(shift) &&
        is_per_token(graph, node, scale) != is_per_token(graph, node, shift)) {
        return fail_shape(graph, node,
                          "scale is for each sample and shift for each token, or the reverse: shift", shift);
    }
    return true;
}

bool pm_norm_check(pm_graph *graph, const pm_node *node)
{
    const pm_norm_attr *attr = PM_ATTR(pm_norm_attr, node);
    char text[64];
    if (!check_inputs(graph, node)) return false;
    pm_shape x = pm_shape_of(graph, node->in[PM_NORM_X]);
    uint32_t channels = x.dim[x.rank - 1];
    if (attr->groups && (x.rank < 2 || channels % attr->groups)) {
        pm_graph_fail(
            graph, PM_BAD_USAGE,
            "%s: x %s cannot be normalised in %u groups; it must be [B,...,C], with C a multiple of them",
            node->op->name, pm_shape_text(x, text), attr->groups);
        return false;
    }
    if (attr->rms && attr->groups) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: rms is for layer_norm; group_norm subtracts the mean",
                      node->op->name);
        return false;
    }
    if (!(attr->eps >= 1e-30f) || !(attr->eps <= 1e30f)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "%s: eps is %g; it must be positive", node->op->name,
                      (double)attr->eps);
        return false;
    }
    return true;
}

pm_norm_geometry pm_norm_geometry_of(const pm_graph *graph, const pm_node *node)
{
    const pm_norm_attr *attr = PM_ATTR(pm_norm_attr, node);
    pm_shape x = pm_shape_of(graph, node->in[PM_NORM_X]);
    pm_tensor modulation = pm_is(node->in[PM_NORM_SCALE]) ? node->in[PM_NORM_SCALE] : node->in[PM_NORM_SHIFT];
    pm_norm_geometry g = {
        .channels = x.dim[x.rank - 1], .per_row = attr->groups == 0, .modulated = pm_is(modulation)};
    g.per_token = g.modulated && is_per_token(graph, node, modulation);
    g.rows = pm_shape_count(x) / g.channels;
    bool samples_differ = !g.per_row || (g.modulated && !g.per_token);
    g.samples = samples_differ ? x.dim[0] : 1;
    g.positions = g.rows / g.samples;
    g.groups = g.per_row ? 1 : attr->groups;
    g.group_channels = g.channels / g.groups;
    g.statistics = g.per_row ? g.rows : g.samples * g.groups;
    /* Both grow with the length, so that neither a chunk nor the merging of chunks takes long. */
    g.chunk = pm_ceil_div(g.positions, 128);
    if (g.chunk < 32) g.chunk = 32;
    g.chunks = pm_ceil_div(g.positions, g.chunk);
    return g;
}

static void shape_norm(pm_graph *graph, pm_node *node)
{
    if (!pm_norm_check(graph, node)) return;
    pm_norm_geometry g = pm_norm_geometry_of(graph, node);
    pm_node_output(graph, node, PM_DTYPE_F32, pm_shape_of(graph, node->in[PM_NORM_X]));
    pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(g.statistics)); /* mean */
    pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(g.statistics)); /* rstd */
}

/* ---- Dispatches ---------------------------------------------------------------------------------------- */

enum { ROWS_PER_LANE = 16 };

pm_norm_grid pm_norm_grid_of(const pm_lowering *lowering, const pm_norm_geometry *geometry,
                             uint32_t rows_per_lane)
{
    pm_norm_grid grid = {
        .geometry = geometry,
        .channel_lanes = 1,
        .whole_rows = rows_per_lane == 0,
        .cut_rows = geometry->samples == 1,
    };
    /* 8 lanes are 128 bytes, which is a GPU's line; a CPU reads faster what goes on. */
    uint32_t quads = pm_ceil_div(geometry->channels, 4),
             most = lowering->rules->is_cpu ? lowering->rules->lanes : 8;
    if (most > quads) most = quads;
    while (!grid.whole_rows && grid.channel_lanes < most) grid.channel_lanes *= 2;
    grid.row_lanes = lowering->rules->lanes / grid.channel_lanes;
    grid.rows = grid.row_lanes * (grid.whole_rows ? 1 : rows_per_lane);
    return grid;
}

uint32_t pm_norm_stride(const pm_norm_grid *grid)
{
    const pm_norm_geometry *g = grid->geometry;
    uint64_t bytes = (uint64_t)(grid->cut_rows ? grid->rows : g->positions) * g->channels * 4;
    return bytes <= UINT32_MAX ? (uint32_t)bytes : 0;
}

void pm_norm_push_base(pm_dispatch *dispatch, const pm_norm_grid *grid)
{
    pm_push_u32(dispatch, grid->cut_rows ? grid->rows : grid->geometry->positions);
    pm_push_u32(dispatch, !grid->cut_rows);
}

uint32_t pm_norm_width(const pm_norm_geometry *geometry)
{
    return geometry->channels % 4 ? 1 : 4;
}

uint32_t pm_norm_few_lanes(const pm_lowering *lowering)
{
    return lowering->rules->is_cpu ? 8 : 64;
}

static void bind_or_x(pm_dispatch *d, const pm_norm_grid *grid, const pm_node *node, uint32_t input)
{
    bool here = pm_is(node->in[input]);
    bool whole = here && (input < PM_NORM_SCALE || !grid->geometry->per_token);
    pm_bind_in(d, node->in[here ? input : PM_NORM_X], pm_norm_width(grid->geometry),
               whole ? 0 : pm_norm_stride(grid));
}

pm_dispatch *pm_norm_begin(pm_lowering *lowering, const pm_node *node, const pm_norm_grid *grid,
                           const char *shader, uint32_t rows_per_lane, pm_tensor mean, pm_tensor rstd)
{
    enum { PER_GROUP, PER_ROW, PER_QUADS }; /* STATISTICS of norm.glsl */
    const pm_norm_geometry *g = grid->geometry;
    pm_dispatch *d = pm_dispatch_begin(lowering, shader, lowering->rules->lanes);
    pm_spec(d, grid->channel_lanes);
    pm_spec(d, rows_per_lane);
    pm_spec(d, g->per_row ? PER_ROW : g->group_channels % 4 == 0 ? PER_QUADS : PER_GROUP);
    pm_spec(d, g->per_token);
    for (uint32_t i = PM_NORM_GAMMA; i <= PM_NORM_SHIFT; i++) pm_spec(d, pm_is(node->in[i]));
    pm_spec(d, PM_ATTR(pm_norm_attr, node)->silu);
    pm_spec(d, PM_ATTR(pm_norm_attr, node)->rms);
    pm_push_u32(d, g->positions);
    pm_push_u32(d, g->channels);
    pm_push_u32(d, g->groups);
    pm_push_divisor(d, g->group_channels);
    pm_norm_push_base(d, grid);
    pm_push_f32(d, (float)(1.0 / g->channels));
    pm_bind_in(d, node->in[PM_NORM_X], pm_norm_width(g), pm_norm_stride(grid));
    pm_bind_in(d, mean, 1, 0);
    pm_bind_in(d, rstd, 1, 0);
    for (uint32_t i = PM_NORM_GAMMA; i <= PM_NORM_SHIFT; i++) bind_or_x(d, grid, node, i);
    return d;
}

void pm_norm_end(pm_dispatch *dispatch, const pm_norm_grid *grid, double flops_per_element)
{
    const pm_norm_geometry *g = grid->geometry;
    uint32_t across = grid->whole_rows ? 1 : pm_ceil_div(pm_ceil_div(g->channels, 4), grid->channel_lanes);
    pm_groups(dispatch, across, pm_ceil_div(g->positions, grid->rows), g->samples, grid->cut_rows ? 1 : 2,
              flops_per_element * g->rows * g->channels);
}

/* What has elements for each row, as [rows, elements]. */
static void flatten_rows(pm_graph *graph, pm_tensor *tensor, uint32_t rows)
{
    if (pm_is(*tensor))
        *tensor = pm_view(graph, *tensor, 0, PM_SHAPE(rows, pm_count_of(graph, *tensor) / rows));
}

void pm_norm_lower_by_rows(pm_lowering *lowering, const pm_node *node, uint32_t rows, uint32_t whole,
                           uint64_t scratch, void (*lower)(pm_lowering *lowering, const pm_node *node))
{
    enum { MODULATION = 1 << PM_NORM_SCALE | 1 << PM_NORM_SHIFT };
    pm_norm_geometry g = pm_norm_geometry_of(lowering->graph, node);
    pm_node flat = *node;
    rows |= 1u << PM_NORM_X | MODULATION;
    if (!g.per_token) whole |= MODULATION;
    for (uint32_t bit = 0; g.samples == 1 && g.per_row && bit < PM_MAX_INPUTS + PM_MAX_OUTPUTS; bit++) {
        if (rows >> bit & 1u) flatten_rows(lowering->graph, pm_node_tensor(&flat, bit), g.rows);
    }
    pm_lower_by_rows(lowering, &flat, rows, whole, scratch, lower);
}

static void lower_row_moments(pm_lowering *lowering, const pm_node *node, const pm_norm_geometry *g)
{
    pm_norm_geometry flat = *g; /* rows alone, whatever sample they belong to */
    flat.samples = 1;
    flat.positions = g->rows;
    pm_norm_grid grid = pm_norm_grid_of(lowering, &flat, 0);
    (void)pm_rounds_fit(lowering, "norm", "rows of this length", (uint64_t)pm_ceil_div(g->channels, 4) * 2);
    pm_dispatch *d =
        pm_dispatch_begin(lowering, PM_NORM_SHADER(g, "norm_row_moments"), lowering->rules->lanes);
    pm_spec(d, PM_ATTR(pm_norm_attr, node)->rms);
    pm_push_u32(d, g->rows);
    pm_push_u32(d, g->channels);
    pm_push_f32(d, (float)(1.0 / g->channels));
    pm_push_f32(d, PM_ATTR(pm_norm_attr, node)->eps);
    pm_bind_in(d, node->in[PM_NORM_X], pm_norm_width(g), pm_norm_stride(&grid));
    pm_bind_out(d, node->out[1], 0);
    pm_bind_out(d, node->out[2], 0);
    pm_norm_end(d, &grid, 4);
}

static void lower_group_moments(pm_lowering *lowering, const pm_node *node, const pm_norm_geometry *g)
{
    uint32_t last = g->positions - (g->chunks - 1) * g->chunk;
    pm_tensor means = pm_scratch(lowering, PM_DTYPE_F32, g->samples * g->chunks * g->channels);
    pm_tensor squares = pm_scratch(lowering, PM_DTYPE_F32, g->samples * g->chunks * g->channels);
    pm_norm_grid grid = pm_norm_grid_of(lowering, g, g->chunk);
    pm_dispatch *d = pm_dispatch_begin(lowering, PM_NORM_SHADER(g, "norm_moments"), lowering->rules->lanes);
    pm_spec(d, grid.channel_lanes);
    pm_spec(d, g->chunk);
    pm_push_u32(d, g->positions);
    pm_push_u32(d, g->channels);
    pm_norm_push_base(d, &grid);
    pm_push_f32(d, (float)(1.0 / g->chunk));
    pm_push_f32(d, (float)(1.0 / last));
    pm_bind_in(d, node->in[PM_NORM_X], pm_norm_width(g), pm_norm_stride(&grid));
    pm_bind_out(d, means, 0);
    pm_bind_out(d, squares, 0);
    pm_norm_end(d, &grid, 4);

    uint32_t lanes = pm_norm_few_lanes(lowering);
    d = pm_dispatch_begin(lowering, "norm_merge_moments", lanes);
    pm_push_u32(d, g->samples);
    pm_push_u32(d, g->chunks);
    pm_push_u32(d, g->channels);
    pm_push_u32(d, g->group_channels);
    pm_push_f32(d, (float)g->chunk);
    pm_push_f32(d, (float)last);
    pm_push_f32(d, (float)(1.0 / ((double)g->positions * g->group_channels)));
    pm_push_f32(d, PM_ATTR(pm_norm_attr, node)->eps);
    pm_bind_in(d, means, 1, 0);
    pm_bind_in(d, squares, 1, 0);
    pm_bind_out(d, node->out[1], 0);
    pm_bind_out(d, node->out[2], 0);
    pm_groups(d, pm_ceil_div(g->statistics, lanes), 1, 1, 0, 0);
}

/* Whether the rows are so few that a workgroup for each, whose lanes all find its statistics, takes less time
 * than the start of another kernel; and not too long for the three sweeps of one. */
static bool has_few_rows(const pm_lowering *lowering, const pm_norm_geometry *g)
{
    enum { FEW = 8 };
    uint64_t rounds = (uint64_t)pm_ceil_div(g->channels, 4) * 3;
    return pm_on(lowering->rules, PM_ROW_NORMS) && g->per_row && g->rows <= FEW &&
           rounds <= lowering->rules->most_rounds;
}

static void lower_few_rows(pm_lowering *lowering, const pm_node *node, const pm_norm_geometry *g)
{
    pm_norm_grid grid = pm_norm_grid_of(lowering, g, 1);
    pm_dispatch *d = pm_norm_begin(lowering, node, &grid, PM_NORM_SHADER(g, "norm_row"), 1,
                                   node->in[PM_NORM_X], node->in[PM_NORM_X]);
    d->spec[0] = pm_norm_few_lanes(lowering);
    pm_push_f32(d, PM_ATTR(pm_norm_attr, node)->eps);
    pm_bind_out(d, node->out[0], 0);
    pm_bind_out(d, node->out[1], 0);
    pm_bind_out(d, node->out[2], 0);
    for (uint32_t b = 0; b < d->n_bind; b++) d->bind[b].stride = 0;
    pm_groups(d, 1, g->rows, 1, 0, 8.0 * g->rows * g->channels);
}

bool pm_norm_takes_silu_out(const pm_lowering *lowering, pm_node *node)
{
    pm_norm_attr *attr = (pm_norm_attr *)(void *)node->attr;
    if (!attr->silu || pm_on(lowering->rules, PM_NORM_ACTIVATION)) return false;
    attr->silu = false;
    return true;
}

/* x seen as the normalised, where it only modulates. */
static void append_apply(pm_lowering *lowering, const pm_node *node, const pm_tensor statistics[2],
                         bool normalises, bool modulates, pm_tensor y)
{
    pm_norm_geometry g = pm_norm_geometry_of(lowering->graph, node);
    pm_norm_grid grid = pm_norm_grid_of(lowering, &g, ROWS_PER_LANE);
    pm_dispatch *d = pm_norm_begin(lowering, node, &grid, PM_NORM_SHADER(&g, "norm_apply"), ROWS_PER_LANE,
                                   statistics[0], statistics[1]);
    pm_spec(d, normalises);
    pm_spec(d, modulates);
    pm_bind_out(d, y, pm_norm_stride(&grid));
    pm_norm_end(d, &grid, 4);
}

static bool modulates_apart(const pm_lowering *lowering, const pm_node *node)
{
    return pm_norm_geometry_of(lowering->graph, node).modulated &&
           !pm_on(lowering->rules, PM_NORM_MODULATION);
}

void pm_norm_append_apply(pm_lowering *lowering, const pm_node *node, pm_tensor mean, pm_tensor rstd,
                          pm_tensor y)
{
    pm_tensor statistics[] = {mean, rstd};
    if (!modulates_apart(lowering, node)) {
        append_apply(lowering, node, statistics, true, true, y);
        return;
    }
    pm_node modulation = *node, normalisation = *node;
    ((pm_norm_attr *)(void *)normalisation.attr)->silu = false;
    pm_shape shape = pm_shape_of(lowering->graph, node->in[PM_NORM_X]);
    pm_tensor between = pm_scratch(lowering, PM_DTYPE_F32, pm_shape_count(shape));
    modulation.in[PM_NORM_X] = pm_view(lowering->graph, between, 0, shape);
    append_apply(lowering, &normalisation, statistics, true, false, modulation.in[PM_NORM_X]);
    append_apply(lowering, &modulation, statistics, false, true, y);
}

/* Of a node without SiLU, or with one that the kernels apply. */
static void lower_u(pm_lowering *lowering, const pm_node *node)
{
    pm_norm_geometry g = pm_norm_geometry_of(lowering->graph, node);
    if (!modulates_apart(lowering, node) && has_few_rows(lowering, &g)) {
        lower_few_rows(lowering, node, &g);
        if (pm_dispatch_stays(lowering)) return;
    }
    if (g.per_row) {
        lower_row_moments(lowering, node, &g);
    } else {
        lower_group_moments(lowering, node, &g);
    }
    pm_norm_append_apply(lowering, node, node->out[1], node->out[2], node->out[0]);
}

static void lower_samples(pm_lowering *lowering, const pm_node *node)
{
    pm_node plain = *node;
    bool apart = pm_norm_takes_silu_out(lowering, &plain);
    if (apart) {
        plain.out[0] = pm_scratch(lowering, PM_DTYPE_F32, pm_count_of(lowering->graph, node->out[0]));
    }
    lower_u(lowering, &plain);
    if (apart) pm_append_silu(lowering, plain.out[0], PM_NONE, node->out[0]);
}

/* SiLU, where it alone reads what is normalised. */
static bool absorb(const pm_lowering *lowering, pm_node *node, const pm_node *reader)
{
    pm_norm_attr *attr = (pm_norm_attr *)(void *)node->attr;
    if (attr->silu || !pm_is_silu(reader) || !pm_on(lowering->rules, PM_NORM_ACTIVATION)) return false;
    attr->silu = true;
    node->out[0] = reader->out[0];
    return true;
}

/* ---- Reference ----------------------------------------------------------------------------------------- */

uint32_t pm_norm_statistic_at(const pm_norm_geometry *g, uint32_t row, uint32_t channel)
{
    return g->per_row ? row : row / g->positions * g->groups + channel / g->group_channels;
}

pm_norm_factors pm_norm_factors_at(const pm_reference *ref, const pm_norm_geometry *g, uint32_t row,
                                   uint32_t channel)
{
    uint32_t at = (g->per_token ? row : row / g->positions) * g->channels + channel;
    const pm_host *in = ref->in;
    return (pm_norm_factors){
        .gamma = in[PM_NORM_GAMMA].count ? in[PM_NORM_GAMMA].f[channel] : 1.0,
        .beta = in[PM_NORM_BETA].count ? in[PM_NORM_BETA].f[channel] : 0.0,
        .gain = in[PM_NORM_SCALE].count ? 1.0 + in[PM_NORM_SCALE].f[at] : 1.0,
        .shift = in[PM_NORM_SHIFT].count ? in[PM_NORM_SHIFT].f[at] : 0.0,
    };
}

static void lower_norm(pm_lowering *lowering, const pm_node *node)
{
    enum { STATISTICS = PM_OUT_BIT(1) | PM_OUT_BIT(2) };
    pm_norm_geometry g = pm_norm_geometry_of(lowering->graph, node);
    uint64_t chunk_bytes = g.per_row ? 0 : (uint64_t)g.chunks * g.channels * 4;
    pm_norm_lower_by_rows(lowering, node, PM_OUT_BIT(0) | STATISTICS, STATISTICS, chunk_bytes, lower_samples);
}

static void reference_norm(const pm_reference *ref)
{
    const pm_norm_attr *attr = PM_ATTR(pm_norm_attr, ref->node);
    pm_norm_geometry g = pm_norm_geometry_of(ref->graph, ref->node);
    const double *x = ref->in[PM_NORM_X].f;
    double *y = ref->out[0].f, *mean = ref->out[1].f, *rstd = ref->out[2].f;
    double per_statistic = (double)g.rows * g.channels / g.statistics;
    for (uint32_t s = 0; s < g.statistics; s++) mean[s] = rstd[s] = 0.0;
    for (uint32_t i = 0; !attr->rms && i < g.rows * g.channels; i++) {
        mean[pm_norm_statistic_at(&g, i / g.channels, i % g.channels)] += x[i] / per_statistic;
    }
    for (uint32_t i = 0; i < g.rows * g.channels; i++) {
        uint32_t s = pm_norm_statistic_at(&g, i / g.channels, i % g.channels);
        rstd[s] += (x[i] - mean[s]) * (x[i] - mean[s]) / per_statistic; /* the variance, for now */
    }
    for (uint32_t s = 0; s < g.statistics; s++) rstd[s] = 1.0 / sqrt(rstd[s] + (double)attr->eps);
    for (uint32_t i = 0; i < g.rows * g.channels; i++) {
        uint32_t s = pm_norm_statistic_at(&g, i / g.channels, i % g.channels);
        pm_norm_factors f = pm_norm_factors_at(ref, &g, i / g.channels, i % g.channels);
        double u = ((x[i] - mean[s]) * rstd[s] * f.gamma + f.beta) * f.gain + f.shift;
        y[i] = attr->silu ? u / (1.0 + exp(-u)) : u;
    }
}

/* ---- Cases --------------------------------------------------------------------------------------------- */

enum { GAMMA = 1, BETA = 2, SCALE = 4, SHIFT = 8, TOKEN = 16, SILU = 32, RMS = 64 };

/* p: batch, height, width (0: x is [B,H,C]; height 0 too: [B,C]), channels, groups (0: layer normalisation),
 * flags. */
static pm_tensor case_norm(pm_graph *graph, const uint32_t *p)
{
    pm_shape shape = p[2]   ? PM_SHAPE(p[0], p[1], p[2], p[3])
                     : p[1] ? PM_SHAPE(p[0], p[1], p[3])
                            : PM_SHAPE(p[0], p[3]);
    pm_shape modulation = p[5] & TOKEN ? shape : PM_SHAPE(p[0], p[3]);
    pm_tensor x = pm_affine(graph, pm_case_leaf(graph, "x", shape, 1.5f), 1.0f, 0.5f);
    pm_norm_args args = {.silu = (p[5] & SILU) != 0, .rms = (p[5] & RMS) != 0};
    if (p[5] & GAMMA) args.gamma = pm_case_leaf(graph, "gamma", PM_SHAPE(p[3]), 1.5f);
    if (p[5] & BETA) args.beta = pm_case_leaf(graph, "beta", PM_SHAPE(p[3]), 1.0f);
    if (p[5] & SCALE) args.scale = pm_case_leaf(graph, "scale", modulation, 0.7f);
    if (p[5] & SHIFT) args.shift = pm_case_leaf(graph, "shift", modulation, 1.0f);
    return p[4] ? pm_group_norm(graph, x, p[4], args) : pm_layer_norm(graph, x, args);
}

static const pm_case cases_norm[] = {
    {.name = "group, gamma and beta, SiLU", .build = case_norm, .p = {2, 7, 7, 8, 2, GAMMA | BETA | SILU}},
    {.name = "group, per sample, odd channels",
     .build = case_norm,
     .p = {3, 5, 3, 15, 3, GAMMA | SCALE | SHIFT}},
    {.name = "group, nothing, one channel each", .build = case_norm, .p = {2, 3, 2, 6, 6, 0}},
    {.name = "group, several chunks and groups",
     .build = case_norm,
     .p = {2, 9, 8, 12, 2, BETA | SHIFT | SILU}},
    {.name = "group, per token",
     .build = case_norm,
     .p = {2, 5, 0, 8, 4, GAMMA | BETA | SCALE | SHIFT | TOKEN}},
    {.name = "group, one position", .build = case_norm, .p = {5, 0, 0, 12, 3, GAMMA | SCALE}},
    {.name = "layer, gamma and beta", .build = case_norm, .p = {3, 5, 0, 32, 0, GAMMA | BETA}},
    {.name = "layer, per sample, odd channels",
     .build = case_norm,
     .p = {2, 7, 0, 13, 0, SCALE | SHIFT | SILU}},
    {.name = "layer, per token", .build = case_norm, .p = {2, 5, 0, 12, 0, GAMMA | SCALE | SHIFT | TOKEN}},
    {.name = "layer, several workgroups", .build = case_norm, .p = {75, 0, 0, 9, 0, GAMMA | BETA | SCALE}},
    {.name = "layer, all, per sample",
     .build = case_norm,
     .p = {3, 2, 2, 8, 0, GAMMA | BETA | SCALE | SHIFT | SILU}},
    {.name = "rms, gamma", .build = case_norm, .p = {3, 5, 0, 32, 0, RMS | GAMMA}},
    {.name = "rms, per sample, odd channels",
     .build = case_norm,
     .p = {2, 7, 0, 13, 0, RMS | BETA | SCALE | SHIFT | SILU}},
    {.name = "rms, per token",
     .build = case_norm,
     .p = {2, 5, 0, 12, 0, RMS | GAMMA | SCALE | SHIFT | TOKEN}},
    {.name = "rms, several workgroups, nothing", .build = case_norm, .p = {75, 0, 0, 9, 0, RMS}},
    {.name = "group, large", .build = case_norm, .p = {8, 28, 28, 32, 8, GAMMA | BETA | SILU}, .large = true},
    {.name = "layer, large", .build = case_norm, .p = {8, 250, 0, 260, 0, GAMMA | BETA}, .large = true},
    {.name = "group, 28x28, 32 channels, SiLU",
     .build = case_norm,
     .p = {32, 28, 28, 32, 8, GAMMA | BETA | SILU},
     .bench = true},
    {.name = "layer, 16x256, 256 channels",
     .build = case_norm,
     .p = {16, 256, 0, 256, 0, GAMMA | BETA},
     .bench = true},
    {.name = "rms, 16x256, 256 channels",
     .build = case_norm,
     .p = {16, 256, 0, 256, 0, RMS | GAMMA},
     .bench = true},
};

const pm_op pm_op_norm = {
    .name = "norm",
    .shape = shape_norm,
    .backward = pm_norm_emit_backward,
    .lower = lower_norm,
    .absorb = absorb,
    .reference = reference_norm,
    PM_CASES(cases_norm),
};

static pm_tensor norm(pm_graph *graph, pm_tensor x, uint32_t groups, pm_norm_args args)
{
    pm_norm_attr attr = {
        .groups = groups, .eps = args.eps == 0.0f ? 1e-5f : args.eps, .silu = args.silu, .rms = args.rms};
    pm_tensor in[] = {x, args.gamma, args.beta, args.scale, args.shift};
    return pm_emit(graph, &pm_op_norm, in, 5, &attr, sizeof attr, NULL);
}

pm_tensor pm_group_norm(pm_graph *graph, pm_tensor x, uint32_t groups, pm_norm_args args)
{
    if (groups == 0) pm_graph_fail(graph, PM_BAD_USAGE, "group_norm: 0 groups; there must be at least one");
    return norm(graph, x, groups, args);
}

pm_tensor pm_layer_norm(pm_graph *graph, pm_tensor x, pm_norm_args args)
{
    return norm(graph, x, 0, args);
}
