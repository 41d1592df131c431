/* Batches of text: windows of a corpus that lies on the device. And a row of tokens as one number. */
#include "base/checked.h"
#include "base/philox.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/random.h"
#include "ops/slab.h"
#include "ops/table.h"

/* ---- Windows ------------------------------------------------------------------------------------------- */

typedef struct windows_attr {
    uint32_t stream, batch, length;
} windows_attr;

enum { WINDOWS_CORPUS, WINDOWS_COUNTER };

static void shape_batch_tokens(pm_graph *graph, pm_node *node)
{
    const windows_attr *attr = PM_ATTR(windows_attr, node);
    char text[64];
    if (!pm_check_operand(graph, node, WINDOWS_CORPUS, PM_DTYPE_U32) ||
        !pm_check_counter(graph, node, WINDOWS_COUNTER)) {
        return;
    }
    pm_shape corpus = pm_shape_of(graph, node->in[WINDOWS_CORPUS]);
    if (corpus.rank != 1 || attr->length == 0 || attr->length > corpus.dim[0]) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "batch_tokens: the corpus must be [N] and hold a window of %u tokens; it is %s",
                      attr->length, pm_shape_text(corpus, text));
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_U32, PM_SHAPE(attr->batch, attr->length));
}

/* The tokens that a part of the corpus has. */
static void fetch_tokens(pm_lowering *lowering, const pm_node *node, pm_tensor start, const pm_window *corpus)
{
    const windows_attr *attr = PM_ATTR(windows_attr, node);
    uint32_t lanes = lowering->rules->lanes, count = attr->batch * attr->length;
    pm_dispatch *d = pm_dispatch_begin(lowering, "batch_tokens", lanes);
    pm_spec_window(d, corpus);
    pm_push_u32(d, count);
    pm_push_divisor(d, attr->length);
    pm_push_window(d, corpus, 4);
    pm_bind_in(d, corpus->tensor, 1, 0);
    pm_bind_in(d, start, 1, 0);
    pm_bind_out(d, node->out[0], 4 * lanes);
    pm_groups(d, pm_ceil_div(count, lanes), 1, 1, 0, 0);
}

static void lower_batch_tokens(pm_lowering *lowering, const pm_node *node)
{
    const windows_attr *attr = PM_ATTR(windows_attr, node);
    uint32_t lanes = lowering->rules->lanes, batch = attr->batch;
    uint32_t starts = pm_count_of(lowering->graph, node->in[WINDOWS_CORPUS]) - attr->length + 1;
    pm_tensor start = pm_scratch(lowering, PM_DTYPE_U32, batch);

    pm_dispatch *d = pm_dispatch_begin(lowering, "random_index", lanes);
    pm_spec(d, false);
    pm_push_u32(d, batch);
    pm_push_u32(d, attr->stream);
    pm_push_u32(d, starts);
    pm_push_f32(d, 0.0f);
    pm_bind_in(d, node->in[WINDOWS_COUNTER], 1, 0);
    pm_bind_in(d, node->in[WINDOWS_COUNTER], 1, 0); /* labels, not read */
    pm_bind_out(d, start, 4 * lanes);
    pm_groups(d, pm_ceil_div(batch, lanes), 1, 1, 0, 0);

    for (pm_window corpus = pm_window_first(lowering, node->in[WINDOWS_CORPUS], 1); pm_window_is(&corpus);
         pm_window_next(&corpus)) {
        fetch_tokens(lowering, node, start, &corpus);
    }
}

static void reference_batch_tokens(const pm_reference *ref)
{
    const windows_attr *attr = PM_ATTR(windows_attr, ref->node);
    const pm_host *corpus = &ref->in[WINDOWS_CORPUS];
    for (uint32_t b = 0; b < attr->batch; b++) {
        uint32_t bits = pm_draw_element(ref->in[WINDOWS_COUNTER].u, attr->stream, b, 0);
        uint32_t start = pm_below(bits, corpus->count - attr->length + 1);
        for (uint32_t i = 0; i < attr->length; i++)
            ref->out[0].u[b * attr->length + i] = corpus->u[start + i];
    }
}

pm_tensor pm_batch_tokens(pm_graph *graph, pm_tensor corpus, pm_tensor counter, uint32_t stream,
                          uint32_t batch, uint32_t length)
{
    windows_attr attr = {stream, batch, length};
    return pm_emit(graph, &pm_op_batch_tokens, (pm_tensor[]){corpus, counter}, 2, &attr, sizeof attr, NULL);
}

/* p: tokens of the corpus, batch, length */
static pm_tensor case_batch_tokens(pm_graph *graph, const uint32_t *p)
{
    pm_tensor corpus = pm_case_indices(graph, "corpus", PM_SHAPE(p[0]), 257);
    return pm_batch_tokens(graph, corpus, pm_case_counter(graph), 5, p[1], p[2]);
}

