#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *pm_status_name(pm_status status)
{
    switch (status) {
    case PM_OK:
        return "ok";
    case PM_FAILED:
        return "check failed";
    case PM_BAD_USAGE:
        return "bad usage";
    case PM_BAD_FILE:
        return "bad file";
    case PM_NO_DEVICE:
        return "no device";
    case PM_DEVICE_LOST:
        return "device lost";
    case PM_NO_MEMORY:
        return "out of memory";
    case PM_IO:
        return "input/output error";
    }
    return "unknown status";
}

pm_status pm_fail(pm_error *error, pm_status status, const char *format, ...)
{
    if (error) {
        va_list args;
        va_start(args, format);
        error->status = status;
        (void)vsnprintf(error->message, sizeof error->message, format, args);
        va_end(args);
    }
    return status;
}

pm_status pm_fail_prefix(pm_error *error, pm_status status, const char *format, ...)
{
    if (error) {
        char prefix[sizeof error->message], rest[sizeof error->message];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(prefix, sizeof prefix, format, args);
        va_end(args);
        memcpy(rest, error->message, sizeof rest);
        size_t used = strlen(prefix);
        if (used > sizeof error->message / 2) used = sizeof error->message / 2;
        memcpy(error->message, prefix, used);
        (void)snprintf(error->message + used, sizeof error->message - used, ": %s", rest);
        error->status = status;
    }
    return status;
}
