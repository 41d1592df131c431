/* Which tile serves a shape: on CPU drivers and where outputs are small a register tile, else on GPUs one
 * through shared memory, in precision fast one for matrix units. See tile.h. */
#include "device/tuning.h"
#include "ops/slab.h"
#include "ops/tile.h"

/* Lanes of a workgroup (0: pm_rules.gemm_lanes), and how many of them lie side by side. */
typedef struct lane_shape {
    uint32_t lanes, log2_wide;
} lane_shape;

/* How lanes bring what they multiply. */
typedef enum bringing { ALONE, SHOWN, SHARED } bringing;

typedef struct choices {
    const pm_tile_size *sizes;
    const lane_shape *shapes;
    uint32_t n_sizes, n_shapes;
} choices;

/* Few tiles, since a driver compiles each long unrolled kernel anew. In the order of preference where costs
 * are equal. */
static const pm_tile_size cpu_sizes[] = {{16, 4}, {16, 2}, {16, 1}, {4, 4}};
static const pm_tile_size gpu_sizes[] = {{8, 2}, {8, 1}, {4, 1}};
static const pm_tile_size shared_sizes[] = {{8, 2}, {4, 2}, {8, 1}, {4, 1}};
static const pm_tile_size small_shared_sizes[] = {{4, 1}}; /* where registers are few; see rules.c */
/* Of lanes that fetch for each other: side by side, one below the other. */
static const pm_tile_size shown_sizes[] = {{64, 1}, {32, 2}, {32, 1}, {16, 1}, {8, 8}, {4, 8}};
static const lane_shape cpu_shapes[] = {{0, 2}, {0, 3}, {0, 1}, {0, 4}, {0, 0}};
static const lane_shape shown_shapes[] = {{0, 3}, {0, 4}, {0, 0}};
static const lane_shape gpu_shapes[] = {{0, 3}, {0, 2}, {0, 4}, {0, 1}, {0, 0}};
static const lane_shape shared_shapes[] = {{256, 4}, {128, 4}, {128, 3}, {64, 3}, {64, 2}, {64, 4}};

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof(array)[0]))

/* Terms that a shared-memory tile brings at a time. */
#define BLOCK_TERMS 16u

/* So many outputs, each of m rows of n elements. */
typedef struct sizes {
    uint32_t count, m, n;
} sizes;

/* Vectors that an invocation fetches for four terms: of A one for each row, of B four for each column; or its
 * share of those that all lanes of a workgroup need. Lanes one below the other fetch A from as many rows in
 * memory, which takes longer. */
static double fetches_of(const pm_tile *tile)
{
    double a = tile->rows, b = 4.0 * tile->columns;
    if (!tile->shows) return a + b;
    return tile->log2_lanes ? a / tile->lanes + b : 1.1 * a + b / tile->lanes;
}

/* Time for an output of these sizes, in arbitrary units: what is computed, the part beyond the edges
 * included. For each vec4 of a tile and four terms of the sum, a CPU driver takes about 3 ns for the
 * arithmetic and 10 ns for each vector that it fetches. Of a GPU nothing has been measured: a fetch from
 * shared memory counts as a quarter of one from a cache, and each element that a block brings as 16
 * operations. */
static double cost_of(const pm_rules *rules, const pm_tile *tile, const sizes *output)
{
    double rows = tile->rows, columns = tile->columns, fetches = fetches_of(tile) / (rows * columns);
    double groups = (double)tile->groups_y * tile->groups_x;
    double block_rows = tile->group_rows, block_columns = 4.0 * columns * (1u << tile->log2_lanes);
    double vec4s = groups * block_rows * block_columns / 4.0;
    double busy = output->count * (output->m / rows) * (pm_ceil_div(output->n, 4) / columns) / PM_BUSY_LANES;
    if (rules->is_cpu) return vec4s * (3.0 + 10.0 * fetches);
    double brought = 16.0 / block_rows + 16.0 / block_columns, each = 1.0 + fetches;
    if (tile->shared_bytes) each = 1.0 + fetches / 4.0 + brought;
    if (tile->part_rows)
        each = 0.25 + brought; /* matrix units take a quarter of the time, and fetch for themselves */
    return vec4s * each / (busy < 1.0 ? busy : 1.0);
}

