/* Messages about files: always "PATH: what is wrong". */
#ifndef PM_FILES_FILE_ERROR_H
#define PM_FILES_FILE_ERROR_H

#include "base/status.h"

/* pm_fail() with "PATH: " in front; of a very long path only the end is shown, so that the reason is not cut
 * off. Returns `status`. */
pm_status pm_fail_at(pm_error *error, pm_status status, const char *path, const char *format, ...)
    PM_PRINTF(4, 5);

/* Host memory ran out while working on `path`: PM_NO_MEMORY. */
pm_status pm_fail_memory(pm_error *error, const char *path);

#endif
