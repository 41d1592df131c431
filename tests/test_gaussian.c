/* The Gaussian process without a device: schedules by their checksums; samplers by the moments that they give
 * data of a known law, which follow from the coefficients alone (gaussian_exact.h). */
#include "unit.h"

#include "gaussian_exact.h"

#include <math.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define T 1000u

static void near(double got, double want, double tolerance, const char *what, int line)
{
    if (fabs(got - want) <= tolerance) return;
    print_error("line %d: %s is %.12g, not %.12g within %g\n", line, what, got, want, tolerance);
    fail();
}
#define NEAR(got, want, tolerance) near(got, want, tolerance, #got, __LINE__)

static pm_gaussian *make(pm_schedule schedule, uint32_t timesteps, pm_target target)
{
    pm_gaussian *process = NULL;
    pm_gaussian_config config = {schedule, timesteps, target};
    assert_int_equal(pm_gaussian_create(&config, &process, NULL), PM_OK);
    return process;
}

/* ---- Schedules ----------------------------------------------------------------------------------------- */

static void test_schedules(void **state)
{
    (void)state;
    pm_gaussian *linear = make(PM_SCHEDULE_LINEAR, T, PM_TARGET_EPSILON);
    NEAR(linear->alpha_bar[0], 0.9999, 1e-12);
    NEAR(linear->alpha_bar[T - 1], 4.03583e-5, 5e-11);
    NEAR(sqrt(1 / linear->alpha_bar[0] - 1), 0.0100, 5e-5);
    NEAR(sqrt(1 / linear->alpha_bar[T - 1] - 1), 157.4, 0.05);
    pm_gaussian_destroy(linear);
    pm_gaussian *cosine = make(PM_SCHEDULE_COSINE, T, PM_TARGET_EPSILON);
    NEAR(cosine->alpha_bar[0], 0.999959, 5e-7);
    NEAR(cosine->alpha_bar[T - 1], 2.42877e-9, 5e-15);
    NEAR(sqrt(1 / cosine->alpha_bar[0] - 1), 0.00643, 5e-6);
    NEAR(sqrt(1 / cosine->alpha_bar[T - 1] - 1), 2.03e4, 50);
    /* The cap on beta is what keeps the last one from being 0. */
    NEAR(cosine->alpha_bar[T - 1] / cosine->alpha_bar[T - 2], 0.001, 1e-12);
    pm_gaussian_destroy(cosine);
    /* Fewer timesteps: the same amount of noise in all, as the betas grow. */
    pm_gaussian *quarter = make(PM_SCHEDULE_LINEAR, T / 4, PM_TARGET_EPSILON);
    NEAR(1 - quarter->alpha_bar[0], 4e-4, 1e-12);
    NEAR(log(quarter->alpha_bar[T / 4 - 1]), log(4.03583e-5), 0.25);
    pm_gaussian_destroy(quarter);
}

static void test_bad_schedules(void **state)
{
    (void)state;
    pm_error error;
    pm_gaussian *process = NULL;
    pm_gaussian_config few = {PM_SCHEDULE_LINEAR, 20, PM_TARGET_EPSILON};
    pm_gaussian_config none = {PM_SCHEDULE_COSINE, 0, PM_TARGET_EPSILON};
    assert_int_equal(pm_gaussian_create(&few, &process, &error), PM_BAD_USAGE);
    assert_non_null(strstr(error.message, "beta"));
    assert_null(process);
    assert_int_equal(pm_gaussian_create(&none, &process, &error), PM_BAD_USAGE);
    few.timesteps = 21;
    assert_int_equal(pm_gaussian_create(&few, &process, &error), PM_OK);
    pm_gaussian_destroy(process);
}

