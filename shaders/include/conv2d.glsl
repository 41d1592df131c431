// Y = X * W (+ bias) (+ per-sample) (+ residual), a cross-correlation of X [B, H, W, Cin] with weights [kh,
// kw, Cin, Cout] into Y [B, Ho, Wo, Cout]: a matrix product whose rows are output pixels and whose terms are
// (ky, kx, ci), added in that order from +0, whatever the tile; then the bias of the channel, then the
// sample's own addend, then the residual, then an activation (epilogue.glsl; no gate).
//
// Output pixel (y, x) sees, under tap (ky, kx), the point (y stride + ky - top, x stride + kx - left) of X
// spread out by `spread`: X itself when that is 1. The data gradient of a convolution of stride s is a
// convolution of stride 1 of the output's gradient, spread by s, with the kernel that conv2d_flip.comp turns
// round. Then only every s-th tap of an axis meets a pixel, the same ones for all y of equal y % s; rows are
// therefore ordered by (y % spread, x % spread) first, so that a tile skips its empty taps.
//
// Cin is a multiple of four. Cout counts Y's channels; all other tensors have pm_quads(Cout) vec4s.
#ifndef PUMICE_CONV2D_GLSL
#define PUMICE_CONV2D_GLSL

#define PM_EPILOGUE_ID 5
#include "epilogue.glsl"

layout(constant_id = 4) const uint PER_SAMPLE = 0; // not there, bound whole, bound from the piece on
// Weights above the device's storage range are bound some taps at a time, one dispatch each: all taps, the
// first or later ones, whose sums go on from what Y holds. In lanes 4 is added where `spread` is not 1.
layout(constant_id = 6) const uint TAPS = 0;
const bool SOME_TAPS = (TAPS & 3) != 0, IS_LATER = (TAPS & 3) == 2, IS_SPREAD = (TAPS & 4) != 0;

const uint HAS_BIAS = 1;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    // z runs over chunks of samples, and is the split axis: X, Y and residual are bound from the piece on.
    uint samples, chunk;
    uint height, width, channels;             // of X
    uint out_height, out_width, out_channels; // of Y
    uint kernel_height, kernel_width;
    uint top, left, stride, log2_spread;
    uint log2_lanes, flags;
    uint first_tap, end_tap, weight_first; // weight_first: where the first is in its binding, in vec4s
} p;

PM_INPUT4(0, x)
PM_INPUT4(1, weight)
PM_INPUT4(2, bias)
PM_INPUT4(3, per_sample)
PM_INPUT4(4, residual)
PM_TILE_OUTPUT(5)

// A row: its output pixel, and its sample, counted from the chunk's first; NO_SAMPLE if there is no such row.
struct Pixel {
    uint y, x, sample_of;
};
const uint NO_SAMPLE = 0xffffffffu;

uint samples_here() { return min(p.chunk, p.samples - (p.base + gl_WorkGroupID.z) * p.chunk); }

// Counted from the piece's first.
uint number_of(Pixel at)
{
    return ((gl_WorkGroupID.z * p.chunk + at.sample_of) * p.out_height + at.y) * p.out_width + at.x;
}

vec4 bias_of(uint quad)
{
    vec4 v = vec4(0);
    if ((p.flags & HAS_BIAS) != 0) v = bias(min(quad, pm_quads(p.out_channels) - 1));
    return v;
}

// What a dispatch before this one left of the sums of those channels of a pixel.
vec4 resume_sums(Pixel at, uint quad)
{
    vec4 v = vec4(0);
    if (at.sample_of != NO_SAMPLE && quad < pm_quads(p.out_channels)) {
        v = tile_load(number_of(at) * p.out_channels, quad, p.out_channels);
    }
    return v;
}

// `addend` is bias_of(quad); a sum is never -0, which + 0 would change.
void store_sums(Pixel at, uint quad, vec4 sum, vec4 addend)
{
    if (at.sample_of != NO_SAMPLE && quad < pm_quads(p.out_channels)) {
        vec4 v = sum + addend;
        uint of_piece = gl_WorkGroupID.z * p.chunk + at.sample_of, pixel = number_of(at);
        uint whole = PER_SAMPLE == 1 ? p.base * p.chunk + of_piece : of_piece;
        if (PER_SAMPLE != 0) v += per_sample(whole * pm_quads(p.out_channels) + quad);
        if (HAS_RESIDUAL) v += residual(pixel * pm_quads(p.out_channels) + quad);
        if (ACTIVATES_IN_PLACE) v = pm_activation(ACTIVATION, v);
        PM_TILE_STORE(pixel, quad, p.out_channels, v)
    }
}

// Of what store_sums has written: `row` counts the chunk's pixels, of which with spread 1 none are left out.
void activate(uint row, uint quad)
{
    uint pixels = p.out_height * p.out_width;
    if (row < samples_here() * pixels && quad < pm_quads(p.out_channels)) {
        uint start = (gl_WorkGroupID.z * p.chunk * pixels + row) * p.out_channels;
        PM_TILE_STORE_AT(start, quad, p.out_channels,
                         pm_activation(ACTIVATION, tile_load(start, quad, p.out_channels)))
    }
}

#endif
