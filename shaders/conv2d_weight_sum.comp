// The second pass of the gradient of conv2d's weights: adds the chunks of conv2d_weight.comp in order, and
// drops the channels that padding added: parts [chunks, taps, channels_in, 4 quads] -> [taps, channels_out,
// width].
#version 460
#include "pumice.glsl"
#include "tile.glsl"
#include "divisor.glsl"

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint count; // vec4s of a chunk
    uint chunks;
    pm_divisor quads, channels_in;
    uint channels_out, width;
} p;

PM_INPUT4(0, parts)
PM_TILE_OUTPUT(1)

void main()
{
    uint i = PM_INVOCATION;
    if (i < p.count) {
        vec4 sum = parts(i);
        for (uint chunk = 1; chunk < p.chunks; chunk++) sum += parts(chunk * p.count + i);
        uint row = pm_quotient(i, p.quads), quad = i - row * p.quads.n;
        uint tap = pm_quotient(row, p.channels_in), channel = row - tap * p.channels_in.n;
        if (channel < p.channels_out) {
            PM_TILE_STORE(tap * p.channels_out + channel, quad, p.width, sum)
        }
    }
}
