/* Every operator, forward and backward, in every precision, on a device against plain C. */
#ifndef PM_TOOLS_CHECK_OPS_H
#define PM_TOOLS_CHECK_OPS_H

#include "ops/op.h"

typedef struct check_options {
    const char *op; /* only this operator; NULL: all */
    bool precision[PM_PRECISIONS];
    bool quick;     /* only the first case of each */
    bool large;     /* large shapes too */
    bool gradients; /* also the reference's gradients against central differences */
    bool (*stopped)(void);
} check_options;

/* What the cases of one operator, or of all of them, come to. */
typedef struct check_tally {
    uint32_t cases, wrong; /* in all precisions together */
    double seconds;
    /* worst of each precision: relative error, and its share of what is allowed */
    double error[PM_PRECISIONS], share[PM_PRECISIONS];
    char first[600]; /* the first thing that is wrong */
} check_tally;

double check_worst(const double of[PM_PRECISIONS]);

/* Fails only when going on makes no sense: the device is lost. `report` may be NULL. */
pm_status check_operators(pm_device *device, const check_options *options, check_tally *all,
                          void (*report)(void *user, const pm_op *op, const check_tally *sum), void *user,
                          pm_error *error);

#endif
