/* The operators that networks, losses and optimisers are made of. Part of pumice.h.
 *
 * Each appends nodes and returns the result. Shapes in brackets; a wrong one puts the graph in its error
 * state. All are differentiable with respect to their f32 tensors unless they say otherwise. Reductions add
 * in an order that the shapes alone decide. */
#ifndef PUMICE_OPERATORS_H
#define PUMICE_OPERATORS_H

#include <stdbool.h>
#include <stdint.h>

#include "pumice_graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* - element by element (ops/elementwise.c) */

/* x sigmoid(x) */
pm_tensor pm_silu(pm_graph *graph, pm_tensor x);
/* The tanh form: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
pm_tensor pm_gelu(pm_graph *graph, pm_tensor x);
pm_tensor pm_sigmoid(pm_graph *graph, pm_tensor x);
pm_tensor pm_tanh_of(pm_graph *graph, pm_tensor x);
/* alpha x + beta */
pm_tensor pm_affine(pm_graph *graph, pm_tensor x, float alpha, float beta);
/* a + b and a * b; b may have extent 1 (or be missing leading axes) where a has more, and is then
 * repeated. */
pm_tensor pm_add(pm_graph *graph, pm_tensor a, pm_tensor b);
pm_tensor pm_mul(pm_graph *graph, pm_tensor a, pm_tensor b);
/* silu(gate) * up, of one shape: the gate of SwiGLU (2002.05202). */
pm_tensor pm_silu_mul(pm_graph *graph, pm_tensor gate, pm_tensor up);

/* - sums (ops/reduce.c) */

/* Repeats x along axes of extent 1 (or missing leading axes) to `shape`; and its adjoint, the sum over those
 * axes. */
pm_tensor pm_broadcast(pm_graph *graph, pm_tensor x, pm_shape shape);
pm_tensor pm_sum_to(pm_graph *graph, pm_tensor x, pm_shape shape);
/* Sum of all elements, [1]. */
pm_tensor pm_sum(pm_graph *graph, pm_tensor x);

/* - moving data (ops/layout.c, ops/resample.c) */

/* The same elements under another shape of as many; no data moves: both name the same memory. */
pm_tensor pm_reshape(pm_graph *graph, pm_tensor x, pm_shape shape);
/* a, then b, along `axis`; the other extents are equal. f32 or u32. */
pm_tensor pm_concat(pm_graph *graph, pm_tensor a, pm_tensor b, uint32_t axis);
/* Elements begin .. end-1 along `axis`. f32 or u32. */
pm_tensor pm_slice(pm_graph *graph, pm_tensor x, uint32_t axis, uint32_t begin, uint32_t end);
/* Output axis i is input axis order[i]; `order` has as many entries as x has axes. f32 or u32. */
pm_tensor pm_transpose(pm_graph *graph, pm_tensor x, const uint32_t *order);
/* Nearest-neighbour up-sampling by an integer factor, [B,H,W,C] -> [B,fH,fW,C]. */
pm_tensor pm_upsample_nearest(pm_graph *graph, pm_tensor x, uint32_t factor);
/* Mean over factor x factor squares, [B,fH,fW,C] -> [B,H,W,C]; H and W must be multiples of factor. */
pm_tensor pm_avg_pool(pm_graph *graph, pm_tensor x, uint32_t factor);

/* - linear maps (ops/matmul.c, ops/conv2d.c) */

typedef enum pm_layout { PM_AB = 0, PM_ABT = 1, PM_ATB = 2 } pm_layout;

/* op(A) op(B) + bias + residual. A is [M,K] ([K,M] for PM_ATB), B is [K,N] ([N,K] for PM_ABT); either may
 * have a leading batch axis; a matrix without one serves every batch. bias [N] and residual [(batch,) M,N]
 * may be PM_NONE. Each output adds its K products in order, then bias, then residual. */
pm_tensor pm_matmul(pm_graph *graph, pm_tensor a, pm_tensor b, pm_layout layout, pm_tensor bias,
                    pm_tensor residual);
/* x [..., in] times weight [in, out], + bias [out] (or PM_NONE), + residual [..., out] (or PM_NONE). */
pm_tensor pm_linear(pm_graph *graph, pm_tensor x, pm_tensor weight, pm_tensor bias, pm_tensor residual);

typedef struct pm_conv2d_args {
    pm_tensor bias;       /* [Cout] or PM_NONE */
    pm_tensor per_sample; /* [B,Cout], added to every pixel of its sample, or PM_NONE */
    pm_tensor residual;   /* [B,Ho,Wo,Cout] or PM_NONE */
    uint32_t stride;      /* 1 or 2; 0 counts as 1 */
    uint32_t pad_top, pad_left, pad_bottom, pad_right;
} pm_conv2d_args;

