// Division by a push constant, without dividing, which drivers make slow code of: for any x < 2^31.
// pm_push_divisor in runtime/ops/slab.h pushes the numbers and says why it is right. Copy one out of the push
// constants before a loop: a driver has to think that what the loop writes may change them, and reads them
// anew each time.
#ifndef PUMICE_DIVISOR_GLSL
#define PUMICE_DIVISOR_GLSL

struct pm_divisor {
    uint n, multiplier, shift;
};

uint pm_quotient(uint x, pm_divisor d)
{
    uint high, low;
    umulExtended(2 * x, d.multiplier, high, low);
    return high >> d.shift;
}

#endif