static const pm_case cases_batch_tokens[] = {
    {.name = "windows", .build = case_batch_tokens, .p = {1000, 8, 32}, .no_gradient = true},
    {.name = "odd windows", .build = case_batch_tokens, .p = {301, 7, 13}, .no_gradient = true},
    {.name = "the whole corpus", .build = case_batch_tokens, .p = {19, 3, 19}, .no_gradient = true},
    {.name = "one token", .build = case_batch_tokens, .p = {5, 70, 1}, .no_gradient = true},
    {.name = "several workgroups", .build = case_batch_tokens, .p = {5000, 90, 101}, .no_gradient = true},
    {.name = "64x256 of 20000",
     .build = case_batch_tokens,
     .p = {20000, 64, 256},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_batch_tokens = {
    .name = "batch_tokens",
    .shape = shape_batch_tokens,
    .lower = lower_batch_tokens,
    .reference = reference_batch_tokens,
    PM_CASES(cases_batch_tokens),
};

/* ---- Digits -------------------------------------------------------------------------------------------- */

typedef struct digits_attr {
    uint32_t base;
} digits_attr;

static void shape_digits(pm_graph *graph, pm_node *node)
{
    uint32_t base = PM_ATTR(digits_attr, node)->base;
    char text[64];
    if (!pm_check_operand(graph, node, 0, PM_DTYPE_U32)) return;
    pm_shape tokens = pm_shape_of(graph, node->in[0]);
    if (tokens.rank != 2) {
        pm_graph_fail(graph, PM_BAD_USAGE, "digits: the tokens must be [B,L], not %s",
                      pm_shape_text(tokens, text));
        return;
    }
    uint64_t numbers = 1;
    for (uint32_t i = 0; i < tokens.dim[1] && base > 1 && numbers < 1u << 31; i++) numbers *= base;
    if (base == 0 || numbers >= 1u << 31) {
        pm_graph_fail(graph, PM_BAD_USAGE, "digits: %u digits to the base %u do not fit in 31 bits",
                      tokens.dim[1], base);
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_U32, PM_SHAPE(tokens.dim[0]));
}

static void lower_digits(pm_lowering *lowering, const pm_node *node)
{
    pm_shape tokens = pm_shape_of(lowering->graph, node->in[0]);
    uint32_t lanes = lowering->rules->lanes, stride = 4 * lanes;
    pm_dispatch *d = pm_dispatch_begin(lowering, "digits", lanes);
    pm_push_u32(d, tokens.dim[0]);
    pm_push_u32(d, tokens.dim[1]);
    pm_push_u32(d, PM_ATTR(digits_attr, node)->base);
    pm_bind_in(d, node->in[0], 1, stride * tokens.dim[1]);
    pm_bind_out(d, node->out[0], stride);
    pm_groups(d, pm_ceil_div(tokens.dim[0], lanes), 1, 1, 0, 0);
}

static void reference_digits(const pm_reference *ref)
{
    uint32_t length = ref->in[0].shape.dim[1], base = PM_ATTR(digits_attr, ref->node)->base;
    for (uint32_t b = 0; b < ref->out[0].count; b++) {
        uint32_t number = 0, weight = 1;
        for (uint32_t i = 0; i < length; i++, weight *= base) number += ref->in[0].u[b * length + i] * weight;
        ref->out[0].u[b] = number;
    }
}

pm_tensor pm_digits(pm_graph *graph, pm_tensor tokens, uint32_t base)
{
    digits_attr attr = {base};
    return pm_emit(graph, &pm_op_digits, &tokens, 1, &attr, sizeof attr, NULL);
}

/* p: rows, length, base, and below what tokens are drawn */
static pm_tensor case_digits(pm_graph *graph, const uint32_t *p)
{
    return pm_digits(graph, pm_case_indices(graph, "tokens", PM_SHAPE(p[0], p[1]), p[3]), p[2]);
}

static const pm_case cases_digits[] = {
    {.name = "three of four", .build = case_digits, .p = {100, 3, 4, 4}, .no_gradient = true},
    {.name = "one digit", .build = case_digits, .p = {5, 1, 1000, 1000}, .no_gradient = true},
    {.name = "thirty bits", .build = case_digits, .p = {67, 30, 2, 2}, .no_gradient = true},
    {.name = "tokens beyond the base",
     .build = case_digits,
     .p = {33, 10, 8, 4000000000u},
     .no_gradient = true},
    {.name = "65536 rows of 8",
     .build = case_digits,
     .p = {65536, 8, 4, 4},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_digits = {
    .name = "digits",
    .shape = shape_digits,
    .lower = lower_digits,
    .reference = reference_digits,
    PM_CASES(cases_digits),
};
