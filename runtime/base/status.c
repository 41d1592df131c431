/* Names of statuses, and the one place where messages are written; see status.h. */
#include "base/status.h"

#include "base/text.h"

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
        pm_make_printable(error->message);
    }
    return status;
}

pm_status pm_fail_prefix(pm_error *error, pm_status status, const char *format, ...)
{
    if (error) {
        char prefix[sizeof error->message / 2]; /* of a long prefix only half a message is kept */
        va_list args;
        va_start(args, format);
        (void)vsnprintf(prefix, sizeof prefix, format, args);
        va_end(args);
        pm_make_printable(prefix);
        size_t used = strlen(prefix), last = sizeof error->message - 1;
        memmove(error->message + used + 2, error->message, last - used - 2);
        memcpy(error->message, prefix, used);
        memcpy(error->message + used, ": ", 2);
        error->message[last] = 0;
        error->status = status;
    }
    return status;
}
