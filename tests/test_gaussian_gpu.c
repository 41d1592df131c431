/* Gaussian samplers on a device: the graph of a reverse step with the exact denoiser of Gaussian data in the
 * network's place, so that the law of the samples is known (gaussian_exact.h). And guidance. */
/* ctest labels: device */
#include "device_helpers.h"

#include "base/philox.h"
#include "gaussian_exact.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define T 1000u
#define WIDTH 5u /* elements of a sample: no multiple of four */
#define STREAM 3u

static pm_plan *plan_of(pm_graph *graph)
{
    pm_plan *plan = NULL;
    pm_error error = {0};
    pm_status status = pm_plan_create(device, graph, NULL, &plan, &error);
    if (status != PM_OK) print_error("%s\n", error.message);
    assert_int_equal(status, PM_OK);
    return plan;
}

/* ---- Trajectories -------------------------------------------------------------------------------------- */

typedef struct setting {
    pm_schedule schedule;
    pm_target target;
    pm_sampler sampler;
    double m, v; /* of the data */
    float clip;
} setting;

static pm_gaussian *process_of(const setting *c)
{
    pm_gaussian *process = NULL;
    pm_gaussian_config config = {c->schedule, T, c->target};
    assert_int_equal(pm_gaussian_create(&config, &process, NULL), PM_OK);
    return process;
}

/* The exact network as a table [T,2] for pm_corrupt(x, 1). */
static pm_tensor network(pm_graph *graph, const setting *c, pm_tensor x, pm_tensor t)
{
    static float table[T * 2];
    pm_gaussian *process = process_of(c);
    for (uint32_t i = 0; i < T; i++) {
        double p, q;
        exact_network(process, (int32_t)i, c->m, c->v, &p, &q);
        table[2 * i] = (float)q;
        table[2 * i + 1] = (float)p;
    }
    pm_gaussian_destroy(process);
    pm_tensor ones = pm_affine(graph, x, 0.0f, 1.0f);
    return pm_corrupt(graph, x, ones, t, pm_constant(graph, "network", PM_DTYPE_F32, PM_SHAPE(T, 2), table));
}

/* `samples` trajectories of samples number `first` and on, from the noise in x [samples][WIDTH] to results in
 * its place. */
static void sample(const setting *c, uint32_t samples, uint32_t first, float *x)
{
    static float table[MOST_STEPS * PM_STEP_COLUMNS];
    static uint32_t timesteps[MOST_STEPS];
    uint32_t steps = c->sampler.steps, start[4] = {0, first, 2006, 11239};
    size_t bytes = (size_t)samples * WIDTH * sizeof(float);
    pm_gaussian *process = process_of(c);
    assert_int_equal(pm_gaussian_steps(process, &c->sampler, table, timesteps, NULL), PM_OK);
    pm_gaussian_destroy(process);

    pm_graph *graph = pm_graph_create();
    pm_tensor state = pm_state(graph, "x", PM_DTYPE_F32, PM_SHAPE(samples, WIDTH));
    pm_tensor counter = pm_counter(graph);
    pm_tensor rows = pm_constant(graph, "table", PM_DTYPE_F32, PM_SHAPE(steps, PM_STEP_COLUMNS), table);
    pm_tensor t = pm_at_step(graph, pm_constant(graph, "t", PM_DTYPE_U32, PM_SHAPE(steps), timesteps),
                             counter, samples);
    pm_tensor noise = pm_normal(graph, counter, STREAM, PM_SHAPE(samples, WIDTH));
    (void)pm_denoise_step(graph, state, network(graph, c, state, t), noise, counter, rows, c->clip);
    pm_advance(graph, counter);

    pm_plan *plan = plan_of(graph);
    assert_int_equal(pm_plan_write(plan, state, x, bytes, NULL), PM_OK);
    assert_int_equal(pm_plan_write(plan, counter, start, sizeof start, NULL), PM_OK);
    assert_int_equal(pm_plan_run(plan, steps, NULL), PM_OK);
    assert_int_equal(pm_plan_read(plan, state, x, bytes, NULL), PM_OK);
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
}

static void draw_start(float *x, uint32_t samples)
{
    for (uint32_t i = 0; i < samples * WIDTH; i += 4) {
        uint32_t counter[4] = {i / 4, 0, 0, STREAM + 1}, key[2] = {17, 4}, bits[4];
        float normals[4];
        pm_philox4x32(counter, key, bits);
        pm_normal4(bits, normals);
        for (uint32_t k = 0; k < 4 && i + k < samples * WIDTH; k++) x[i + k] = normals[k];
    }
}

static moments moments_of(const float *x, uint32_t count)
{
    double sum = 0, square = 0;
    for (uint32_t i = 0; i < count; i++) sum += (double)x[i];
    double mean = sum / count;
    for (uint32_t i = 0; i < count; i++) square += ((double)x[i] - mean) * ((double)x[i] - mean);
    return (moments){mean, sqrt(square / (count - 1))};
}

/* Samples against the law that the coefficients imply, five standard errors wide; returns their moments. A
 * deterministic sampler is an affine map of its start, which leaves nothing to chance. */