/* Cross-correlation of x [B,H,W,Cin] with weight [kh,kw,Cin,Cout], zeros outside: [B,Ho,Wo,Cout] with
 * Ho = (H + pads - kh) / stride + 1, likewise Wo. Kernels are at most 16x16, and each pad is smaller than the
 * kernel. */
pm_tensor pm_conv2d(pm_graph *graph, pm_tensor x, pm_tensor weight, pm_conv2d_args args);

/* - normalisation (ops/norm.c) */

typedef struct pm_norm_args {
    pm_tensor gamma, beta; /* [C] or PM_NONE */
    /* Modulation (adaLN, FiLM), y (1 + scale) + shift: [B,C] for each sample, or x's own shape for each
     * position, both the same way; or PM_NONE. */
    pm_tensor scale, shift;
    float eps; /* added to the variance, at least 1e-30; 0: 1e-5 */
    bool silu; /* apply x sigmoid(x) to the result */
    bool rms;  /* of layer_norm alone: divide by the root mean square, subtract no mean (1910.07467) */
} pm_norm_args;

/* Group normalisation (1803.08494) of x [B,...,C] over the positions and the C/groups channels of a group;
 * biased variance. */
pm_tensor pm_group_norm(pm_graph *graph, pm_tensor x, uint32_t groups, pm_norm_args args);
/* Layer normalisation (1607.06450) of x [...,C] over C. */
pm_tensor pm_layer_norm(pm_graph *graph, pm_tensor x, pm_norm_args args);

/* - softmax and attention (ops/softmax.c, ops/attention.c) */

/* exp(x) / sum exp(x) over the last axis, in x's shape. */
pm_tensor pm_softmax(pm_graph *graph, pm_tensor x);

/* Which keys a query sees: all; those up to its own position; those up to the end of its own block of
 * `block` positions. A rule and never a matrix. */
typedef enum pm_mask { PM_MASK_NONE = 0, PM_MASK_CAUSAL = 1, PM_MASK_BLOCK = 2 } pm_mask;

typedef struct pm_attention_args {
    uint32_t heads;
    uint32_t kv_heads; /* of k and v, a divisor of heads: neighbouring query heads share one (grouped-query
                        * attention, 2305.13245); 0: as many as heads */
    pm_mask mask;
    uint32_t block; /* positions of a block, for PM_MASK_BLOCK */
    /* u32 [1]: the position of the first query among the keys, known only at run time: attention into a
     * cache, of which what lies beyond the last query's position is not looked at. PM_NONE: Tk - Tq. With it
     * the result cannot be differentiated, and the mask must be PM_MASK_CAUSAL. */
    pm_tensor first;
} pm_attention_args;

/* softmax(Q K^T / sqrt(D)) V per head, for q [B,Tq,H*D] and k, v [B,Tk,G*D] with G = kv_heads; a head is D
 * neighbouring channels. Causal: query i sees keys 0 .. i + Tk - Tq. Memory is linear in the length: the
 * forward pass keeps the log-sum-exp of each row, and the backward pass recomputes the probabilities
 * (2205.14135). A query's result has the same bits whatever other queries there are, and whether its keys
 * come from a cache. */
pm_tensor pm_attention(pm_graph *graph, pm_tensor q, pm_tensor k, pm_tensor v, pm_attention_args args);

/* Writes rows [B,T,C] to positions first .. first+T-1 of cache [B,Tmax,C], a pm_state, in place; first is u32
 * [1]; what would lie beyond the end is dropped. Returns the cache as it is from then on. Not
 * differentiable. */
pm_tensor pm_cache_write(pm_graph *graph, pm_tensor cache, pm_tensor rows, pm_tensor first);

/* - positions (ops/rope.c) */

/* Which two channels of a head a rotation turns: i and i + D/2 (GPT-NeoX), or 2i and 2i+1 (the paper). */
typedef enum pm_rope_pairs { PM_ROPE_HALVES = 0, PM_ROPE_NEIGHBOURS = 1 } pm_rope_pairs;

/* f32 constant [positions, D]: row p has cos(p theta^(-2i/D)) for i < D/2, then the sines; in double. D is
 * even. */
pm_tensor pm_rope_table(pm_graph *graph, const char *name, uint32_t positions, uint32_t head_width,
                        float theta);
/* Rotary positions (2104.09864): x [B,T,H*D], row t of each head turned by row first + t of the table; first
 * u32 [1], or PM_NONE: 0. Positions beyond the table use its last row. Differentiable in x. */
