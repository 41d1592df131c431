// A strided view: the output's unit number, taken apart along its axes, gives a place in the input. runtime/ops/layout.c
// describes views and pushes PM_PUSH_VIEW.
#ifndef PUMICE_VIEW_GLSL
#define PUMICE_VIEW_GLSL

#include "slab.glsl"

layout(constant_id = 1) const uint VIEW_RANK = 5;

#define PM_PUSH_VIEW                                                                                                   \
    PM_PUSH_SLAB                                                                                                       \
    uint input_slab;       /* units of the input that one slab covers; 0: it is bound whole */                         \
    uint first;            /* where the view begins in the input */                                                    \
    uint stride[5];        /* of the input along the output's axes */                                                  \
    pm_divisor extent[4]; /* of the output's axes but the first */

// Takes the last axis off the unit number `rest`, where the view has such an axis.
#define PM_VIEW_AXIS(place, rest, axis)                                                                                \
    if (VIEW_RANK > axis) {                                                                                            \
        uint outer = pm_quotient(rest, p.extent[axis - 1]);                                                            \
        place += (rest - outer * p.extent[axis - 1].n) * p.stride[axis];                                               \
        rest = outer;                                                                                                  \
    }

// Sets `place` to where the binding has the unit that output unit i (in the whole output) is made of. Macros, since they
// read the push constants.
#define PM_VIEW_PLACE(place, i)                                                                                        \
    uint place = p.first - p.base * p.input_slab;                                                                      \
    {                                                                                                                  \
        uint rest = i;                                                                                                 \
        PM_VIEW_AXIS(place, rest, 4)                                                                                   \
        PM_VIEW_AXIS(place, rest, 3)                                                                                   \
        PM_VIEW_AXIS(place, rest, 2)                                                                                   \
        PM_VIEW_AXIS(place, rest, 1)                                                                                   \
        place += rest * p.stride[0];                                                                                   \
    }

#endif
