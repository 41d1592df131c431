/* What the cross entropy's two forms share: of logits that are there (loss.c), and of logits that are made a
 * few rows at a time (head_loss.c). */
#ifndef PM_OPS_LOSS_H
#define PM_OPS_LOSS_H

#include "ops/op.h"

#define PM_MOST_CLASSES (1u << 20) /* so that strides fit in 32 bits, and labels are exact as f32 */

/* What is kept of a row for its gradient: log sum exp of its logits, its label (-1: ignored), its weight over
 * the number of all rows, and -log softmax at the label. */
enum { PM_RECORD_LSE, PM_RECORD_LABEL, PM_RECORD_SCALE, PM_RECORD_LOSS, PM_RECORD_WIDTH };

typedef struct pm_loss_rows {
    pm_tensor logits; /* [rows, width] */
    pm_tensor labels; /* u32 [rows] */
    pm_tensor weight; /* [rows] or PM_NONE */
    pm_tensor record; /* to be written: [rows, PM_RECORD_WIDTH] */
    pm_tensor terms;  /* and each row's term of the loss, [rows] */
    uint32_t rows, width;
    uint32_t all_rows; /* over which the mean is taken */
} pm_loss_rows;

void pm_lower_loss_rows(pm_lowering *lowering, pm_loss_rows rows);

/* d loss / d logits, times grad [1], into `out`, which may be `logits` itself. */
void pm_lower_loss_gradient(pm_lowering *lowering, pm_tensor logits, pm_tensor record, pm_tensor grad,
                            pm_tensor out, uint32_t rows, uint32_t width);

/* out = scale * (sum of n partial sums). */
void pm_lower_sum_partials(pm_lowering *lowering, pm_tensor partials, uint32_t n, float scale, pm_tensor out);

/* d loss / d weight: the row's own loss, over the number of rows. */
pm_tensor pm_loss_of_row_weight(pm_graph *graph, pm_tensor record, pm_tensor weight, pm_tensor grad);

/* The record of a row, in double. */
void pm_reference_loss_row(const double *logits, uint32_t width, uint32_t label, double weight, uint32_t rows,
                           double *record);

#endif
