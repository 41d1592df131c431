/* Checked arithmetic for every size that comes from outside: each returns false on overflow and leaves *out
 * alone. */
#ifndef PM_BASE_CHECKED_H
#define PM_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool pm_mul_size(size_t a, size_t b, size_t *out)
{
    if (b != 0 && a > SIZE_MAX / b) return false;
    *out = a * b;
    return true;
}

static inline bool pm_add_size(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b) return false;
    *out = a + b;
    return true;
}

/* Rounds up to a multiple of `alignment`, a power of two. */
static inline bool pm_align_size(size_t a, size_t alignment, size_t *out)
{
    if (!pm_add_size(a, alignment - 1, &a)) return false;
    *out = a & ~(alignment - 1);
    return true;
}

static inline uint32_t pm_ceil_div(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

#endif
