/* The list of operators: each is computed by some test case, its own or as a gradient, and each that takes
 * time has a row for `pumice bench`. */
#include "ops/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MOST_OPERATORS 256

static void every_operator_is_tested(void **state)
{
    bool seen[MOST_OPERATORS] = {false};
    (void)state;
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        for (uint32_t c = 0; c < (*op)->n_cases; c++) {
            const pm_case *test = &(*op)->cases[c];
            if (test->bench) continue;
            pm_graph *graph = pm_graph_create();
            pm_tensor y = test->build(graph, test->p);
            if (!test->no_gradient && pm_dtype_of(graph, y) == PM_DTYPE_F32)
                (void)pm_backward(graph, pm_sum(graph, y));
            if (!pm_ok(graph)) fail_msg("%s (%s): %s", (*op)->name, test->name, graph->error.message);
            for (uint32_t n = 0; n < graph->n_nodes; n++) {
                for (uint32_t i = 0; pm_op_table[i]; i++) seen[i] |= pm_op_table[i] == graph->nodes[n].op;
            }
            pm_graph_destroy(graph);
        }
    }
    for (uint32_t i = 0; pm_op_table[i]; i++) {
        if (!seen[i]) fail_msg("%s is in no test case", pm_op_table[i]->name);
    }
}

static void every_operator_is_timed(void **state)
{
    static const char *const not_timed[] = {"advance",
                                            "embedding_backward"}; /* one word; timed as a gradient */
    (void)state;
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        bool timed = (*op)->n_cases == 0; /* gradients: with the operator that they belong to */
        for (uint32_t i = 0; i < sizeof not_timed / sizeof not_timed[0]; i++) {
            timed |= strcmp((*op)->name, not_timed[i]) == 0;
        }
        for (uint32_t c = 0; c < (*op)->n_cases; c++) timed |= (*op)->cases[c].bench;
        if (!timed) fail_msg("%s has no bench row", (*op)->name);
    }
}

static void every_operator_has_its_rules(void **state)
{
    (void)state;
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        assert_true((*op)->name && (*op)->shape && (*op)->lower && (*op)->reference);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_has_its_rules),
        cmocka_unit_test(every_operator_is_tested),
        cmocka_unit_test(every_operator_is_timed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
