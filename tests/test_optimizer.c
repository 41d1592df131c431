/* AdamW on a device, through the public interface alone, against a scalar implementation in double of
 * 1711.05101, algorithm 2, with clipping and a moving average. */
/* ctest labels: device */
#include "device_helpers.h"

#include "pumice.h"

#include <math.h>

#define STEPS 10u
#define MATRIX 15u
#define VECTOR 7u
#define ALL (MATRIX + VECTOR)

static const float rates[] = {0.2f, 0.1f, 0.05f, 0.02f};

/* A loss that pulls a matrix [3,5] and a vector [7] to targets: mean squared errors, added. */
typedef struct problem {
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor param[2], target[2], moment[2], second[2], average[2];
    pm_tensor counter, norm;
    pm_adamw_args args;
} problem;

static pm_adamw_args usual_args(void)
{
    return (pm_adamw_args){.beta1 = 0.9f,
                           .beta2 = 0.99f,
                           .eps = 1e-6f,
                           .weight_decay = 0.3f,
                           .clip_norm = 1.2f,
                           .learning_rates = rates,
                           .n_learning_rates = 4,
                           .ema = 0.5f,
                           .ema_warmup = true};
}

static void read_f32(const problem *p, pm_tensor tensor, float *data, size_t count)
{
    assert_int_equal(pm_plan_read(p->plan, tensor, data, count * sizeof *data, NULL), PM_OK);
}

static void write_f32(const problem *p, pm_tensor tensor, const float *data, size_t count)
{
    assert_int_equal(pm_plan_write(p->plan, tensor, data, count * sizeof *data, NULL), PM_OK);
}

static void build(problem *p, pm_adamw_args args, const pm_plan_options *options)
{
    pm_error error = {0};
    pm_graph *graph = p->graph = pm_graph_create();
    pm_shape shapes[2] = {PM_SHAPE(3, 5), PM_SHAPE(VECTOR)};
    float target[ALL];
    p->args = args;
    p->param[0] = pm_param(graph, "matrix", shapes[0], (pm_init){PM_INIT_UNIFORM, 1.0f});
    p->param[1] = pm_param(graph, "vector", shapes[1], (pm_init){PM_INIT_UNIFORM, 1.0f});
    p->target[0] = pm_state(graph, "matrix_target", PM_DTYPE_F32, shapes[0]);
    p->target[1] = pm_state(graph, "vector_target", PM_DTYPE_F32, shapes[1]);
    p->counter = pm_counter(graph);
    pm_tensor loss = pm_add(graph, pm_mse(graph, p->param[0], p->target[0], PM_NONE),
                            pm_mse(graph, p->param[1], p->target[1], PM_NONE));
    pm_adamw_state state = pm_adamw(graph, pm_backward(graph, loss), p->counter, args);
    p->norm = state.grad_norm;
    for (int i = 0; i < 2; i++) {
        p->moment[i] = pm_param_view(graph, state.first_moment, p->param[i]);
        p->second[i] = pm_param_view(graph, state.second_moment, p->param[i]);
        if (args.ema > 0) p->average[i] = pm_param_view(graph, state.average, p->param[i]);
    }
    pm_advance(graph, p->counter);
    pm_status status = pm_plan_create(device, graph, options, &p->plan, &error);
    if (status != PM_OK) print_error("%s\n", error.message);
    assert_int_equal(status, PM_OK);
    for (uint32_t i = 0; i < ALL; i++) target[i] = 2.0f * sinf((float)(3 * i + 1));
    write_f32(p, p->target[0], target, MATRIX);
    write_f32(p, p->target[1], target + MATRIX, VECTOR);
}

static void destroy(problem *p)
{
    pm_plan_destroy(p->plan);
    pm_graph_destroy(p->graph);
}

static void run(problem *p, uint32_t times)
{
    assert_int_equal(pm_plan_run(p->plan, times, NULL), PM_OK);
    assert_int_equal(pm_plan_wait(p->plan, NULL), PM_OK);
}

static void read_both(const problem *p, const pm_tensor *pair, float *data)
{
    read_f32(p, pair[0], data, MATRIX);
    read_f32(p, pair[1], data + MATRIX, VECTOR);
}

/* ---- The scalar implementation ------------------------------------------------------------------------- */

typedef struct scalar {
    double param[ALL], moment[ALL], second[ALL], average[ALL], norm;
    uint32_t clipped; /* steps in which the gradient was */
} scalar;

