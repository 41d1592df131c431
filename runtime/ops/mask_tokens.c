/* Masks tokens: the forward process of masked diffusion, each token by itself or exactly so many a row. */
#include "base/checked.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/random.h"
#include "ops/slab.h"
#include "ops/table.h"

#define NOT_MASKED 0xffffffffu

typedef struct mask_attr {
    uint32_t mask_token, stream;
} mask_attr;

enum { MASK_TOKENS, MASK_RATE, MASK_FIXED, MASK_COUNTER, MASK_INPUTS };

static bool is_exact(const pm_graph *graph, const pm_node *node)
{
    return pm_dtype_of(graph, node->in[MASK_RATE]) == PM_DTYPE_U32;
}

static void shape_mask_tokens(pm_graph *graph, pm_node *node)
{
    char a[64], b[64];
    pm_tensor fixed = node->in[MASK_FIXED];
    if (!pm_check_operand(graph, node, MASK_TOKENS, PM_DTYPE_U32) ||
        !pm_check_words(graph, node, MASK_RATE) ||
        (pm_is(fixed) && !pm_check_operand(graph, node, MASK_FIXED, PM_DTYPE_U32)) ||
        !pm_check_counter(graph, node, MASK_COUNTER)) {
        return;
    }
    pm_shape tokens = pm_shape_of(graph, node->in[MASK_TOKENS]),
             rate = pm_shape_of(graph, node->in[MASK_RATE]);
    if (tokens.rank != 2 || rate.rank != 1 || rate.dim[0] != tokens.dim[0]) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "mask_tokens: tokens must be [B,L], not %s, and rates or counts [B], not %s",
                      pm_shape_text(tokens, a), pm_shape_text(rate, b));
        return;
    }
    if (pm_is(fixed) && !pm_shape_equal(pm_shape_of(graph, fixed), tokens)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "mask_tokens: fixed is %s, and the tokens are %s",
                      pm_shape_text(pm_shape_of(graph, fixed), a), pm_shape_text(tokens, b));
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_U32, tokens);
    pm_node_output(graph, node, PM_DTYPE_U32, tokens);
}

/* PM_PUSH_MASK but for the stream. */
static void push_blocks(pm_dispatch *d, const pm_slab *slab, pm_shape tokens)
{
    uint32_t blocks = pm_ceil_div(tokens.dim[1], 4);
    pm_push_slab(d, slab, tokens.dim[0] * blocks);
    pm_push_divisor(d, blocks);
    pm_push_u32(d, tokens.dim[1]);
}

/* Rates or counts, one number a row, are bound whole if they can be: cut, they would ask for pieces of many
 * rows, to begin where a device can bind. */
static bool cuts_amounts(const pm_lowering *lowering, const pm_node *node)
{
    return !pm_fits_whole(lowering, node->in[MASK_RATE], 1);
}

static void bind_amounts(const pm_lowering *lowering, pm_dispatch *d, const pm_node *node,
                         const pm_slab *slab)
{
    pm_bind_in(d, node->in[MASK_RATE], 1, cuts_amounts(lowering, node) ? pm_slab_stride(slab, 1) : 0);
}

static void lower_bernoulli(pm_lowering *lowering, const pm_node *node)
{
    const mask_attr *attr = PM_ATTR(mask_attr, node);
    pm_shape tokens = pm_shape_of(lowering->graph, node->in[MASK_TOKENS]);
    pm_slab slab = pm_slab_of(lowering, tokens.dim[0], pm_ceil_div(tokens.dim[1], 4), 1);
    uint32_t stride = pm_slab_stride(&slab, tokens.dim[1]);
    bool has_fixed = pm_is(node->in[MASK_FIXED]);

    pm_dispatch *d = pm_dispatch_begin(lowering, "mask_tokens", lowering->rules->lanes);
    pm_spec(d, has_fixed);
    pm_spec(d, cuts_amounts(lowering, node));
    push_blocks(d, &slab, tokens);
    pm_push_u32(d, attr->stream);
    pm_push_u32(d, attr->mask_token);
    pm_bind_in(d, node->in[MASK_COUNTER], 1, 0);
    pm_bind_in(d, node->in[MASK_TOKENS], 1, stride);
    bind_amounts(lowering, d, node, &slab);
    pm_bind_in(d, node->in[has_fixed ? MASK_FIXED : MASK_TOKENS], 1, stride);
    pm_bind_out(d, node->out[0], stride);
    pm_bind_out(d, node->out[1], stride);
    pm_slab_groups(d, &slab);
}

