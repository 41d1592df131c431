/* What the tests that need a device share: the default one, for a whole group. */
#ifndef PM_TESTS_DEVICE_HELPERS_H
#define PM_TESTS_DEVICE_HELPERS_H

#include "unit.h"

#include "device/device.h"
#include "ops/op.h"

#include <stdlib.h>

static pm_device *device;

/* For a group's set-up. */
static inline int open_device(void **state)
{
    (void)state;
    pm_error error;
    if (pm_device_open(NULL, &device, &error) == PM_OK) return 0;
    print_error("%s\n", error.message);
    return -1;
}

/* A plan for a device whose bindings have at most `range` bytes; 0: as many as they can. */
static inline pm_status plan_within(uint64_t range, pm_device *on, pm_graph *graph,
                                    const pm_plan_options *options, pm_plan **out, pm_error *error)
{
    uint64_t own = on->limits.storage_range;
    if (range && (own == 0 || range < own)) on->limits.storage_range = range;
    pm_status status = pm_plan_create(on, graph, options, out, error);
    on->limits.storage_range = own;
    return status;
}

static inline void write_to(pm_plan *plan, pm_tensor tensor, const void *data, size_t bytes)
{
    pm_error error = {0};
    expect_ok(pm_plan_write(plan, tensor, data, bytes, &error), &error);
}

static inline void read_from(pm_plan *plan, pm_tensor tensor, void *data, size_t bytes)
{
    pm_error error = {0};
    expect_ok(pm_plan_read(plan, tensor, data, bytes, &error), &error);
}

static inline void run_once(pm_plan *plan)
{
    pm_error error = {0};
    expect_ok(pm_plan_run(plan, 1, &error), &error);
    expect_ok(pm_plan_wait(plan, &error), &error);
}

/* A graph on a device of its own without the features of `off`. */
typedef struct own_plan {
    pm_device *device;
    pm_plan *plan;
    pm_graph *graph;
} own_plan;

static inline own_plan plan_without(uint64_t off, pm_graph *graph)
{
    pm_error error = {0};
    own_plan own = {.graph = graph};
    expect_ok(pm_device_open(&(pm_device_options){.off = off}, &own.device, &error), &error);
    expect_ok(pm_plan_create(own.device, graph, NULL, &own.plan, &error), &error);
    return own;
}

static inline void end_own(own_plan *own)
{
    pm_plan_destroy(own->plan);
    pm_graph_destroy(own->graph);
    pm_device_close(own->device);
}

/* Plans the gradient of the sum of squares of a case's output. The caller destroys both. */
static inline pm_tensor plan_gradient(pm_device *on, const pm_case *test, pm_graph **graph, pm_plan **plan)
{
    pm_error error = {0};
    *graph = pm_graph_create();
    pm_tensor y = test->build(*graph, test->p);
    pm_tensor gradient = pm_backward(*graph, pm_sum(*graph, pm_mul(*graph, y, y)));
    pm_output(*graph, gradient);
    expect_ok(pm_plan_create(on, *graph, NULL, plan, &error), &error);
    return gradient;
}

/* Runs a plan of it and ends both; the values are to be freed. */
static inline void *run_gradient(pm_graph *graph, pm_plan *plan, pm_tensor gradient, size_t *bytes)
{
    *bytes = pm_bytes_of(graph, gradient);
    void *values = malloc(*bytes);
    assert_non_null(values);
    run_once(plan);
    read_from(plan, gradient, values, *bytes);
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
    return values;
}

/* For a group's tear-down. */
static inline int close_device(void **state)
{
    (void)state;
    pm_device_close(device);
    return 0;
}

#endif
