/* Drawing tokens from logits: temperature, repetition penalty, top-k, top-p, min-p, and how sure the draw is.
 *
 * Numbers. A token's weight is exp((logit - highest) / temperature), rounded down to a multiple of 2^-40: an
 * integer of 41 bits, so that sums of them are exact in 64 bits, in any order. A draw takes 32
 * random bits u and the first token whose running sum exceeds floor(u total / 2^32), an exact product: each
 * token is drawn by as many of the 2^32 values of u as its share of the total says, to within one. In f32
 * the same running sum would swallow what is below 2^-24 of it, and a race of exponentials, -log(uniform) /
 * weight, would starve it, for the uniform number is a multiple of 2^-24.
 *
 * Cuts need no sorting: the threshold is the greatest integer t, in the order of the logits (a float as an
 * integer of the same order), such that the tokens from t up number k or have the mass; found digit by digit.
 * What equals the last one kept is kept too, since its logit is the same integer.
 *
 * A row whose logits are all -infinity draws token 0 with confidence 0 (unless that is random). */
#include "ops/draw_tokens.h"

#include "base/bits.h"
#include "base/checked.h"
#include "base/exact.h"
#include "base/philox.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/layout.h"
#include "ops/random.h"
#include "ops/slab.h"
#include "ops/table.h"

#define LOWEST (-3e38f)
#define MAX_WIDTH (1u << 18)
#define OTHER_BLOCKS 0x40000000u /* beyond those of any element: for PM_CONFIDENCE_RANDOM */

/* ---- One row ------------------------------------------------------------------------------------------- */

typedef struct draw_row {
    const double *logits;
    const uint32_t *seen;
    uint32_t width;
    float inverse_temperature, min_p, repetition, inverse_repetition;
    float top, second;  /* the two highest logits */
    uint32_t threshold; /* the key of the last one kept */
} draw_row;

static uint32_t ordered(float x)
{
    uint32_t bits = pm_bits_of(x);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/* e 2^40, rounded down. */
static uint64_t fixed(float e)
{
    return (uint64_t)((double)e * 1099511627776.0);
}

/* Back, in the two roundings of the shader. */
static float unfixed(uint64_t a)
{
    return (float)(uint32_t)(a >> 32) * 0.00390625f + (float)(uint32_t)a * 9.09494702e-13f;
}

/* a f / 2^32, rounded down or up. */
static uint64_t scaled(uint64_t a, uint32_t f, bool up)
{
    uint64_t low = (a & 0xffffffffu) * f, high = (a >> 32) * f;
    return high + (low >> 32) + (up && (uint32_t)low != 0);
}

static float inverse_temperature(const pm_draw_args *args)
{
    return args->temperature > 0.0f ? 1.0f / args->temperature : 1.0f;
}

static float repetition(const pm_draw_args *args)
{
    return args->repetition > 0.0f ? args->repetition : 1.0f;
}

/* top_p times 2^32. */
static uint32_t fraction_of(float top_p)
{
    return (uint32_t)((double)top_p * 4294967296.0);
}

static bool cuts_k(const pm_draw_args *args, uint32_t width)
{
    return args->top_k > 0 && args->top_k < width;
}

static bool cuts_p(const pm_draw_args *args)
{
    return args->top_p > 0.0f && args->top_p < 1.0f;
}

static float logit_of(const draw_row *row, uint32_t i)
{
    float l = (float)row->logits[i];
    if (row->seen && row->seen[i]) l = l * (l > 0.0f ? row->inverse_repetition : row->repetition);
    return pmf_flush(l);
}

static float share_of(const draw_row *row, float logit)
{
    return pmf_exp((logit - row->top) * row->inverse_temperature);
}

static float kept_share(const draw_row *row, float logit)
{
    float e = share_of(row, logit);
    return ordered(logit) >= row->threshold && e >= row->min_p ? e : 0.0f;
}

/* How many tokens have a key of at least t and of at least the threshold, or their mass. */
static uint64_t above(const draw_row *row, uint32_t t, bool mass)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < row->width; i++) {
        float l = logit_of(row, i);
        uint32_t key = ordered(l);
        if (key >= t && key >= row->threshold) sum += mass ? fixed(share_of(row, l)) : 1;
    }
    return sum;
}