static moments check_law(const setting *c, uint32_t samples)
{
    uint32_t count = samples * WIDTH;
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    draw_start(x, samples);
    moments start = moments_of(x, count);
    sample(c, samples, 0, x);
    moments got = moments_of(x, count);
    free(x);
    pm_gaussian *process = process_of(c);
    moments law = propagate(process, &c->sampler, c->m, c->v, (moments){0, 1});
    moments exact = propagate(process, &c->sampler, c->m, c->v, start);
    pm_gaussian_destroy(process);
    if (c->sampler.method == PM_METHOD_DDIM && c->sampler.eta == 0) {
        assert_true(fabs(got.mean - exact.mean) < 1e-5);
        assert_true(fabs(got.std - exact.std) < 1e-5);
    }
    assert_true(fabs(got.mean - law.mean) < 5 * law.std / sqrt(count));
    assert_true(fabs(got.std - law.std) < 5 * law.std / sqrt(2.0 * count));
    return got;
}

/* Figures of another implementation, N(0, 0.5^2) in 10 and 50 leading steps; the difference between the
 * samplers is ten times what chance does. */
static void test_moments_of_few_steps(void **state)
{
    (void)state;
    static const struct {
        pm_method method;
        uint32_t steps;
        double std;
    } rows[] = {
        {PM_METHOD_DDPM_SMALL, 10, .3333}, {PM_METHOD_DDPM_LARGE, 10, .5890}, {PM_METHOD_DDIM, 10, .3741},
        {PM_METHOD_DDPM_SMALL, 50, .4441}, {PM_METHOD_DDPM_LARGE, 50, .5172}, {PM_METHOD_DDIM, 50, .4724},
    };
    const uint32_t samples = 8192;
    for (size_t i = 0; i < COUNT(rows); i++) {
        setting c = {.target = i % 2 ? PM_TARGET_V : PM_TARGET_EPSILON,
                     .sampler = {rows[i].method, PM_SPACING_LEADING, rows[i].steps, 0},
                     .v = 0.25};
        moments got = check_law(&c, samples);
        assert_true(fabs(got.std - rows[i].std) < 5e-5 + 5 * rows[i].std / sqrt(2.0 * samples * WIDTH));
    }
}

/* All 1000 steps, which is where rounding could add up. */
static void test_moments_of_all_steps(void **state)
{
    (void)state;
    static const struct {
        pm_schedule schedule;
        pm_method method;
        double std;
    } rows[] = {{PM_SCHEDULE_LINEAR, PM_METHOD_DDPM_SMALL, 0.49611},
                {PM_SCHEDULE_COSINE, PM_METHOD_DDPM_LARGE, 0.50042},
                {PM_SCHEDULE_LINEAR, PM_METHOD_DDIM, 0.49850}};
    const uint32_t samples = 1024;
    for (size_t i = 0; i < COUNT(rows); i++) {
        setting c = {.schedule = rows[i].schedule,
                     .target = PM_TARGET_V,
                     .sampler = {rows[i].method, PM_SPACING_LEADING, T, 0},
                     .m = 0.3,
                     .v = 0.25};
        moments got = check_law(&c, samples);
        assert_true(fabs(got.std - rows[i].std) < 5 * rows[i].std / sqrt(2.0 * samples * WIDTH));
    }
}

/* DDIM with eta = 1 and DDPM go the same way from the same noise, also where x0 is clipped: up to rounding,
 * which 50 steps carry along. */
static void test_ddim_with_all_noise_is_ddpm(void **state)
{
    (void)state;
    enum { SAMPLES = 512 };
    static float a[SAMPLES * WIDTH], b[SAMPLES * WIDTH];
    for (int clip = 0; clip < 2; clip++) {
        setting c = {.target = PM_TARGET_V,
                     .sampler = {PM_METHOD_DDPM_SMALL, PM_SPACING_TRAILING, 50, 0},
                     .m = 0.5,
                     .v = 1,
                     .clip = clip ? 1.0f : 0.0f};
        draw_start(a, SAMPLES);
        memcpy(b, a, sizeof b);
        sample(&c, SAMPLES, 0, a);
        c.sampler.method = PM_METHOD_DDIM;
        c.sampler.eta = 1;
        sample(&c, SAMPLES, 0, b);
        uint32_t at_clip = 0;
        for (uint32_t i = 0; i < SAMPLES * WIDTH; i++) {
            assert_true(fabsf(a[i] - b[i]) < 2e-5f);
            at_clip += fabsf(a[i]) == 1.0f;
        }
        assert_true(clip ? at_clip > SAMPLES / 4 : at_clip == 0); /* clipping did take part, or did not */
    }
}

