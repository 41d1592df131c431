/* Kernels that do the work of several give the bits of the several, and are what runs. */
/* ctest labels: device */
#include "device_helpers.h"

#include "networks/transformer.h"
#include "ops/table.h"
#include "plan/plan.h"

#include <stdlib.h>

enum { TOKENS = 6, WIDTH = 24, VOCABULARY = 13 };

static const pm_transformer_config config = {
    .vocabulary = VOCABULARY,
    .context = TOKENS,
    .width = WIDTH,
    .layers = 2,
    .heads = 3,
    .kv_heads = 1,
    .hidden = 40,
    .mask = PM_MASK_CAUSAL,
    .positions = PM_POSITIONS_ROPE,
    .theta = 1e4f,
    .norm = PM_RMS_NORM,
    .mlp = PM_MLP_SWIGLU,
};

typedef struct decoded {
    float logits[TOKENS][VOCABULARY];
    uint32_t dispatches;
} decoded;

/* Reads tokens one at a time, on a device with these features off. */
static void decode(uint64_t off, decoded *out)
{
    pm_kv_cache cache;
    pm_graph *g = pm_graph_create();
    pm_tensor token = pm_state(g, "token", PM_DTYPE_U32, PM_SHAPE(1, 1));
    pm_kv_cache_declare(g, &config, 1, &cache);
    pm_tensor features = pm_transformer(g, &config, token, (pm_transformer_inputs){.cache = &cache});
    pm_tensor logits =
        pm_matmul(g, pm_reshape(g, features, PM_SHAPE(1, WIDTH)),
                  pm_param(g, "out", PM_SHAPE(WIDTH, VOCABULARY), (pm_init){PM_INIT_NORMAL, 1}), PM_AB,
                  PM_NONE, PM_NONE);
    pm_output(g, logits);
    pm_advance(g, cache.position);
    own_plan own = plan_without(off, g);
    pm_plan *plan = own.plan;
    for (uint32_t t = 0; t < TOKENS; t++) {
        uint32_t id = (5 * t + 2) % VOCABULARY;
        write_to(plan, token, &id, sizeof id);
        run_once(plan);
        read_from(plan, logits, out->logits[t], sizeof out->logits[t]);
    }
    out->dispatches = pm_plan_stats_of(plan).dispatches;
    end_own(&own);
}

/* Every kernel of one row, alone turned off: more dispatches, or the same with others, and the same bits. */
static void kernels_of_one_row_give_the_same_bits(void **state)
{
    static const struct {
        pm_feature feature;
        uint32_t more; /* dispatches without it */
    } rows[] = {{PM_ROW_PRODUCTS, 6}, {PM_JOINED_PRODUCTS, 6}, {PM_ROW_NORMS, 5},
                {PM_GATED_UNITS, 2},  {PM_JOINED_CACHES, 2},   {PM_BIAS_EPILOGUE, 0}};
    decoded with, without;
    (void)state;
    decode(0, &with);
    for (uint32_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        decode(PM_BIT(rows[i].feature), &without);
        assert_memory_equal(with.logits, without.logits, sizeof with.logits);
        if (rows[i].more) assert_true(without.dispatches >= with.dispatches + rows[i].more);
    }
    assert_true(with.logits[1][0] != with.logits[4][0]);
}

/* ---- What operators do besides ------------------------------------------------------------------------- */

static void *gradient_of(pm_device *on, const pm_case *test, size_t *bytes, uint32_t *dispatches)
{
    pm_plan *plan;
    pm_graph *graph;
    pm_tensor gradient = plan_gradient(on, test, &graph, &plan);
    *dispatches = pm_plan_stats_of(plan).dispatches;
    return run_gradient(graph, plan, gradient, bytes);
}

/* Modulation and SiLU in the kernels of a normalisation and of its gradient, and in their own. */
static void normalisations_give_the_same_bits(void **state)
{
    pm_error error = {0};
    pm_device *one, *several;
    uint32_t more = 0, wrong = 0;
    pm_device_options apart = {.off = PM_BIT(PM_NORM_ACTIVATION) | PM_BIT(PM_NORM_MODULATION)};
    (void)state;
    expect_ok(pm_device_open(NULL, &one, &error), &error);
    expect_ok(pm_device_open(&apart, &several, &error), &error);
    for (uint32_t i = 0; i < pm_op_norm.n_cases; i++) {
        const pm_case *test = &pm_op_norm.cases[i];
        size_t bytes, other_bytes;
        uint32_t dispatches[2];
        if (test->bench || test->large) continue;
        void *want = gradient_of(one, test, &bytes, &dispatches[0]);
        void *got = gradient_of(several, test, &other_bytes, &dispatches[1]);
        assert_int_equal(bytes, other_bytes);
        if (memcmp(want, got, bytes) != 0) print_error("%s: other bits\n", test->name);
        wrong += memcmp(want, got, bytes) != 0;
        more += dispatches[1] > dispatches[0];
        free(want);
        free(got);
    }
    assert_int_equal(wrong, 0);
    assert_true(more > pm_op_norm.n_cases / 3);
    pm_device_close(one);
    pm_device_close(several);
}