static pm_tile tile_of(pm_tile_size size, lane_shape shape, uint32_t m, uint32_t n)
{
    pm_tile tile = {
        .rows = size.rows, .columns = size.columns, .log2_lanes = shape.log2_wide, .lanes = shape.lanes};
    tile.group_rows = (shape.lanes >> shape.log2_wide) * tile.rows;
    tile.groups_x = pm_ceil_div(pm_ceil_div(n, 4), tile.columns << shape.log2_wide);
    tile.groups_y = pm_ceil_div(m, tile.group_rows);
    return tile;
}

/* What the blocks of tile_shared.glsl take. */
static uint32_t shared_bytes_of(const pm_tile *tile)
{
    uint32_t a = tile->group_rows * (BLOCK_TERMS / 4 + 1);
    uint32_t b = BLOCK_TERMS * ((tile->columns << tile->log2_lanes) + 1);
    return 16 * (a + b);
}

/* Whether the lanes can fetch for each other: they lie side by side, and share a tile's rows out evenly, or
 * one below the other, and share its columns out. */
static bool can_show(const pm_tile *tile)
{
    if (tile->log2_lanes == 0) return 4 * tile->columns % tile->lanes == 0;
    return tile->lanes >> tile->log2_lanes == 1 && tile->rows % tile->lanes == 0;
}

#define CHOICES(sizes, shapes)                     \
    (choices)                                      \
    {                                              \
        sizes, shapes, COUNT(sizes), COUNT(shapes) \
    }

static choices choices_of(const pm_rules *rules, bringing how)
{
    if (how == SHOWN) return CHOICES(shown_sizes, shown_shapes);
    if (rules->is_cpu) return CHOICES(cpu_sizes, cpu_shapes);
    if (how == ALONE) return CHOICES(gpu_sizes, gpu_shapes);
    if (rules->tile_vec4s < 16) return CHOICES(small_shared_sizes, shared_shapes);
    return CHOICES(shared_sizes, shared_shapes);
}

/* The best of the register tiles of lanes that fetch alone, or for each other, or of those through shared
 * memory, if there is one; from *best on. */
static void find_tile(const pm_rules *rules, bringing how, const sizes *output, pm_tile *best)
{
    choices c = choices_of(rules, how);
    pm_tile_size pinned = {rules->tile[0], rules->tile[1]};
    if (pinned.rows) {
        c.sizes = &pinned;
        c.n_sizes = 1;
    }
    for (uint32_t s = 0; s < c.n_sizes; s++) {
        if (!pinned.rows && c.sizes[s].rows * c.sizes[s].columns > rules->tile_vec4s) continue;
        for (uint32_t l = 0; l < c.n_shapes; l++) {
            lane_shape shape = c.shapes[l];
            if (shape.lanes == 0) shape.lanes = rules->gemm_lanes;
            if (shape.lanes >> shape.log2_wide == 0) continue;
            pm_tile tile = tile_of(c.sizes[s], shape, output->m, output->n);
            tile.shows = how == SHOWN;
            if (tile.shows && !can_show(&tile)) continue;
            if (how == SHARED) tile.shared_bytes = shared_bytes_of(&tile);
            if (how == SHARED && (tile.lanes > rules->shared_lanes ||
                                  tile.shared_bytes > rules->shared_bytes || tile.group_rows > 128))
                continue;
            if (best->rows == 0 || cost_of(rules, &tile, output) < cost_of(rules, best, output)) *best = tile;
        }
    }
}

