// Kernels that move or add whole units: four elements (the plain variant), one float (NAME_ragged.comp, which
// defines PM_RAGGED) or one 32-bit integer (NAME_uint.comp, which defines PM_INTEGER). Counts and strides are
// in units.
#ifndef PUMICE_UNIT_GLSL
#define PUMICE_UNIT_GLSL

#if defined(PM_RAGGED)
#define PM_UNIT float
#define PM_INPUT_UNIT PM_INPUT
#define PM_OUTPUT_UNIT PM_OUTPUT
#define PM_INOUT_UNIT PM_INOUT
const uint PM_UNITS_OF_FOUR = 4;
#elif defined(PM_INTEGER)
#define PM_UNIT uint
#define PM_INPUT_UNIT PM_INPUT_UINT
#define PM_OUTPUT_UNIT PM_OUTPUT_UINT
#define PM_INOUT_UNIT PM_INOUT_UINT
const uint PM_UNITS_OF_FOUR = 4;
#else
#define PM_UNIT vec4
#define PM_INPUT_UNIT PM_INPUT4
#define PM_OUTPUT_UNIT PM_OUTPUT4
#define PM_INOUT_UNIT PM_INOUT4
const uint PM_UNITS_OF_FOUR = 1;
#endif

#endif