static void lower_exact(pm_lowering *lowering, const pm_node *node)
{
    const mask_attr *attr = PM_ATTR(mask_attr, node);
    pm_shape tokens = pm_shape_of(lowering->graph, node->in[MASK_TOKENS]);
    uint32_t count = tokens.dim[0] * tokens.dim[1], lanes = lowering->rules->lanes;
    pm_slab slab = pm_slab_of(lowering, tokens.dim[0], pm_ceil_div(tokens.dim[1], 4), 1);
    uint32_t stride = pm_slab_stride(&slab, tokens.dim[1]);
    bool has_fixed = pm_is(node->in[MASK_FIXED]);
    pm_tensor keys = pm_scratch(lowering, PM_DTYPE_U32, count);

    pm_dispatch *d = pm_dispatch_begin(lowering, "mask_keys", lanes);
    pm_spec(d, has_fixed);
    push_blocks(d, &slab, tokens);
    pm_push_u32(d, attr->stream);
    pm_bind_in(d, node->in[MASK_COUNTER], 1, 0);
    pm_bind_in(d, node->in[has_fixed ? MASK_FIXED : MASK_TOKENS], 1, stride);
    pm_bind_out(d, keys, stride);
    pm_slab_groups(d, &slab);

    d = pm_dispatch_begin(lowering, "mask_ranks", lanes);
    pm_spec(d, cuts_amounts(lowering, node));
    push_blocks(d, &slab, tokens);
    pm_push_u32(d, attr->mask_token);
    pm_bind_in(d, keys, 1, stride);
    pm_bind_in(d, node->in[MASK_TOKENS], 1, stride);
    bind_amounts(lowering, d, node, &slab);
    pm_bind_out(d, node->out[0], stride);
    pm_bind_out(d, node->out[1], stride);
    pm_groups(d, slab.groups_x, slab.groups_y, 1, 1, (double)count * tokens.dim[1]);
}

static void lower_mask_tokens(pm_lowering *lowering, const pm_node *node)
{
    if (is_exact(lowering->graph, node)) {
        lower_exact(lowering, node);
    } else {
        lower_bernoulli(lowering, node);
    }
}

/* Whether a token with these random bits is masked at this rate: in float, as the device compares. */
static bool is_masked(float rate, uint32_t bits)
{
    if (!(rate > 0.0f)) return false;
    return rate >= 1.0f || bits < (uint32_t)(rate * 0x1p32f);
}

/* How many of a row's tokens that may be masked come before token i. */
static uint32_t rank_of(const pm_reference *ref, uint32_t row, uint32_t i)
{
    uint32_t length = ref->in[MASK_TOKENS].shape.dim[1], stream = PM_ATTR(mask_attr, ref->node)->stream;
    const uint32_t *counter = ref->in[MASK_COUNTER].u;
    const uint32_t *fixed = ref->in[MASK_FIXED].count ? ref->in[MASK_FIXED].u + row * length : NULL;
    uint32_t own = pm_draw_element(counter, stream, row, i), rank = 0;
    for (uint32_t j = 0; j < length; j++) {
        if (fixed && fixed[j] != 0) continue;
        uint32_t key = pm_draw_element(counter, stream, row, j);
        rank += key < own || (key == own && j < i);
    }
    return rank;
}

