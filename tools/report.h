/* What someone who reads a report of a fault has to know first: device, driver, features, limits, what this
 * build uses of them, and what was measured of its arithmetic. */
#ifndef PM_TOOLS_REPORT_H
#define PM_TOOLS_REPORT_H

#include "cli.h"
#include "plan/arithmetic.h"

/* Prints it, without --json, and returns it as JSON. */
json_t *cli_report(const pm_device *device, const pm_arithmetic *arithmetic);

#endif
