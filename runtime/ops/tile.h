/* What the tiled matrix kernels (matmul, conv2d) share on the host: which register tile serves a shape, and
 * operands in rows of whole vec4s. The other half is shaders/include/tile.glsl. */
#ifndef PM_OPS_TILE_H
#define PM_OPS_TILE_H

#include "device/tuning.h"
#include "ops/epilogue.h"

/* One invocation computes rows x columns vec4s; the lanes of a workgroup lie 1 << log2_lanes wide, the others
 * below them. */
typedef struct pm_tile {
    uint32_t rows, columns, log2_lanes;
    uint32_t lanes;        /* of a workgroup */
    bool shows;            /* a register tile of lanes that fetch for each other (NAME_lanes.comp): side by
                              side, or, for log2_lanes == 0, one below the other */
    uint32_t shared_bytes; /* 0: a register tile (shaders/include/tile.glsl); else through shared memory
                              (tile_shared.glsl) */
    uint32_t part_rows,
        part_columns;            /* 0; or for matrix units, the fragments of a subgroup's part of the block */
    uint32_t group_rows;         /* of a workgroup */
    uint32_t groups_x, groups_y; /* that cover the output */
} pm_tile;

/* The tile for `count` outputs of m rows and n elements a row. Decides speed and never a bit of the result.
 */
pm_tile pm_tile_for(const pm_rules *rules, uint32_t count, uint32_t m, uint32_t n);

/* A tile for matrix units, in precision fast on a device that has some, or rows == 0: a block of the output
 * is then group_rows rows and 4 columns << log2_lanes elements. */
pm_tile pm_matrix_tile_for(const pm_rules *rules, uint32_t count, uint32_t m, uint32_t n);

/* What such an output, whose elements are sums of k terms, is tuned as: by matrix units where they compute
 * it. */
pm_tiled_shape pm_tiled_shape_of(const pm_rules *rules, pm_tiled kind, uint32_t count, uint32_t m, uint32_t n,
                                 uint32_t k);

/* The same as pm_tile_for among register tiles alone. */
pm_tile pm_register_tile_for(const pm_rules *rules, uint32_t count, uint32_t m, uint32_t n);

/* The register tile of which a workgroup has the fewest rows. */
pm_tile pm_flattest_tile(const pm_rules *rules, uint32_t m, uint32_t n);

/* `count` matrices [rows, width], whose extents are made multiples of four by zeros; if `flip`, each one
 * transposed, and the last one first. */
pm_tensor pm_prepared(pm_lowering *lowering, pm_tensor x, uint32_t count, uint32_t rows, uint32_t width,
                      bool flip);

/* The kernel for the tile: NAME, NAME_lanes or NAME_shared. */
#define PM_TILE_SHADER(tile, name) \
    ((tile)->shared_bytes ? name "_shared" : (tile)->shows ? name "_lanes" : name)

/* Specialization constants 1 to 3 of a tiled kernel, whose output has rows of n elements. */
void pm_spec_tile(pm_dispatch *dispatch, const pm_tile *tile, uint32_t n);

/* After the kernel's own, of which there are at most three: those of tile_shared.glsl, if that is the tile,
 * or of how lanes of a register tile lie and how its sums leave it. */
void pm_spec_shared(pm_dispatch *dispatch, const pm_rules *rules, const pm_tile *tile);

/* Whether kernels round the operands of such an output, as matrix units do: those of m rows and n columns
 * that a fragment of 16 x 16 does not exceed stay f32. */
static inline bool pm_rounds(const pm_rules *rules, uint32_t m, uint32_t n)
{
    return rules->rounds && m >= 16 && n >= 16;
}

static inline uint32_t pm_round4(uint32_t elements)
{
    return (elements + 3) / 4 * 4;
}

static inline uint32_t pm_log2_of(uint32_t power)
{
    uint32_t log2 = 0;
    while (power >> (log2 + 1)) log2++;
    return log2;
}

/* x [count, rows, width] with each row made whole vec4s and `rows` made rows_out, zeros being appended: a
 * scratch tensor, or x itself where nothing is missing. */
pm_tensor pm_padded(pm_lowering *lowering, pm_tensor x, uint32_t count, uint32_t rows, uint32_t width,
                    uint32_t rows_out);

/* The stride of a binding of which a workgroup along the split axis covers `elements` f32. What is too large
 * for a stride is too large for any binding; the plan then says so. */
uint32_t pm_stride_of(uint64_t elements);

/* C[z] = op(A[z]) op(B[z]) (+ bias) (* gate) (+ residual[z]), as pm_matmul, and an activation of that. */
typedef struct pm_product {
    pm_layout layout;
    uint32_t m, n, k;
    uint32_t batch;            /* 1: A, B and C are single matrices */
    bool a_batched, b_batched; /* else one matrix serves the batch; for batch > 1 */
    pm_tensor a, b, bias, residual, c;
    pm_tensor gate; /* only of single matrices with whole vec4s in C's rows, and fits in a binding */
    pm_gate_rows gate_rows;
    uint32_t activation; /* as pm_activation_of */
    bool keeps_f32;      /* in precisions fast and rounded, too: nothing is rounded to 16 bits */
    bool goes_on; /* C has the sums of earlier terms, and these are added to them, one by one; no batch */
} pm_product;

/* Appends the dispatches of a product. */
void pm_lower_product(pm_lowering *lowering, pm_product product);

#endif
