/* Every operator on a device; see check_ops.h. */
#include "check_ops.h"

#include "base/clock.h"
#include "ops/table.h"
#include "plan/verify.h"

#include <stdio.h>
#include <string.h>

double check_worst(const double of[PM_PRECISIONS])
{
    double worst = 0;
    for (uint32_t p = 0; p < PM_PRECISIONS; p++) worst = of[p] > worst ? of[p] : worst;
    return worst;
}

static void add(check_tally *all, const check_tally *one)
{
    all->cases += one->cases;
    all->wrong += one->wrong;
    all->seconds += one->seconds;
    for (uint32_t p = 0; p < PM_PRECISIONS; p++) {
        if (one->error[p] > all->error[p]) all->error[p] = one->error[p];
        if (one->share[p] > all->share[p]) all->share[p] = one->share[p];
    }
    if (one->wrong && !all->first[0]) memcpy(all->first, one->first, sizeof all->first);
}

static pm_status check_case(pm_device *device, const pm_op *op, const pm_case *test, uint32_t precision,
                            bool gradients, check_tally *sum, pm_error *error)
{
    pm_verify_result result;
    pm_status status = pm_verify_case(device, op, test, (pm_precision)precision, gradients, &result, error);
    bool good = status == PM_OK && result.ok;
    sum->cases++;
    sum->wrong += !good;
    if (status == PM_OK && result.error > sum->error[precision]) sum->error[precision] = result.error;
    if (status == PM_OK && result.worst > sum->share[precision]) sum->share[precision] = result.worst;
    if (!good && !sum->first[0]) {
        (void)snprintf(sum->first, sizeof sum->first, "in precision %s, %s", pm_precision_names[precision],
                       status == PM_OK ? result.message : error->message);
    }
    return status == PM_DEVICE_LOST ? status : PM_OK;
}

static pm_status check_op(pm_device *device, const pm_op *op, const check_options *options, check_tally *sum,
                          pm_error *error)
{
    double start = pm_seconds();
    uint32_t cases = options->quick && op->n_cases > 1 ? 1 : op->n_cases;
    pm_status status = PM_OK;
    *sum = (check_tally){0};
    for (uint32_t i = 0; i < cases; i++) {
        const pm_case *test = &op->cases[i];
        if (test->bench || (test->large && !options->large)) continue;
        for (uint32_t p = 0; p < PM_PRECISIONS; p++) {
            if (status != PM_OK || !options->precision[p] ||
                (pm_precision_is_half((pm_precision)p) && !op->products && !op->rounding))
                continue;
            if (options->stopped && options->stopped()) continue;
            status = check_case(device, op, test, p, options->gradients && p == PM_EXACT, sum, error);
        }
    }
    sum->seconds = pm_seconds() - start;
    return status;
}

pm_status check_operators(pm_device *device, const check_options *options, check_tally *all,
                          void (*report)(void *user, const pm_op *op, const check_tally *sum), void *user,
                          pm_error *error)
{
    pm_status status = PM_OK;
    *all = (check_tally){0};
    for (const pm_op *const *op = pm_op_table; status == PM_OK && *op; op++) {
        check_tally sum;
        if (options->op && strcmp(options->op, (*op)->name) != 0) continue;
        if (options->stopped && options->stopped()) break;
        status = check_op(device, *op, options, &sum, error);
        add(all, &sum);
        if (report) report(user, *op, &sum);
    }
    return status;
}