/* The greatest t of which above() is at least `need`. */
static uint32_t search(const draw_row *row, uint64_t need, bool mass)
{
    uint32_t t = 0;
    for (uint32_t bit = 0x80000000u; bit; bit >>= 1) {
        if (above(row, t | bit, mass) >= need) t |= bit;
    }
    return t;
}

static float confidence_of(const draw_row *row, pm_confidence kind, uint32_t token, uint64_t total,
                           uint32_t other_bits)
{
    uint64_t heat = 0;
    if (kind == PM_CONFIDENCE_RANDOM) return pm_uniform01(other_bits);
    if (total == 0) return 0.0f;
    float sum = unfixed(total);
    if (kind == PM_CONFIDENCE_DRAWN) return pmf_div(share_of(row, logit_of(row, token)), sum);
    if (kind == PM_CONFIDENCE_MAX) return pmf_div(1.0f, sum);
    if (kind == PM_CONFIDENCE_MARGIN) return pmf_div(1.0f - kept_share(row, row->second), sum);
    /* With p = e^x / sum: p log p adds up to -(log sum + (the sum of -x e^x) / sum). */
    for (uint32_t i = 0; i < row->width; i++) {
        float l = logit_of(row, i), x = (l - row->top) * row->inverse_temperature;
        if (fixed(kept_share(row, l)) != 0) heat += fixed(-x * pmf_exp(x));
    }
    return -(pmf_log(sum) + pmf_div(unfixed(heat), sum));
}

static uint32_t token_of(const draw_row *row, bool greedy, uint64_t target)
{
    uint64_t running = 0;
    for (uint32_t i = 0; i < row->width; i++) {
        float l = logit_of(row, i);
        running += fixed(kept_share(row, l));
        if (greedy ? ordered(l) == ordered(row->top) : running > target) return i;
    }
    return 0;
}

pm_drawn pm_draw_row(const double *logits, const uint32_t *seen, uint32_t width, const pm_draw_args *args,
                     uint32_t bits, uint32_t other_bits)
{
    draw_row row = {.logits = logits,
                    .seen = seen,
                    .width = width,
                    .inverse_temperature = inverse_temperature(args),
                    .min_p = args->min_p,
                    .repetition = repetition(args),
                    .inverse_repetition = 1.0f / repetition(args),
                    .top = LOWEST,
                    .second = LOWEST};
    for (uint32_t i = 0; i < width; i++) {
        float l = logit_of(&row, i), lower = l < row.top ? l : row.top;
        if (lower > row.second) row.second = lower;
        if (l > row.top) row.top = l;
    }
    if (cuts_k(args, width)) row.threshold = search(&row, args->top_k, false);
    if (cuts_p(args)) {
        uint64_t need = scaled(above(&row, 0, true), fraction_of(args->top_p), true);
        uint32_t threshold = search(&row, need, true);
        if (threshold > row.threshold) row.threshold = threshold;
    }
    uint64_t total = 0;
    for (uint32_t i = 0; i < width; i++) total += fixed(kept_share(&row, logit_of(&row, i)));
    uint32_t token = token_of(&row, args->temperature <= 0.0f, scaled(total, bits, false));
    return (pm_drawn){token, confidence_of(&row, args->confidence, token, total, other_bits)};
}

/* ---- The operator -------------------------------------------------------------------------------------- */

enum { DRAW_LOGITS, DRAW_SEEN, DRAW_COUNTER };

static bool check_args(pm_graph *graph, const pm_draw_args *args)
{
    const char *wrong = NULL;
    if (args->temperature != 0.0f && !(args->temperature >= 1e-6f && args->temperature <= 1e6f))
        wrong = "the temperature must be 0, or from 1e-6 to 1e6";
    if (!(args->top_p >= 0.0f && args->top_p <= 1.0f)) wrong = "top_p must be from 0 to 1";
    if (!(args->min_p >= 0.0f && args->min_p <= 1.0f)) wrong = "min_p must be from 0 to 1";
    if (args->repetition != 0.0f && !(args->repetition >= 1e-3f && args->repetition <= 1e3f))
        wrong = "the repetition penalty must be 0, or from 1e-3 to 1e3";
    if ((uint32_t)args->confidence > PM_CONFIDENCE_RANDOM) wrong = "there is no such confidence";
    if (wrong) pm_graph_fail(graph, PM_BAD_USAGE, "draw_tokens: %s", wrong);
    return !wrong;
}

