// The gradient of conv2d's weights: part[z][ky, kx, ci][co] = the sum, over the output pixels of the samples
// of chunk z in order, of X[b, y stride + ky - top, x stride + kx - left, ci] dY[b, y, x, co]. Chunks are of
// an equal number of samples that the shapes alone decide; conv2d_weight_sum.comp adds them up. X's channels
// are a multiple of four, dY has pm_quads(out_channels) vec4s. The split axis is z: all tensors are bound
// from the piece on.
//
// A chunk that cannot be bound is computed by itself, by dispatches that each see some of its samples (which
// are then the chunk), and go on from the sums that the one before left. Their split axis is y, the rows of
// the result.
#ifndef PUMICE_CONV2D_WEIGHT_GLSL
#define PUMICE_CONV2D_WEIGHT_GLSL

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

uint piece_row() { return SOME_SAMPLES ? p.base * tile_group_rows(p.log2_lanes) : 0; } // its first row
uint rows_here() { return p.kernel_height * p.kernel_width * p.channels - piece_row(); }

// The terms of the chunk: output pixels, counted from the piece's first.
uint sample_size() { return p.out_height * p.out_width; }
uint first_term() { return gl_WorkGroupID.z * p.chunk * sample_size(); }
uint end_term()
{
    uint chunk = gl_WorkGroupID.z + (SOME_SAMPLES ? 0 : p.base);
    return first_term() + min(p.chunk, p.samples - chunk * p.chunk) * sample_size();
}

// Where the first sample of X begins, and the first pixel of dY.
uint x_start()
{
    uint sample_quads = p.height * p.width * (p.channels / 4);
    return gl_WorkGroupID.z * p.chunk * sample_quads + (SOME_SAMPLES ? p.x_first : 0);
}
uint dy_start() { return SOME_SAMPLES ? p.dy_first : 0; }

// Where row `row` of this piece is, in elements.
uint row_start(uint row)
{
    uint rows = p.kernel_height * p.kernel_width * p.channels;
    return (SOME_SAMPLES ? 4 * p.part_first : 0) + (gl_WorkGroupID.z * rows + row) * p.out_channels;
}

// What a dispatch before this one left of those sums.
vec4 resume_sums(uint row, uint quad)
{
    vec4 v = vec4(0);
    if (row < rows_here() && quad < pm_quads(p.out_channels)) v = tile_load(row_start(row), quad, p.out_channels);
    return v;
}

void store_sums(uint row, uint quad, vec4 sum)
{
    if (row < rows_here() && quad < pm_quads(p.out_channels)) {
        PM_TILE_STORE_AT(row_start(row), quad, p.out_channels, sum)
    }
}

#endif
