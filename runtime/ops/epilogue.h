/* What products and convolutions do to their sums at the end. What they add, their kernels add themselves, or
 * where that is turned off (PM_BIAS_EPILOGUE and its like) kernels of their own do; and what nodes behind
 * them do to the result, and only to that, their kernels do for those (pm_op.absorb). All of it in the same
 * order, with the same bits; the other half is shaders/include/epilogue.glsl. */
#ifndef PM_OPS_EPILOGUE_H
#define PM_OPS_EPILOGUE_H

#include "ops/layout.h"

/* One of them, seen as rows [outer, repeat, inner] of the output: x has [outer, inner] elements. */
typedef struct pm_addend {
    pm_tensor x;
    uint32_t outer, repeat, inner;
    pm_feature feature;
} pm_addend;

/* Of `count` addends in the order in which they are added: how many the kernel itself adds. */
uint32_t pm_addends_inside(const pm_lowering *lowering, const pm_addend *addends, uint32_t count);

/* Where the kernel writes, when only the first `inside` addends are its own: `out`, or a tensor that
 * pm_lower_addends goes on from. */
pm_tensor pm_addends_begin(pm_lowering *lowering, const pm_addend *addends, uint32_t inside, uint32_t count,
                           pm_tensor out);
void pm_lower_addends(pm_lowering *lowering, pm_tensor from, const pm_addend *addends, uint32_t inside,
                      uint32_t count, pm_tensor out);

/* ---- What is absorbed ---------------------------------------------------------------------------------- */

/* Row r of the output is multiplied by those elements of a tensor that begin at first + r / rows * sample
 * + r % rows * row; all but `rows` multiples of four. */
typedef struct pm_gate_rows {
    uint32_t first, rows, sample, row;
} pm_gate_rows;

/* Where the gate has a row of n elements for each of the output. */
static inline pm_gate_rows pm_gate_dense(uint32_t n)
{
    return (pm_gate_rows){.rows = 1, .sample = n};
}

/* The same rows, of n elements, read where `view` reads; false, and nothing changed, where those are not such
 * rows. */
bool pm_gate_see_through(pm_gate_rows *gate, const pm_strided *view, uint32_t n);

/* What the reader of y does to it. */
typedef struct pm_follower {
    uint32_t activation;      /* as pm_activation_of; or */
    pm_tensor factor, addend; /* what it multiplies y by, or adds to it: of the size of y */
} pm_follower;

/* That, as far as the features of the device allow kernels to do it, for sums of so many rounds of a loop;
 * all zero where it is nothing of the kind. */
pm_follower pm_follower_of(const pm_lowering *lowering, const pm_node *reader, pm_tensor y, uint64_t rounds);

/* The kernels' specialization constant. */
void pm_spec_epilogue(pm_dispatch *dispatch, bool residual, bool gate, uint32_t activation);

#endif