static void test_tables(void **state)
{
    (void)state;
    static float corrupt[T * 2], target[T * 2];
    static const pm_target targets[] = {PM_TARGET_EPSILON, PM_TARGET_V, PM_TARGET_X0};
    for (size_t k = 0; k < COUNT(targets); k++) {
        pm_gaussian *process = make(PM_SCHEDULE_COSINE, T, targets[k]);
        pm_gaussian_corrupt_table(process, corrupt);
        pm_gaussian_target_table(process, target);
        pm_sampler sampler = {.method = PM_METHOD_DDIM, .steps = T};
        for (uint32_t t = 0; t < T; t++) {
            double row[PM_STEP_COLUMNS], x0 = 0.7, e = -1.3;
            double a = (double)corrupt[2 * t], s = (double)corrupt[2 * t + 1];
            NEAR(a * a + s * s, 1, 1e-6);
            NEAR(a * a, process->alpha_bar[t], 1e-7);
            double x = sqrt(process->alpha_bar[t]) * x0 + sqrt(1 - process->alpha_bar[t]) * e;
            double prediction = (double)target[2 * t] * x0 + (double)target[2 * t + 1] * e;
            if (targets[k] == PM_TARGET_V) NEAR(prediction, a * e - s * x0, 1e-6);
            /* What the network is taught gives back x0 and the noise, whichever target it is. */
            assert_int_equal(pm_gaussian_step(process, &sampler, (int32_t)t, (int32_t)t - 1, row, NULL),
                             PM_OK);
            double got_x0 = row[PM_STEP_X0_X] * x + row[PM_STEP_X0_PRED] * prediction;
            NEAR(got_x0, x0, 1e-6);
            NEAR(row[PM_STEP_NOISE_X] * x + row[PM_STEP_NOISE_X0] * x0, e, 1e-9);
        }
        pm_gaussian_destroy(process);
    }
}

/* ---- Timesteps ----------------------------------------------------------------------------------------- */

static void check_timesteps(pm_spacing spacing, const uint32_t *want)
{
    uint32_t got[10];
    pm_gaussian *process = make(PM_SCHEDULE_LINEAR, T, PM_TARGET_EPSILON);
    assert_int_equal(pm_gaussian_timesteps(process, spacing, 10, got, NULL), PM_OK);
    assert_memory_equal(got, want, sizeof got);
    pm_gaussian_destroy(process);
}

static void test_timesteps(void **state)
{
    (void)state;
    check_timesteps(PM_SPACING_LEADING, (uint32_t[]){900, 800, 700, 600, 500, 400, 300, 200, 100, 0});
    check_timesteps(PM_SPACING_LINSPACE, (uint32_t[]){999, 888, 777, 666, 555, 444, 333, 222, 111, 0});
    check_timesteps(PM_SPACING_TRAILING, (uint32_t[]){999, 899, 799, 699, 599, 499, 399, 299, 199, 99});
    check_timesteps(PM_SPACING_QUADRATIC, (uint32_t[]){800, 632, 483, 355, 246, 158, 88, 39, 9, 0});
}

static void test_timesteps_of_every_length(void **state)
{
    (void)state;
    static const pm_spacing spacings[] = {PM_SPACING_LEADING, PM_SPACING_LINSPACE, PM_SPACING_TRAILING,
                                          PM_SPACING_QUADRATIC};
    static const uint32_t totals[] = {1, 2, 7, 100, 1000};
    static uint32_t got[T + 1];
    pm_error error;
    for (size_t n = 0; n < COUNT(totals); n++) {
        pm_gaussian *process = make(PM_SCHEDULE_COSINE, totals[n], PM_TARGET_V);
        for (size_t k = 0; k < COUNT(spacings); k++) {
            for (uint32_t steps = 1; steps <= totals[n]; steps++) {
                assert_int_equal(pm_gaussian_timesteps(process, spacings[k], steps, got, &error), PM_OK);
                assert_true(got[0] < totals[n]);
                for (uint32_t i = 1; i < steps; i++) assert_true(got[i] < got[i - 1]);
            }
            for (uint32_t i = 0; i < totals[n]; i++)
                assert_int_equal(got[i], totals[n] - 1 - i); /* all of them */
            assert_int_equal(pm_gaussian_timesteps(process, spacings[k], 0, got, &error), PM_BAD_USAGE);
            assert_int_equal(pm_gaussian_timesteps(process, spacings[k], totals[n] + 1, got, &error),
                             PM_BAD_USAGE);
        }
        pm_gaussian_destroy(process);
    }
}

static void test_names(void **state)
{
    (void)state;
    pm_error error;
    pm_sampler sampler;
    assert_int_equal(pm_sampler_from_names("ddpm", "quadratic", 7, 0.5, &sampler, &error), PM_OK);
    assert_int_equal(sampler.method, PM_METHOD_DDPM_SMALL);
    assert_int_equal(sampler.spacing, PM_SPACING_QUADRATIC);
    assert_int_equal(sampler.steps, 7);
    assert_int_equal(pm_sampler_from_names("heun", "leading", 7, 0, &sampler, &error), PM_BAD_USAGE);
    assert_int_equal(pm_sampler_from_names("ddim", "even", 7, 0, &sampler, &error), PM_BAD_USAGE);
    assert_int_equal(pm_sampler_from_names("ddim", "leading", 0, 0, &sampler, &error), PM_BAD_USAGE);
    assert_int_equal(pm_sampler_from_names("ddim", "leading", 7, -1, &sampler, &error), PM_BAD_USAGE);
    assert_int_equal(pm_sampler_from_names("ddim", "leading", 7, (double)NAN, &sampler, &error),
                     PM_BAD_USAGE);
}

