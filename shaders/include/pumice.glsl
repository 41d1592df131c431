// What every shader of Pumice includes: how it names its inputs and outputs, and the one difference between
// the precisions `exact` and `f32`.
//
// A shader is compiled four times: {storage, texel} x {exact, f32}.
//   PM_TEXEL  inputs are uniform texel buffers, which CPU drivers make far faster code of; else storage
//             buffers.
//   PM_FMA    precision f32: PM_MAD is one fma(). Without it (precision exact) the build marks every
//             multiply, add and subtract of the module NoContraction, so that all drivers round each alone.
// The kernels of products are compiled twice more, with PM_FMA and PM_ROUNDED: precision rounded.
// A shared-memory tile (NAME_shared.comp) is compiled twice more, with PM_MATRIX: for matrix units, which precision
// fast uses, in f16, and with PM_BF16 in bf16. NAME_matrix.comp is for these alone.
//
// Inputs are functions of an element index: PM_INPUT(0, x) gives float x(uint i); PM_INPUT4(0, x) gives vec4
// x(uint i), where i counts groups of four; PM_INPUT_UINT(0, x) gives uint x(uint i). Outputs are arrays:
// PM_OUTPUT(1, y) gives float y[]. Bindings are numbered in the order in which the operator's dispatch rule
// binds its tensors.
#ifndef PUMICE_GLSL
#define PUMICE_GLSL

#extension GL_EXT_control_flow_attributes : require
#ifdef PM_MATRIX
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#ifdef PM_BF16
#extension GL_EXT_bfloat16 : require
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif
#endif

#ifdef PM_TEXEL
#define PM_INPUT(b, name)                                             \
    layout(set = 0, binding = b) uniform samplerBuffer name##_texels; \
    float name(uint i) { return texelFetch(name##_texels, int(i)).x; }
#define PM_INPUT4(b, name)                                            \
    layout(set = 0, binding = b) uniform samplerBuffer name##_texels; \
    vec4 name(uint i) { return texelFetch(name##_texels, int(i)); }
#define PM_INPUT_UINT(b, name)                                         \
    layout(set = 0, binding = b) uniform usamplerBuffer name##_texels; \
    uint name(uint i) { return texelFetch(name##_texels, int(i)).x; }
#else
#define PM_INPUT(b, name)                                                                                \
    layout(set = 0, binding = b, std430) readonly restrict buffer name##_block { float name##_data[]; }; \
    float name(uint i) { return name##_data[i]; }
#define PM_INPUT4(b, name)                                                                              \
    layout(set = 0, binding = b, std430) readonly restrict buffer name##_block { vec4 name##_data[]; }; \
    vec4 name(uint i) { return name##_data[i]; }
#define PM_INPUT_UINT(b, name)                                                                          \
    layout(set = 0, binding = b, std430) readonly restrict buffer name##_block { uint name##_data[]; }; \
    uint name(uint i) { return name##_data[i]; }
#endif

// How many vectors a register tile fetches before it computes with them, of `all` that one step needs. A CPU
// driver calls a function for each fetch, which saves no vector register: all of them first. A GPU waits for
// none before its value is used, and holds them in registers meanwhile: a few.
#ifdef PM_TEXEL
#define PM_AHEAD(all, few) all
#else
#define PM_AHEAD(all, few) few
#endif

#define PM_BUFFER(b, access, type, name) \
    layout(set = 0, binding = b, std430) access restrict buffer name##_block { type name[]; }
#define PM_OUTPUT(b, name) PM_BUFFER(b, writeonly, float, name)
#define PM_OUTPUT4(b, name) PM_BUFFER(b, writeonly, vec4, name)
#define PM_OUTPUT_UINT(b, name) PM_BUFFER(b, writeonly, uint, name)
#define PM_INOUT(b, name) PM_BUFFER(b, , float, name)
#define PM_INOUT4(b, name) PM_BUFFER(b, , vec4, name)
#define PM_INOUT_UINT(b, name) PM_BUFFER(b, , uint, name)

// Push constants: `layout(push_constant) uniform Push { PM_PUSH_COMMON uint rows; } p;`. A dispatch that is
// larger than the device allows is run in pieces along its split axis; `base` is the first workgroup of the
// piece. Bindings that the operator declared as sliced start at the piece, the others at their beginning.
#define PM_PUSH_COMMON uint base;

// The workgroup size along x is specialization constant 0 of every shader.
layout(local_size_x_id = 0) in;

// The number of this invocation in the whole dispatch, along x.
#define PM_INVOCATION ((p.base + gl_WorkGroupID.x) * gl_WorkGroupSize.x + gl_LocalInvocationID.x)

// float(x), rounded to nearest even. Of more than 24 bits the conversion itself is not trusted: SwiftShader's
// rounds otherwise. Both halves convert exactly, and only their sum rounds.
float pm_float_of(uint x) { return float(x >> 16) * 65536.0 + float(x & 0xffffu); }

// How many vec4s hold so many elements.
uint pm_quads(uint elements) { return (elements + 3) / 4; }

// Writes what of the vec4 with this number lies inside a row of `width` elements that begins at `start`.
#define PM_STORE_INSIDE(name, start, quad, width, value)                                \
    {                                                                                   \
        vec4 to_store = value;                                                          \
        [[unroll]] for (uint c = 0; c < 4; c++) {                                       \
            if (4 * (quad) + c < (width)) name[(start) + 4 * (quad) + c] = to_store[c]; \
        }                                                                               \
    }

// Reads it into `v`, with zeros outside.
#define PM_LOAD_INSIDE(name, start, quad, width, v)                              \
    {                                                                            \
        v = vec4(0);                                                             \
        [[unroll]] for (uint c = 0; c < 4; c++) {                                \
            if (4 * (quad) + c < (width)) v[c] = name[(start) + 4 * (quad) + c]; \
        }                                                                        \
    }

// What a product is made of, which matrix units have in f16: precision rounded has it so, too, by arithmetic, since
// packHalf2x16 may round either way.
#ifdef PM_ROUNDED
#include "half.glsl"
#define PM_OPERAND(v) pm_half(v)
#else
#define PM_OPERAND(v) (v)
#endif

// a * b + c: rounded twice in `exact`, once or twice (as the device likes) in `f32`.
#ifdef PM_FMA
#define PM_MAD(a, b, c) fma(a, b, c)
#else
#define PM_MAD(a, b, c) ((a) * (b) + (c))
#endif

#endif
