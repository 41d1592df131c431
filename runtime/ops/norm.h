/* What the forward and the backward operators of normalisation share (norm.c, norm_backward.c).
 *
 * x is seen as [sample, position, channel]. With xhat = (x - mean) rstd,
 *     u = (xhat gamma + beta) (1 + scale) + shift,   y = silu(u) or u.
 * mean and rstd belong to a sample and group of channels (group normalisation) or to a row, which is all
 * channels of a position (layer normalisation); scale and shift belong to a sample or to a row. RMSNorm
 * (1910.07467) is layer normalisation with 0 in the mean's place, in the variance too. */
#ifndef PM_OPS_NORM_H
#define PM_OPS_NORM_H

#include "ops/op.h"

typedef struct pm_norm_attr {
    uint32_t groups; /* 0: layer normalisation */
    float eps;
    bool silu;
    bool rms; /* of layer normalisation */
} pm_norm_attr;

/* Inputs of the operators: norm has the first five, norm_sums and norm_backward all up to DY, norm_backward
 * of groups the sums as well. */
enum {
    PM_NORM_X,
    PM_NORM_GAMMA,
    PM_NORM_BETA,
    PM_NORM_SCALE,
    PM_NORM_SHIFT,
    PM_NORM_MEAN,
    PM_NORM_RSTD,
    PM_NORM_DY,
    PM_NORM_SUM_DU,
    PM_NORM_SUM_DU_HAT
};

typedef struct pm_norm_geometry {
    uint32_t samples, positions,
        channels; /* one sample holds all rows where nothing differs between samples */
    uint32_t groups, group_channels;
    uint32_t rows;          /* samples * positions */
    uint32_t statistics;    /* how many means there are */
    uint32_t chunk, chunks; /* positions that are summed at once, and how often that is in a sample */
    bool per_row;           /* statistics */
    bool per_token;         /* modulation */
    bool modulated;
} pm_norm_geometry;

/* Checks shapes of x, gamma, beta, scale and shift, which are the first inputs of `node`; false with the
 * graph in its error state. */
bool pm_norm_check(pm_graph *graph, const pm_node *node);
/* For a node whose shapes were checked. */
pm_norm_geometry pm_norm_geometry_of(const pm_graph *graph, const pm_node *node);

/* ---- Dispatches ---------------------------------------------------------------------------------------- */

/* A grid (channels, positions, samples), cut along the samples, or along the positions where there is one
 * sample. */
typedef struct pm_norm_grid {
    const pm_norm_geometry *geometry;
    uint32_t rows; /* of a workgroup */
    uint32_t channel_lanes, row_lanes;
    bool whole_rows; /* a lane takes all channels */
    bool cut_rows;
} pm_norm_grid;

/* `rows_per_lane` 0: a lane takes a whole row; else it takes four channels of that many rows. */
pm_norm_grid pm_norm_grid_of(const pm_lowering *lowering, const pm_norm_geometry *geometry,
                             uint32_t rows_per_lane);
/* Of x and all of its shape. */
uint32_t pm_norm_stride(const pm_norm_grid *grid);
/* Pushes what a shader finds its piece with. */
void pm_norm_push_base(pm_dispatch *dispatch, const pm_norm_grid *grid);
/* The plain shader's name, or the one for rows that are not whole vec4s: PM_NORM_SHADER(geometry,
 * "norm_apply"). */
#define PM_NORM_SHADER(geometry, name) ((geometry)->channels % 4 ? name "_ragged" : name)
/* Elements of the rows that the shader reads at once. */
uint32_t pm_norm_width(const pm_norm_geometry *geometry);
/* Workgroup size of kernels that have few lanes with much to do. */
uint32_t pm_norm_few_lanes(const pm_lowering *lowering);

/* Begins a dispatch of a kernel that includes norm.glsl: constants, push constants and bindings 0 to 6. What
 * is absent is bound as x, which is never read. */
pm_dispatch *pm_norm_begin(pm_lowering *lowering, const pm_node *node, const pm_norm_grid *grid,
                           const char *shader, uint32_t rows_per_lane, pm_tensor mean, pm_tensor rstd);
void pm_norm_end(pm_dispatch *dispatch, const pm_norm_grid *grid, double flops_per_element);

/* Where SiLU has kernels of its own (PM_NORM_ACTIVATION): returns whether the node has SiLU, and takes it out
 * of the node. */
bool pm_norm_takes_silu_out(const pm_lowering *lowering, pm_node *node);

/* Appends what makes y of x and its statistics. */
void pm_norm_append_apply(pm_lowering *lowering, const pm_node *node, pm_tensor mean, pm_tensor rstd,
                          pm_tensor y);

/* Lowers a node of normalisation, or blocks of it where the statistics and the modulation of all its samples,
 * or, where nothing differs between samples, of all its rows cannot be bound whole (see pm_lower_by_rows).
 * `rows` and `whole` as there, but for the inputs that norm has. */
void pm_norm_lower_by_rows(pm_lowering *lowering, const pm_node *node, uint32_t rows, uint32_t whole,
                           uint64_t scratch, void (*lower)(pm_lowering *lowering, const pm_node *node));

/* ---- Reference ----------------------------------------------------------------------------------------- */

/* Index of the statistics of an element. */
uint32_t pm_norm_statistic_at(const pm_norm_geometry *g, uint32_t row, uint32_t channel);

/* What one element is multiplied by and added to; gain = 1 + scale. */
typedef struct pm_norm_factors {
    double gamma, beta, gain, shift;
} pm_norm_factors;
pm_norm_factors pm_norm_factors_at(const pm_reference *ref, const pm_norm_geometry *g, uint32_t row,
                                   uint32_t channel);

/* ---- Gradient ------------------------------------------------------------------------------------------ */

/* The backward rule of norm (norm_backward.c). */
void pm_norm_emit_backward(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out, const bool *wants,
                           pm_tensor *grad_in);

#endif
