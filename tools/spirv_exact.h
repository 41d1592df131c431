/* Makes a SPIR-V module give the same bits on every conformant driver, or says why it cannot. Part of the
 * build. */
#ifndef PM_TOOLS_SPIRV_EXACT_H
#define PM_TOOLS_SPIRV_EXACT_H

#include "base/status.h"

/* Copies the module of `count` words with NoContraction on the result of every floating-point add, subtract,
 * multiply and negate that lacks it, so that no driver fuses two of them into one rounding. *out is the
 * caller's to free; it is left alone on failure. A module that is marked already comes back unchanged.
 *
 * PM_FAILED: the module uses an operation whose rounding Vulkan leaves to the driver (division, sqrt, exp,
 * fma, dot, ...); the message names it, with file and line when the module has debug information.
 * PM_BAD_FILE: not a SPIR-V module. PM_NO_MEMORY. */
pm_status pm_spirv_make_exact(const uint32_t *words, size_t count, uint32_t **out, size_t *out_count,
                              pm_error *error);

#endif
