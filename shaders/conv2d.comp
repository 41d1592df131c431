// Y = X * W (+ bias) (+ per-sample) (+ residual), a cross-correlation of X [B, H, W, Cin] with weights [kh,
// kw, Cin, Cout] into Y [B, Ho, Wo, Cout]: a matrix product whose rows are output pixels and whose terms are
// (ky, kx, ci), added in that order from +0, whatever the tile; then the bias of the channel, then the
// sample's own addend, then the residual.
//
// Output pixel (y, x) sees, under tap (ky, kx), the point (y stride + ky - top, x stride + kx - left) of X
// spread out by `spread`: X itself when that is 1. The data gradient of a convolution of stride s is a
// convolution of stride 1 of the output's gradient, spread by s, with the kernel that conv2d_flip.comp turns
// round. Then only every s-th tap of an axis meets a pixel, the same ones for all y of equal y % s; rows are
// therefore ordered by (y % spread, x % spread) first, so that a tile skips its empty taps.
//
// Cin is a multiple of four. Cout counts Y's channels; all other tensors have pm_quads(Cout) vec4s.
#version 460
#include "pumice.glsl"
#include "tile.glsl"

layout(constant_id = 4) const uint PER_SAMPLE = 0; // not there, bound whole, bound from the piece on
layout(constant_id = 5) const bool HAS_RESIDUAL = false;
// Weights above the device's storage range are bound some taps at a time, one dispatch each: all taps, the
// first or later ones, whose sums go on from what Y holds.
layout(constant_id = 6) const uint TAPS = 0;
const bool SOME_TAPS = TAPS != 0, IS_LATER = TAPS == 2;

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

// Of each row of the tile: its output pixel, and its sample, counted from the chunk's first; NO_SAMPLE if
// there is no such row.
uint out_y[TILE_ROWS], out_x[TILE_ROWS], sample_of[TILE_ROWS];
const uint NO_SAMPLE = 0xffffffffu;
uint x_at[TILE_ROWS];     // where its pixel of X under the present tap begins
bool x_inside[TILE_ROWS]; // whether there is one
uint weight_quad[TILE_COLUMNS];

// One division for the first row, then steps: divisions are slow on CPU drivers.
void place_rows(uint first, uint samples)
{
    uint spread_mask = (1u << p.log2_spread) - 1;
    uint h = (p.out_height + spread_mask) >> p.log2_spread, w = (p.out_width + spread_mask) >> p.log2_spread;
    uint residue = first / (p.chunk * h * w), in_class = first - residue * (p.chunk * h * w);
    uint s = in_class / (h * w), in_sample = in_class - s * (h * w);
    uint py = in_sample / w, px = in_sample - py * w;
    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        out_y[i] = (py << p.log2_spread) + (residue >> p.log2_spread);
        out_x[i] = (px << p.log2_spread) + (residue & spread_mask);
        bool exists = out_y[i] < p.out_height && out_x[i] < p.out_width && s < samples;
        exists = exists && residue >> (2 * p.log2_spread) == 0; // else it is below the last row
        sample_of[i] = exists ? s : NO_SAMPLE;
        px = px + 1 == w ? 0 : px + 1;
        py = px != 0 ? py : py + 1 == h ? 0 : py + 1;
        s = (px | py) != 0 ? s : s + 1 == p.chunk ? 0 : s + 1;
        residue += (px | py | s) != 0 ? 0 : 1;
    }
}

// Returns whether any row has a pixel under this tap.
bool place_tap(uint ky, uint kx)
{
    int spread_mask = (1 << p.log2_spread) - 1;
    bool any = false;
    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        int py = int(out_y[i] * p.stride + ky) - int(p.top), px = int(out_x[i] * p.stride + kx) - int(p.left);
        bool on_grid = ((py | px) & spread_mask) == 0;
        uint row = uint(py >> p.log2_spread), column = uint(px >> p.log2_spread); // of a negative: large
        x_inside[i] = on_grid && row < p.height && column < p.width && sample_of[i] != NO_SAMPLE;
        uint pixel = ((gl_WorkGroupID.z * p.chunk + sample_of[i]) * p.height + row) * p.width + column;
        x_at[i] = x_inside[i] ? pixel * (p.channels / 4) : 0;
        any = any || x_inside[i];
    }
    return any;
}

void add_tap(uint tap)
{
    uint weight_at = (SOME_TAPS ? tap - p.first_tap : tap) * p.channels * pm_quads(p.out_channels);
    if (SOME_TAPS) weight_at += p.weight_first;
    for (uint k = 0; k < p.channels; k += 4) {
        [[unroll]] for (uint u = 0; u < 4; u++) {
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
                tile_b[u][j] = weight(weight_at + (k + u) * pm_quads(p.out_channels) + weight_quad[j]);
            }
        }
        [[unroll]] for (uint first = 0; first < TILE_ROWS; first += TILE_AHEAD) {
            [[unroll]] for (uint i = 0; i < TILE_AHEAD; i++) {
                tile_a[i] = mix(vec4(0), x(x_at[first + i] + k / 4), bvec4(x_inside[first + i]));
            }
            [[unroll]] for (uint i = 0; i < TILE_AHEAD; i++) tile_multiply_add(first + i);
        }
    }
}

// The number of the output pixel of row i, counted from the piece's first.
uint pixel_of(uint i)
{
    return ((gl_WorkGroupID.z * p.chunk + sample_of[i]) * p.out_height + out_y[i]) * p.out_width + out_x[i];
}

void load()
{
    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
            uint quad = tile_quad(p.log2_lanes, j);
            if (sample_of[i] != NO_SAMPLE && quad < pm_quads(p.out_channels)) {
                tile[i][j] = tile_load(pixel_of(i) * p.out_channels, quad, p.out_channels);
            }
        }
    }
}

void store()
{
    vec4 addend[TILE_COLUMNS];
    [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
        addend[j] = vec4(0);
        if ((p.flags & HAS_BIAS) != 0) addend[j] = bias(weight_quad[j]);
    }
    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        uint of_piece = gl_WorkGroupID.z * p.chunk + sample_of[i], pixel = pixel_of(i);
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
            uint quad = tile_quad(p.log2_lanes, j);
            if (sample_of[i] != NO_SAMPLE && quad < pm_quads(p.out_channels)) {
                vec4 v = tile[i][j] + addend[j]; // a sum is never -0, which + 0 would change
                uint whole = PER_SAMPLE == 1 ? p.base * p.chunk + of_piece : of_piece;
                if (PER_SAMPLE != 0) v += per_sample(whole * pm_quads(p.out_channels) + quad);
                if (HAS_RESIDUAL) v += residual(pixel * pm_quads(p.out_channels) + quad);
                PM_TILE_STORE(pixel, quad, p.out_channels, v)
            }
        }
    }
}

void main()
{
    uint samples = min(p.chunk, p.samples - (p.base + gl_WorkGroupID.z) * p.chunk);
    place_rows(tile_row(p.log2_lanes), samples);
    [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
        weight_quad[j] = min(tile_quad(p.log2_lanes, j), pm_quads(p.out_channels) - 1);
    }

    tile_clear();
    if (IS_LATER) load();
    for (uint ky = 0; ky < p.kernel_height; ky++) {
        for (uint kx = 0; kx < p.kernel_width; kx++) {
            uint tap = ky * p.kernel_width + kx;
            if (SOME_TAPS && (tap < p.first_tap || tap >= p.end_tap)) continue;
            if (place_tap(ky, kx)) add_tap(tap);
        }
    }
    store();
}