/* ---- Moments ------------------------------------------------------------------------------------------- */

static const pm_sampler samplers[] = {
    {.method = PM_METHOD_DDPM_SMALL}, {.method = PM_METHOD_DDPM_LARGE}, {.method = PM_METHOD_DDIM}};

static moments moments_of(pm_schedule schedule, size_t sampler, uint32_t steps, double m, pm_target target)
{
    pm_gaussian *process = make(schedule, T, target);
    pm_sampler s = samplers[sampler];
    s.steps = steps;
    moments result = propagate(process, &s, m, 0.25, (moments){0, 1});
    pm_gaussian_destroy(process);
    return result;
}

/* Data N(0.3, 0.5^2), all 1000 steps; N(0, 0.5^2), a few of them. Columns: fixed small, fixed large, DDIM. */
static void test_moments(void **state)
{
    (void)state;
    static const double linear_mean[] = {0.30000, 0.30000, 0.29905};
    static const double linear_std[] = {0.49611, 0.50075, 0.49850};
    static const double cosine_std[] = {0.49799, 0.50042, 0.49919};
    static const struct {
        uint32_t steps;
        double std[3];
    } leading[] = {{10, {.3333, .5890, .3741}}, {50, {.4441, .5172, .4724}}, {250, {.4858, .5033, .4943}}};
    static const pm_target targets[] = {PM_TARGET_EPSILON, PM_TARGET_V, PM_TARGET_X0};
    for (size_t k = 0; k < COUNT(targets); k++) {
        for (size_t i = 0; i < COUNT(samplers); i++) {
            moments linear = moments_of(PM_SCHEDULE_LINEAR, i, T, 0.3, targets[k]);
            NEAR(linear.mean, linear_mean[i], 5.1e-6);
            NEAR(linear.std, linear_std[i], 5.1e-6);
            NEAR(moments_of(PM_SCHEDULE_COSINE, i, T, 0.3, targets[k]).std, cosine_std[i], 5.1e-6);
            for (size_t n = 0; n < COUNT(leading); n++) {
                moments few = moments_of(PM_SCHEDULE_LINEAR, i, leading[n].steps, 0, targets[k]);
                NEAR(few.mean, 0, 1e-12);
                NEAR(few.std, leading[n].std[i], 5.1e-5);
            }
        }
    }
}

/* ---- Identities ---------------------------------------------------------------------------------------- */

/* DDIM's noise written out as x and x0: the pair of factors of x0 and x that DDPM has. */
static void as_posterior(const double *row, double *of_x0, double *of_x)
{
    *of_x0 = row[PM_STEP_OUT_X0] + row[PM_STEP_OUT_NOISE] * row[PM_STEP_NOISE_X0];
    *of_x = row[PM_STEP_OUT_X] + row[PM_STEP_OUT_NOISE] * row[PM_STEP_NOISE_X];
}

static void test_ddim_with_all_noise_is_ddpm(void **state)
{
    (void)state;
    pm_gaussian *process = make(PM_SCHEDULE_LINEAR, T, PM_TARGET_EPSILON);
    pm_sampler ddim = {.method = PM_METHOD_DDIM, .eta = 1}, ddpm = {.method = PM_METHOD_DDPM_SMALL};
    uint32_t random = 1;
    for (uint32_t i = 0; i < 3000; i++) {
        double a[PM_STEP_COLUMNS], b[PM_STEP_COLUMNS], x0[2], x[2];
        random = random * 1664525u + 1013904223u;
        int32_t t = i < T ? (int32_t)i : (int32_t)((random >> 8) % T);
        int32_t s = i < T ? t - 1 : (int32_t)((random >> 18) % (uint32_t)(t + 1)) - 1;
        assert_int_equal(pm_gaussian_step(process, &ddim, t, s, a, NULL), PM_OK);
        assert_int_equal(pm_gaussian_step(process, &ddpm, t, s, b, NULL), PM_OK);
        as_posterior(a, &x0[0], &x[0]);
        as_posterior(b, &x0[1], &x[1]);
        NEAR(x0[0], x0[1], 1e-12);
        NEAR(x[0], x[1], 1e-12);
        NEAR(a[PM_STEP_OUT_Z], b[PM_STEP_OUT_Z], 1e-12);
        for (uint32_t c = 0; c < PM_STEP_OUT_X0; c++) assert_true(a[c] == b[c]);
    }
    pm_gaussian_destroy(process);
}

