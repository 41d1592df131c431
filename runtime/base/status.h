/* Status and error messages. Every fallible function of the library returns a pm_status and, when the caller
 * passed a pm_error, leaves there one line that says what failed, where, and what to do about it. */
#ifndef PM_BASE_STATUS_H
#define PM_BASE_STATUS_H

#include "pumice.h"

/* Fills *error (when it is not NULL) and returns `status`, so that a failure is one statement: return
 * pm_fail(error, PM_BAD_FILE, "%s: truncated header", path); Control characters, which a hostile file could
 * use to write over a terminal, become '?'. */
pm_status pm_fail(pm_error *error, pm_status status, const char *format, ...) PM_PRINTF(3, 4);

/* Puts "prefix: " in front of the message that is there already, and returns its status. */
pm_status pm_fail_prefix(pm_error *error, pm_status status, const char *format, ...) PM_PRINTF(3, 4);

#endif
