// An operand above the device's storage range is bound in windows, one dispatch each (pm_window in
// runtime/ops/op.h): the kernel does its whole work in each, but leaves out what needs elements outside.
// Define PM_WINDOW_ID, the number of the specialization constant, before.
#ifndef PUMICE_WINDOW_GLSL
#define PUMICE_WINDOW_GLSL

layout(constant_id = PM_WINDOW_ID) const uint WINDOW = 0; // as in pm_spec_window
const bool IN_WINDOWS = WINDOW != 0, IS_LATER = WINDOW == 2;

#define PM_PUSH_WINDOW                                     \
    uint window_begin; /* of the operand, in units of it */ \
    uint window_count;

// Whether the window has unit i of the operand; where the unit is in the binding.
#define PM_IN_WINDOW(i) ((i) - p.window_begin < p.window_count)
#define PM_WINDOW_AT(i) (IN_WINDOWS ? (i) - p.window_begin : (i))

#endif
