// A convolution by register tiles; see conv2d.glsl.
#include "pumice.glsl"
#include "tile.glsl"
#include "conv2d.glsl"

Pixel place[TILE_FETCHES];   // of each row of which this invocation fetches X
uint x_at[TILE_FETCHES];     // where its pixel of X under the present tap begins
bool x_inside[TILE_FETCHES]; // whether there is one
uint weight_quad[TILE_B_FETCHES];

// The point of X, or of X spread out, that the first tap of a row sees; and where that begins in X itself, were it
// there. In lanes they are kept, since lavapipe places taps more often than there are some; GPUs have no registers
// for them.
#ifdef PM_LANES
const bool IN_LINE = !IS_SPREAD;
int corner_y[TILE_FETCHES], corner_x[TILE_FETCHES];
uint corner_at[TILE_FETCHES];
#define CORNER_Y(i) corner_y[i]
#define CORNER_X(i) corner_x[i]
#define CORNER_AT(i) corner_at[i]
#else
const bool IN_LINE = false;
#define CORNER_Y(i) (int(place[i].y * p.stride) - int(p.top))
#define CORNER_X(i) (int(place[i].x * p.stride) - int(p.left))
#define CORNER_AT(i) 0
#endif

// In vec4s, of a sample counted from the chunk's first.
uint pixel_at(uint s, uint y, uint x)
{
    return (((gl_WorkGroupID.z * p.chunk + s) * p.height + y) * p.width + x) * (p.channels / 4);
}

// A row by what it is counted by: pixels of equal y and x % spread (residue) come one after the other, h x w of each
// of the chunk's samples.
struct Walk {
    uint px, py, s, residue, h, w;
};

// One division for the first row, then steps: divisions are slow on CPU drivers.
Walk walk_from(uint row)
{
    Walk at;
    uint spread_mask = (1u << p.log2_spread) - 1;
    at.h = (p.out_height + spread_mask) >> p.log2_spread;
    at.w = (p.out_width + spread_mask) >> p.log2_spread;
    at.residue = row / (p.chunk * at.h * at.w);
    uint in_class = row - at.residue * (p.chunk * at.h * at.w);
    at.s = in_class / (at.h * at.w);
    uint in_sample = in_class - at.s * (at.h * at.w);
    at.py = in_sample / at.w;
    at.px = in_sample - at.py * at.w;
    return at;
}

void walk_on(inout Walk at)
{
    at.px = at.px + 1 == at.w ? 0 : at.px + 1;
    at.py = at.px != 0 ? at.py : at.py + 1 == at.h ? 0 : at.py + 1;
    at.s = (at.px | at.py) != 0 ? at.s : at.s + 1 == p.chunk ? 0 : at.s + 1;
    at.residue += (at.px | at.py | at.s) != 0 ? 0 : 1;
}

Pixel walked_to(Walk at)
{
    Pixel pixel;
    pixel.y = (at.py << p.log2_spread) + (at.residue >> p.log2_spread);
    pixel.x = (at.px << p.log2_spread) + (at.residue & ((1u << p.log2_spread) - 1));
    bool exists = pixel.y < p.out_height && pixel.x < p.out_width && at.s < samples_here();
    exists = exists && at.residue >> (2 * p.log2_spread) == 0; // else it is below the last row
    pixel.sample_of = exists ? at.s : NO_SAMPLE;
    return pixel;
}

void place_rows(uint first)
{
    Walk at = walk_from(first);
    [[unroll]] for (uint i = 0; i < TILE_FETCHES; i++) {
        place[i] = walked_to(at);
#ifdef PM_LANES
        corner_y[i] = int(place[i].y * p.stride) - int(p.top);
        corner_x[i] = int(place[i].x * p.stride) - int(p.left);
        corner_at[i] = pixel_at(at.s, uint(corner_y[i]), uint(corner_x[i]));
#endif
        [[unroll]] for (uint step = 0; step < TILE_STEP; step++) walk_on(at);
    }
}

Pixel pixel_of(uint row)
{
    Pixel at = place[row / TILE_STEP];
    return Pixel(tile_shown(at.y, row), tile_shown(at.x, row), tile_shown(at.sample_of, row));
}

uint tap, tap_y, tap_x; // the present tap

void next_tap(bool really)
{
    if (really) tap++;
    if (really) tap_x = tap_x + 1 == p.kernel_width ? 0 : tap_x + 1;
    if (really && tap_x == 0) tap_y++;
}