static void shape_draw_tokens(pm_graph *graph, pm_node *node)
{
    const pm_draw_attr *attr = PM_ATTR(pm_draw_attr, node);
    bool seen = pm_is(node->in[DRAW_SEEN]);
    if (!pm_check_operand(graph, node, DRAW_LOGITS, PM_DTYPE_F32) ||
        (seen && !pm_check_operand(graph, node, DRAW_SEEN, PM_DTYPE_U32)) ||
        !pm_check_counter(graph, node, DRAW_COUNTER) || !check_args(graph, &attr->args))
        return;
    pm_shape logits = pm_shape_of(graph, node->in[DRAW_LOGITS]);
    uint32_t each = attr->args.rows_per_sample;
    char a[64], b[64];
    if (logits.rank != 2 || logits.dim[1] > MAX_WIDTH || logits.dim[0] % each != 0) {
        pm_graph_fail(
            graph, PM_BAD_USAGE,
            "draw_tokens: the logits must be [R,V], with V up to 2^18 and R a multiple of the %u rows "
            "of a sample, not %s",
            each, pm_shape_text(logits, a));
        return;
    }
    if (seen && !pm_shape_equal(pm_shape_of(graph, node->in[DRAW_SEEN]),
                                PM_SHAPE(logits.dim[0] / each, logits.dim[1]))) {
        pm_graph_fail(graph, PM_BAD_USAGE, "draw_tokens: `seen` must be [%u,%u] for logits %s, not %s",
                      logits.dim[0] / each, logits.dim[1], pm_shape_text(logits, a),
                      pm_shape_text(pm_shape_of(graph, node->in[DRAW_SEEN]), b));
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_U32, PM_SHAPE(logits.dim[0]));
    pm_node_output(graph, node, PM_DTYPE_F32, PM_SHAPE(logits.dim[0]));
}

#define CANDIDATES 7u /* as in shaders/draw_tokens.comp */

/* A CPU driver, and a row that is soon done, are better off without lanes that wait for each other; but where
 * loops may not be that long (pm_rules.most_rounds), a long row is shared out there as well. */
static uint32_t row_lanes_of(const pm_lowering *lowering, const pm_draw_attr *attr, uint32_t width)
{
    uint32_t sweeps = 3u + (cuts_k(&attr->args, width) ? 11u : 0u) + (cuts_p(&attr->args) ? 12u : 0u);
    uint32_t most = lowering->rules->group_lanes;
    if (attr->row_lanes > 0) return attr->row_lanes < most ? attr->row_lanes : most;
    if (lowering->rules->is_cpu) return sweeps * width <= lowering->rules->most_rounds / 2 ? 1 : most;
    if (width < 128) return 1;
    return width < 2048 ? 64 : most;
}

/* What was seen of each row's sample, [rows, width]: what cannot be bound whole is cut like the logits. */
static pm_tensor seen_by_row(pm_lowering *lowering, pm_tensor seen, uint32_t rows, uint32_t width)
{
    uint32_t samples = pm_shape_of(lowering->graph, seen).dim[0], each = rows / samples;
    if (each == 1) return seen;
    pm_strided view = {.rank = 3, .extent = {samples, each, width}, .stride = {width, 0, 1}};
    pm_tensor repeated = pm_scratch(lowering, PM_DTYPE_U32, rows * width);
    pm_lower_gather(lowering, seen, repeated, view, 1.0f);
    return repeated;
}

