/* What the reference of pm_draw_tokens does to one row, for tests that look at it closely. */
#ifndef PM_OPS_DRAW_TOKENS_H
#define PM_OPS_DRAW_TOKENS_H

#include "ops/op.h"

typedef struct pm_draw_attr {
    pm_draw_args args;
    uint32_t stream;
    uint32_t row_lanes; /* that work on one row; 0: as the device's rules and the width say */
} pm_draw_attr;

typedef struct pm_drawn {
    uint32_t token;
    float confidence;
} pm_drawn;

/* The token that these 32 random bits draw from logits [width], as float numbers; seen [width] or NULL;
 * other_bits are for PM_CONFIDENCE_RANDOM. The token does not decrease when the bits increase. */
pm_drawn pm_draw_row(const double *logits, const uint32_t *seen, uint32_t width, const pm_draw_args *args,
                     uint32_t bits, uint32_t other_bits);

/* pm_draw_tokens with a given number of lanes a row, 1 or a power of two up to 256. */
pm_tensor pm_draw_tokens_with(pm_graph *graph, pm_tensor logits, pm_tensor seen, pm_tensor counter,
                              pm_draw_attr attr, pm_tensor *confidence);

#endif
