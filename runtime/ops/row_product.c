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

bool pm_lower_row_product(pm_lowering *lowering, const pm_product *p, uint32_t terms)
{
    const pm_rules *rules = lowering->rules;
    bool one_row = p->m == 1 && p->batch == 1 && p->layout != PM_ATB && !p->goes_on;
    bool transposed = p->layout == PM_ABT;
    if (!pm_on(rules, PM_ROW_PRODUCTS) || !one_row || terms / 4 > rules->most_rounds) return false;
    uint32_t quads = pm_quads(p->n), columns = columns_for(rules, quads);
    uint32_t covered = 4 * columns * rules->gemm_lanes; /* elements of a workgroup */
    uint32_t stride = pm_stride_of(covered);
    pm_dispatch *d = pm_dispatch_begin(lowering, "row_product", rules->gemm_lanes);
    pm_spec(d, columns);
    pm_spec(d, transposed);
    pm_spec(d, pm_is(p->bias));
    pm_spec(d, pm_is(p->residual));
    pm_push_u32(d, p->n);
    pm_push_u32(d, terms);
    pm_bind_in(d, p->a, 4, 0);
    pm_bind_in(d, p->b, 4, transposed ? pm_stride_of((uint64_t)covered * terms) : 0);
    pm_bind_in(d, pm_is(p->bias) ? p->bias : p->a, 4, pm_is(p->bias) ? stride : 0);
    pm_bind_in(d, pm_is(p->residual) ? p->residual : p->a, 4, pm_is(p->residual) ? stride : 0);
    pm_bind_update(d, p->c, stride);
    pm_groups(d, pm_ceil_div(quads, columns * rules->gemm_lanes), 1, 1, 0, 2.0 * p->n * terms);
    return pm_dispatch_stays(lowering);
}