static void scalar_step(scalar *s, const float *target, const pm_adamw_args *args, uint32_t step)
{
    double gradient[ALL], sum = 0, b1 = args->beta1, b2 = args->beta2;
    for (uint32_t i = 0; i < ALL; i++) {
        gradient[i] = 2.0 * (s->param[i] - (double)target[i]) / (i < MATRIX ? MATRIX : VECTOR);
        sum += gradient[i] * gradient[i];
    }
    s->norm = sqrt(sum);
    double factor = 1, rate = (double)rates[step < 4 ? step : 3];
    if (args->clip_norm > 0 && s->norm > (double)args->clip_norm) {
        factor = (double)args->clip_norm / s->norm;
        s->clipped++;
    }
    double decay = fmin((double)args->ema, (1.0 + step) / (10.0 + step));
    for (uint32_t i = 0; i < ALL; i++) {
        double g = factor * gradient[i], t = step + 1.0;
        s->moment[i] = b1 * s->moment[i] + (1 - b1) * g;
        s->second[i] = b2 * s->second[i] + (1 - b2) * g * g;
        double m = s->moment[i] / (1 - pow(b1, t)), v = s->second[i] / (1 - pow(b2, t));
        double shrink = i < MATRIX ? (double)args->weight_decay * s->param[i] : 0;
        s->param[i] -= rate * (m / (sqrt(v) + (double)args->eps) + shrink);
        s->average[i] = step == 0 ? s->param[i] : decay * s->average[i] + (1 - decay) * s->param[i];
    }
}

static void compare(const char *what, uint32_t step, const float *got, const double *want)
{
    double square = 0;
    for (uint32_t i = 0; i < ALL; i++) square += want[i] * want[i] / ALL;
    for (uint32_t i = 0; i < ALL; i++) {
        if (fabs((double)got[i] - want[i]) <= 2e-6 * fmax(sqrt(square), fabs(want[i]))) continue;
        print_error("step %u: %s[%u] is %.9g, not %.9g\n", step, what, i, (double)got[i], want[i]);
        fail();
    }
}

static void test_ten_steps(void **state)
{
    (void)state;
    problem p;
    scalar s = {.norm = 0};
    float got[ALL], target[ALL], norm;
    build(&p, usual_args(), NULL);
    read_both(&p, p.param, got);
    read_both(&p, p.target, target);
    for (uint32_t i = 0; i < ALL; i++) s.param[i] = (double)got[i];
    for (uint32_t step = 0; step < STEPS; step++) {
        run(&p, 1);
        scalar_step(&s, target, &p.args, step);
        read_both(&p, p.param, got);
        compare("param", step, got, s.param);
        read_both(&p, p.moment, got);
        compare("m", step, got, s.moment);
        read_both(&p, p.second, got);
        compare("v", step, got, s.second);
        read_both(&p, p.average, got);
        compare("ema", step, got, s.average);
        read_f32(&p, p.norm, &norm, 1);
        assert_true(fabs((double)norm - s.norm) < 1e-5 * s.norm);
    }
    assert_in_range(s.clipped, 1, STEPS - 1); /* the test means both */
    destroy(&p);
}

static void test_first_average_is_a_copy(void **state)
{
    (void)state;
    for (int warmup = 0; warmup < 2; warmup++) {
        problem p;
        float param[ALL], average[ALL];
        pm_adamw_args args = usual_args();
        args.ema = 0.9999f;
        args.ema_warmup = warmup;
        build(&p, args, NULL);
        run(&p, 1);
        read_both(&p, p.param, param);
        read_both(&p, p.average, average);
        assert_memory_equal(param, average, sizeof param);
        run(&p, 1);
        float before[ALL];
        memcpy(before, param, sizeof before);
        read_both(&p, p.param, param);
        read_both(&p, p.average, average);
        double decay = warmup ? 2.0 / 11.0 : 0.9999;
        for (uint32_t i = 0; i < ALL; i++) {
            double want = decay * (double)before[i] + (1 - decay) * (double)param[i];
            assert_true(fabs((double)average[i] - want) < 1e-6);
        }
        destroy(&p);
    }
}

/* Without a gradient only weight decay moves a parameter, and only one of rank 2 or more. */
static void test_decay_spares_vectors(void **state)
{
    (void)state;
    problem p;
    float before[ALL], after[ALL];
    build(&p, usual_args(), NULL);
    read_both(&p, p.param, before);
    write_f32(&p, p.target[0], before, MATRIX);
    write_f32(&p, p.target[1], before + MATRIX, VECTOR);
    run(&p, 1);
    read_both(&p, p.param, after);
    for (uint32_t i = 0; i < MATRIX; i++) {
        double want = (double)before[i] * (1 - (double)rates[0] * (double)p.args.weight_decay);
        assert_true(fabs((double)after[i] - want) < 1e-6);
    }
    assert_memory_equal(before + MATRIX, after + MATRIX, VECTOR * sizeof(float));
    float norm;
    read_f32(&p, p.norm, &norm, 1);
    assert_true(norm == 0.0f);
    destroy(&p);
}