pm_tensor pm_rope(pm_graph *graph, pm_tensor x, pm_tensor table, uint32_t heads, pm_rope_pairs pairs,
                  pm_tensor first);

/* - tables (ops/embedding.c) */

/* Rows of table [V,D] by index u32 [...] -> [...,D]; an index >= V gives zeros. The gradient adds in order of
 * the indices. */
pm_tensor pm_embedding(pm_graph *graph, pm_tensor table, pm_tensor index);

/* - losses (ops/loss.c): [1] */

/* Mean over all elements of weight * (prediction - target)^2; weight has the shape of the prediction, or [B],
 * or is PM_NONE. */
pm_tensor pm_mse(pm_graph *graph, pm_tensor prediction, pm_tensor target, pm_tensor weight);
/* Mean over the R rows of weight * -log softmax(logits [R,V])[label u32 [R]]; weight [R] or PM_NONE; V is at
 * most 2^20. A row whose label is >= V is ignored: it adds 0, and still counts in the mean. */
pm_tensor pm_cross_entropy(pm_graph *graph, pm_tensor logits, pm_tensor labels, pm_tensor weight);

/* The same loss straight from the features, without ever storing the logits [R,V] and their gradient: logits
 * = x [R,D] op(weight) + bias [V] (or PM_NONE), for weight [D,V] (PM_AB) or [N,D] with N >= V (PM_ABT: tied
 * to an embedding table, of which the first V rows, V being `vocabulary`, count; the gradient of the others
 * is 0). Logits are made, used and made again in the backward pass, a few rows at a time (ops/head_loss.c):
 * up to 2^22 of them, or 256 rows. Loss, d x and d weight have the same bits as from pm_matmul and
 * pm_cross_entropy. labels u32 [R], row_weight [R] or PM_NONE, and V, as there. */
pm_tensor pm_head_loss(pm_graph *graph, pm_tensor x, pm_tensor weight, pm_layout layout, uint32_t vocabulary,
                       pm_tensor bias, pm_tensor labels, pm_tensor row_weight);

/* - optimiser (ops/optimizer.c) */

typedef struct pm_adamw_args {
    float beta1, beta2;          /* decay of both moments, in [0, 1) */
    float eps;                   /* added to the root of the second moment; at least 1e-20 */
    float weight_decay;          /* of parameters of rank 2 and more, times the learning rate (1711.05101) */
    float clip_norm;             /* gradients are scaled down to this global norm; 0: not */
    const float *learning_rates; /* one per step, in double computed by the caller; the last one holds on */
    uint32_t n_learning_rates;
    float ema;       /* decay of the exponential moving average; 0: none */
    bool ema_warmup; /* decay min(ema, (1 + step) / (10 + step)) */
} pm_adamw_args;

typedef struct pm_adamw_state {
    pm_tensor first_moment, second_moment; /* states, flat like the arena, "optimizer.m" and "optimizer.v" */
    pm_tensor average;                     /* EMA of the parameters, "optimizer.ema"; PM_NONE without */
    pm_tensor grad_norm;                   /* [1], before clipping; an output */
} pm_adamw_state;

/* Euclidean norm of all elements, [1]. Not differentiable. */
pm_tensor pm_norm_of(pm_graph *graph, pm_tensor x);
/* Scaling of the loss, for precisions fast and rounded, whose gradients pass through f16: multiply the loss
 * by `scale` before pm_backward and the gradient by `inverse` after it, then call pm_loss_scale_update with
 * the norm of the gradient. States: "loss_scale.scale" and ".inverse" [1], powers of two, which the first
 * update sets while they are zero, unless they are written before it; "loss_scale.counts" u32 [2]: good steps
 * since the scale changed, and steps that were skipped. */
#define PM_LOSS_SCALE_FIRST 65536.0f
#define PM_LOSS_SCALE_PATIENCE 2000u /* good steps after which the scale doubles */
typedef struct pm_loss_scale_state {
    pm_tensor scale, inverse, counts;
} pm_loss_scale_state;
pm_loss_scale_state pm_loss_scale(pm_graph *graph);
void pm_loss_scale_update(pm_graph *graph, pm_loss_scale_state state, pm_tensor grad_norm);

/* One step of AdamW (1711.05101, algorithm 2) on all parameters, in place, from a flat gradient, with
 * clipping and EMA. `counter` gives the step; call it once a graph. A step whose gradient norm is not below
 * 2^60, or is NaN, is skipped: parameters and moments stay. The first update of the average copies the
 * parameters. */
pm_adamw_state pm_adamw(pm_graph *graph, pm_tensor gradient, pm_tensor counter, pm_adamw_args args);

#ifdef __cplusplus
}
#endif
#endif
