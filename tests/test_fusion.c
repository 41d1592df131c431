/* Kernels that do the work of several give the bits of the several, and are what runs. */
/* ctest labels: device */
#include "device_helpers.h"

#include "networks/transformer.h"
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
    pm_error error = {0};
    pm_device *own;
    pm_plan *plan;
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
    expect_ok(pm_device_open(&(pm_device_options){.off = off}, &own, &error), &error);
    expect_ok(pm_plan_create(own, g, NULL, &plan, &error), &error);
    for (uint32_t t = 0; t < TOKENS; t++) {
        uint32_t id = (5 * t + 2) % VOCABULARY;
        write_to(plan, token, &id, sizeof id);
        run_once(plan);
        read_from(plan, logits, out->logits[t], sizeof out->logits[t]);
    }
    out->dispatches = pm_plan_stats_of(plan).dispatches;
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
    pm_device_close(own);
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

/* ---- What may not be computed earlier ------------------------------------------------------------------ */

enum { N = 8 };

/* Two products of one row, whose second matrix, or whose row, is changed after the first. */
static void run_changed(uint64_t off, bool change_row, float y[2][N])
{
    pm_error error = {0};
    pm_device *own;
    pm_plan *plan;
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
    expect_ok(pm_device_open(&(pm_device_options){.off = off}, &own, &error), &error);
    expect_ok(pm_plan_create(own, g, NULL, &plan, &error), &error);
    write_to(plan, both, values, sizeof values);
    write_to(plan, x_state, row, sizeof row);
    run_once(plan);
    read_from(plan, a, y[0], sizeof y[0]);
    read_from(plan, b, y[1], sizeof y[1]);
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
    pm_device_close(own);
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
        cmocka_unit_test(what_changes_in_between_is_not_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