static void lower_draw_tokens(pm_lowering *lowering, const pm_node *node)
{
    const pm_draw_attr *attr = PM_ATTR(pm_draw_attr, node);
    const pm_draw_args *args = &attr->args;
    pm_tensor counter = node->in[DRAW_COUNTER], seen = node->in[DRAW_SEEN];
    pm_shape logits = pm_shape_of(lowering->graph, node->in[DRAW_LOGITS]);
    uint32_t rows = logits.dim[0], width = logits.dim[1], row_lanes = row_lanes_of(lowering, attr, width);
    uint32_t lanes = row_lanes > 1 ? row_lanes : lowering->rules->lanes;
    uint32_t rows_of_group = row_lanes > 1 ? 1 : lanes;
    uint64_t bytes = UINT64_C(4) * rows_of_group * width;
    bool k = cuts_k(args, width), p = cuts_p(args), penalty = pm_is(seen) && repetition(args) != 1.0f;
    bool by_row = penalty && !pm_fits_whole(lowering, seen, 1);
    uint32_t stride = bytes <= UINT32_MAX ? (uint32_t)bytes : 0;
    if (by_row) seen = seen_by_row(lowering, seen, rows, width);

    pm_dispatch *d = pm_dispatch_begin(lowering, "draw_tokens", lanes);
    d->shared_bytes = CANDIDATES * 8 * row_lanes;
    pm_spec(d, row_lanes);
    pm_spec(d, penalty);
    pm_spec(d, args->temperature <= 0.0f);
    pm_spec(d, k);
    pm_spec(d, p);
    pm_spec(d, (uint32_t)args->confidence);
    pm_spec(d, by_row);
    pm_push_u32(d, rows);
    pm_push_u32(d, width);
    pm_push_u32(d, attr->stream);
    pm_push_divisor(d, args->rows_per_sample);
    pm_push_f32(d, inverse_temperature(args));
    pm_push_u32(d, args->top_k);
    pm_push_u32(d, p ? fraction_of(args->top_p) : 0);
    pm_push_f32(d, args->min_p);
    pm_push_f32(d, repetition(args));
    pm_push_f32(d, 1.0f / repetition(args));
    pm_bind_in(d, counter, 1, 0);
    pm_bind_in(d, node->in[DRAW_LOGITS], 1, stride);
    pm_bind_in(d, penalty ? seen : counter, 1, by_row ? stride : 0); /* not read without a penalty */
    pm_bind_out(d, node->out[0], 4 * rows_of_group);
    pm_bind_out(d, node->out[1], 4 * rows_of_group);
    pm_groups(d, pm_ceil_div(rows, rows_of_group), 1, 1, 0,
              (double)rows * width * (60.0 + (k ? 350.0 : 0.0) + (p ? 700.0 : 0.0)));
}

/* In float and integers, as the device does: a draw is a comparison. */
static void reference_draw_tokens(const pm_reference *ref)
{
    const pm_draw_attr *attr = PM_ATTR(pm_draw_attr, ref->node);
    uint32_t width = ref->in[DRAW_LOGITS].shape.dim[1], each = attr->args.rows_per_sample;
    const uint32_t *counter = ref->in[DRAW_COUNTER].u;
    for (uint32_t row = 0; row < ref->out[0].count; row++) {
        uint32_t sample = row / each, element = row % each, other[4];
        const uint32_t *seen =
            ref->in[DRAW_SEEN].count ? ref->in[DRAW_SEEN].u + (size_t)sample * width : NULL;
        pm_draw_block(counter, attr->stream, sample, OTHER_BLOCKS + element / 4, other);
        pm_drawn drawn =
            pm_draw_row(ref->in[DRAW_LOGITS].f + (size_t)row * width, seen, width, &attr->args,
                        pm_draw_element(counter, attr->stream, sample, element), other[element % 4]);
        ref->out[0].u[row] = drawn.token;
        ref->out[1].f[row] = (double)drawn.confidence;
    }
}

pm_tensor pm_draw_tokens_with(pm_graph *graph, pm_tensor logits, pm_tensor seen, pm_tensor counter,
                              pm_draw_attr attr, pm_tensor *confidence)
{
    pm_tensor outputs[PM_MAX_OUTPUTS] = {PM_NONE};
    if (attr.args.rows_per_sample == 0) attr.args.rows_per_sample = 1;
    pm_tensor token = pm_emit(graph, &pm_op_draw_tokens, (pm_tensor[]){logits, seen, counter}, 3, &attr,
                              sizeof attr, outputs);
    if (confidence) *confidence = outputs[1];
    return token;
}

pm_tensor pm_draw_tokens(pm_graph *graph, pm_tensor logits, pm_tensor seen, pm_tensor counter,
                         uint32_t stream, pm_draw_args args, pm_tensor *confidence)
{
    return pm_draw_tokens_with(graph, logits, seen, counter, (pm_draw_attr){args, stream, 0}, confidence);
}