pm_tile pm_register_tile_for(const pm_rules *rules, uint32_t count, uint32_t m, uint32_t n)
{
    pm_tile best = {0};
    if (pm_on(rules, PM_SHARED_FETCHES)) find_tile(rules, SHOWN, &(sizes){count, m, n}, &best);
    if (best.rows && rules->tile[0]) return best; /* a tile that is pinned is of one kind */
    find_tile(rules, ALONE, &(sizes){count, m, n}, &best);
    return best;
}

pm_tile pm_tile_for(const pm_rules *rules, uint32_t count, uint32_t m, uint32_t n)
{
    pm_tile best = pm_matrix_tile_for(rules, count, m, n);
    if (best.rows) return best;
    bool pinned = rules->tile[0] != 0; /* then every tile goes through shared memory, if any may */
    bool shared = pm_on(rules, PM_SHARED_TILES);
    if (!pinned || !shared) best = pm_register_tile_for(rules, count, m, n);
    if (shared) find_tile(rules, SHARED, &(sizes){count, m, n}, &best);
    return best.rows ? best : pm_register_tile_for(rules, count, m, n);
}

pm_tile pm_flattest_tile(const pm_rules *rules, uint32_t m, uint32_t n)
{
    lane_shape flat = {rules->gemm_lanes, pm_log2_of(rules->gemm_lanes)};
    return tile_of((pm_tile_size){4, 1}, flat, m, n);
}

/* Terms that a tile for matrix units brings at a time: of 32, what an invocation brings spills on Intel. */
static uint32_t matrix_terms(const pm_rules *rules)
{
    return rules->tile_vec4s < 16 && rules->matrix[2] <= 16 ? 16 : 32;
}

/* What the blocks of tile_matrix.glsl take: operands of 16 bits, and a fragment of sums of each subgroup. */
static uint32_t matrix_bytes_of(const pm_rules *rules, const pm_tile *tile)
{
    uint32_t terms = matrix_terms(rules);
    uint32_t a = tile->group_rows * (terms / 4 + 2);
    uint32_t b = terms * ((tile->columns << tile->log2_lanes) + 2);
    return 8 * (a + b) + 4 * tile->lanes / rules->matrix_subgroup * rules->matrix[0] * rules->matrix[1];
}

/* Shares the fragments of a block out among the subgroups, in parts that are as square as can be; false where
 * that cannot be. */
static bool share_out(const pm_rules *rules, pm_tile *tile)
{
    uint32_t subgroups = tile->lanes / rules->matrix_subgroup, least = UINT32_MAX;
    uint32_t rows = tile->group_rows / rules->matrix[0];
    uint32_t columns = (4 * tile->columns << tile->log2_lanes) / rules->matrix[1];
    for (uint32_t high = 1; high <= subgroups; high++) {
        uint32_t wide = subgroups / high;
        if (high * wide != subgroups || rows % high || columns % wide) continue;
        if (rows / high + columns / wide >= least) continue;
        tile->part_rows = rows / high;
        tile->part_columns = columns / wide;
        least = tile->part_rows + tile->part_columns;
    }
    return least != UINT32_MAX;
}

/* Sums that an invocation has in registers. */
static uint32_t sums_of_lane(const pm_rules *rules, const pm_tile *tile)
{
    uint32_t fragments = tile->part_rows * tile->part_columns;
    return fragments * rules->matrix[0] * rules->matrix[1] / rules->matrix_subgroup;
}

/* A workgroup's block, of which each lane brings 8 vec4s, or more where there would be more than 256 lanes.
 */
static pm_tile tile_of_block(pm_tile_size block, uint32_t m, uint32_t n)
{
    enum { MOST_LANES = 256, VEC4S = 8 };
    uint32_t lanes = block.rows * block.columns / VEC4S, columns = block.columns < 16 ? 1 : 2;
    if (lanes > MOST_LANES) lanes = MOST_LANES;
    lane_shape shape = {lanes, pm_log2_of(block.columns / columns)};
    return tile_of((pm_tile_size){block.rows / (lanes >> shape.log2_wide), columns}, shape, m, n);
}

