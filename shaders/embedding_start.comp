// start[v] = how many of the sorted indices are below first + v, for v = 0 .. rows: where the run of first +
// v begins. By bisection.
#version 460
#include "pumice.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count;
    uint rows;
    uint first;
} p;

PM_INPUT_UINT(0, sorted)
PM_OUTPUT_UINT(1, start);

void main()
{
    uint v = PM_INVOCATION;
    if (v > p.rows) return;
    uint low = 0, high = p.count;
    while (low < high) {
        uint middle = (low + high) >> 1;
        bool below = sorted(middle) < p.first + v;
        low = below ? middle + 1 : low;
        high = below ? high : middle;
    }
    start[v] = low;
}