/* ---- Cases --------------------------------------------------------------------------------------------- */

/* p: rows, width, scale, top-k, top-p and min-p in hundredths, temperature in tenths, confidence, penalty in
 * tenths (0: none is seen), 16 rows_per_sample + log2 of the lanes of a row (0: as the device likes). */
static pm_tensor case_draw_tokens(pm_graph *graph, const uint32_t *p)
{
    pm_tensor logits = pm_case_leaf(graph, "logits", PM_SHAPE(p[0], p[1]), (float)p[2]), seen = PM_NONE;
    uint32_t each = p[9] / 16 > 0 ? p[9] / 16 : 1;
    pm_draw_attr attr = {.stream = 5, .row_lanes = p[9] % 16 ? 1u << p[9] % 16 : 0};
    attr.args = (pm_draw_args){.temperature = (float)p[6] / 10.0f,
                               .top_k = p[3],
                               .top_p = (float)p[4] / 100.0f,
                               .min_p = (float)p[5] / 100.0f,
                               .repetition = (float)p[8] / 10.0f,
                               .confidence = (pm_confidence)p[7],
                               .rows_per_sample = each};
    if (p[8]) seen = pm_case_indices(graph, "seen", PM_SHAPE(p[0] / each, p[1]), 3);
    return pm_draw_tokens_with(graph, logits, seen, pm_case_counter(graph), attr, NULL);
}

#define CASE(text, ...)                                                                  \
    {                                                                                    \
        .name = text, .build = case_draw_tokens, .p = {__VA_ARGS__}, .no_gradient = true \
    }
#define LANES_64 6
#define LANES_256 8

static const pm_case cases_draw_tokens[] = {
    CASE("plain, bytes", 40, 257, 2, 0, 0, 0, 10, PM_CONFIDENCE_DRAWN),
    CASE("one token", 3, 1, 1, 5, 50, 10, 10, PM_CONFIDENCE_MARGIN),
    CASE("greedy, entropy", 33, 31, 3, 0, 0, 0, 0, PM_CONFIDENCE_ENTROPY),
    CASE("top-k, margin", 70, 100, 3, 7, 0, 0, 8, PM_CONFIDENCE_MARGIN),
    CASE("top-p, highest", 35, 101, 4, 0, 90, 0, 10, PM_CONFIDENCE_MAX),
    CASE("min-p, entropy", 35, 99, 4, 0, 0, 5, 13, PM_CONFIDENCE_ENTROPY),
    CASE("all of it, penalty", 36, 300, 5, 40, 95, 1, 9, PM_CONFIDENCE_DRAWN, 13, 16 * 4),
    CASE("a random order", 36, 10, 5, 0, 0, 0, 10, PM_CONFIDENCE_RANDOM, 0, 16 * 9),
    CASE("far apart", 20, 300, 90, 0, 99, 0, 10, PM_CONFIDENCE_ENTROPY),
    CASE("64 lanes a row", 5, 257, 2, 0, 0, 0, 10, PM_CONFIDENCE_ENTROPY, 0, LANES_64),
    CASE("64 lanes, greedy", 5, 50, 2, 0, 0, 0, 0, PM_CONFIDENCE_MARGIN, 0, LANES_64),
    CASE("256 lanes, all of it", 6, 1000, 5, 50, 90, 1, 9, PM_CONFIDENCE_MARGIN, 15, 16 * 3 + LANES_256),
    CASE("many tokens", 2, 5000, 4, 0, 90, 0, 10, PM_CONFIDENCE_DRAWN),
    CASE("more tokens", 2, 50257, 4, 0, 0, 0, 10, PM_CONFIDENCE_ENTROPY),
    CASE("more tokens, all of it", 1, 33000, 6, 500, 80, 1, 7, PM_CONFIDENCE_ENTROPY, 12),
    {.name = "256 of 50257, top-p",
     .build = case_draw_tokens,
     .p = {256, 50257, 4, 0, 90, 0, 10, PM_CONFIDENCE_DRAWN},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_draw_tokens = {
    .name = "draw_tokens",
    .shape = shape_draw_tokens,
    .lower = lower_draw_tokens,
    .reference = reference_draw_tokens,
    PM_CASES(cases_draw_tokens),
};
