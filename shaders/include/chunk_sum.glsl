// The first stage of a long sum: a workgroup of 64 lanes covers a chunk of 8192 elements, and each lane
// leaves one partial sum, of groups of four that lie 64 groups apart. So the order is one of the length, on
// every device. runtime/ops/chunk_sum.h has the same numbers.
//
// As in each_quad.glsl, `count` is of the whole tensor, and i counts from the beginning of a piece.
#ifndef PUMICE_CHUNK_SUM_GLSL
#define PUMICE_CHUNK_SUM_GLSL

const uint PM_CHUNK_LANES = 64;
const uint PM_CHUNK_TURNS = 32;
const uint PM_CHUNK_QUADS = PM_CHUNK_LANES * PM_CHUNK_TURNS;

#define PM_CHUNK_COUNT_HERE(count) ((count)-p.base * PM_CHUNK_QUADS * 4)

#define PM_EACH_CHUNK_QUAD(i, count)                                                    \
    for (uint turn = 0, i = gl_WorkGroupID.x * PM_CHUNK_QUADS + gl_LocalInvocationID.x; \
         turn < PM_CHUNK_TURNS; turn++, i += PM_CHUNK_LANES)                            \
        if (4 * i < PM_CHUNK_COUNT_HERE(count))

// v, with the elements past `count` set to zero.
#define PM_CHUNK_KEEP(v, i, count) \
    mix(vec4(0.0), v, lessThan(4 * uvec4(i) + uvec4(0, 1, 2, 3), uvec4(PM_CHUNK_COUNT_HERE(count))))

// The number of this lane's partial sum, counted from the beginning of a piece.
#define PM_CHUNK_PARTIAL (gl_WorkGroupID.x * PM_CHUNK_LANES + gl_LocalInvocationID.x)

#endif
