// The gradient of conv2d's weights by register tiles; see include/conv2d_weight.glsl.
#version 460
#include "pumice.glsl"
#include "tile.glsl"
#include "conv2d_weight.glsl"

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
    uint row = tile_row(p.log2_lanes), first = first_term(), end = end_term(), quad[TILE_COLUMNS];
    [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
        quad[j] = min(tile_quad(p.log2_lanes, j), pm_quads(p.out_channels) - 1);
    }
    place_rows(piece_row() + min(row, rows_here() - 4)); // what lies below the last row is not stored
    out_x = out_y = 0;
    x_at = x_start();

    tile_clear();
    if (IS_LATER) {
        [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) tile[i][j] = resume_sums(row + i, quad[j]);
        }
    }
    for (uint k = first; k < end; k += 4) {
        [[unroll]] for (uint u = 0; u < 4; u++) {
            load_rows(u, k + u < end);
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
                tile_b[u][j] = dy(dy_start() + min(k + u, end - 1) * pm_quads(p.out_channels) + quad[j]);
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
            store_sums(row + i, tile_quad(p.log2_lanes, j), tile[i][j]);
        }
    }
}
