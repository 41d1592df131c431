// y = silu(g) u, element by element, and the gradients of both. Reference: reference_gated in
// runtime/ops/elementwise.c.
#version 460
#include "pumice.glsl"
#include "exact.glsl"

layout(constant_id = 1) const bool BACKWARD = false;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
} p;

PM_INPUT4(0, gate)
PM_INPUT4(1, up)
PM_INPUT4(2, dy)
PM_OUTPUT4(3, y);  // or dL/d gate
PM_OUTPUT4(4, du); // dL/d up

#include "each_quad.glsl"

void main()
{
    PM_EACH_QUAD(i, p.count)
    {
        vec4 g = gate(i), u = up(i);
        if (BACKWARD) {
            vec4 d = dy(i), dg = (d * u) * pm_silu_grad(g), d_up = d * pm_silu(g);
            y[i] = PM_KEEP(dg, i, p.count);
            du[i] = PM_KEEP(d_up, i, p.count);
        } else {
            vec4 v = pm_silu(g) * u;
            y[i] = PM_KEEP(v, i, p.count);
        }
    }
}
