/* `pumice bench ops`: the bench rows of the operators' own cases (runtime/ops/op.h), against the roof of the
 * device. */
#include "bench.h"

#include "base/words.h"
#include "ops/table.h"

#include <stdio.h>
#include <string.h>

static void build_case(pm_graph *graph, const void *user)
{
    const pm_case *test = user;
    (void)test->build(graph, test->p);
}

static pm_status run_case(pm_device *device, const pm_op *op, const pm_case *test, const bench_roof *roof,
                          bench_report *report, pm_error *error)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%s (%s)", op->name, test->name);
    bench_kernel kernel = {.name = name,
                           .op = op->name,
                           .build = build_case,
                           .user = test,
                           .gradients = test->no_gradient ? BENCH_NO_GRADIENT : BENCH_OTHER_GRADIENTS};
    return bench_kernel_rows(device, &kernel, roof, report, error);
}

static bool begins(const char *name, const char *begin)
{
    return strncmp(name, begin, strlen(begin)) == 0;
}

pm_status bench_run_ops(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                        pm_error *error)
{
    bench_roof roof;
    const char *begin = count > 1 ? words[1] : "";
    pm_status status = bench_measure_roof(device, report, &roof, error);
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        if (!begins((*op)->name, begin)) continue;
        for (uint32_t i = 0; status == PM_OK && i < (*op)->n_cases && !cli_stopped(); i++) {
            const pm_case *test = &(*op)->cases[i];
            if (test->bench) status = run_case(device, *op, test, &roof, report, error);
        }
    }
    return status;
}

static bool has_row(const pm_op *op)
{
    bool has = false;
    for (uint32_t i = 0; i < op->n_cases; i++) has |= op->cases[i].bench;
    return has;
}

pm_status bench_check_ops(uint32_t count, const char *const *words, pm_error *error)
{
    const char *begin = count > 1 ? words[1] : "";
    pm_nearest nearest = {.word = begin};
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        if (!has_row(*op)) continue;
        if (begins((*op)->name, begin)) return PM_OK;
        pm_nearest_try(&nearest, (*op)->name);
    }
    return pm_fail(error, PM_BAD_USAGE,
                   "no operator that is timed by itself begins with \"%.60s\"; did you mean %s?", begin,
                   nearest.best);
}
