/* Limits that a device pretends (pm_device_limits). Only here are they compared with the device's own: what
 * comes after sees smaller facts. */
#ifndef PM_DEVICE_LIMITS_H
#define PM_DEVICE_LIMITS_H

#include "pumice.h"

/* The limits of *first, and where it has none those of *second. */
pm_device_limits pm_limits_merge(const pm_device_limits *first, const pm_device_limits *second);

/* Lowers facts. Fails with PM_BAD_USAGE when a limit is above what the device has. */
pm_status pm_limits_apply(const pm_device_limits *limits, pm_device_facts *facts, pm_error *error);

/* "storage-range=8MiB, ..." of those that are given. */
const char *pm_limits_text(const pm_device_limits *limits, char *buffer, size_t size);

#endif