// Returns whether any row has a pixel under the tap.
bool place_tap()
{
    int spread_mask = (1 << p.log2_spread) - 1;
    uint tap_at = (tap_y * p.width + tap_x) * (p.channels / 4);
    bool any = false;
    [[unroll]] for (uint i = 0; i < TILE_FETCHES; i++) {
        int y = CORNER_Y(i) + int(tap_y), x = CORNER_X(i) + int(tap_x);
        bool on_grid = IN_LINE || ((y | x) & spread_mask) == 0;
        uint row = uint(IN_LINE ? y : y >> p.log2_spread), column = uint(IN_LINE ? x : x >> p.log2_spread);
        bool inside = on_grid && row < p.height && column < p.width; // of a negative: large
        x_inside[i] = inside && place[i].sample_of != NO_SAMPLE;
        uint at = IN_LINE ? CORNER_AT(i) + tap_at : pixel_at(place[i].sample_of, row, column);
        x_at[i] = x_inside[i] ? at : 0;
        any = any || x_inside[i];
    }
    return tile_any(any);
}

// Goes on, from the present tap, to one under which any row has a pixel.
void find_tap(uint end)
{
    bool found = false;
    while (tap < end && !found) {
        found = place_tap();
        next_tap(!found);
    }
}

// Of the present tap and four channels.
void add_terms(uint k)
{
    uint weight_at = (SOME_TAPS ? tap - p.first_tap : tap) * p.channels * pm_quads(p.out_channels);
    if (SOME_TAPS) weight_at += p.weight_first;
    [[unroll]] for (uint i = 0; i < TILE_B_FETCHES; i++) {
        uint term = k + tile_b_term(i);
        tile_b_fetched[i] = PM_OPERAND(weight(weight_at + term * pm_quads(p.out_channels) + weight_quad[i]));
    }
    TILE_STEPS(first) {
        [[unroll]] for (uint i = 0; i < TILE_AHEAD / TILE_STEP; i++) {
            tile_fetched[i] = mix(vec4(0), PM_OPERAND(x(x_at[first + i] + k / 4)), bvec4(x_inside[first + i]));
        }
        tile_add_terms(first, TILE_AHEAD, false, false);
    }
}

vec4 addend[TILE_COLUMNS];
Pixel left_at; // the pixel of the row that leaves
Walk leaving;  // in a loop: where the next one is

void leave(uint i, uint j)
{
    if (!LEAVES_IN_LOOP) {
        left_at = pixel_of(i);
    } else if (j == 0) {
        left_at = walked_to(leaving);
        walk_on(leaving);
    }
    store_sums(left_at, tile_quad(p.log2_lanes, j), tile[i][j], addend[j]);
}

void main()
{
    place_rows(tile_row(p.log2_lanes) + tile_first());
    [[unroll]] for (uint i = 0; i < TILE_B_FETCHES; i++) {
        weight_quad[i] = min(tile_b_quad(p.log2_lanes, i), pm_quads(p.out_channels) - 1);
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
    uint end_tap = SOME_TAPS ? p.end_tap : p.kernel_height * p.kernel_width, k = 0;
    tap = SOME_TAPS ? p.first_tap : 0;
    tap_y = tap / p.kernel_width;
    tap_x = tap - tap_y * p.kernel_width;
#ifdef PM_LANES
    // One loop, and its latest branch at the beginning: of nested ones lavapipe copies the whole tile whenever the
    // inner one begins or ends, and of one with a branch behind the sums in every round.
    for (;;) {
        if (k == 0) find_tap(end_tap);
        if (tap >= end_tap) break;
        add_terms(k);
        k = k + 4 == p.channels ? 0 : k + 4;
        next_tap(k == 0);
    }
#else
    // Where the tile stays in registers nothing is copied.
    for (tap_y = 0; tap_y < p.kernel_height; tap_y++) {
        for (tap_x = 0; tap_x < p.kernel_width; tap_x++) {
            tap = tap_y * p.kernel_width + tap_x;
            if (SOME_TAPS && (tap < p.first_tap || tap >= p.end_tap)) continue;
            if (!place_tap()) continue;
            for (k = 0; k < p.channels; k += 4) add_terms(k);
        }
    }
#endif

    [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) addend[j] = bias_of(tile_quad(p.log2_lanes, j));
    if (LEAVES_IN_LOOP) leaving = walk_from(tile_row(p.log2_lanes));
    TILE_LEAVE(leave)
    for (uint i = 0; ACTIVATION != 0 && i < TILE_ROWS * TILE_COLUMNS; i++) {
        activate(tile_row(p.log2_lanes) + i / TILE_COLUMNS, tile_quad(p.log2_lanes, i % TILE_COLUMNS));
    }
}
