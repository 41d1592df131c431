/* What Mesa's CPU driver reads of the environment when it is loaded, set before the first device is opened
 * and only where the user has not. No bit of a result depends on it. A program's environment is the
 * program's, so that the library leaves it alone. */
#ifndef PM_TOOLS_CPU_DRIVER_H
#define PM_TOOLS_CPU_DRIVER_H

#include <stdint.h>

/* Vectors of 512 bits where the processor has them, not of 256: kernels that add up products are 1.1 to 1.8
 * times as fast (docs/performance.md). */
void cli_use_wide_vectors(void);

/* For text that is drawn token by token, `texts` at a time, by a model of so many parameters: no threads of
 * the driver's own if what a token takes is less than to hand its dispatches over to them. */
void cli_use_few_threads(uint64_t parameters, uint64_t texts);

#endif
