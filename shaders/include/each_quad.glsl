// Element-wise kernels: a workgroup covers PM_QUADS_PER_LANE * lanes groups of four elements, neighbouring
// lanes on neighbouring groups. runtime/ops/flat.h has the same number.
//
// `count` is the number of elements of the whole tensor; a piece of a split dispatch begins at workgroup
// p.base, and its bindings begin there too, so PM_EACH_QUAD counts from 0 in every piece. The last group of
// four may reach past the tensor: what is read there is anything, and what is written there is zero, so that
// flat passes over neighbouring tensors (gradient norm, optimiser) find zeros between them.
#ifndef PUMICE_EACH_QUAD_GLSL
#define PUMICE_EACH_QUAD_GLSL

const uint PM_QUADS_PER_LANE = 8;

#define PM_QUADS_PER_GROUP (PM_QUADS_PER_LANE * gl_WorkGroupSize.x)

// Elements of this piece and all that follow it.
#define PM_COUNT_HERE(count) ((count)-p.base * PM_QUADS_PER_GROUP * 4)

#define PM_EACH_QUAD(i, count)                                                              \
    for (uint turn = 0, i = gl_WorkGroupID.x * PM_QUADS_PER_GROUP + gl_LocalInvocationID.x; \
         turn < PM_QUADS_PER_LANE; turn++, i += gl_WorkGroupSize.x)                         \
        if (4 * i < PM_COUNT_HERE(count))

// v, with the elements past `count` set to zero.
#define PM_KEEP(v, i, count) \
    (4 * (i) + 4 <= PM_COUNT_HERE(count) ? (v) : pm_keep(v, 4 * (i), PM_COUNT_HERE(count)))

vec4 pm_keep(vec4 v, uint first, uint count)
{
    return vec4(v.x, first + 1 < count ? v.y : 0.0, first + 2 < count ? v.z : 0.0,
                first + 3 < count ? v.w : 0.0);
}

#endif
