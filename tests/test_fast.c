/* Precisions fast and rounded: gradients that vanish in f16 survive by the scale of the loss; a step that
 * overflows changes nothing but the scale, which is halved; and a resumed run goes on bit for bit, with its
 * scale. Of fast what needs matrix units is skipped on devices without: there it is precision f32. */
/* ctest labels: device */
#include "device_helpers.h"

#include "tiny.h"

#include "files/file_io.h"
#include "files/safetensors.h"
#include "ops/table.h"
#include "plan/verify.h"
#include "pumice_models.h"
#include "training/scaled_loss.h"
#include "training/trainer.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

enum { SIDE = 64, COUNT = SIDE * SIDE };

/* loss = size * sum(x w t): its gradient with respect to w is size * x^T t. */
typedef struct problem {
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor w, gradient;
    pm_loss_scale_state scale;
} problem;

static pm_tensor uniform(pm_graph *graph, const char *name, uint32_t seed)
{
    static float values[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
    return pm_constant(graph, name, PM_DTYPE_F32, PM_SHAPE(SIDE, SIDE), values);
}

static void build(problem *p, pm_precision precision, float size, bool scaled, bool train)
{
    static const float rate = 0.1f;
    pm_error error = {0};
    pm_plan_options options = {.precision = precision};
    pm_graph *g = p->graph = pm_graph_create();
    p->w = pm_param(g, "w", PM_SHAPE(SIDE, SIDE), (pm_init){PM_INIT_UNIFORM, 1.0f});
    pm_tensor y = pm_matmul(g, uniform(g, "x", 1), p->w, PM_AB, PM_NONE, PM_NONE);
    pm_tensor loss = pm_affine(g, pm_sum(g, pm_mul(g, y, uniform(g, "t", 2))), size, 0.0f);
    p->gradient = scaled ? pm_scaled_backward(g, loss, &p->scale) : pm_backward(g, loss);
    pm_output(g, p->gradient);
    if (train) {
        pm_tensor counter = pm_counter(g);
        pm_adamw_args args = {
            .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f, .learning_rates = &rate, .n_learning_rates = 1};
        pm_adamw_state state = pm_adamw(g, p->gradient, counter, args);
        pm_loss_scale_update(g, p->scale, state.grad_norm);
        pm_advance(g, counter);
    }
    expect_ok(pm_plan_create(device, g, &options, &p->plan, &error), &error);
}

static void destroy(problem *p)
{
    pm_plan_destroy(p->plan);
    pm_graph_destroy(p->graph);
}

static void write_scale(problem *p, float scale)
{
    pm_error error = {0};
    float values[PM_SCALED_LOSS_VALUES] = {scale, 0, 0};
    expect_ok(pm_scaled_loss_write(p->plan, &p->scale, values, &error), &error);
}

static void gradient_of(pm_precision precision, float size, float scale, float out[COUNT])
{
    problem p;
    build(&p, precision, size, scale > 0, false);
    if (scale > 0) write_scale(&p, scale);
    run_once(p.plan);
    read_from(p.plan, p.gradient, out, COUNT * sizeof *out);
    destroy(&p);
}

static double norm_of(const float *a, const float *b)
{
    double sum = 0;
    for (uint32_t i = 0; i < COUNT; i++) sum += pow((double)a[i] - (b ? (double)b[i] : 0.0), 2);
    return sqrt(sum);
}

/* Whether operands are f16 there, and not f32. */
static bool is_half(pm_precision precision)
{
    return precision == PM_ROUNDED || pm_device_uses(device, PM_MATRIX_UNITS);
}

/* Elements of the gradient of y are up to 2^-26: f16 has nothing below 2^-24. */
static void scale_small_gradients(pm_precision precision)
{
    static float right[COUNT], unscaled[COUNT], scaled[COUNT];
    gradient_of(PM_F32, 0x1p-26f, 0, right);
    gradient_of(precision, 0x1p-26f, 0x1p24f, scaled);
    assert_true(norm_of(right, NULL) > 0);
    assert_true(norm_of(scaled, right) < 2e-3 * norm_of(right, NULL));
    gradient_of(precision, 0x1p-26f, 0, unscaled);
    if (!is_half(precision)) skip();
    assert_true(norm_of(scaled, right) > 1e-5 * norm_of(right, NULL));
    assert_true(norm_of(unscaled, NULL) == 0);
}

static void small_gradients_survive(void **state)
{
    (void)state;
    scale_small_gradients(PM_FAST);
}

static void small_gradients_survive_rounding(void **state)
{
    (void)state;
    scale_small_gradients(PM_ROUNDED);
}

/* By a scale of 2^40 the gradient of y is beyond 65504. */
static void overflow(pm_precision precision)
{
    problem p;
    float before[COUNT], after[COUNT], scale;
    uint32_t counts[2], steps = 0;
    build(&p, precision, 1.0f, true, true);
    if (!is_half(precision)) {
        destroy(&p);
        skip();
    }
    write_scale(&p, 0x1p40f);
    read_from(p.plan, p.w, before, sizeof before);
    for (; steps < 40; steps++) {
        run_once(p.plan);
        read_from(p.plan, p.scale.scale, &scale, sizeof scale);
        read_from(p.plan, p.scale.counts, counts, sizeof counts);
        read_from(p.plan, p.w, after, sizeof after);
        if (counts[0] > 0) break;
        assert_int_equal(counts[1], steps + 1);
        assert_true(scale == ldexpf(1.0f, 40 - (int)steps - 1));
        assert_memory_equal(before, after, sizeof before);
    }
    assert_true(steps == 24 || steps == 25); /* 2^16 t is just beyond what f16 has, or not */
    assert_true(norm_of(before, after) > 0);
    destroy(&p);
}

static void what_overflows_is_skipped(void **state)
{
    (void)state;
    overflow(PM_FAST);
}

static void what_overflows_in_rounding_is_skipped(void **state)
{
    (void)state;
    overflow(PM_ROUNDED);
}

/* x as f16 has it: of 11 bits, or a multiple of 2^-24. */
static float half_of(float x)
{
    int exponent;
    (void)frexpf(x, &exponent);
    double unit = ldexp(1.0, exponent - 11 < -24 ? -24 : exponent - 11);
    return (float)(nearbyint((double)x / unit) * unit);
}

/* From 2^-27 to 65519, the last that is not rounded to infinity: any bits, ties, and their neighbours. */
static void fill_tricky(float values[COUNT])
{
    uint32_t state = 7;
    for (uint32_t i = 0; i < COUNT; i++) {
        state = state * 1664525u + 1013904223u;
        uint32_t exponent = 100 + (state >> 8) % 42, low = state >> 16 & 0x1fffu;
        if (i % 3 != 0) low = 0x1000u + i % 3 - 1 - (i % 9 == 2); /* half of the last bit, and beside it */
        uint32_t bits = (state & 0x80000000u) | exponent << 23 | (state << 13 & 0x7fe000u) | low;
        memcpy(&values[i], &bits, sizeof bits);
    }
    values[0] = 65519.0f;
    values[1] = 0x1p-25f; /* a tie of 0 and the least */
    values[2] = 0x1.8p-24f;
}

/* Times the identity a matrix is what it was rounded to. */
static void rounding_is_to_the_nearest(void **state)
{
    static float values[COUNT], identity[COUNT], got[COUNT];
    pm_error error = {0};
    pm_plan *plan;
    pm_plan_options options = {.precision = PM_ROUNDED};
    pm_graph *g = pm_graph_create();
    (void)state;
    fill_tricky(values);
    for (uint32_t i = 0; i < SIDE; i++) identity[i * SIDE + i] = 1.0f;
    pm_tensor x = pm_constant(g, "x", PM_DTYPE_F32, PM_SHAPE(SIDE, SIDE), values);
    pm_tensor one = pm_constant(g, "one", PM_DTYPE_F32, PM_SHAPE(SIDE, SIDE), identity);
    pm_tensor y = pm_matmul(g, x, one, PM_AB, PM_NONE, PM_NONE);
    pm_output(g, y);
    expect_ok(pm_plan_create(device, g, &options, &plan, &error), &error);
    run_once(plan);
    read_from(plan, y, got, sizeof got);
    for (uint32_t i = 0; i < COUNT; i++) {
        if (got[i] != half_of(values[i]))
            print_error("%a: %a, not %a\n", (double)values[i], (double)got[i], (double)half_of(values[i]));
        assert_true(got[i] == half_of(values[i]));
    }
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
}

/* Cases of an operator whose names begin so, within what rounding its operands may do to them, and further
 * from the reference than f32 is. */
static void check_rounding(pm_device *on, const pm_op *op, const char *name)
{
    uint32_t checked = 0;
    for (uint32_t i = 0; i < op->n_cases; i++) {
        const pm_case *test = &op->cases[i];
        pm_verify_result result;
        pm_error error = {0};
        if (test->bench || strncmp(test->name, name, strlen(name)) != 0) continue;
        expect_ok(pm_verify_case(on, op, test, PM_ROUNDED, false, &result, &error), &error);
        if (!result.ok) print_error("%s\n", result.message);
        assert_true(result.ok && result.error > 1e-4);
        checked++;
    }
    assert_true(checked > 0);
}

static void check_products(pm_device *on)
{
    check_rounding(on, &pm_op_matmul, "AB, several workgroups");
    check_rounding(on, &pm_op_conv2d, "3x3, large");
    check_rounding(on, &pm_op_attention, "all to all, large");
}

static void operands_are_rounded(void **state)
{
    (void)state;
    check_products(device);
}

static void operands_are_rounded_by_kernels_of_gpus(void **state)
{
    pm_device_options options = {.off = PM_BIT(PM_CPU_KERNELS)};
    pm_error error = {0};
    pm_device *other;
    (void)state;
    expect_ok(pm_device_open(&options, &other, &error), &error);
    check_products(other);
    pm_device_close(other);
}

static pm_trainer *start(const pm_recipe *recipe, const pm_dataset *data)
{
    pm_trainer *trainer;
    pm_error error = {0};
    pm_plan_options options = {.precision = PM_FAST};
    expect_ok(
        pm_trainer_create(device, recipe, &(pm_training_data){.pictures = data}, &options, &trainer, &error),
        &error);
    return trainer;
}

static void save(pm_trainer *trainer, const char *path, uint8_t **bytes, size_t *size)
{
    pm_error error = {0};
    expect_ok(pm_trainer_save(trainer, path, &error), &error);
    expect_ok(pm_read_file(path, 1u << 28, bytes, size, &error), &error);
}

static void checkpoints_have_the_scale(void **state)
{
    char path[] = "/tmp/pumice-fast-XXXXXX";
    pm_error error = {0};
    pm_recipe recipe;
    pm_dataset data = tiny_dataset();
    uint8_t *whole, *resumed, *half;
    size_t sizes[3];
    int file = mkstemp(path);
    (void)state;
    assert_true(file >= 0 && close(file) == 0);
    expect_ok(tiny_fitted_recipe(&recipe, &error), &error);
    pm_trainer *first = start(&recipe, &data), *second = start(&recipe, &data);
    expect_ok(pm_trainer_run(first, 3, &error), &error);
    save(first, path, &half, &sizes[0]);
    expect_ok(pm_trainer_resume(second, path, &error), &error);

    pm_safetensors *saved;
    float values[PM_SCALED_LOSS_VALUES];
    expect_ok(pm_safetensors_open(path, &saved, &error), &error);
    const pm_safetensor *scale = pm_safetensors_find(saved, PM_SCALED_LOSS_TENSOR);
    assert_non_null(scale);
    assert_int_equal(scale->bytes, sizeof values);
    memcpy(values, scale->data, sizeof values);
    assert_true(values[0] > 0 && values[1] + values[2] == 3);
    pm_safetensors_close(saved);

    expect_ok(pm_trainer_run(first, 2, &error), &error);
    expect_ok(pm_trainer_run(second, 2, &error), &error);
    save(first, path, &whole, &sizes[1]);
    save(second, path, &resumed, &sizes[2]);
    assert_int_equal(sizes[1], sizes[2]);
    assert_memory_equal(whole, resumed, sizes[1]);
    pm_trainer_destroy(first);
    pm_trainer_destroy(second);
    free(half);
    free(whole);
    free(resumed);
    free(data.pixels);
    free(data.labels);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_gradients_survive),
        cmocka_unit_test(small_gradients_survive_rounding),
        cmocka_unit_test(what_overflows_is_skipped),
        cmocka_unit_test(what_overflows_in_rounding_is_skipped),
        cmocka_unit_test(rounding_is_to_the_nearest),
        cmocka_unit_test(operands_are_rounded),
        cmocka_unit_test(operands_are_rounded_by_kernels_of_gpus),
        cmocka_unit_test(checkpoints_have_the_scale),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
