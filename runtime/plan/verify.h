/* Holds an operator, on a device, against its plain C reference: what the tests and `pumice check` both run.
 *
 * A case's graph becomes a scalar loss: its output weighted by fixed random numbers and summed, so that the
 * gradient which arrives at the operator is never all ones. */
#ifndef PM_PLAN_VERIFY_H
#define PM_PLAN_VERIFY_H

#include "ops/op.h"

typedef struct pm_verify_result {
    uint32_t nodes;        /* compared, forward and backward */
    double worst;          /* largest error over tolerance of all nodes */
    double error;          /* largest relative error of all nodes, of the device against the reference */
    double gradient_error; /* of the reference's gradient against central differences; 0 when not asked for */
    double adjoint_error;  /* of <dy, J dx> against <J^T dy, dx>, J^T from the device; 0 when not asked for */
    bool ok;
    char message[300]; /* the first thing that is wrong, with the operator's and the tensor's name */
} pm_verify_result;

/* Runs a case on the device in the given precision; `gradient` adds central differences of the reference
 * (slow) and the adjoint test. Fails only when the case could not be run. */
pm_status pm_verify_case(pm_device *device, const pm_op *op, const pm_case *test, pm_precision precision,
                         bool gradient, pm_verify_result *out, pm_error *error);

#endif