static void reference_mask_tokens(const pm_reference *ref)
{
    const mask_attr *attr = PM_ATTR(mask_attr, ref->node);
    const pm_host *tokens = &ref->in[MASK_TOKENS], *rate = &ref->in[MASK_RATE];
    uint32_t length = tokens->shape.dim[1];
    bool exact = is_exact(ref->graph, ref->node);
    for (uint32_t i = 0; i < tokens->count; i++) {
        uint32_t row = i / length, place = i % length;
        bool mask = !(ref->in[MASK_FIXED].count && ref->in[MASK_FIXED].u[i] != 0);
        if (mask && exact) mask = rank_of(ref, row, place) < rate->u[row];
        if (mask && !exact)
            mask = is_masked((float)rate->f[row],
                             pm_draw_element(ref->in[MASK_COUNTER].u, attr->stream, row, place));
        ref->out[0].u[i] = mask ? attr->mask_token : tokens->u[i];
        ref->out[1].u[i] = mask ? tokens->u[i] : NOT_MASKED;
    }
}

pm_tensor pm_mask_tokens(pm_graph *graph, pm_tensor tokens, pm_tensor rate, uint32_t mask_token,
                         pm_tensor fixed, pm_tensor counter, uint32_t stream, pm_tensor *labels)
{
    mask_attr attr = {mask_token, stream};
    pm_tensor in[MASK_INPUTS] = {tokens, rate, fixed, counter}, out[PM_MAX_OUTPUTS] = {PM_NONE};
    (void)pm_emit(graph, &pm_op_mask_tokens, in, MASK_INPUTS, &attr, sizeof attr, out);
    if (labels) *labels = out[1];
    return out[0];
}

/* p: rows, length, exact, fixed. Rates reach below 0 and above 1, counts above the length. */
static pm_tensor case_mask_tokens(pm_graph *graph, const uint32_t *p)
{
    pm_shape shape = PM_SHAPE(p[0], p[1]);
    pm_tensor tokens = pm_case_indices(graph, "tokens", shape, 100);
    pm_tensor rate = p[2] ? pm_case_indices(graph, "counts", PM_SHAPE(p[0]), p[1] + 3)
                          : pm_case_leaf(graph, "rate", PM_SHAPE(p[0]), 1.3f);
    pm_tensor fixed = p[3] ? pm_case_indices(graph, "fixed", shape, 3) : PM_NONE;
    return pm_mask_tokens(graph, tokens, rate, 100, fixed, pm_case_counter(graph), 9, NULL);
}

static const pm_case cases_mask_tokens[] = {
    {.name = "rates", .build = case_mask_tokens, .p = {20, 32, 0, 0}, .no_gradient = true},
    {.name = "rates, odd, fixed", .build = case_mask_tokens, .p = {19, 13, 0, 1}, .no_gradient = true},
    {.name = "rates, one token", .build = case_mask_tokens, .p = {70, 1, 0, 0}, .no_gradient = true},
    {.name = "rates, several workgroups",
     .build = case_mask_tokens,
     .p = {300, 70, 0, 1},
     .no_gradient = true},
    {.name = "counts", .build = case_mask_tokens, .p = {20, 32, 1, 0}, .no_gradient = true},
    {.name = "counts, odd, fixed", .build = case_mask_tokens, .p = {17, 13, 1, 1}, .no_gradient = true},
    {.name = "counts, one token", .build = case_mask_tokens, .p = {9, 1, 1, 0}, .no_gradient = true},
    {.name = "counts, long rows", .build = case_mask_tokens, .p = {3, 601, 1, 1}, .no_gradient = true},
    {.name = "counts, several workgroups",
     .build = case_mask_tokens,
     .p = {200, 30, 1, 0},
     .no_gradient = true},
    {.name = "rates, 64x256",
     .build = case_mask_tokens,
     .p = {64, 256, 0, 0},
     .no_gradient = true,
     .bench = true},
    {.name = "counts, 64x256",
     .build = case_mask_tokens,
     .p = {64, 256, 1, 0},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_mask_tokens = {
    .name = "mask_tokens",
    .shape = shape_mask_tokens,
    .lower = lower_mask_tokens,
    .reference = reference_mask_tokens,
    PM_CASES(cases_mask_tokens),
};