/* All T steps: what section 2 and 3.2 of 2006.11239 say of neighbours, straight from its betas. */
static void test_all_steps_are_the_paper(void **state)
{
    (void)state;
    static float table[T * PM_STEP_COLUMNS];
    static uint32_t timesteps[T];
    pm_gaussian *process = make(PM_SCHEDULE_LINEAR, T, PM_TARGET_EPSILON);
    for (size_t large = 0; large < 2; large++) {
        pm_sampler sampler = {.method = large ? PM_METHOD_DDPM_LARGE : PM_METHOD_DDPM_SMALL, .steps = T};
        assert_int_equal(pm_gaussian_steps(process, &sampler, table, timesteps, NULL), PM_OK);
        double abar = 1;
        for (uint32_t t = 0; t < T; t++) {
            const float *row = &table[(size_t)(T - 1 - t) * PM_STEP_COLUMNS];
            double beta = 1e-4 + (0.02 - 1e-4) * t / (T - 1), before = abar;
            abar *= 1 - beta;
            double posterior = beta * (1 - before) / (1 - abar);
            assert_int_equal(timesteps[T - 1 - t], t);
            NEAR((double)row[PM_STEP_OUT_X0], sqrt(before) * beta / (1 - abar), 2e-7);
            NEAR((double)row[PM_STEP_OUT_X], sqrt(1 - beta) * (1 - before) / (1 - abar), 2e-7);
            NEAR((double)row[PM_STEP_OUT_Z], t == 0 ? 0 : sqrt(large ? beta : posterior), 2e-7);
            NEAR((double)row[PM_STEP_OUT_NOISE], 0, 0);
        }
    }
    pm_gaussian_destroy(process);
}

/* Every sampler's last step returns x0 itself, without noise. */
static void test_last_step_is_clean(void **state)
{
    (void)state;
    pm_gaussian *process = make(PM_SCHEDULE_COSINE, T, PM_TARGET_V);
    for (int32_t t = 0; t < (int32_t)T; t += 37) {
        for (size_t i = 0; i < COUNT(samplers); i++) {
            double row[PM_STEP_COLUMNS], of_x0, of_x;
            pm_sampler sampler = samplers[i];
            sampler.eta = 0.5;
            assert_int_equal(pm_gaussian_step(process, &sampler, t, PM_GAUSSIAN_DATA, row, NULL), PM_OK);
            as_posterior(row, &of_x0, &of_x);
            NEAR(of_x0, 1, 1e-12);
            NEAR(of_x, 0, 1e-12);
            assert_true(row[PM_STEP_OUT_Z] == 0);
        }
    }
    pm_gaussian_destroy(process);
}

static void test_impossible_steps_are_errors(void **state)
{
    (void)state;
    pm_error error;
    double row[PM_STEP_COLUMNS];
    pm_gaussian *process = make(PM_SCHEDULE_LINEAR, T, PM_TARGET_EPSILON);
    pm_sampler sampler = {.method = PM_METHOD_DDIM, .steps = 10, .eta = 1.5};
    assert_int_equal(pm_gaussian_step(process, &sampler, 900, 100, row, &error), PM_BAD_USAGE);
    assert_non_null(strstr(error.message, "eta"));
    sampler.eta = 1;
    assert_int_equal(pm_gaussian_step(process, &sampler, 900, 100, row, &error), PM_OK);
    assert_int_equal(pm_gaussian_step(process, &sampler, 100, 100, row, &error), PM_BAD_USAGE);
    assert_int_equal(pm_gaussian_step(process, &sampler, 100, 200, row, &error), PM_BAD_USAGE);
    assert_int_equal(pm_gaussian_step(process, &sampler, T, 200, row, &error), PM_BAD_USAGE);
    assert_int_equal(pm_gaussian_step(process, &sampler, 5, -2, row, &error), PM_BAD_USAGE);
    pm_gaussian_destroy(process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_bad_schedules),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_timesteps),
        cmocka_unit_test(test_timesteps_of_every_length),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_ddim_with_all_noise_is_ddpm),
        cmocka_unit_test(test_all_steps_are_the_paper),
        cmocka_unit_test(test_last_step_is_clean),
        cmocka_unit_test(test_impossible_steps_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