/* silu(norm(x)) of two nodes; `keeps`: what is between them is wanted, too. */
static uint32_t run_silu_behind(uint64_t off, bool keeps, float *y)
{
    enum { ROWS = 19, CHANNELS = 12 };
    pm_graph *g = pm_graph_create();
    pm_tensor x = pm_case_leaf(g, "x", PM_SHAPE(ROWS, CHANNELS), 1.0f);
    pm_tensor u =
        pm_layer_norm(g, x, (pm_norm_args){.gamma = pm_case_leaf(g, "g", PM_SHAPE(CHANNELS), 1.0f)});
    pm_tensor v = pm_silu(g, u);
    pm_output(g, v);
    if (keeps) pm_output(g, u);
    own_plan own = plan_without(off, g);
    pm_plan *plan = own.plan;
    run_once(plan);
    read_from(plan, v, y, ROWS * CHANNELS * sizeof *y);
    uint32_t dispatches = pm_plan_stats_of(plan).dispatches;
    end_own(&own);
    return dispatches;
}

static void silu_behind_a_normalisation_is_absorbed(void **state)
{
    float with[19 * 12], without[19 * 12];
    (void)state;
    uint32_t fewer = run_silu_behind(0, false, with);
    assert_int_equal(run_silu_behind(PM_BIT(PM_NORM_ACTIVATION), false, without), fewer + 1);
    assert_memory_equal(with, without, sizeof with);
    assert_int_equal(run_silu_behind(0, true, without), fewer + 1);
    assert_memory_equal(with, without, sizeof with);
}

/* Two steps of the optimiser with a moving average: that, and the parameters. */
static uint32_t run_optimizer(uint64_t off, float **values, size_t *bytes)
{
    pm_graph *g = pm_graph_create();
    (void)pm_op_adamw.cases[0].build(g, pm_op_adamw.cases[0].p);
    pm_tensor average = pm_find(g, "optimizer.ema"), params = pm_param_arena(g);
    own_plan own = plan_without(off, g);
    pm_plan *plan = own.plan;
    run_once(plan);
    *bytes = pm_bytes_of(g, average);
    *values = malloc(2 * *bytes);
    assert_non_null(*values);
    assert_int_equal(pm_bytes_of(g, params), *bytes);
    read_from(plan, average, *values, *bytes);
    read_from(plan, params, *values + *bytes / sizeof **values, *bytes);
    uint32_t dispatches = pm_plan_stats_of(plan).dispatches;
    end_own(&own);
    return dispatches;
}

static void averages_have_the_same_bits(void **state)
{
    float *with, *without;
    size_t bytes;
    (void)state;
    uint32_t fewer = run_optimizer(0, &with, &bytes);
    assert_int_equal(run_optimizer(PM_BIT(PM_AVERAGE_EPILOGUE), &without, &bytes), fewer + 2);
    assert_memory_equal(with, without, 2 * bytes);
    assert_true(memcmp(with, with + bytes / sizeof *with, bytes) != 0);
    free(with);
    free(without);
}

/* ---- What may not be computed earlier ------------------------------------------------------------------ */

enum { N = 8 };

/* Two products of one row, whose second matrix, or whose row, is changed after the first. */
static void run_changed(uint64_t off, bool change_row, float y[2][N])
{
    float values[2 * N * N], row[N];
    pm_graph *g = pm_graph_create();
    pm_tensor both = pm_state(g, "both", PM_DTYPE_F32, PM_SHAPE(1, 2 * N, N));
    pm_tensor x_state = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1, 1, N));
    pm_tensor x = pm_reshape(g, x_state, PM_SHAPE(1, N)),
              zero = pm_state(g, "zero", PM_DTYPE_U32, PM_SHAPE(1));
    pm_tensor first = pm_view(g, both, 0, PM_SHAPE(N, N));
    pm_tensor second = pm_view(g, both, N * N * 4, PM_SHAPE(N, N));
    pm_tensor a = pm_matmul(g, x, first, PM_AB, PM_NONE, PM_NONE);
    if (change_row) {
        (void)pm_cache_write(g, x_state, pm_affine(g, x_state, 2.0f, 1.0f), zero);
    } else {
        (void)pm_cache_write(g, both, pm_affine(g, both, 2.0f, 1.0f), zero);
    }
    pm_tensor b = pm_matmul(g, x, second, PM_AB, PM_NONE, PM_NONE);
    pm_output(g, a);
    pm_output(g, b);
    for (uint32_t i = 0; i < 2 * N * N; i++) values[i] = (float)(i % 11) - 5.0f;
    for (uint32_t i = 0; i < N; i++) row[i] = (float)i + 1.0f;
    own_plan own = plan_without(off, g);
    pm_plan *plan = own.plan;
    write_to(plan, both, values, sizeof values);
    write_to(plan, x_state, row, sizeof row);
    run_once(plan);
    read_from(plan, a, y[0], sizeof y[0]);
    read_from(plan, b, y[1], sizeof y[1]);
    end_own(&own);
}

static void what_changes_in_between_is_not_moved(void **state)
{
    (void)state;
    for (uint32_t change_row = 0; change_row < 2; change_row++) {
        float with[2][N], without[2][N];
        run_changed(0, change_row, with);
        run_changed(PM_BIT(PM_JOINED_PRODUCTS), change_row, without);
        assert_memory_equal(with, without, sizeof with);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_of_one_row_give_the_same_bits),
        cmocka_unit_test(normalisations_give_the_same_bits),
        cmocka_unit_test(silu_behind_a_normalisation_is_absorbed),
        cmocka_unit_test(averages_have_the_same_bits),
        cmocka_unit_test(what_changes_in_between_is_not_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
