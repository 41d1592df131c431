// The most bytes that a device can move: y = x. Reference: x itself.
#version 460
#include "pumice.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
} p;

PM_INPUT4(0, x)
PM_OUTPUT4(1, y);

#include "each_quad.glsl"

void main()
{
    PM_EACH_QUAD(i, p.count) y[i] = x(i);
}
