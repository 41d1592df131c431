/* What Mesa's CPU driver reads of the environment when a device is opened, set before that and only where the
 * user has not. No bit of a result depends on it. A program's environment is the
 * program's, so that the library leaves it alone. */
#ifndef PM_TOOLS_CPU_DRIVER_H
#define PM_TOOLS_CPU_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

/* Vectors of 512 bits where the processor has them and the driver is Mesa 25 or later, in which they are the
 * faster ones; else as the driver likes (docs/performance.md). And a folder of their own for what it
 * compiles, for each width that is asked for, here or by the user. */
void cli_use_fast_vectors(void);
/* Whether the processor has vectors of 512 bits, with all that the driver's code for them takes. */
bool cli_has_wide_vectors(void);

/* For text that is drawn token by token, `texts` at a time, by a model of so many parameters: no threads of
 * the driver's own if what a token takes is less than to hand its dispatches over to them. Whether the device
 * that is opened next will so have none that it would have had. */
bool cli_use_few_threads(uint64_t parameters, uint64_t texts);
/* Undoes that for devices that are opened later. */
void cli_use_many_threads(void);

#endif
