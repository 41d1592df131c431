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

// For four terms of all rows a tile needs TILE_ROWS vec4s of A: number r is of row r, where vec4s lie along the
// terms; where they lie along the rows, number 4 q + u has rows 4 q and on, of term u.
//
// PM_LANES (NAME_lanes.comp): the lanes of a workgroup are one subgroup, in order, and lie side by side along the
// columns, so that all of them need the same ones. Each then fetches one in so many, and shows it to the
// others. Else every invocation fetches all.
#ifdef PM_LANES
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_KHR_shader_subgroup_vote : require
layout(constant_id = 9) const bool SHUFFLES = false; // which of two ways to show a value is the faster: rules.c
#define TILE_SHOW(type)                              \
    type tile_show(type v, uint lane)                \
    {                                                \
        if (SHUFFLES) return subgroupShuffle(v, lane); \
        return subgroupBroadcast(v, lane);           \
    }
TILE_SHOW(uint)
TILE_SHOW(float)
TILE_SHOW(vec4)
const uint TILE_STEP = gl_WorkGroupSize.x; // divides TILE_ROWS, and is a multiple of four
uint tile_first() { return gl_LocalInvocationID.x; }
const uint TILE_AHEAD = TILE_ROWS;
bool tile_any(bool is) { return subgroupAny(is); }
uint tile_shown(uint v, uint number) { return tile_show(v, number % TILE_STEP); }
#else
const uint TILE_STEP = 1;
uint tile_first() { return 0; }
// So many are fetched before they are used, as the first of tile_fetched; divides TILE_ROWS.
const uint TILE_AHEAD = PM_AHEAD(TILE_ROWS, 4);
bool tile_any(bool is) { return is; }
uint tile_shown(uint v, uint number) { return v; }
#endif

// `first` goes through the tile in steps of so many.
#if defined(PM_TEXEL) || defined(PM_LANES)
#define TILE_STEPS(first) const uint first = 0; // one step, and no loop that a driver has to unroll
#else
#define TILE_STEPS(first) [[unroll]] for (uint first = 0; first < TILE_ROWS; first += TILE_AHEAD)
#endif

// An invocation fetches number tile_first() and every TILE_STEP-th from there on.
const uint TILE_FETCHES = TILE_ROWS / TILE_STEP;

vec4 tile[TILE_ROWS][TILE_COLUMNS];
vec4 tile_fetched[TILE_FETCHES];
vec4 tile_b[4][TILE_COLUMNS];    // of four terms: the columns

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

// The vec4 of that number, or an element of it.
vec4 tile_a(uint number)
{
#ifdef PM_LANES
    return tile_show(tile_fetched[number / TILE_STEP], number % TILE_STEP);
#else
    return tile_fetched[number];
#endif
}

float tile_a(uint number, uint c)
{
#ifdef PM_LANES
    return tile_show(tile_fetched[number / TILE_STEP][c], number % TILE_STEP);
#else
    return tile_fetched[number][c];
#endif
}

// Four terms of a row, out of vec4s that lie along the rows.
vec4 tile_a_across(uint row)
{
    uint first = row - row % 4, c = row % 4;
    return vec4(tile_a(first, c), tile_a(first + 1, c), tile_a(first + 2, c), tile_a(first + 3, c));
}

// tile[row] += the four products of its terms in `a` and tile_b, in order.
void tile_multiply_add(uint row, vec4 a)
{
    [[unroll]] for (uint j = 0; j < TILE_COLUMNS; j++) {
        vec4 sum = tile[row][j];
        sum = PM_MAD(vec4(a.x), tile_b[0][j], sum);
        sum = PM_MAD(vec4(a.y), tile_b[1][j], sum);
        sum = PM_MAD(vec4(a.z), tile_b[2][j], sum);
        sum = PM_MAD(vec4(a.w), tile_b[3][j], sum);
        tile[row][j] = sum;
    }
}

// The invocations of a workgroup lie 1 << log2_lanes wide, the others below them.
#ifdef PM_LANES
uint tile_lane(uint log2_lanes) { return gl_LocalInvocationID.x; }
uint tile_group_rows(uint log2_lanes) { return TILE_ROWS; } // of a workgroup
uint tile_row(uint log2_lanes) { return gl_WorkGroupID.y * TILE_ROWS; } // the first of this invocation's tile
#else
uint tile_lane(uint log2_lanes) { return gl_LocalInvocationID.x & ((1u << log2_lanes) - 1); }
uint tile_group_rows(uint log2_lanes) { return (gl_WorkGroupSize.x >> log2_lanes) * TILE_ROWS; }
uint tile_row(uint log2_lanes)
{
    uint in_group = (gl_LocalInvocationID.x >> log2_lanes) * TILE_ROWS;
    return gl_WorkGroupID.y * tile_group_rows(log2_lanes) + in_group;
}
#endif

// Column j of this tile, in vec4s: neighbouring invocations have neighbours.
uint tile_quad(uint log2_lanes, uint j)
{
    return ((gl_WorkGroupID.x * TILE_COLUMNS + j) << log2_lanes) + tile_lane(log2_lanes);
}

#endif
