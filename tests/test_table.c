/* The list of operators: each is computed by some test case, its own or as a gradient, and each that takes
 * time has a row for `pumice bench`. */
#include "unit.h"

#include "ops/table.h"

#define MOST_OPERATORS 256

/* Builds the cases that are (or are not) bench rows, with their gradients, and sets seen[i] for every
 * operator of the table that occurs in them. */
static void look_through_cases(bool bench, bool *seen)
{
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        for (uint32_t c = 0; c < (*op)->n_cases; c++) {
            const pm_case *test = &(*op)->cases[c];
            bool own = false;
            if (test->bench != bench) continue;
            pm_graph *graph = pm_graph_create();
            pm_tensor y = test->build(graph, test->p);
            if (!test->no_gradient && pm_dtype_of(graph, y) == PM_DTYPE_F32)
                (void)pm_backward(graph, pm_sum(graph, y));
            if (!pm_ok(graph)) fail_msg("%s (%s): %s", (*op)->name, test->name, graph->error.message);
            for (uint32_t n = 0; n < graph->n_nodes; n++) {
                own |= graph->nodes[n].op == *op;
                for (uint32_t i = 0; pm_op_table[i]; i++) seen[i] |= pm_op_table[i] == graph->nodes[n].op;
            }
            if (!own) fail_msg("%s (%s) does not use the operator", (*op)->name, test->name);
            pm_graph_destroy(graph);
        }
    }
}

static void every_operator_is_tested(void **state)
{
    bool seen[MOST_OPERATORS] = {false};
    (void)state;
    look_through_cases(false, seen);
    for (uint32_t i = 0; pm_op_table[i]; i++) {
        if (!seen[i]) fail_msg("%s is in no test case", pm_op_table[i]->name);
    }
}

/* By a row of its own, or, if it has no cases of its own, in the gradient of another's row. */
static void every_operator_is_timed(void **state)
{
    static const struct {
        const char *name;
        bool elsewhere; /* in another operator's row */
    } without_row[] = {
        {"advance", false},           /* adds to one word */
        {"embedding_backward", true}, /* timed in the rows of embedding */
    };
    bool seen[MOST_OPERATORS] = {false};
    (void)state;
    look_through_cases(true, seen);
    for (uint32_t i = 0; pm_op_table[i]; i++) {
        const pm_op *op = pm_op_table[i];
        bool row = op->n_cases == 0, elsewhere = true;
        for (uint32_t w = 0; w < sizeof without_row / sizeof without_row[0]; w++) {
            if (strcmp(op->name, without_row[w].name) != 0) continue;
            row = true;
            elsewhere = without_row[w].elsewhere;
        }
        for (uint32_t c = 0; c < op->n_cases; c++) row |= op->cases[c].bench;
        if (!row) fail_msg("%s has no bench row", op->name);
        if (elsewhere && !seen[i]) fail_msg("%s is in no bench row, its own or another's", op->name);
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
