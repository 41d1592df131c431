/* See row_product.h. */
#include "ops/row_product.h"

#include "ops/flat.h"

/* vec4s of columns that an invocation has. On a CPU one workgroup reads rows of B as a whole, up to 4 KiB:
 * strips of them touch a page of memory for each row, and took three times as long (5.2 ms with 512 bytes,
 * 1.7 ms with 4 KiB for all products of a network of 6.5 million weights). A GPU has more lanes than columns.
 */
static uint32_t columns_for(const pm_rules *rules, uint32_t quads)
{
    uint32_t columns = rules->is_cpu ? 32 : 1;
    while (columns > 1 && quads < columns * rules->gemm_lanes) columns /= 2;
    return columns;
}

static bool is_row_product(const pm_rules *rules, const pm_product *p, uint32_t terms)
{
    bool one_row = p->m == 1 && p->batch == 1 && p->layout != PM_ATB && !p->goes_on;
    return pm_on(rules, PM_ROW_PRODUCTS) && one_row && terms / 4 <= rules->most_rounds;
}

/* What several tensors of one root lie in, from the first of them on; and where each begins in it, in vec4s.
 */
static pm_tensor span_of(pm_lowering *lowering, const pm_tensor *tensors, uint32_t count,
                         uint32_t first[PM_ROW_MATRICES])
{
    uint64_t begin = UINT64_MAX, end = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = pm_info(lowering->graph, tensors[i])->offset;
        uint64_t last = offset + pm_bytes_of(lowering->graph, tensors[i]);
        if (offset < begin) begin = offset;
        if (last > end) end = last;
    }
    for (uint32_t i = 0; i < count; i++)
        first[i] = (uint32_t)((pm_info(lowering->graph, tensors[i])->offset - begin) / 16);
    if (count == 1) return tensors[0];
    pm_tensor root = {pm_info(lowering->graph, tensors[0])->base};
    return pm_view(lowering->graph, root, begin, PM_SHAPE((uint32_t)((end - begin) / 4)));
}

static void push_three(pm_dispatch *d, const uint32_t *values, uint32_t count)
{
    for (uint32_t i = 0; i < PM_ROW_MATRICES; i++) pm_push_u32(d, i < count ? values[i] : 0);
}

static bool lower(pm_lowering *lowering, const pm_product *p, uint32_t count, uint32_t terms)
{
    const pm_rules *rules = lowering->rules;
    bool has_bias = pm_is(p->bias), has_residual = pm_is(p->residual);
    pm_tensor b[PM_ROW_MATRICES], bias[PM_ROW_MATRICES];
    uint32_t n[PM_ROW_MATRICES], first_group[PM_ROW_MATRICES], groups = 0, quads = 0, columns_of_all = 0;
    uint32_t b_first[PM_ROW_MATRICES] = {0}, bias_first[PM_ROW_MATRICES] = {0};
    for (uint32_t i = 0; i < count; i++) {
        b[i] = p[i].b;
        bias[i] = p[i].bias;
        n[i] = p[i].n;
        columns_of_all += n[i];
        if (pm_quads(n[i]) > quads) quads = pm_quads(n[i]);
    }
    uint32_t columns = columns_for(rules, quads);
    for (uint32_t i = 0; i < count; i++) {
        first_group[i] = groups;
        groups += pm_ceil_div(pm_quads(n[i]), columns * rules->gemm_lanes);
    }
    pm_tensor matrices = span_of(lowering, b, count, b_first);
    pm_tensor biases = has_bias ? span_of(lowering, bias, count, bias_first) : p->a;
    pm_dispatch *d = pm_dispatch_begin(lowering, "row_product", rules->gemm_lanes);
    pm_spec(d, columns);
    pm_spec(d, p->layout == PM_ABT);
    pm_spec(d, has_bias);
    pm_spec_epilogue(d, has_residual, pm_is(p->gate), p->activation);
    pm_spec(d, count);
    pm_push_u32(d, terms);
    push_three(d, first_group, count);
    push_three(d, n, count);
    push_three(d, b_first, count);
    push_three(d, bias_first, count);
    pm_push_u32(d, p->gate_rows.first / 4);
    pm_bind_in(d, p->a, 4, 0);
    pm_bind_in(d, matrices, 4, 0);
    pm_bind_in(d, biases, 4, 0);
    pm_bind_in(d, has_residual ? p->residual : p->a, 4, 0);
    pm_bind_update(d, p->c, 0);
    for (uint32_t i = 1; i < PM_ROW_MATRICES; i++) pm_bind_out(d, i < count ? p[i].c : p->c, 0);
    pm_bind_in(d, pm_is(p->gate) ? p->gate : p->a, 4, 0);
    pm_groups(d, groups, 1, 1, 0, 2.0 * columns_of_all * terms);
    return pm_dispatch_stays(lowering);
}

bool pm_lower_row_product(pm_lowering *lowering, const pm_product *p, uint32_t terms)
{
    return is_row_product(lowering->rules, p, terms) && lower(lowering, p, 1, terms);
}

/* Whether nothing but a bias is added. */
static bool is_plain(const pm_product *p)
{
    return !pm_is(p->residual) && !pm_is(p->gate) && p->activation == 0;
}

static bool same_root(const pm_graph *graph, pm_tensor a, pm_tensor b)
{
    if (pm_is(a) != pm_is(b)) return false;
    return !pm_is(a) || pm_info(graph, a)->base == pm_info(graph, b)->base;
}

bool pm_row_products_join(const pm_lowering *lowering, const pm_product *first, const pm_product *other)
{
    const pm_graph *graph = lowering->graph;
    const pm_rules *rules = lowering->rules;
    bool alike = first->layout == other->layout && first->k == other->k &&
                 pm_same_place(graph, first->a, other->a) && same_root(graph, first->b, other->b) &&
                 same_root(graph, first->bias, other->bias);
    bool whole = first->k % 4 == 0 && first->n % 4 == 0 && other->n % 4 == 0;
    bool plain =
        is_plain(first) && is_plain(other) && (!pm_is(first->bias) || pm_on(rules, PM_BIAS_EPILOGUE));
    return pm_on(rules, PM_JOINED_PRODUCTS) && alike && whole && plain &&
           is_row_product(rules, first, first->k) && is_row_product(rules, other, other->k);
}

bool pm_lower_row_products(pm_lowering *lowering, const pm_product *products, uint32_t count)
{
    return lower(lowering, products, count, products->k);
}
