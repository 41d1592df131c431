/* A device fifty times slower than the driver: no submit takes longer than half a second, not even while the
 * plan is still being measured, dispatches that would are cut, and every result has the same bits. The same
 * when the device only becomes slow later, once that has been seen. */
/* ctest labels: device */
#include "slow_device.h"

#include "tiny.h"

#include <stdlib.h>

#define FACTOR 50.0
#define LONGEST 0.5

static pm_device *open_slow(void)
{
    pm_device *device;
    pm_error error = {0};
    if (pm_device_open(NULL, &device, &error) != PM_OK) fail_msg("%s", error.message);
    device->rules.first_work = 5e5; /* as a GPU begins */
    device->rules.on &= ~PM_BIT(PM_WHOLE_DISPATCHES);
    slow_install(device);
    return device;
}

/* ---- One that was slow from the beginning -------------------------------------------------------------- */

enum { STEPS = 3 };

/* Trains; the parameters afterwards, which the caller frees. */
static float *train(pm_device *device, double factor, size_t *bytes)
{
    pm_error error = {0};
    pm_recipe recipe;
    pm_trainer *trainer;
    pm_dataset pictures = tiny_dataset();
    pm_training_data data = {.pictures = &pictures};
    assert_int_equal(tiny_fitted_recipe(&recipe, &error), PM_OK);
    pm_plan_options options = {.profile = factor == 0};
    if (pm_trainer_create(device, &recipe, &data, &options, &trainer, &error) != PM_OK)
        fail_msg("%s", error.message);
    pm_plan *plan = pm_trainer_plan(trainer);
    if (factor == 0) {
        slow_calibrate(plan);
        pm_trainer_destroy(trainer);
        assert_int_equal(pm_trainer_create(device, &recipe, &data, NULL, &trainer, &error), PM_OK);
        plan = pm_trainer_plan(trainer);
    }
    slow.factor = factor;
    slow.longest = 0;
    assert_int_equal(pm_trainer_run(trainer, STEPS, &error), PM_OK);
    pm_tensor all = {plan->graph->arena};
    *bytes = pm_bytes_of(plan->graph, all);
    float *values = malloc(*bytes);
    assert_int_equal(pm_plan_read(plan, all, values, *bytes, &error), PM_OK);
    pm_trainer_destroy(trainer);
    free(pictures.pixels);
    free(pictures.labels);
    return values;
}

static void training_never_submits_for_long(void **state)
{
    size_t bytes, again;
    pm_device *device = open_slow();
    (void)state;
    float *expected = train(device, 0, &bytes);
    float *got = train(device, FACTOR, &again);
    print_message("longest submit %.3f s of %u\n", slow.longest, slow.submits);
    assert_true(slow.longest > 0.02); /* it was slow indeed */
    assert_true(slow.longest <= LONGEST);
    assert_int_equal(bytes, again);
    assert_memory_equal(expected, got, bytes);
    free(expected);
    free(got);
    pm_device_close(device);
}

/* ---- A dispatch that is too long by itself ------------------------------------------------------------- */

enum { ROWS = 1024, WIDTH = 512 };

static pm_graph *product(pm_tensor *y)
{
    pm_graph *g = pm_graph_create();
    pm_init init = {PM_INIT_UNIFORM, 1};
    pm_tensor a = pm_param(g, "a", PM_SHAPE(ROWS, WIDTH), init),
              b = pm_param(g, "b", PM_SHAPE(WIDTH, WIDTH), init);
    *y = pm_softmax(g, pm_matmul(g, a, b, PM_AB, PM_NONE, PM_NONE));
    pm_output(g, *y);
    return g;
}

/* Runs the product on a device that becomes so slow after `fast` runs; the submits of the first `blind` slow
 * runs do not count, in which the runtime cannot know yet. */
