// The register tile that the matrix kernels share. Each invocation computes TILE_ROWS rows of TILE_COLUMNS
// vec4s: for every four terms of the sum it fetches a few vectors of both operands, and adds four products to
// each accumulator in turn. No shared memory and no barriers, of which CPU drivers make slow code; every loop
// over registers is unrolled, or they would become memory. What varies from call to call is a push constant
// where that is free, so that a driver compiles few variants.
//
// Operands are read four neighbours at a time: rows are whole vec4s, and so is the number of terms. Matrices
// of other sizes are first copied into such rows, with zeros at the end (matmul_pad.comp). That changes no
// sum: an accumulator starts from +0 and so is never -0, and adding 0 x 0 leaves every other number as it is.
// Only the output may have rows of any length.
#ifndef PUMICE_TILE_GLSL
#define PUMICE_TILE_GLSL

layout(constant_id = 1) const uint TILE_ROWS = 16; // a multiple of 4
layout(constant_id = 2) const uint TILE_COLUMNS = 4;
layout(constant_id = 3) const bool WHOLE_QUADS = true; // the rows of the output are whole vec4s
#ifndef PM_MATRIX // which has another use for that number
layout(constant_id = 10) const uint TILE_FLAGS = 0; // 1: of PM_LANES, they lie one below the other; 2: see TILE_LEAVE
const bool LEAVES_IN_LOOP = (TILE_FLAGS & 2) != 0;
#endif

// For four terms of all rows a tile needs TILE_ROWS vec4s of A: number r is of row r, where vec4s lie along the
// terms; where they lie along the rows, number 4 q + u has rows 4 q and on, of term u. And 4 TILE_COLUMNS of B:
// number 4 j + u is column j of term u, or, where B is transposed, four terms of element u of that column.
//
// PM_LANES (NAME_lanes.comp): the lanes of a workgroup are one subgroup, in order. Either they lie side by side
// along the columns, so that all of them need the same of A, or one below the other, each with the same
// columns, so that they need the same of B. Each then fetches one in so many of those, and shows it to the
// others. Else every invocation fetches all.
#ifdef PM_LANES
#extension GL_KHR_shader_subgroup_vote : require
#include "lanes.glsl"
const bool TILES_BELOW = (TILE_FLAGS & 1) != 0;
// An invocation fetches number tile_first() and every TILE_STEP-th from there on, of B the same; what is not 1
// divides how many there are, and is a multiple of four.
const uint TILE_STEP = TILES_BELOW ? 1 : gl_WorkGroupSize.x, TILE_B_STEP = TILES_BELOW ? gl_WorkGroupSize.x : 1;
uint tile_first() { return TILES_BELOW ? 0 : gl_LocalInvocationID.x; }
uint tile_b_first() { return TILES_BELOW ? gl_LocalInvocationID.x : 0; }
const uint TILE_AHEAD = TILE_ROWS;
bool tile_any(bool is) { return subgroupAny(is); }
uint tile_shown(uint v, uint number) { return TILES_BELOW ? v : pm_show(v, number % TILE_STEP); }
float tile_shown(float v, uint number) { return TILES_BELOW ? v : pm_show(v, number % TILE_STEP); }
#else
const bool TILES_BELOW = false;
const uint TILE_STEP = 1, TILE_B_STEP = 1;
uint tile_first() { return 0; }
uint tile_b_first() { return 0; }
// So many are fetched before they are used, as the first of tile_fetched; divides TILE_ROWS.
const uint TILE_AHEAD = PM_AHEAD(TILE_ROWS, 4);
bool tile_any(bool is) { return is; }
uint tile_shown(uint v, uint number) { return v; }
float tile_shown(float v, uint number) { return v; }
#endif

// `first` goes through the tile in steps of so many.
#if defined(PM_TEXEL) || defined(PM_LANES)
#define TILE_STEPS(first) const uint first = 0; // one step, and no loop that a driver has to unroll
#else
#define TILE_STEPS(first) [[unroll]] for (uint first = 0; first < TILE_ROWS; first += TILE_AHEAD)
#endif