/* The best block of this size, or of any (rows == 0). */
static pm_tile matrix_tile(const pm_rules *rules, const sizes *output, pm_tile_size wanted)
{
    uint32_t count;
    const pm_tile_size *blocks = pm_tile_sizes(rules, PM_TILED_MATRIX, &count);
    pm_tile best = {0};
    for (uint32_t i = 0; i < count; i++) {
        if (wanted.rows && (blocks[i].rows != wanted.rows || blocks[i].columns != wanted.columns)) continue;
        pm_tile tile = tile_of_block(blocks[i], output->m, output->n);
        tile.shared_bytes = matrix_bytes_of(rules, &tile);
        if (tile.lanes > rules->shared_lanes || tile.shared_bytes > rules->shared_bytes) continue;
        if (!share_out(rules, &tile) || sums_of_lane(rules, &tile) > 4 * rules->tile_vec4s) continue;
        if (best.rows == 0 || cost_of(rules, &tile, output) < cost_of(rules, &best, output)) best = tile;
    }
    return best;
}

pm_tile pm_matrix_tile_for(const pm_rules *rules, uint32_t count, uint32_t m, uint32_t n)
{
    sizes output = {count, m, n};
    pm_tile_size pinned = {rules->matrix_block[0], rules->matrix_block[1]};
    if (!pm_on(rules, PM_MATRIX_UNITS) || m < rules->matrix[0] || n < rules->matrix[1]) return (pm_tile){0};
    pm_tile tile = matrix_tile(rules, &output, pinned);
    return tile.rows == 0 && pinned.rows ? matrix_tile(rules, &output, (pm_tile_size){0, 0}) : tile;
}

pm_tiled_shape pm_tiled_shape_of(const pm_rules *rules, pm_tiled kind, uint32_t count, uint32_t m, uint32_t n,
                                 uint32_t k)
{
    bool matrix = pm_matrix_tile_for(rules, count, m, n).rows != 0;
    return (pm_tiled_shape){(uint32_t)kind + (matrix ? PM_TILED_MATRIX : 0u), count, m, n, k};
}

static void spec_matrix(pm_dispatch *dispatch, const pm_rules *rules, const pm_tile *tile)
{
    for (uint32_t i = 0; i < 3; i++) pm_spec(dispatch, rules->matrix[i]);
    pm_spec(dispatch, rules->matrix_subgroup);
    pm_spec(dispatch, tile->part_rows);
    pm_spec(dispatch, tile->part_columns);
    dispatch->subgroup = rules->matrix_subgroup;
}

/* Of a register tile: how its lanes show values (lanes.glsl), and TILE_FLAGS (tile.glsl). */
static void spec_register(pm_dispatch *dispatch, const pm_rules *rules, const pm_tile *tile)
{
    enum { SHUFFLES = 9, BELOW = 1, LEAVE_IN_LOOP = 2 };
    if (!tile->shows && !rules->leaves_in_loop) return;
    uint32_t below = tile->shows && tile->log2_lanes == 0 ? BELOW : 0;
    while (dispatch->n_spec < SHUFFLES) pm_spec(dispatch, 0);
    pm_spec(dispatch, rules->shuffles);
    pm_spec(dispatch, below | (rules->leaves_in_loop ? LEAVE_IN_LOOP : 0u));
}

void pm_spec_shared(pm_dispatch *dispatch, const pm_rules *rules, const pm_tile *tile)
{
    enum { FIRST = 7 }; /* its number */
    if (tile->shared_bytes == 0) {
        spec_register(dispatch, rules, tile);
        return;
    }
    while (dispatch->n_spec < FIRST) pm_spec(dispatch, 0);
    pm_spec(dispatch, tile->log2_lanes);
    pm_spec(dispatch, pm_log2_of(tile->lanes) - tile->log2_lanes);
    pm_spec(dispatch, tile->part_rows ? matrix_terms(rules) : BLOCK_TERMS);
    dispatch->shared_bytes = tile->shared_bytes;
    if (tile->part_rows) spec_matrix(dispatch, rules, tile);
}
