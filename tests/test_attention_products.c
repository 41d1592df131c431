/* Attention by weights that are written down, and that of a few queries by a workgroup for each, have the
 * bits of the kernels in which a lane adds up by itself. */
/* ctest labels: device limits */
#include "device_helpers.h"

#include "ops/table.h"
#include "plan/plan.h"

#include <string.h>

/* The weights of one sample of a case with several, twice, and not of two. */
enum { PART_BYTES = 200 << 10 };

/* Whatever memory held before must not matter: all of it but states and parameters becomes NaN. */
static void spoil(pm_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        const pm_placement *at = &plan->placements[i];
        unsigned char *memory = plan->blocks[at->block].mapped;
        if (at->used && !at->persistent && memory) memset(memory + at->offset, 0xff, at->bytes);
    }
}

/* The output of a case and its gradients on a device without `off`, and of so many bytes of weights at a
 * time. */
static void *run_case(const pm_case *test, uint64_t off, uint32_t weight_bytes, size_t *bytes,
                      uint32_t *dispatches)
{
    pm_error error = {0};
    pm_device *own;
    pm_graph *g;
    pm_plan *plan;
    expect_ok(pm_device_open(&(pm_device_options){.off = off}, &own, &error), &error);
    own->rules.attention_bytes = weight_bytes;
    pm_tensor gradient = plan_gradient(own, test, &g, &plan);
    *dispatches = pm_plan_stats_of(plan).dispatches;
    spoil(plan);
    void *values = run_gradient(g, plan, gradient, bytes);
    pm_device_close(own);
    return values;
}

static void both_have_the_same_bits(void **state)
{
    uint32_t compared = 0, in_parts = 0;
    (void)state;
    for (uint32_t i = 0; i < pm_op_attention.n_cases; i++) {
        const pm_case *test = &pm_op_attention.cases[i];
        uint32_t queries = test->p[1], keys = test->p[2], width = test->p[4];
        if (test->bench || test->no_gradient || queries < 32 || keys < 32 || width % 4 != 0) continue;
        size_t bytes, bytes_off;
        uint32_t dispatches, dispatches_off, dispatches_parts;
        void *off = run_case(test, PM_BIT(PM_ATTENTION_PRODUCTS), 0, &bytes_off, &dispatches_off);
        void *on = run_case(test, 0, 1u << 26, &bytes, &dispatches);
        void *parts = run_case(test, 0, PART_BYTES, &bytes, &dispatches_parts);
        void *alone = run_case(test, PM_BIT(PM_SHARED_FETCHES), 1u << 26, &bytes, &dispatches);
        assert_int_equal(bytes, bytes_off);
        assert_memory_equal(on, off, bytes);
        assert_memory_equal(parts, off, bytes);
        assert_memory_equal(alone, off, bytes);
        if (dispatches > dispatches_off) compared++;
        if (dispatches_parts > dispatches) in_parts++;
        free(off);
        free(on);
        free(parts);
        free(alone);
    }
    if (!pm_device_uses(device, PM_ATTENTION_PRODUCTS)) skip();
    assert_true(compared >= 5);
    assert_true(in_parts >= 1);
}

/* The output of a case on a device without `off`; whether a kernel for a few queries made it. */
static void *run_forward(const pm_case *test, uint64_t off, size_t *bytes, bool *by_tokens)
{
    pm_graph *g = pm_graph_create();
    pm_tensor y = test->build(g, test->p);
    pm_output(g, y);
    own_plan own = plan_without(off, g);
    for (uint32_t i = 0; i < own.plan->n_dispatches; i++)
        *by_tokens |= strncmp(own.plan->dispatches[i].shader, "attention_token", 15) == 0;
    spoil(own.plan);
    void *values = run_gradient(g, own.plan, y, bytes);
    pm_device_close(own.device);
    return values;
}

static void a_workgroup_for_each_query_has_the_same_bits(void **state)
{
    uint32_t compared = 0;
    (void)state;
    for (uint32_t i = 0; i < pm_op_attention.n_cases; i++) {
        const pm_case *test = &pm_op_attention.cases[i];
        size_t bytes, bytes_off;
        bool on_tokens = false, off_tokens = false;
        if (test->bench || test->large) continue;
        void *on = run_forward(test, 0, &bytes, &on_tokens);
        void *off = run_forward(test, PM_BIT(PM_ATTENTION_TOKENS), &bytes_off, &off_tokens);
        assert_false(off_tokens);
        assert_int_equal(bytes, bytes_off);
        assert_memory_equal(on, off, bytes);
        compared += on_tokens;
        free(on);
        free(off);
    }
    assert_true(compared >= 5 || !pm_device_uses(device, PM_ATTENTION_TOKENS) ||
                (pm_device_uses(device, PM_CPU_KERNELS) && !pm_device_uses(device, PM_SHARED_FETCHES)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_have_the_same_bits),
                                       cmocka_unit_test(a_workgroup_for_each_query_has_the_same_bits)};
    return cmocka_run_group_tests(tests, open_device, close_device);
}
