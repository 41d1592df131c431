// Rows of any length, read and written four neighbours at a time: PM_ROWS(0, x) gives vec4 x(start, quad,
// width), the elements 4 quad .. 4 quad + 3 of the row of `width` elements that begins at element `start`.
//
// In the plain variant start and width are multiples of four, and that is one vec4. With PM_RAGGED they may
// be anything: four guarded reads of one element, zero beyond the end of the row.
#ifndef PUMICE_ROWS_GLSL
#define PUMICE_ROWS_GLSL

#ifdef PM_RAGGED

#define PM_ROWS(b, name)                                                           \
    PM_INPUT(b, name##_element)                                                    \
    vec4 name(uint start, uint quad, uint width)                                   \
    {                                                                              \
        vec4 v;                                                                    \
        [[unroll]] for (uint c = 0; c < 4; c++) {                                  \
            bool inside = 4 * quad + c < width;                                    \
            float element = name##_element(inside ? start + 4 * quad + c : start); \
            v[c] = inside ? element : 0.0;                                         \
        }                                                                          \
        return v;                                                                  \
    }
#define PM_ROWS_OUT(b, name) PM_OUTPUT(b, name)
#define PM_ROWS_INOUT(b, name)                                           \
    PM_INOUT(b, name);                                                   \
    vec4 name##_load(uint start, uint quad, uint width)                  \
    {                                                                    \
        vec4 v = vec4(0.0);                                              \
        [[unroll]] for (uint c = 0; c < 4; c++) {                        \
            if (4 * quad + c < width) v[c] = name[start + 4 * quad + c]; \
        }                                                                \
        return v;                                                        \
    }
#define PM_ROWS_STORE(name, start, quad, width, value) PM_STORE_INSIDE(name, start, quad, width, value)

#else

#define PM_ROWS(b, name)                         \
    PM_INPUT4(b, name##_quad)                    \
    vec4 name(uint start, uint quad, uint width) \
    {                                            \
        return name##_quad(start / 4 + quad);    \
    }
#define PM_ROWS_OUT(b, name) PM_OUTPUT4(b, name)
#define PM_ROWS_INOUT(b, name)                          \
    PM_INOUT4(b, name);                                 \
    vec4 name##_load(uint start, uint quad, uint width) \
    {                                                   \
        return name[start / 4 + quad];                  \
    }
#define PM_ROWS_STORE(name, start, quad, width, value) name[(start) / 4 + (quad)] = (value)

#endif

// v, with the components beyond the end of the row replaced.
vec4 row_pad(vec4 v, uint quad, uint width, float value)
{
#ifdef PM_RAGGED
    return mix(vec4(value), v, lessThan(uvec4(0, 1, 2, 3) + 4 * quad, uvec4(width)));
#else
    return v;
#endif
}

// The sum of the components, in their order.
float row_total(vec4 v)
{
    return ((v.x + v.y) + v.z) + v.w;
}

#endif
