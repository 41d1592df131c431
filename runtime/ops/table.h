/* The list of all operators: one row each. A new operator is its .c, its .comp and a row here. */
#ifndef PM_OPS_TABLE_H
#define PM_OPS_TABLE_H

#include "ops/op.h"

#define PM_OPERATORS(X)       \
    X(unary)                  \
    X(unary_backward)         \
    X(gated)                  \
    X(gated_backward)         \
    X(at_step)                \
    X(quantize)               \
    X(binary)                 \
    X(sum_to)                 \
    X(broadcast)              \
    X(slice)                  \
    X(pad)                    \
    X(transpose)              \
    X(concat)                 \
    X(upsample)               \
    X(pool)                   \
    X(embedding)              \
    X(embedding_backward)     \
    X(advance)                \
    X(assign)                 \
    X(random)                 \
    X(random_index)           \
    X(drop_labels)            \
    X(categorical)            \
    X(draw_tokens)            \
    X(reveal)                 \
    X(mark_seen)              \
    X(dropout)                \
    X(batch_images)           \
    X(batch_tokens)           \
    X(digits)                 \
    X(mask_times)             \
    X(mask_counts)            \
    X(mask_tokens)            \
    X(mse)                    \
    X(mse_backward)           \
    X(cross_entropy)          \
    X(cross_entropy_backward) \
    X(head_loss)              \
    X(head_loss_backward)     \
    X(norm_of)                \
    X(adamw)                  \
    X(loss_scale)             \
    X(corrupt)                \
    X(corrupt_backward)       \
    X(denoise_step)           \
    X(guide)                  \
    X(matmul)                 \
    X(conv2d)                 \
    X(conv2d_data)            \
    X(conv2d_weight)          \
    X(norm)                   \
    X(norm_sums)              \
    X(norm_params)            \
    X(norm_backward)          \
    X(softmax)                \
    X(softmax_backward)       \
    X(attention)              \
    X(attention_backward)     \
    X(rope)                   \
    X(cache_write)

#define PM_DECLARE_OPERATOR(name) extern const pm_op pm_op_##name;
PM_OPERATORS(PM_DECLARE_OPERATOR)
#undef PM_DECLARE_OPERATOR

#endif
