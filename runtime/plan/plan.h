/* A plan: a graph made ready to run on one device. Making one goes through these files in this order:
 *
 *   fuse.c     nodes that do what others do for them
 *   lower.c    live nodes -> dispatches (each operator's own rule)
 *   place.c    lifetimes -> an offset in a memory block for every root tensor
 *   pieces.c   dispatches -> pieces that keep the device's limits; pipelines and bindings
 *   record.c   pieces -> command buffers ("grains"), with a barrier only where memory really overlaps
 *   measure.c  the first runs: every dispatch alone, from a small piece to as much as fits the time; on CPU
 *              drivers no such thing
 *   run.c      grains -> submits bounded by measured time, which goes on being measured
 *   copy.c     copies from and to the host
 *   tune.c     measures tiles, before the plan that asks for them is made
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
    double seconds; /* what it is thought to take */
} pm_piece;

/* What is known of a dispatch's time: the least seconds for one workgroup along the split axis, 0: nothing;
 * and the most of them that ran in one submit, and what that took. */
typedef struct pm_cost {
    double seconds_per_group, seconds_of_most;
    uint32_t most;
} pm_cost;

/* Descriptor sets and what they hold on to. */
typedef struct pm_bound {
    VkDescriptorPool pool;
    VkBufferView *views;
    uint32_t n_views;
} pm_bound;

/* A run of pieces in one command buffer: what is submitted together with others, as their measured times
 * allow. There are two of each, taken in turn: one may not be submitted again while it is still at work. */
typedef struct pm_grain {
    uint32_t first, count;
    VkCommandBuffer commands[2];
    double seconds; /* what it is thought to take */
    uint32_t late;  /* times in a row that it took too long */
} pm_grain;

/* A submit under way. */
typedef struct pm_flight {
    uint64_t value; /* of the timeline, at its end */
    double begun, expected;
    uint32_t first, count; /* grains */
    uint32_t run;
} pm_flight;

/* Submits of one plan that may wait for the device at once. */
#define PM_MAX_FLIGHTS 3u

struct pm_plan {
    pm_device *device;
    pm_graph *graph;
    pm_plan_options options;
    pm_plan_stats stats;
    bool traced; /* its nodes can be watched (trace.h) */

    pm_dispatch *dispatches;
    uint32_t n_dispatches;
    uint32_t *parts; /* per dispatch: into how many pieces it is cut because of time */
    pm_cost *costs;  /* per dispatch */

    pm_placement *placements; /* by tensor id; only roots are used */
    uint32_t n_tensors;
    pm_block blocks[PM_MAX_BLOCKS];
    VkDeviceSize block_bytes[PM_MAX_BLOCKS], largest_block; /* largest_block: as they may be */
    uint32_t n_blocks;

    pm_piece *pieces;
    uint32_t n_pieces, cap_pieces;
    pm_bound bound;

    pm_grain *grains;
    uint32_t n_grains;
    VkCommandPool commands, at_once; /* of grains; and of what is recorded for one submit: `once` */
    VkCommandBuffer once;
    VkQueryPool timestamps;       /* with options.profile */
    uint32_t measured_runs, runs; /* runs: those of grains */
    uint64_t last_value;          /* timeline value of the last submit */

    pm_flight flights[PM_MAX_FLIGHTS]; /* oldest first */
    uint32_t n_flights;
    double last_end;  /* when a submit was last seen to be done */
    bool end_is_sure; /* it was waited for, so that it ended just then */
    bool too_slow;    /* pieces have to be cut anew */

    pm_block staging;
};

pm_status pm_plan_lower(pm_plan *plan, pm_error *error);
/* Rewrites nodes, a copy of the graph's; what others do then is not live any more. absorbed[n]: the nodes
 * that node n does the work of. False when host memory ran out. */
bool pm_plan_fuse(const pm_lowering *lowering, pm_node *nodes, bool *live, pm_absorbed *absorbed);
/* Whether `node` writes anything that `other` uses. */
bool pm_disturbs(const pm_graph *graph, const pm_node *node, const pm_node *other);

/* plan/matrix_test.c: turns PM_MATRIX_UNITS off on a device that fails, at the first call, and
 * PM_MATRIX_ATTENTION at the first one for a graph with attention; see there. */
void pm_matrix_units_test(pm_device *device, const pm_graph *graph);
/* plan/tune.c: the seconds that a run of a graph takes on the device, the least of a few runs, in tiles of
 * that size; rows 0: of the size that the rules choose. And those of one product or convolution. */
pm_status pm_time_graph(pm_device *device, pm_graph *graph, pm_tile_size tile, pm_precision precision,
                        double *seconds, pm_error *error);
pm_status pm_time_shape(pm_device *device, const pm_tiled_shape *shape, pm_tile_size tile,
                        pm_precision precision, double *seconds, pm_error *error);
pm_status pm_plan_place(pm_plan *plan, pm_error *error);
/* How the message ends of a plan that does not fit: advice.c puts something better in its place. */
#define PM_PLAN_TOO_LARGE ": lower the batch first, then width"
/* Fails with PM_NO_MEMORY before anything is allocated when it needs more than is free; a driver that refuses
 * a size gets smaller blocks. */
pm_status pm_plan_allocate(pm_plan *plan, pm_error *error);
/* May be called again. */
pm_status pm_plan_cut(pm_plan *plan, pm_error *error);
pm_status pm_plan_record(pm_plan *plan, pm_error *error);
/* Undoes pm_plan_record. */
void pm_plan_unrecord(pm_plan *plan);

/* Pieces begin at multiples of this many workgroups along the split axis. */
uint64_t pm_plan_granule(const pm_plan *plan, const pm_dispatch *dispatch);
/* A part of a piece, bound by itself; the caller releases what it binds. */
pm_status pm_plan_part_of(pm_plan *plan, const pm_piece *whole, uint32_t base, uint32_t groups,
                          pm_bound *bound, pm_piece *out, pm_error *error);
void pm_bound_release(pm_device *device, pm_bound *bound);
/* Begins plan->once, which must not be at work any more. */
VkResult pm_plan_begin_once(pm_plan *plan);
/* Appends a piece to a command buffer; `query`: of its first timestamp, or -1. */
void pm_plan_record_piece(pm_plan *plan, VkCommandBuffer commands, const pm_piece *piece, int64_t query);
/* Everything before it in the queue is done and visible to it; everything after waits for it. */
void pm_plan_fence_in(pm_plan *plan, VkCommandBuffer commands, bool after);

/* One run that measures; the first ones of a plan. */
#define PM_MEASURED_RUNS 2u
/* Instead of measuring: costs from operations and bytes, for devices that no watchdog looks at. */
void pm_plan_guess(pm_plan *plan);
pm_status pm_plan_measure(pm_plan *plan, pm_error *error);
/* From costs to parts: true when a dispatch is now cut otherwise. */
bool pm_plan_choose_parts(pm_plan *plan);

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
