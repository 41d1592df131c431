/* Rotary positions and RMSNorm against what is known of them: the table's angles, inner products that see
 * only differences of positions, the two pairings as one rotation of reordered channels, and the values of
 * small cases by hand. */
/* ctest labels: device */
#include "device_helpers.h"

#include "graph/graph.h"

#include <math.h>

enum { ROWS = 12, WIDTH = 8 };

static void run_graph(pm_graph *g, pm_tensor y, float *values)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_output(g, y);
    expect_ok(pm_plan_create(device, g, NULL, &plan, &error), &error);
    expect_ok(pm_plan_run(plan, 1, &error), &error);
    expect_ok(pm_plan_read(plan, y, values, pm_bytes_of(g, y), &error), &error);
    pm_plan_destroy(plan);
}

/* ROWS rows, row r the same vector turned as position first + r. */
static void turn(const float *vector, uint32_t first, pm_rope_pairs pairs, float *turned)
{
    float x[ROWS * WIDTH];
    pm_graph *g = pm_graph_create();
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = vector[i % WIDTH];
    pm_tensor table = pm_rope_table(g, "table", 64, WIDTH, 10000.0f);
    pm_tensor at = pm_constant(g, "first", PM_DTYPE_U32, PM_SHAPE(1), &first);
    pm_tensor rows = pm_constant(g, "x", PM_DTYPE_F32, PM_SHAPE(1, ROWS, WIDTH), x);
    run_graph(g, pm_rope(g, rows, table, 1, pairs, at), turned);
    pm_graph_destroy(g);
}

static double inner(const float *a, const float *b)
{
    double sum = 0.0;
    for (int i = 0; i < WIDTH; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static const float a[WIDTH] = {0.3f, -1.1f, 0.7f, 0.2f, -0.4f, 0.9f, 1.3f, -0.6f};
static const float b[WIDTH] = {-0.8f, 0.5f, 0.1f, 1.2f, 0.6f, -0.3f, 0.4f, 1.0f};

static void the_table_has_cosines_then_sines(void **state)
{
    static const double frequencies[] = {1.0, 0.1}; /* 100^(-2i/4) */
    float table[5 * 4];
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_tensor t = pm_rope_table(g, "table", 5, 4, 100.0f);
    run_graph(g, pm_affine(g, t, 1.0f, 0.0f), table);
    pm_graph_destroy(g);
    for (int p = 0; p < 5; p++) {
        for (int i = 0; i < 2; i++) {
            assert_float_equal(table[p * 4 + i], cos(p * frequencies[i]), 1e-6);
            assert_float_equal(table[p * 4 + 2 + i], sin(p * frequencies[i]), 1e-6);
        }
    }
}

static void inner_products_see_differences_of_positions(void **state)
{
    float turned_a[ROWS * WIDTH], turned_b[ROWS * WIDTH], later_a[ROWS * WIDTH], later_b[ROWS * WIDTH];
    (void)state;
    for (pm_rope_pairs pairs = PM_ROPE_HALVES; pairs <= PM_ROPE_NEIGHBOURS; pairs++) {
        turn(a, 0, pairs, turned_a);
        turn(b, 0, pairs, turned_b);
        turn(a, 17, pairs, later_a);
        turn(b, 17, pairs, later_b);
        assert_memory_equal(turned_a, a, sizeof a); /* position 0 */
        assert_true(fabs(inner(turned_a + 3 * WIDTH, turned_b) - inner(a, b)) > 0.1);
        for (int i = 0; i < ROWS; i++) {
            for (int j = 0; j < ROWS; j++) {
                double early = inner(turned_a + i * WIDTH, turned_b + j * WIDTH);
                double late = inner(later_a + i * WIDTH, later_b + j * WIDTH);
                assert_true(fabs(early - late) < 2e-6);
            }
        }
    }
}

static void the_pairings_differ_in_the_order_of_channels(void **state)
{
    float reordered[WIDTH], halves[ROWS * WIDTH], neighbours[ROWS * WIDTH];
    (void)state;
    for (int i = 0; i < WIDTH / 2; i++) {
        reordered[2 * i] = a[i];
        reordered[2 * i + 1] = a[i + WIDTH / 2];
    }
    turn(a, 5, PM_ROPE_HALVES, halves);
    turn(reordered, 5, PM_ROPE_NEIGHBOURS, neighbours);
    for (int row = 0; row < ROWS; row++) {
        for (int i = 0; i < WIDTH / 2; i++) {
            const float *h = halves + row * WIDTH + i, *n = neighbours + row * WIDTH + 2 * i;
            assert_true(h[0] == n[0] && h[WIDTH / 2] == n[1]);
        }
    }
}

static void the_turn_goes_from_the_first_to_the_second(void **state)
{
    static const float unit[WIDTH] = {1.0f};
    float turned[ROWS * WIDTH];
    (void)state;
    turn(unit, 0, PM_ROPE_HALVES, turned);
    for (int p = 0; p < ROWS; p++) {
        assert_float_equal(turned[p * WIDTH], cos(p), 1e-6);
        assert_float_equal(turned[p * WIDTH + WIDTH / 2], sin(p), 1e-6);
    }
}

static void wrong_arguments_are_refused(void **state)
{
    pm_error error = {0};
    (void)state;
    pm_graph *g = pm_graph_create();
    (void)pm_rope_table(g, "table", 8, 5, 10000.0f);
    expect_failure(pm_graph_status(g, &error), PM_BAD_USAGE, &error, "the width must be even");
    pm_graph_destroy(g);

    g = pm_graph_create();
    pm_tensor table = pm_rope_table(g, "table", 8, 4, 10000.0f);
    pm_tensor x = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1, 5, 16));
    (void)pm_rope(g, x, table, 2, PM_ROPE_HALVES, PM_NONE);
    expect_failure(pm_graph_status(g, &error), PM_BAD_USAGE, &error, "1x5x16 with 2 heads");
    pm_graph_destroy(g);

    g = pm_graph_create();
    x = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1, 5, 16));
    (void)pm_group_norm(g, x, 2, (pm_norm_args){.rms = true});
    expect_failure(pm_graph_status(g, &error), PM_BAD_USAGE, &error, "rms is for layer_norm");
    pm_graph_destroy(g);
}

/* 3, -1, 1, 5 have the mean square 9, and the mean 2, which stays. */
static void rms_norm_divides_by_the_root_mean_square(void **state)
{
    static const float x[] = {3.0f, -1.0f, 1.0f, 5.0f}, gamma[] = {1.0f, 2.0f, -3.0f, 0.5f};
    float y[4];
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_norm_args args = {.rms = true, .eps = 1e-12f};
    args.gamma = pm_constant(g, "gamma", PM_DTYPE_F32, PM_SHAPE(4), gamma);
    pm_tensor row = pm_constant(g, "x", PM_DTYPE_F32, PM_SHAPE(1, 4), x);
    run_graph(g, pm_layer_norm(g, row, args), y);
    pm_graph_destroy(g);
    for (int i = 0; i < 4; i++) assert_float_equal(y[i], x[i] / 3.0f * gamma[i], 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_has_cosines_then_sines),
        cmocka_unit_test(inner_products_see_differences_of_positions),
        cmocka_unit_test(the_pairings_differ_in_the_order_of_channels),
        cmocka_unit_test(the_turn_goes_from_the_first_to_the_second),
        cmocka_unit_test(rms_norm_divides_by_the_root_mean_square),
        cmocka_unit_test(wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
