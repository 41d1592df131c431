// A convolution by shared-memory tiles; see include/conv2d.glsl. `spread` is 1: a tile of spread rows skips
// most taps, which blocks of terms that go over taps cannot.
#version 460
#include "pumice.glsl"
#include "tile_shared.glsl"
#include "conv2d.glsl"

// Of each square of this invocation, the corner of the window of X that its rows see, the number of that
// corner's pixel (both may lie outside), and the tap and the vec4 of channels of its next terms.
int corner_y[A_SLOTS][4], corner_x[A_SLOTS][4], corner[A_SLOTS][4];
uint tap_y[A_SLOTS], tap_x[A_SLOTS], channel_quad[A_SLOTS];
const int NO_ROW = 0x40000000; // below every image
uint weight_at[B_SLOTS];
Pixel output_pixel;

uint terms_here()
{
    return (SOME_TAPS ? p.end_tap - p.first_tap : p.kernel_height * p.kernel_width) * p.channels;
}

Pixel pixel_of(uint row)
{
    row += gl_WorkGroupID.y * BLOCK_ROWS;
    uint size = p.out_height * p.out_width, s = row / size, in_sample = row - s * size;
    uint y = in_sample / p.out_width;
    return Pixel(y, in_sample - y * p.out_width, s < samples_here() ? s : NO_SAMPLE);
}

void place_a(uint slot, uint row)
{
    [[unroll]] for (uint i = 0; i < 4; i++) {
        Pixel at = pixel_of(row + i);
        corner_y[slot][i] = int(at.y * p.stride) - int(p.top);
        corner_x[slot][i] = int(at.x * p.stride) - int(p.left);
        int first_line = int((gl_WorkGroupID.z * p.chunk + at.sample_of) * p.height);
        corner[slot][i] = (first_line + corner_y[slot][i]) * int(p.width) + corner_x[slot][i];
        if (at.sample_of == NO_SAMPLE) corner_y[slot][i] = NO_ROW;
    }
    uint quad = a_square(slot) % TERM_QUADS, taps = quad / (p.channels / 4);
    channel_quad[slot] = quad - taps * (p.channels / 4);
    if (SOME_TAPS) taps += p.first_tap;
    tap_y[slot] = taps / p.kernel_width;
    tap_x[slot] = taps - tap_y[slot] * p.kernel_width;
}

void next_a()
{
    [[unroll]] for (uint s = 0; s < A_SLOTS; s++) channel_quad[s] += TERM_QUADS;
    for (bool more = true; more;) {
        more = false;
        [[unroll]] for (uint s = 0; s < A_SLOTS; s++) {
            if (channel_quad[s] >= p.channels / 4) {
                channel_quad[s] -= p.channels / 4;
                tap_x[s] = tap_x[s] + 1 == p.kernel_width ? 0 : tap_x[s] + 1;
                tap_y[s] += tap_x[s] == 0 ? 1 : 0;
            }
            more = more || channel_quad[s] >= p.channels / 4;
        }
    }
}

void fetch_a(uint slot, uint term, out vec4 rows[4])
{
    uint beyond = terms_here();
    [[unroll]] for (uint i = 0; i < 4; i++) {
        bool inside = uint(corner_y[slot][i] + int(tap_y[slot])) < p.height && term < beyond;
        inside = inside && uint(corner_x[slot][i] + int(tap_x[slot])) < p.width;
        int pixel = corner[slot][i] + int(tap_y[slot] * p.width + tap_x[slot]);
        rows[i] = vec4(0);
        if (inside) rows[i] = x(uint(pixel) * (p.channels / 4) + channel_quad[slot]);
    }
}

void place_b(uint slot, uint quad)
{
    quad = min(gl_WorkGroupID.x * BLOCK_QUADS + quad, pm_quads(p.out_channels) - 1);
    weight_at[slot] = (SOME_TAPS ? p.weight_first : 0) + quad;
}

void fetch_b(uint slot, uint term, out vec4 terms[4])
{
    uint beyond = terms_here();
    [[unroll]] for (uint t = 0; t < 4; t++) {
        terms[t] = vec4(0);
        if (term < beyond) terms[t] = weight(weight_at[slot] + (term + t) * pm_quads(p.out_channels));
    }
}

void place_row(uint row) { output_pixel = pixel_of(row); }
vec4 resume(uint quad) { return resume_sums(output_pixel, gl_WorkGroupID.x * BLOCK_QUADS + quad); }

void finish(uint quad, vec4 sum)
{
    quad += gl_WorkGroupID.x * BLOCK_QUADS;
    store_sums(output_pixel, quad, sum, bias_of(quad));
}

void main()
{
    tile_compute(0, terms_here(), IS_LATER);
#ifndef PM_MATRIX
    for (uint i = 0; ACTIVATION != 0 && i < TILE_ROWS * TILE_COLUMNS; i++) {
        activate(gl_WorkGroupID.y * BLOCK_ROWS + block_row(i / TILE_COLUMNS),
                 gl_WorkGroupID.x * BLOCK_QUADS + block_quad(i % TILE_COLUMNS));
    }
#endif
}