/* A sample depends on its number and not on what else is in the batch. */
static void test_batches_change_no_bit(void **state)
{
    (void)state;
    enum { SAMPLES = 48, HALF = SAMPLES / 2 };
    static float whole[SAMPLES * WIDTH], parts[SAMPLES * WIDTH];
    setting c = {.sampler = {PM_METHOD_DDPM_SMALL, PM_SPACING_LEADING, 20, 0}, .v = 0.25};
    draw_start(whole, SAMPLES);
    memcpy(parts, whole, sizeof parts);
    sample(&c, SAMPLES, 0, whole);
    sample(&c, HALF, 0, parts);
    sample(&c, HALF, HALF, parts + HALF * WIDTH);
    assert_memory_equal(whole, parts, sizeof whole);
}

/* ---- Guidance ------------------------------------------------------------------------------------------ */

enum { MOST_ROWS = 6 };

/* pm_guide of conditional rows c and unconditional rows u, `count` elements each in `rows` rows. */
static void guide(const float *c, const float *u, uint32_t rows, uint32_t count, float weight, float *out)
{
    float both[2 * MOST_ROWS * WIDTH];
    memcpy(both, c, count * sizeof *both);
    memcpy(both + count, u, count * sizeof *both);
    pm_graph *graph = pm_graph_create();
    pm_tensor prediction =
        pm_constant(graph, "prediction", PM_DTYPE_F32, PM_SHAPE(2 * rows, count / rows), both);
    pm_tensor w = pm_state(graph, "w", PM_DTYPE_F32, PM_SHAPE(1));
    pm_tensor result = pm_guide(graph, prediction, w);
    pm_output(graph, result);
    pm_plan *plan = plan_of(graph);
    assert_int_equal(pm_plan_write(plan, w, &weight, sizeof weight, NULL), PM_OK);
    assert_int_equal(pm_plan_run(plan, 1, NULL), PM_OK);
    assert_int_equal(pm_plan_read(plan, result, out, count * sizeof *out, NULL), PM_OK);
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
}

static void test_guidance_identities(void **state)
{
    (void)state;
    static const float weights[] = {-1.0f, 0.3f, 2.0f, 7.5f};
    float c[MOST_ROWS * WIDTH], u[MOST_ROWS * WIDTH], out[MOST_ROWS * WIDTH];
    for (uint32_t rows = 3; rows <= 4; rows++) { /* halves of 15 and of 20 elements */
        uint32_t count = rows * WIDTH;
        size_t bytes = count * sizeof(float);
        draw_start(c, rows);
        for (uint32_t i = 0; i < count; i++) u[i] = 1e-3f * c[count - 1 - i] + (float)i;
        guide(c, u, rows, count, 1.0f, out);
        assert_memory_equal(out, c, bytes); /* (c - u) + u would have rounded */
        guide(c, u, rows, count, 0.0f, out);
        assert_memory_equal(out, u, bytes);
        for (size_t k = 0; k < COUNT(weights); k++) {
            guide(c, c, rows, count, weights[k], out);
            assert_memory_equal(out, c, bytes);
            guide(c, u, rows, count, weights[k], out);
            for (uint32_t i = 0; i < count; i++) {
                double want = (double)u[i] + (double)weights[k] * ((double)c[i] - (double)u[i]);
                assert_true(fabs((double)out[i] - want) < 1e-6 * (20 + fabs(want)));
            }
        }
    }
}

static void test_doubled_batch(void **state)
{
    (void)state;
    static const uint32_t labels[3] = {4, 0, 9};
    static const float x[6] = {1, 2, 3, 4, 5, 6};
    uint32_t got_labels[6];
    float got_x[12];
    pm_graph *graph = pm_graph_create();
    pm_tensor l = pm_constant(graph, "labels", PM_DTYPE_U32, PM_SHAPE(3), labels);
    pm_tensor twice_l = pm_guide_labels(graph, l, 10);
    pm_tensor again = pm_guide_labels(graph, l, 10); /* a second time: its constant exists already */
    pm_tensor twice_x = pm_repeat_batch(graph, pm_constant(graph, "x", PM_DTYPE_F32, PM_SHAPE(3, 2), x));
    pm_output(graph, twice_l);
    pm_output(graph, again);
    pm_output(graph, twice_x);
    pm_plan *plan = plan_of(graph);
    assert_int_equal(pm_plan_run(plan, 1, NULL), PM_OK);
    assert_int_equal(pm_plan_read(plan, twice_x, got_x, sizeof got_x, NULL), PM_OK);
    assert_memory_equal(got_x, x, sizeof x);
    assert_memory_equal(got_x + 6, x, sizeof x);
    pm_tensor results[] = {twice_l, again};
    for (size_t k = 0; k < COUNT(results); k++) {
        assert_int_equal(pm_plan_read(plan, results[k], got_labels, sizeof got_labels, NULL), PM_OK);
        assert_memory_equal(got_labels, labels, sizeof labels);
        for (int i = 3; i < 6; i++) assert_int_equal(got_labels[i], 10);
    }
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments_of_few_steps),        cmocka_unit_test(test_moments_of_all_steps),
        cmocka_unit_test(test_ddim_with_all_noise_is_ddpm), cmocka_unit_test(test_batches_change_no_bit),
        cmocka_unit_test(test_guidance_identities),         cmocka_unit_test(test_doubled_batch),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
