/* What the tests that need a device share: the default one, for a whole group. */
#ifndef PM_TESTS_DEVICE_HELPERS_H
#define PM_TESTS_DEVICE_HELPERS_H

#include "unit.h"

#include "device/device.h"

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

/* For a group's tear-down. */
static inline int close_device(void **state)
{
    (void)state;
    pm_device_close(device);
    return 0;
}

#endif