// What is done to each vec4 of a finished tile, leave(row, column), row by row: all unrolled, since an index that is
// not constant sends the tile to memory. For Mesa 25.0 in a loop: there it lies in memory anyway, and each store is
// eighty branches, of many of which LLVM makes code for seconds. The loop begins at a number that the driver does not
// know, or it would unroll it.
#define TILE_LEAVE(leave)                                                                                 \
    if (LEAVES_IN_LOOP) {                                                                                 \
        uint begin = gl_WorkGroupID.y, end = begin + TILE_ROWS * TILE_COLUMNS;                            \
        for (uint n = begin; n < end; n++) leave((n - begin) / TILE_COLUMNS, (n - begin) % TILE_COLUMNS); \
    } else {                                                                                              \
        [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {                                                 \
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) leave(i, j);                               \
        }                                                                                                 \
    }

const uint TILE_FETCHES = TILE_ROWS / TILE_STEP, TILE_B_FETCHES = 4 * TILE_COLUMNS / TILE_B_STEP;

vec4 tile[TILE_ROWS][TILE_COLUMNS];
vec4 tile_fetched[TILE_FETCHES], tile_b_fetched[TILE_B_FETCHES];

// The output, seen as vec4s and as elements. Where an operand is bound in parts, one dispatch each, a later
// one goes on from what the one before left in the output (tile_load): then a sum has the order, and the
// bits, that it has in one go.
#define PM_TILE_OUTPUT(b)                                    \
    PM_INOUT4(b, out_quads);                                 \
    PM_INOUT(b, out_elements);                               \
    vec4 tile_load(uint start, uint quad, uint width)        \
    {                                                        \
        if (WHOLE_QUADS) return out_quads[start / 4 + quad]; \
        vec4 v;                                              \
        PM_LOAD_INSIDE(out_elements, start, quad, width, v)  \
        return v;                                            \
    }

// Writes v to the vec4 of that number in a row of `width` elements; uses what PM_TILE_OUTPUT declares.
#define PM_TILE_STORE(row, quad, width, v)                             \
    if (WHOLE_QUADS) {                                                 \
        out_quads[(row) * ((width) / 4) + (quad)] = v;                 \
    } else {                                                           \
        PM_STORE_INSIDE(out_elements, (row) * (width), quad, width, v) \
    }

// The same in a row that begins at element `start` of the output.
#define PM_TILE_STORE_AT(start, quad, width, v)              \
    if (WHOLE_QUADS) {                                       \
        out_quads[(start) / 4 + (quad)] = v;                 \
    } else {                                                 \
        PM_STORE_INSIDE(out_elements, start, quad, width, v) \
    }

void tile_clear()
{
    [[unroll]] for (uint i = 0; i < TILE_ROWS; i++) {
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) tile[i][j] = vec4(0);
    }
}

// The vec4 of that number, or an element of it; of A, and of B.
vec4 tile_a(uint number)
{
#ifdef PM_LANES
    if (!TILES_BELOW) return pm_show(tile_fetched[number / TILE_STEP], number % TILE_STEP);
#endif
    return tile_fetched[number];
}

float tile_a(uint number, uint c)
{
#ifdef PM_LANES
    if (!TILES_BELOW) return pm_show(tile_fetched[number / TILE_STEP][c], number % TILE_STEP);
#endif
    return tile_fetched[number][c];
}

vec4 tile_b(uint number)
{
#ifdef PM_LANES
    if (TILES_BELOW) return pm_show(tile_b_fetched[number / TILE_B_STEP], number % TILE_B_STEP);
#endif
    return tile_b_fetched[number];
}

float tile_b(uint number, uint c)
{
#ifdef PM_LANES
    if (TILES_BELOW) return pm_show(tile_b_fetched[number / TILE_B_STEP][c], number % TILE_B_STEP);
#endif
    return tile_b_fetched[number][c];
}

