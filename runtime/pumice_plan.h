/* Plans: graphs made ready to run on a device. Part of pumice.h. */
#ifndef PUMICE_PLAN_H
#define PUMICE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pumice_device.h"
#include "pumice_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_plan pm_plan;

typedef struct pm_plan_options {
    pm_precision precision;
    uint64_t seed; /* of the parameters' initial values */
    /* Aim for the GPU time of one submit; 0: the device's limit, or 0.1, a CPU's 0.5. */
    double submit_seconds;
    bool profile; /* measure every dispatch with timestamps, at some cost */
} pm_plan_options;

typedef struct pm_plan_stats {
    uint32_t nodes, dispatches, pieces, barriers, pipelines, command_buffers;
    uint32_t submits;          /* of the last run */
    double host_seconds;       /* of the last run, of the caller's thread: what it did besides submitting and
                                  waiting */
    uint64_t persistent_bytes; /* parameters, states, constants */
    uint64_t activation_bytes; /* memory for everything else, after reuse */
    uint64_t unshared_bytes;   /* what that would be without reuse */
    double flops;              /* of one run: multiply and add count as two */
} pm_plan_stats;

/* Lowers, places in memory and records the graph on the device. Fails with the graph's own error, with
 * PM_NO_MEMORY when it does not fit, or with PM_BAD_USAGE when something that cannot be split exceeds the
 * device's storage range.
 *
 * Tensors above that range are split, with the same results bit for bit. What it must hold, of one tensor:
 *   - what one workgroup covers and what makes it begin where every device can bind: up to 128 neighbouring
 *     rows (along the last axis) where rows are not to be torn, as in matmul, softmax, cross entropy and
 *     layer normalisation; 64 lines of an image in pooling; in convolution, attention and group
 *     normalisation a sample, or as many, up to 64, as have a multiple of 256 bytes together;
 *   - a convolution's weights of one tap;
 *   - a bias, a gain, a table of steps or of positions, the indices of an embedding's gradient, and in the
 *     gradient of layer normalisation one number for each row.
 *
 * The graph must outlive the plan and must not grow while it is used. The caller destroys it. */
pm_status pm_plan_create(pm_device *device, pm_graph *graph, const pm_plan_options *options, pm_plan **out,
                         pm_error *error);
void pm_plan_destroy(pm_plan *plan);

/* What such a plan would need, in *out: nodes, dispatches, flops and memory, without allocating anything on
 * the device. The graph may be planned afterwards. Fails as pm_plan_create does, but not for what is free. */
pm_status pm_plan_needs(pm_device *device, pm_graph *graph, const pm_plan_options *options,
                        pm_plan_stats *out, pm_error *error);

/* Submits the plan `times` times in a row and returns when all but the last few submits are done;
 * pm_plan_wait waits for the rest. Fails with PM_DEVICE_LOST, from then on at every call on this device. */
pm_status pm_plan_run(pm_plan *plan, uint32_t times, pm_error *error);
pm_status pm_plan_wait(pm_plan *plan, pm_error *error);

/* Copies a whole tensor from or to the host, waiting for the device first. Only states, parameters, constants
 * and outputs have lasting contents. Fails with PM_BAD_USAGE unless `bytes` is the tensor's size and the plan
 * uses it, with PM_DEVICE_LOST. */
pm_status pm_plan_read(pm_plan *plan, pm_tensor tensor, void *data, size_t bytes, pm_error *error);
pm_status pm_plan_write(pm_plan *plan, pm_tensor tensor, const void *data, size_t bytes, pm_error *error);

pm_plan_stats pm_plan_stats_of(const pm_plan *plan);

/* Calls `line` once for each line of a description of the plan: what was lowered to what, memory, barriers,
 * submits; with options.profile also the measured time of each dispatch. */
void pm_plan_explain(const pm_plan *plan, void (*line)(void *user, const char *text), void *user);

#ifdef __cplusplus
}
#endif
#endif