/* A gradient that is not finite leaves parameters and moments as they are, and does not stay. */
static void test_broken_gradient_is_skipped(void **state)
{
    (void)state;
    static const float broken[] = {NAN, INFINITY, -INFINITY, 1e30f};
    problem p;
    float target[ALL], bad[MATRIX], norm, before[3][ALL], after[3][ALL], average[ALL];
    build(&p, usual_args(), NULL);
    read_both(&p, p.target, target);
    run(&p, 2);
    for (size_t k = 0; k < sizeof broken / sizeof *broken; k++) {
        read_both(&p, p.param, before[0]);
        read_both(&p, p.moment, before[1]);
        read_both(&p, p.second, before[2]);
        memcpy(bad, target, sizeof bad);
        bad[3] = broken[k];
        write_f32(&p, p.target[0], bad, MATRIX);
        run(&p, 1);
        read_both(&p, p.param, after[0]);
        read_both(&p, p.moment, after[1]);
        read_both(&p, p.second, after[2]);
        assert_memory_equal(before, after, sizeof before);
        read_f32(&p, p.norm, &norm, 1);
        assert_true(isinf(norm) || norm > 1e28f);
        write_f32(&p, p.target[0], target, MATRIX);
        run(&p, 1);
        read_both(&p, p.param, after[0]);
        assert_memory_not_equal(before[0], after[0], sizeof after[0]);
        read_both(&p, p.average, average);
        for (uint32_t i = 0; i < ALL; i++) assert_true(isfinite(after[0][i]) && isfinite(average[i]));
        read_f32(&p, p.norm, &norm, 1);
        assert_true(isfinite(norm));
    }
    destroy(&p);
}

/* How often the host asks changes no bit. */
static void test_one_run_or_ten(void **state)
{
    (void)state;
    problem p[2];
    float param[2][ALL], average[2][ALL];
    build(&p[0], usual_args(), NULL);
    build(&p[1], usual_args(), NULL);
    for (uint32_t i = 0; i < STEPS; i++) run(&p[0], 1);
    run(&p[1], STEPS);
    for (int i = 0; i < 2; i++) {
        read_both(&p[i], p[i].param, param[i]);
        read_both(&p[i], p[i].average, average[i]);
        destroy(&p[i]);
    }
    assert_memory_equal(param[0], param[1], sizeof param[0]);
    assert_memory_equal(average[0], average[1], sizeof average[0]);
}

#define LARGE (65u * 259u)

/* Three steps on a parameter that exceeds `range` (0: no limit), beside a vector that has no decay. */
static void run_large(uint64_t range, float *param, uint32_t *pieces)
{
    pm_plan *plan = NULL;
    pm_graph *graph = pm_graph_create();
    pm_init normal = {PM_INIT_NORMAL, 1.0f};
    pm_tensor vector = pm_param(graph, "vector", PM_SHAPE(3), normal);
    pm_tensor large = pm_param(graph, "large", PM_SHAPE(65, 259), normal);
    pm_tensor counter = pm_counter(graph);
    pm_tensor target = pm_affine(graph, pm_silu(graph, large), 1.0f, 0.5f);
    pm_tensor loss = pm_add(graph, pm_mse(graph, large, target, PM_NONE), pm_sum(graph, vector));
    (void)pm_adamw(graph, pm_backward(graph, loss), counter, usual_args());
    pm_advance(graph, counter);
    assert_int_equal(plan_within(range, device, graph, NULL, &plan, NULL), PM_OK);
    assert_int_equal(pm_plan_run(plan, 3, NULL), PM_OK);
    assert_int_equal(pm_plan_read(plan, large, param, LARGE * sizeof *param, NULL), PM_OK);
    *pieces = pm_plan_stats_of(plan).pieces - pm_plan_stats_of(plan).dispatches;
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
}

/* Into how many pieces dispatches are cut changes no bit. */
static void test_cut_into_pieces(void **state)
{
    (void)state;
    static float whole[LARGE], cut[LARGE];
    uint32_t more;
    run_large(0, whole, &more);
    assert_int_equal(more, 0);
    run_large(32768, cut, &more);
    assert_true(more >= 8);
    assert_memory_equal(whole, cut, sizeof whole);
}

static void expect_refused(pm_adamw_args args)
{
    pm_graph *graph = pm_graph_create();
    pm_tensor param = pm_param(graph, "p", PM_SHAPE(3), (pm_init){PM_INIT_ZERO, 0});
    pm_tensor counter = pm_counter(graph);
    pm_tensor gradient = pm_backward(graph, pm_mse(graph, param, param, PM_NONE));
    assert_int_equal(pm_graph_status(graph, NULL), PM_OK);
    (void)pm_adamw(graph, gradient, counter, args);
    assert_int_equal(pm_graph_status(graph, NULL), PM_BAD_USAGE);
    pm_graph_destroy(graph);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    pm_adamw_args args = usual_args();
    args.n_learning_rates = 0;
    expect_refused(args);
    args = usual_args();
    args.beta2 = 1.0f;
    expect_refused(args);
    args = usual_args();
    args.eps = 0.0f;
    expect_refused(args);
    args = usual_args();
    args.ema = NAN;
    expect_refused(args);
    args = usual_args();
    args.clip_norm = -1.0f;
    expect_refused(args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_steps),
        cmocka_unit_test(test_first_average_is_a_copy),
        cmocka_unit_test(test_decay_spares_vectors),
        cmocka_unit_test(test_broken_gradient_is_skipped),
        cmocka_unit_test(test_one_run_or_ten),
        cmocka_unit_test(test_cut_into_pieces),
        cmocka_unit_test(test_bad_arguments),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