// Four terms of a row, out of vec4s that lie along the rows.
vec4 tile_a_across(uint row)
{
    uint first = row - row % 4, c = row % 4;
    return vec4(tile_a(first, c), tile_a(first + 1, c), tile_a(first + 2, c), tile_a(first + 3, c));
}

// Column j of four terms, out of vec4s that lie along the columns, or, across, along the terms.
void tile_column(uint j, bool across, out vec4 terms[4])
{
    [[unroll]] for (uint u = 0; u < 4; u++) {
        if (across) {
            [[unroll]] for (uint c = 0; c < 4; c++) terms[u][c] = tile_b(4 * j + c, u);
        } else {
            terms[u] = tile_b(4 * j + u);
        }
    }
}

// tile[row][j] += the four products of the terms, in order.
void tile_multiply_add(uint row, uint j, vec4 a, vec4 b[4])
{
    vec4 sum = tile[row][j];
    sum = PM_MAD(vec4(a.x), b[0], sum);
    sum = PM_MAD(vec4(a.y), b[1], sum);
    sum = PM_MAD(vec4(a.z), b[2], sum);
    sum = PM_MAD(vec4(a.w), b[3], sum);
    tile[row][j] = sum;
}

// Adds the four terms that were fetched to so many rows from `first` on. What is shown is shown once.
void tile_add_terms(uint first, uint rows, bool a_across, bool b_across)
{
    vec4 b[4];
    if (TILES_BELOW) {
        [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
            tile_column(j, b_across, b);
            [[unroll]] for (uint i = 0; i < rows; i++) {
                tile_multiply_add(first + i, j, a_across ? tile_a_across(i) : tile_a(i), b);
            }
        }
    } else {
        [[unroll]] for (uint i = 0; i < rows; i++) {
            vec4 a = a_across ? tile_a_across(i) : tile_a(i);
            [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
                tile_column(j, b_across, b);
                tile_multiply_add(first + i, j, a, b);
            }
        }
    }
}

// The invocations of a workgroup lie 1 << log2_lanes wide, the others below them.
#ifdef PM_LANES
uint tile_lane(uint log2_lanes) { return TILES_BELOW ? 0 : gl_LocalInvocationID.x; }
uint tile_group_rows(uint log2_lanes) { return (TILES_BELOW ? gl_WorkGroupSize.x : 1) * TILE_ROWS; } // of a workgroup
uint tile_row(uint log2_lanes) // the first of this invocation's tile
{
    return gl_WorkGroupID.y * tile_group_rows(log2_lanes) + (TILES_BELOW ? gl_LocalInvocationID.x * TILE_ROWS : 0);
}
#else
uint tile_lane(uint log2_lanes) { return gl_LocalInvocationID.x & ((1u << log2_lanes) - 1); }
uint tile_group_rows(uint log2_lanes) { return (gl_WorkGroupSize.x >> log2_lanes) * TILE_ROWS; }
uint tile_row(uint log2_lanes)
{
    uint in_group = (gl_LocalInvocationID.x >> log2_lanes) * TILE_ROWS;
    return gl_WorkGroupID.y * tile_group_rows(log2_lanes) + in_group;
}
#endif

// Column j of this tile, in vec4s: neighbouring invocations have neighbours, if they lie side by side.
uint tile_quad(uint log2_lanes, uint j)
{
    return ((gl_WorkGroupID.x * TILE_COLUMNS + j) << log2_lanes) + tile_lane(log2_lanes);
}

// Of what this invocation fetches of B: the term of that, and its column.
uint tile_b_term(uint i) { return (tile_b_first() + i * TILE_B_STEP) % 4; }
uint tile_b_quad(uint log2_lanes, uint i) { return tile_quad(log2_lanes, (tile_b_first() + i * TILE_B_STEP) / 4); }

#endif