static void run_product(double factor, uint32_t fast, uint32_t blind, float *out)
{
    pm_error error = {0};
    pm_tensor y;
    pm_plan *plan;
    pm_device *device = open_slow();
    pm_graph *g = product(&y);
    pm_plan_options profiled = {.profile = true};
    assert_int_equal(pm_plan_create(device, g, &profiled, &plan, &error), PM_OK);
    slow_calibrate(plan);
    double natural = 0;
    for (uint32_t i = 0; i < plan->n_pieces; i++) natural += plan->pieces[i].milliseconds * 1e-3;
    pm_plan_destroy(plan);
    assert_int_equal(pm_plan_create(device, g, NULL, &plan, &error), PM_OK);
    slow.factor = fast ? 1 : factor;
    assert_int_equal(pm_plan_run(plan, fast, &error), PM_OK);
    slow.factor = factor;
    assert_int_equal(pm_plan_run(plan, blind, &error), PM_OK);
    assert_int_equal(pm_plan_wait(plan, &error), PM_OK);
    slow.longest = 0;
    assert_int_equal(pm_plan_run(plan, 3, &error), PM_OK);
    assert_int_equal(pm_plan_read(plan, y, out, ROWS * WIDTH * sizeof *out, &error), PM_OK);
    pm_plan_stats stats = pm_plan_stats_of(plan);
    print_message("a run %.3f s, longest submit %.3f s, %u pieces, %u submits\n", natural * factor,
                  slow.longest, stats.pieces, stats.submits);
    assert_true(slow.longest <= LONGEST);
    if (natural * factor > 2 * LONGEST) assert_true(stats.pieces > stats.dispatches);
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
    pm_device_close(device);
}

static void long_dispatches_are_cut(void **state)
{
    static float expected[ROWS * WIDTH], slowly[ROWS * WIDTH], later[ROWS * WIDTH];
    (void)state;
    run_product(1, 0, 0, expected);
    run_product(2 * FACTOR, 0, 0, slowly); /* more than a second */
    assert_memory_equal(expected, slowly, sizeof expected);
    run_product(2 * FACTOR, 5, 3, later);
    assert_memory_equal(expected, later, sizeof expected);
}

/* ---- Submits as long as asked for ---------------------------------------------------------------------- */

enum { NODES = 40 };

/* Every dispatch takes 25 ms: four fit in a submit of a tenth of a second, all of them in one of ten. */
static void submits_follow_measured_time(void **state)
{
    pm_error error = {0};
    (void)state;
    for (int patient = 0; patient < 2; patient++) {
        pm_plan *plan;
        pm_device *device = open_slow();
        pm_graph *g = pm_graph_create();
        pm_tensor x = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1000));
        for (int i = 0; i < NODES; i++) x = pm_affine(g, x, 0.5f, 1.0f);
        pm_output(g, x);
        pm_plan_options options = {.submit_seconds = patient ? 10.0 : 0.1};
        assert_int_equal(pm_plan_create(device, g, &options, &plan, &error), PM_OK);
        const pm_piece *piece = &plan->pieces[0];
        slow.pipelines[slow.n_pipelines] = piece->pipeline.pipeline;
        slow.group_seconds[slow.n_pipelines++] =
            0.025 / ((double)piece->groups[0] * piece->groups[1] * piece->groups[2]);
        slow.factor = 1;
        assert_int_equal(pm_plan_run(plan, 3, &error), PM_OK);
        uint32_t submits = pm_plan_stats_of(plan).submits;
        assert_int_equal(plan->n_pieces, NODES);
        if (patient) assert_int_equal(submits, 1);
        if (!patient) assert_in_range(submits, NODES / 4, NODES / 2);
        pm_plan_destroy(plan);
        pm_graph_destroy(g);
        pm_device_close(device);
    }
}

/* ---- Two plans on one device --------------------------------------------------------------------------- */

static void another_plan_does_not_count_as_slowness(void **state)
{
    pm_error error = {0};
    pm_tensor y;
    pm_plan *a, *b;
    pm_device *device = open_slow();
    pm_graph *g = product(&y), *h = product(&y);
    (void)state;
    pm_plan_options profiled = {.profile = true};
    assert_int_equal(pm_plan_create(device, g, &profiled, &a, &error), PM_OK);
    slow_calibrate(a);
    pm_plan_destroy(a);
    assert_int_equal(pm_plan_create(device, g, NULL, &a, &error), PM_OK);
    assert_int_equal(pm_plan_create(device, h, NULL, &b, &error), PM_OK);
    slow.factor = FACTOR / 2;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pm_plan_run(a, 1, &error), PM_OK);
        assert_int_equal(pm_plan_run(b, 1, &error), PM_OK);
    }
    assert_int_equal(pm_plan_wait(a, &error), PM_OK);
    assert_int_equal(pm_plan_wait(b, &error), PM_OK);
    for (uint32_t i = 0; i < b->n_grains; i++) {
        double real = slow.factor * *slow_buffer(b->grains[i].commands[0]);
        assert_true(b->grains[i].seconds < 2 * real + 0.05);
    }
    pm_plan_destroy(a);
    pm_plan_destroy(b);
    pm_graph_destroy(g);
    pm_graph_destroy(h);
    pm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_never_submits_for_long),
        cmocka_unit_test(long_dispatches_are_cut),
        cmocka_unit_test(submits_follow_measured_time),
        cmocka_unit_test(another_plan_does_not_count_as_slowness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
