// The second pass of the gradient of conv2d's weights: adds the chunks of conv2d_weight.comp in order, and
// drops the channels that padding added: parts [chunks, taps, channels_in, 4 quads] -> [taps, channels_out,
// width]. The rows of the result are [taps, channels_out], and are cut along y.
#version 460
#define PM_WINDOW_ID 4
#include "pumice.glsl"
#include "slab.glsl"
#include "tile.glsl"
#include "window.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    PM_PUSH_SLAB
    PM_PUSH_WINDOW
    uint count; // vec4s of a chunk
    uint chunks;
    pm_divisor quads, channels_out;
    uint channels_in, width;
} p;

PM_INPUT4(0, parts)
PM_TILE_OUTPUT(1)

void main()
{
    uint first = PM_SLAB_FIRST, here = PM_SLAB_HERE;
    pm_divisor quads = p.quads, channels_out = p.channels_out;
    PM_EACH_UNIT(i)
    {
        uint row = pm_quotient(first + i, quads), quad = first + i - row * quads.n;
        uint row_here = pm_quotient(here + i, quads);
        uint tap = pm_quotient(row, channels_out), channel = row - tap * channels_out.n;
        uint at = (tap * p.channels_in + channel) * quads.n + quad;
        vec4 sum = vec4(0.0); // which + 0 does not change, as no part is -0
        if (IN_WINDOWS) {
            if (IS_LATER) sum = tile_load(row_here * p.width, quad, p.width);
            for (uint chunk = 0; chunk < p.chunks; chunk++, at += p.count) {
                if (PM_IN_WINDOW(at)) sum += parts(at - p.window_begin);
            }
        } else {
            for (uint chunk = 0; chunk < p.chunks; chunk++, at += p.count) sum += parts(at);
        }
        PM_TILE_STORE(row_here, quad, p.width, sum)
    }
}
