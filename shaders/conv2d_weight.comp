// The gradient of conv2d's weights: part[z][ky, kx, ci][co] = the sum, over the output pixels of the samples
// of chunk z in order, of X[b, y stride + ky - top, x stride + kx - left, ci] dY[b, y, x, co]. Chunks are of
// an equal number of samples that the shapes alone decide; conv2d_weight_sum.comp adds them up. X's channels
// are a multiple of four, dY has pm_quads(out_channels) vec4s. The split axis is z: all tensors are bound
// from the piece on.
//
// A chunk that cannot be bound is computed by itself, by dispatches that each see some of its samples (which
// are then the chunk), and go on from the sums that the one before left. Their split axis is y, the rows of
// the result.
#version 460
#include "pumice.glsl"
#include "tile.glsl"

layout(constant_id = 4) const uint SAMPLES = 0; // whole chunks; the first of a chunk, or later ones
const bool SOME_SAMPLES = SAMPLES != 0, IS_LATER = SAMPLES == 2;

layout(push_constant) uniform Push {
    PM_PUSH_COMMON
    uint samples, chunk; // in all, and of a chunk
    uint height, width, channels;
    uint out_height, out_width, out_channels;
    uint kernel_height, kernel_width;
    uint top, left, stride;
    uint log2_lanes;
    uint x_first, dy_first, part_first; // where they begin in their bindings, in vec4s
} p;

PM_INPUT4(0, x)
PM_INPUT4(1, dy)
PM_TILE_OUTPUT(2)

// Where row `row` of this piece is, in elements.
uint row_start(uint row)
{
    uint rows = p.kernel_height * p.kernel_width * p.channels;
    return (SOME_SAMPLES ? 4 * p.part_first : 0) + (gl_WorkGroupID.z * rows + row) * p.out_channels;
}

const uint ROW_QUADS = TILE_ROWS / 4;
// Of each four rows of the tile, which are channels under one tap:
int tap_y[ROW_QUADS], tap_x[ROW_QUADS]; // where the tap lies
uint tap_at[ROW_QUADS];                 // and how far behind the pixel its vec4 of X is
// Of the next output pixel:
uint out_x, out_y, x_at; // x_at: where its sample of X begins

void place_rows(uint first)
{
    uint quad = first / 4, tap = quad / (p.channels / 4);
    uint channel_quad = quad - tap * (p.channels / 4);
    uint ky = tap / p.kernel_width, kx = tap - ky * p.kernel_width;
    [[unroll]] for (uint i = 0; i < ROW_QUADS; i++) {
        tap_y[i] = int(ky) - int(p.top);
        tap_x[i] = int(kx) - int(p.left);
        tap_at[i] = uint(tap_y[i] * int(p.width) + tap_x[i]) * (p.channels / 4) + channel_quad;
        channel_quad = channel_quad + 1 == p.channels / 4 ? 0 : channel_quad + 1;
        kx = channel_quad != 0 ? kx : kx + 1 == p.kernel_width ? 0 : kx + 1;
        ky += (channel_quad | kx) != 0 ? 0 : 1;
    }
}

void next_pixel()
{
    out_x = out_x + 1 == p.out_width ? 0 : out_x + 1;
    out_y = out_x != 0 ? out_y : out_y + 1 == p.out_height ? 0 : out_y + 1;
    x_at += (out_x | out_y) != 0 ? 0 : p.height * p.width * (p.channels / 4);
}

vec4 rows[ROW_QUADS][4]; // of each four rows, the next four terms

void load_rows(uint u, bool exists)
{
    int py = int(out_y * p.stride), px = int(out_x * p.stride);
    uint at = x_at + uint(py * int(p.width) + px) * (p.channels / 4);
    [[unroll]] for (uint i = 0; i < ROW_QUADS; i++) {
        bool inside = exists && uint(py + tap_y[i]) < p.height && uint(px + tap_x[i]) < p.width;
        rows[i][u] = mix(vec4(0), x(inside ? at + tap_at[i] : 0), bvec4(inside));
    }
}

void main()
{
    uint rows_in_all = p.kernel_height * p.kernel_width * p.channels;
    uint piece = SOME_SAMPLES ? p.base * tile_group_rows(p.log2_lanes) : 0; // its first row
    uint row = tile_row(p.log2_lanes), sample_size = p.out_height * p.out_width;
    uint chunk = gl_WorkGroupID.z + (SOME_SAMPLES ? 0 : p.base);
    uint samples = min(p.chunk, p.samples - chunk * p.chunk), rows_here = rows_in_all - piece;
    uint first = gl_WorkGroupID.z * p.chunk * sample_size, end = first + samples * sample_size;
    uint dy_first = SOME_SAMPLES ? p.dy_first : 0, quad[TILE_COLUMNS];
    [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
        quad[j] = min(tile_quad(p.log2_lanes, j), pm_quads(p.out_channels) - 1);
    }
    place_rows(piece + min(row, rows_here - 4)); // what lies below the last row is not stored
    out_x = out_y = 0;
    x_at = gl_WorkGroupID.z * p.chunk * p.height * p.width * (p.channels / 4);
    if (SOME_SAMPLES) x_at += p.x_first;

    tile_clear();
    if (IS_LATER) {
        [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
                if (row + i < rows_here) tile[i][j] = tile_load(row_start(row + i), quad[j], p.out_channels);
            }
        }
    }
    for (uint k = first; k < end; k += 4) {
        [[unroll]] for (uint u = 0; u < 4; u++) {
            load_rows(u, k + u < end);
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
                tile_b[u][j] = dy(dy_first + min(k + u, end - 1) * pm_quads(p.out_channels) + quad[j]);
            }
            next_pixel();
        }
        [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
            [[unroll]] for (uint u = 0; u < 4; u++) tile_a[i % TILE_AHEAD][u] = rows[i / 4][u][i % 4];
            tile_multiply_add(i);
        }
    }

    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
            if (row + i < rows_here && tile_quad(p.log2_lanes, j) < pm_quads(p.out_channels)) {
                PM_TILE_STORE_AT(row_start(row + i), quad[j], p.out_channels, tile[i][j])
            }
        }
    }
}
