// A convolution by register tiles; see conv2d.glsl.
#include "pumice.glsl"
#include "tile.glsl"
#include "conv2d.glsl"

Pixel place[TILE_FETCHES];   // of each row of which this invocation fetches X
uint x_at[TILE_FETCHES];     // where its pixel of X under the present tap begins
bool x_inside[TILE_FETCHES]; // whether there is one
uint weight_quad[TILE_COLUMNS];

// One division for the first row, then steps: divisions are slow on CPU drivers.
void place_rows(uint first, uint samples)
{
    uint spread_mask = (1u << p.log2_spread) - 1;
    uint h = (p.out_height + spread_mask) >> p.log2_spread, w = (p.out_width + spread_mask) >> p.log2_spread;
    uint residue = first / (p.chunk * h * w), in_class = first - residue * (p.chunk * h * w);
    uint s = in_class / (h * w), in_sample = in_class - s * (h * w);
    uint py = in_sample / w, px = in_sample - py * w;
    [[unroll]] for (uint i = 0; i < TILE_FETCHES; i++) {
        place[i].y = (py << p.log2_spread) + (residue >> p.log2_spread);
        place[i].x = (px << p.log2_spread) + (residue & spread_mask);
        bool exists = place[i].y < p.out_height && place[i].x < p.out_width && s < samples;
        exists = exists && residue >> (2 * p.log2_spread) == 0; // else it is below the last row
        place[i].sample_of = exists ? s : NO_SAMPLE;
        [[unroll]] for (uint step = 0; step < TILE_STEP; step++) {
            px = px + 1 == w ? 0 : px + 1;
            py = px != 0 ? py : py + 1 == h ? 0 : py + 1;
            s = (px | py) != 0 ? s : s + 1 == p.chunk ? 0 : s + 1;
            residue += (px | py | s) != 0 ? 0 : 1;
        }
    }
}

Pixel pixel_of(uint row)
{
    Pixel at = place[row / TILE_STEP];
    return Pixel(tile_shown(at.y, row), tile_shown(at.x, row), tile_shown(at.sample_of, row));
}

// Returns whether any row has a pixel under this tap.
bool place_tap(uint ky, uint kx)
{
    int spread_mask = (1 << p.log2_spread) - 1;
    bool any = false;
    [[unroll]] for (uint i = 0; i < TILE_FETCHES; i++) {
        int py = int(place[i].y * p.stride + ky) - int(p.top), px = int(place[i].x * p.stride + kx) - int(p.left);
        bool on_grid = ((py | px) & spread_mask) == 0;
        uint row = uint(py >> p.log2_spread), column = uint(px >> p.log2_spread); // of a negative: large
        x_inside[i] = on_grid && row < p.height && column < p.width && place[i].sample_of != NO_SAMPLE;
        uint pixel = ((gl_WorkGroupID.z * p.chunk + place[i].sample_of) * p.height + row) * p.width + column;
        x_at[i] = x_inside[i] ? pixel * (p.channels / 4) : 0;
        any = any || x_inside[i];
    }
    return tile_any(any);
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
        TILE_STEPS(first) {
            [[unroll]] for (uint i = 0; i < TILE_AHEAD / TILE_STEP; i++) {
                tile_fetched[i] = mix(vec4(0), x(x_at[first + i] + k / 4), bvec4(x_inside[first + i]));
            }
            [[unroll]] for (uint i = 0; i < TILE_AHEAD; i++) tile_multiply_add(first + i, tile_a(i));
        }
    }
}

void main()
{
    place_rows(tile_row(p.log2_lanes) + tile_first(), samples_here());
    [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
        weight_quad[j] = min(tile_quad(p.log2_lanes, j), pm_quads(p.out_channels) - 1);
    }

    tile_clear();
    if (IS_LATER) {
        [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
            Pixel at = pixel_of(i);
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
                tile[i][j] = resume_sums(at, tile_quad(p.log2_lanes, j));
            }
        }
    }
    for (uint ky = 0; ky < p.kernel_height; ky++) {
        for (uint kx = 0; kx < p.kernel_width; kx++) {
            uint tap = ky * p.kernel_width + kx;
            if (SOME_TAPS && (tap < p.first_tap || tap >= p.end_tap)) continue;
            if (place_tap(ky, kx)) add_tap(tap);
        }
    }

    vec4 addend[TILE_COLUMNS];
    [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) addend[j] = bias_of(weight_quad[j]);
    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        Pixel at = pixel_of(i);
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
            store_sums(at, tile_quad(p.log2_lanes, j), tile[i][j], addend[j]);
        }
    }
    for (uint i = 0; ACTIVATION != 0 && i < TILE_ROWS * TILE_COLUMNS; i++) {
        activate(tile_row(p.log2_lanes) + i / TILE_COLUMNS, tile_quad(p.log2_lanes, i % TILE_COLUMNS));
    }
}
