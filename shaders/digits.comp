// The number whose digits a row of tokens is, the lowest first; modulo 2^32 where tokens exceed the base.
// Reference: reference_digits in runtime/ops/tokens.c.
#version 460
#include "pumice.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint rows;
    uint row_length;
    uint number_base;
} p;

PM_INPUT_UINT(0, tokens)
PM_OUTPUT_UINT(1, y);

void main()
{
    uint here = gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (PM_INVOCATION >= p.rows) return;
    uint number = 0;
    for (uint i = p.row_length; i-- > 0;) number = number * p.number_base + tokens(here * p.row_length + i);
    y[here] = number;
}
