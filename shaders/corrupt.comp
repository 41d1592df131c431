// table[t,0] a + table[t,1] b, each sample with its own t; and the gradient to one of the two, which is its
// factor times the incoming gradient (bound as both a and b). Reference: reference_corrupt in
// runtime/ops/diffusion.c.
#version 460
#include "pumice.glsl"

const uint BOTH = 2; // else the column of the one term
layout(constant_id = 1) const uint TERM = 2;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    uint size; // elements of a sample
    uint rows; // of the table
} p;

PM_INPUT4(0, a)
PM_INPUT4(1, b)
PM_INPUT_UINT(2, time_of)
PM_INPUT(3, table)
PM_OUTPUT4(4, y);

#include "each_quad.glsl"
#include "per_sample.glsl"

float factor(uint n, uint column)
{
    uint t = time_of(n);
    return t < p.rows ? table(2 * t + column) : 0.0;
}

float factor_a(uint n)
{
    return factor(n, 0);
}

float factor_b(uint n)
{
    return factor(n, 1);
}

void main()
{
    PM_EACH_QUAD(i, p.count)
    {
        uint quad = p.base * PM_QUADS_PER_GROUP + i;
        vec4 v;
        if (TERM == BOTH) {
            v = PM_MAD(PM_PER_SAMPLE(factor_a, quad, p.size, p.count), a(i),
                       PM_PER_SAMPLE(factor_b, quad, p.size, p.count) * b(i));
        } else if (TERM == 0) {
            v = PM_PER_SAMPLE(factor_a, quad, p.size, p.count) * a(i);
        } else {
            v = PM_PER_SAMPLE(factor_b, quad, p.size, p.count) * a(i);
        }
        y[i] = PM_KEEP(v, i, p.count);
    }
}
