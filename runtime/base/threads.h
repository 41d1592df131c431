/* What cores the machine has, and work for as many threads. */
#ifndef PM_BASE_THREADS_H
#define PM_BASE_THREADS_H

#include <stdint.h>

/* Cores of the machine that this process may use; at least 1. */
uint32_t pm_cores(void);

/* Bytes of a core's second-level cache; 0: unknown. */
uint64_t pm_core_cache(void);

/* Calls work(user, i) for each i below `count`, in order of beginning, on at most `most` threads, of which
 * one is the caller's, and no more than there are cores; returns when all calls have. A thread that the
 * system refuses is done without. */
void pm_for_each(uint32_t count, uint32_t most, void (*work)(void *user, uint32_t index), void *user);

#endif
