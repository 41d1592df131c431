/* `pumice check --compile`: what the driver's compiler makes of every kernel that would be used here. */
#ifndef PM_TOOLS_CHECK_COMPILE_H
#define PM_TOOLS_CHECK_COMPILE_H

#include "base/status.h"

/* `op`: only this operator, and no models; NULL: everything. Prints a table, or with --json an object.
 * Nothing is submitted to the device. PM_FAILED when a pipeline cannot be made; the rest is made all the
 * same. */
pm_status cli_check_compile(const char *op, pm_error *error);

#endif
