/* A float as its bits, and back. */
#ifndef PM_BASE_BITS_H
#define PM_BASE_BITS_H

#include <stdint.h>
#include <string.h>

static inline uint32_t pm_bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float pm_from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
