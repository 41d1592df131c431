/* The register tile that serves a shape, and products lowered to it; see tile.h. */
#include "ops/tile.h"

#include "ops/slab.h"

/* Few tiles, since a driver compiles each long unrolled kernel anew. In the order of preference where costs
 * are equal. */
typedef struct tile_size {
    uint32_t rows, columns;
} tile_size;

static const tile_size cpu_sizes[] = {{16, 4}, {16, 2}, {16, 1}, {4, 4}};
static const tile_size gpu_sizes[] = {{8, 2}, {8, 1}, {4, 1}};
static const uint32_t cpu_log2_lanes[] = {2, 1, 3, 0};
static const uint32_t gpu_log2_lanes[] = {3, 2, 4, 1, 0};

/* Time for an output of these sizes, in arbitrary units: what is computed, the part beyond the edges
 * included. For each vec4 of a tile and four terms of the sum, a CPU driver takes about 3 ns for the
 * arithmetic and 10 ns for each of the rows + 4 columns vectors that it fetches; GPUs are not so far from it
 * that another rule would be worth having. */
static double cost_of(const pm_tile *tile)
{
    double rows = tile->rows, columns = tile->columns;
    double vec4s =
        (double)tile->groups_y * tile->group_rows * tile->groups_x * columns * (1u << tile->log2_lanes);
    return vec4s * (3.0 + 10.0 * (rows + 4.0 * columns) / (rows * columns));
}

pm_tile pm_tile_for(const pm_rules *rules, uint32_t m, uint32_t n)
{
    const tile_size *sizes = rules->is_cpu ? cpu_sizes : gpu_sizes;
    const uint32_t *log2_lanes = rules->is_cpu ? cpu_log2_lanes : gpu_log2_lanes;
    uint32_t n_sizes =
        rules->is_cpu ? sizeof cpu_sizes / sizeof cpu_sizes[0] : sizeof gpu_sizes / sizeof gpu_sizes[0];
    uint32_t n_lanes = rules->is_cpu ? sizeof cpu_log2_lanes / sizeof cpu_log2_lanes[0]
                                     : sizeof gpu_log2_lanes / sizeof gpu_log2_lanes[0];
    pm_tile best = {0};
    for (uint32_t s = 0; s < n_sizes; s++) {
        for (uint32_t l = 0; l < n_lanes; l++) {
            if (rules->gemm_lanes >> log2_lanes[l] == 0) continue;
            pm_tile tile = {.rows = sizes[s].rows, .columns = sizes[s].columns, .log2_lanes = log2_lanes[l]};
            tile.group_rows = (rules->gemm_lanes >> tile.log2_lanes) * tile.rows;
            tile.groups_x = pm_ceil_div(pm_ceil_div(n, 4), tile.columns << tile.log2_lanes);
            tile.groups_y = pm_ceil_div(m, tile.group_rows);
            if (best.rows == 0 || cost_of(&tile) < cost_of(&best)) best = tile;
        }
    }
    return best;
}

void pm_spec_tile(pm_dispatch *dispatch, const pm_tile *tile, uint32_t n)
{
    pm_spec(dispatch, tile->rows);
    pm_spec(dispatch, tile->columns);
    pm_spec(dispatch, pm_is_quads(n));
}

pm_tensor pm_padded(pm_lowering *lowering, pm_tensor x, uint32_t count, uint32_t rows, uint32_t width,
                    uint32_t rows_out)
{
    if (pm_is_quads(width) && rows == rows_out) return x;
    uint32_t quads = pm_ceil_div(width, 4), all_rows = count * rows_out;
    uint64_t elements = (uint64_t)count * rows_out * quads * 4;
    pm_tensor padded =
        pm_scratch(lowering, PM_DTYPE_F32, elements <= UINT32_MAX ? (uint32_t)elements : UINT32_MAX);
    if (!pm_is(padded)) return PM_NONE; /* too large, and the graph says so */
    pm_slab slab = pm_slab_of(lowering, all_rows, quads, pm_slab_turns(lowering));
    pm_dispatch *d = pm_dispatch_begin(lowering, "matmul_pad", lowering->rules->lanes);
    pm_spec(d, rows != rows_out);
    pm_push_slab(d, &slab, all_rows * quads);
    pm_push_u32(d, slab.rows);
    pm_push_divisor(d, quads);
    pm_push_divisor(d, rows_out);
    pm_push_u32(d, rows);
    pm_push_u32(d, width);
    pm_bind_in(d, x, 1, rows == rows_out ? pm_slab_stride(&slab, width) : 0);
    pm_bind_out(d, padded, pm_slab_stride(&slab, quads * 4));
    pm_slab_groups(d, &slab);
    return padded;
}

