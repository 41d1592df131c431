/* Messages about files; see file_error.h. */
#include "files/file_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST_PATH = 200 };

pm_status pm_fail_at(pm_error *error, pm_status status, const char *path, const char *format, ...)
{
    if (!error) return status;
    char reason[sizeof error->message];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reason, sizeof reason, format, args);
    va_end(args);

    size_t length = strlen(path);
    if (length > LONGEST_PATH) {
        return pm_fail(error, status, "...%s: %s", path + length - LONGEST_PATH, reason);
    }
    return pm_fail(error, status, "%s: %s", path, reason);
}

pm_status pm_fail_memory(pm_error *error, const char *path)
{
    return pm_fail_at(error, PM_NO_MEMORY, path, "the memory of this machine ran out");
}
