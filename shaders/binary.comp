// y = a + b or a * b for equal shapes. Reference: reference_binary in runtime/ops/elementwise.c.
#version 460
#include "pumice.glsl"

layout(constant_id = 1) const bool MULTIPLY = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
} p;

PM_INPUT4(0, a)
PM_INPUT4(1, b)
PM_OUTPUT4(2, y);

#include "each_quad.glsl"

void main()
{
    PM_EACH_QUAD(i, p.count)
    {
        vec4 v = MULTIPLY ? a(i) * b(i) : a(i) + b(i);
        y[i] = PM_KEEP(v, i, p.count);
    }
}
