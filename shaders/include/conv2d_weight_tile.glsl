// The gradient of conv2d's weights by register tiles; see conv2d_weight.glsl.
#include "pumice.glsl"
#include "tile.glsl"
#include "conv2d_weight.glsl"

// Of the vec4s that an invocation fetches, each is four rows, which are channels under one tap, of one term: of
// all four terms in turn, or of the one that is this lane's.
const uint TERMS = TILE_STEP == 1 ? 4 : 1;
const uint QUADS = TILE_FETCHES / TERMS, QUAD_STEP = TILE_STEP == 1 ? 1 : TILE_STEP / 4;
// Of each four rows:
int tap_y[QUADS], tap_x[QUADS]; // where the tap lies
uint tap_at[QUADS];             // and how far behind the pixel its vec4 of X is
// Of the next output pixel:
uint out_x, out_y, x_at; // x_at: where its sample of X begins

void place_rows(uint first)
{
    uint quad = first / 4, tap = quad / (p.channels / 4);
    uint channel_quad = quad - tap * (p.channels / 4);
    uint ky = tap / p.kernel_width, kx = tap - ky * p.kernel_width;
    [[unroll]] for (uint i = 0; i < QUADS; i++) {
        tap_y[i] = int(ky) - int(p.top);
        tap_x[i] = int(kx) - int(p.left);
        tap_at[i] = uint(tap_y[i] * int(p.width) + tap_x[i]) * (p.channels / 4) + channel_quad;
        [[unroll]] for (uint step = 0; step < QUAD_STEP; step++) {
            channel_quad = channel_quad + 1 == p.channels / 4 ? 0 : channel_quad + 1;
            kx = channel_quad != 0 ? kx : kx + 1 == p.kernel_width ? 0 : kx + 1;
            ky += (channel_quad | kx) != 0 ? 0 : 1;
        }
    }
}

void next_pixel()
{
    out_x = out_x + 1 == p.out_width ? 0 : out_x + 1;
    out_y = out_x != 0 ? out_y : out_y + 1 == p.out_height ? 0 : out_y + 1;
    x_at += (out_x | out_y) != 0 ? 0 : p.height * p.width * (p.channels / 4);
}

void load_rows(uint u, bool exists)
{
    int py = int(out_y * p.stride), px = int(out_x * p.stride);
    uint at = x_at + uint(py * int(p.width) + px) * (p.channels / 4);
    [[unroll]] for (uint i = 0; i < QUADS; i++) {
        bool inside = exists && uint(py + tap_y[i]) < p.height && uint(px + tap_x[i]) < p.width;
        tile_fetched[i * TERMS + u] = mix(vec4(0), PM_OPERAND(x(inside ? at + tap_at[i] : 0)), bvec4(inside));
    }
}

vec4 fetch_dy(uint pixel, uint quad) { return PM_OPERAND(dy(dy_start() + pixel * pm_quads(p.out_channels) + quad)); }

uint row; // the first of the tile

void leave(uint i, uint j) { store_sums(row + i, tile_quad(p.log2_lanes, j), tile[i][j]); }

void main()
{
    row = tile_row(p.log2_lanes);
    uint first = first_term(), end = end_term(), quad[TILE_B_FETCHES];
    [[unroll]] for (uint i = 0; i < TILE_B_FETCHES; i++) {
        quad[i] = min(tile_b_quad(p.log2_lanes, i), pm_quads(p.out_channels) - 1);
    }
    // What lies below the last row is not stored.
    place_rows(piece_row() + min(row + tile_first(), rows_here() - 4));
    uint lane_term = tile_first() % 4;
    out_x = out_y = 0;
    x_at = x_start();
    [[unroll]] for (uint u = 0; u < 4 - TERMS; u++) {
        if (u < lane_term) next_pixel();
    }

    tile_clear();
    if (IS_LATER) {
        [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
                tile[i][j] = resume_sums(row + i, tile_quad(p.log2_lanes, j));
            }
        }
    }
    // The order of the fetches is what lavapipe is fastest with, by up to a third.
    for (uint k = first; k < end; k += 4) {
        [[unroll]] for (uint i = 0; TILES_BELOW && i < TILE_B_FETCHES; i++) {
            tile_b_fetched[i] = fetch_dy(min(k + tile_b_term(i), end - 1), quad[i]);
        }
        [[unroll]] for (uint u = 0; u < 4; u++) {
            if (u < TERMS) load_rows(u, k + u + lane_term < end);
            [[unroll]] for (uint j = 0; !TILES_BELOW && j < TILE_COLUMNS; j++) {
                tile_b_fetched[4 * j + u] = fetch_dy(min(k + u, end - 1), quad[4 * j]);
            }
            next_pixel();
        }
        tile_add_terms(0, TILE_ROWS, true, false);
    }

    TILE_LEAVE(leave)
}
