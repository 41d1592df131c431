/* The time, for measuring how long something takes. */
#ifndef PM_BASE_CLOCK_H
#define PM_BASE_CLOCK_H

#include <time.h>

/* Seconds of a clock that only goes forward. */
static inline double pm_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
