// The gradient of conv2d's weights by shared-memory tiles; see include/conv2d_weight.glsl.
#version 460
#include "pumice.glsl"
#include "tile_shared.glsl"
#include "conv2d_weight.glsl"

// Of each square of this invocation: where the tap of its rows lies, and how far behind a pixel its vec4 of X
// is; its next output pixel, and where that pixel's sample of X begins.
int tap_y[A_SLOTS], tap_x[A_SLOTS];
uint tap_at[A_SLOTS], out_y[A_SLOTS], out_x[A_SLOTS], x_at[A_SLOTS];
uint dy_at[B_SLOTS];
uint output_row;

uint x_size() { return p.height * p.width * (p.channels / 4); }

void place_a(uint slot, uint row)
{
    // What lies below the last row is not stored.
    uint quad = (piece_row() + min(gl_WorkGroupID.y * BLOCK_ROWS + row, rows_here() - 4)) / 4;
    uint tap = quad / (p.channels / 4), ky = tap / p.kernel_width;
    tap_y[slot] = int(ky) - int(p.top);
    tap_x[slot] = int(tap - ky * p.kernel_width) - int(p.left);
    tap_at[slot] = uint(tap_y[slot] * int(p.width) + tap_x[slot]) * (p.channels / 4);
    tap_at[slot] += quad - tap * (p.channels / 4);

    uint term = 4 * (a_square(slot) % TERM_QUADS), samples = term / sample_size();
    uint in_sample = term - samples * sample_size();
    out_y[slot] = in_sample / p.out_width;
    out_x[slot] = in_sample - out_y[slot] * p.out_width;
    x_at[slot] = x_start() + samples * x_size();
}

// Goes on with the next line of the image, where out_x is at the end of one.
void end_line(uint slot)
{
    out_x[slot] -= p.out_width;
    out_y[slot] = out_y[slot] + 1 == p.out_height ? 0 : out_y[slot] + 1;
    x_at[slot] += out_y[slot] == 0 ? x_size() : 0;
}

void fetch_a(uint slot, uint term, out vec4 rows[4])
{
    [[unroll]] for (uint t = 0; t < 4; t++) {
        int py = int(out_y[slot] * p.stride), px = int(out_x[slot] * p.stride);
        bool inside = uint(py + tap_y[slot]) < p.height && uint(px + tap_x[slot]) < p.width;
        vec4 v = vec4(0);
        if (inside && term + t < end_term()) {
            v = x(x_at[slot] + uint(py * int(p.width) + px) * (p.channels / 4) + tap_at[slot]);
        }
        [[unroll]] for (uint i = 0; i < 4; i++) rows[i][t] = v[i];
        out_x[slot]++;
        if (out_x[slot] == p.out_width) end_line(slot);
    }
}

void next_a()
{
    [[unroll]] for (uint s = 0; s < A_SLOTS; s++) out_x[s] += BLOCK_TERMS - 4; // the squares beside this one
    for (bool more = true; more;) {
        more = false;
        [[unroll]] for (uint s = 0; s < A_SLOTS; s++) {
            if (out_x[s] >= p.out_width) end_line(s);
            more = more || out_x[s] >= p.out_width;
        }
    }
}

void place_b(uint slot, uint quad)
{
    dy_at[slot] = dy_start() + min(gl_WorkGroupID.x * BLOCK_QUADS + quad, pm_quads(p.out_channels) - 1);
}

void fetch_b(uint slot, uint term, out vec4 terms[4])
{
    [[unroll]] for (uint t = 0; t < 4; t++) {
        terms[t] = vec4(0);
        if (term + t < end_term()) terms[t] = dy(dy_at[slot] + (term + t) * pm_quads(p.out_channels));
    }
}

void place_row(uint row) { output_row = gl_WorkGroupID.y * BLOCK_ROWS + row; }
vec4 resume(uint quad) { return resume_sums(output_row, gl_WorkGroupID.x * BLOCK_QUADS + quad); }
void finish(uint quad, vec4 sum) { store_sums(output_row, gl_WorkGroupID.x * BLOCK_QUADS + quad, sum); }

void main() { tile_compute(first_term(), end_term(), IS_LATER); }
