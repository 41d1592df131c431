/* A plan: a graph made ready to run on one device. Making one goes through these files in this order:
 *
 *   lower.c    live nodes -> dispatches (each operator's own rule)
 *   place.c    lifetimes -> an offset in a memory block for every root tensor
 *   pieces.c   dispatches -> pieces that keep the device's limits; pipelines and bindings
 *   record.c   pieces -> command buffers ("grains"), with a barrier only where memory really overlaps
 *   run.c      grains -> submits bounded by measured time; copies from and to the host
 *   trace.c    a run node by node, for somebody who watches
 *   explain.c  says what all of that did */
#ifndef PM_PLAN_PLAN_H
#define PM_PLAN_PLAN_H

#include "device/device.h"
#include "ops/op.h"

#define PM_MAX_BLOCKS 1024
#define PM_NEVER UINT32_MAX

/* Memory and life of one root tensor. */
typedef struct pm_placement {
    uint32_t first, last; /* dispatches that use it first and last */
    bool used, persistent;
    uint32_t block;
    VkDeviceSize offset, bytes;
} pm_placement;

typedef struct pm_range {
    uint32_t block;
    VkDeviceSize begin, end;
} pm_range;

/* A dispatch, or a part of one along its split axis. */
typedef struct pm_piece {
    uint32_t dispatch;
    uint32_t base, groups[3];
    pm_pipeline pipeline;
    VkDescriptorSet set;
    pm_range range[PM_MAX_BINDINGS];
    bool texels;  /* inputs are texel buffers */
    bool barrier; /* before it */
    double milliseconds;
} pm_piece;

/* A run of pieces in one command buffer: what is submitted together with others, as their measured times
 * allow. */
typedef struct pm_grain {
    uint32_t first, count;
    VkCommandBuffer commands;
    double seconds; /* least measured; 0: not yet */
} pm_grain;

struct pm_plan {
    pm_device *device;
    pm_graph *graph;
    pm_plan_options options;
    pm_plan_stats stats;
    bool traced; /* its nodes can be watched (trace.h) */

    pm_dispatch *dispatches;
    uint32_t n_dispatches;
    uint32_t *parts; /* per dispatch: into how many pieces it is cut because of time */

    pm_placement *placements; /* by tensor id; only roots are used */
    uint32_t n_tensors;
    pm_block blocks[PM_MAX_BLOCKS];
    VkDeviceSize block_bytes[PM_MAX_BLOCKS], largest_block; /* largest_block: as they may be */
    uint32_t n_blocks;

    pm_piece *pieces;
    uint32_t n_pieces, cap_pieces;
    VkDescriptorPool descriptors;
    VkBufferView *views;
    uint32_t n_views, cap_views;

    pm_grain *grains;
    uint32_t n_grains;
    VkCommandPool commands;
    VkQueryPool timestamps; /* with options.profile */
    uint32_t measured_runs;
    uint64_t last_value; /* timeline value of the last submit */

    pm_block staging;
    VkCommandBuffer copy;
};

pm_status pm_plan_lower(pm_plan *plan, pm_error *error);
pm_status pm_plan_place(pm_plan *plan, pm_error *error);
/* How the message ends of a plan that does not fit: advice.c puts something better in its place. */
#define PM_PLAN_TOO_LARGE ": lower the batch first, then width"
/* Fails with PM_NO_MEMORY before anything is allocated when it needs more than is free; a driver that refuses
 * a size gets smaller blocks. */
pm_status pm_plan_allocate(pm_plan *plan, pm_error *error);
pm_status pm_plan_cut(pm_plan *plan, pm_error *error);
pm_status pm_plan_record(pm_plan *plan, pm_error *error);
/* Undoes pm_plan_cut and pm_plan_record. */
void pm_plan_unrecord(pm_plan *plan);

/* Fills states and parameters: zeros, constants' data, and the parameters' initial values from the seed. */
pm_status pm_plan_initialise(pm_plan *plan, pm_error *error);

/* Whether a texel view of this many bytes should be PM_VIEW_SLACK bytes longer (PM_EVEN_VIEWS); tensors
 * have that much room behind them where it may be needed. */
#define PM_VIEW_SLACK 256u
static inline bool pm_needs_slack(const pm_rules *rules, uint64_t bytes)
{
    return pm_on(rules, PM_EVEN_VIEWS) && (bytes >> 8 & 255u) == 0;
}

/* The bytes of a whole tensor. */
pm_range pm_plan_range(const pm_plan *plan, pm_tensor tensor);

/* A parameter's initial values, f32 [count]. */
void pm_init_values(const pm_tensor_info *info, uint64_t seed, float *out, uint32_t count);

#endif
