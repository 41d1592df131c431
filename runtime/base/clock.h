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

/* Seconds that this thread has kept a core busy, which do not pass while it waits or others have the core;
 * where the system counts those in ticks alone, as Windows does, pm_seconds. */
static inline double pm_thread_seconds(void)
{
#if defined(CLOCK_THREAD_CPUTIME_ID) && !defined(_WIN32)
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#else
    return pm_seconds();
#endif
}

#endif