uint32_t pm_stride_of(uint64_t elements)
{
    return elements <= UINT32_MAX / 4 ? (uint32_t)elements * 4 : 0;
}

void pm_lower_product(pm_lowering *lowering, pm_product p)
{
    enum { HAS_BIAS = 1, IS_BATCHED = 2 }; /* of shaders/matmul.comp */
    if (p.batch > 1 && p.a_batched && !p.b_batched && p.layout != PM_ATB) {
        p.m *= p.batch; /* one tall matrix */
        p.batch = 1;
    }
    bool batched = p.batch > 1, a_transposed = p.layout == PM_ATB, b_transposed = p.layout == PM_ABT;
    uint32_t n4 = pm_round4(p.n), k4 = pm_round4(p.k), a_count = batched && p.a_batched ? p.batch : 1;
    uint32_t b_count = batched && p.b_batched ? p.batch : 1;
    pm_tensor a = a_transposed ? pm_padded(lowering, p.a, a_count, p.k, p.m, k4)
                               : pm_padded(lowering, p.a, a_count, p.m, p.k, p.m);
    pm_tensor b = b_transposed ? pm_padded(lowering, p.b, b_count, p.n, p.k, p.n)
                               : pm_padded(lowering, p.b, b_count, p.k, p.n, k4);
    pm_tensor residual =
        pm_is(p.residual) ? pm_padded(lowering, p.residual, p.batch, p.m, p.n, p.m) : PM_NONE;
    /* Elements of one matrix of the batch. */
    uint32_t a_size = a_transposed ? k4 * pm_round4(p.m) : p.m * k4,
             b_size = b_transposed ? p.n * k4 : k4 * n4;
    uint32_t d_size = p.m * n4;

    pm_tile tile = pm_tile_for(lowering->rules, p.m, p.n);
    uint32_t a_slice = batched ? (p.a_batched ? a_size : 0) : a_transposed ? 0 : tile.group_rows * k4;
    uint32_t b_slice = batched && p.b_batched ? b_size : 0;
    uint64_t rows = batched ? p.m : tile.group_rows;

    pm_dispatch *d = pm_dispatch_begin(lowering, "matmul", lowering->rules->gemm_lanes);
    pm_spec_tile(d, &tile, p.n);
    pm_spec(d, p.layout);
    pm_spec(d, pm_is(residual));
    pm_push_u32(d, p.m);
    pm_push_u32(d, p.n);
    pm_push_u32(d, k4);
    pm_push_u32(d, batched && p.a_batched ? a_size / 4 : 0);
    pm_push_u32(d, batched && p.b_batched ? b_size / 4 : 0);
    pm_push_u32(d, batched ? d_size / 4 : 0);
    pm_push_u32(d, tile.log2_lanes);
    pm_push_u32(d, (pm_is(p.bias) ? HAS_BIAS : 0u) | (batched ? IS_BATCHED : 0u));
    pm_bind_in(d, a, 4, pm_stride_of(a_slice));
    pm_bind_in(d, b, 4, pm_stride_of(b_slice));
    pm_bind_in(d, pm_is(p.bias) ? p.bias : b, 4, pm_is(p.bias) ? 0 : pm_stride_of(b_slice));
    pm_bind_in(d, pm_is(residual) ? residual : a, 4, pm_stride_of(pm_is(residual) ? rows * n4 : a_slice));
    pm_bind_out(d, p.c, pm_stride_of(rows * p.n));
    pm_groups(d, tile.groups_x, tile.groups_y, p.batch, batched ? 2 : 1, 2.0 * p.m * p.n * p.k * p.batch);
}
