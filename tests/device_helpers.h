/* What the tests that need a device share: the default one, for a whole group. */
#ifndef PM_TESTS_DEVICE_HELPERS_H
#define PM_TESTS_DEVICE_HELPERS_H

#include "unit.h"

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

/* For a group's tear-down. */
static inline int close_device(void **state)
{
    (void)state;
    pm_device_close(device);
    return 0;
}

#endif
