/* What a masked sampler promises beside its law: the same bits without needless passes and in any batch,
 * times for networks that ask for them, blocks, callbacks, refusals. */
/* ctest labels: device */
#include "device_helpers.h"

#include "oracle.h"
#include "sampling/masked_sampler.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { LENGTH = 5 };

static law_table table;

static int make_table(void **state)
{
    law_random(&table, 3, LENGTH, 9);
    return open_device(state);
}

static pm_masked_sampler *sampler_of(oracle *o, const pm_masked_sampling *options, uint32_t batch)
{
    pm_masked_sampler *sampler = NULL;
    pm_error error = {0};
    pm_denoiser denoiser = oracle_denoiser(o);
    expect_ok(pm_masked_sampler_create(device, &denoiser, options, batch, LENGTH, &sampler, &error), &error);
    return sampler;
}

static void clear(uint32_t batch, uint32_t *canvas)
{
    for (uint32_t i = 0; i < batch * LENGTH; i++) canvas[i] = table.base;
}

static uint32_t masks_in(const uint32_t *canvas, uint32_t begin, uint32_t end)
{
    uint32_t n = 0;
    for (uint32_t i = begin; i < end; i++) n += canvas[i] == table.base;
    return n;
}

/* ---- The same bits ------------------------------------------------------------------------------------- */

/* Bit for bit the same as ancestral sampling, in far fewer passes. */
static void test_cached_is_ancestral(void **state)
{
    (void)state;
    enum { STEPS = 16, RUNS = 120 };
    oracle o = {.table = &table};
    double passes = 0;
    pm_masked_sampling options = pm_masked_sampling_defaults();
    options.steps = STEPS;
    options.seed = 11;
    for (uint32_t batch = 1; batch <= 3; batch += 2) {
        options.sampler = "ancestral";
        pm_masked_sampler *plain = sampler_of(&o, &options, batch);
        options.sampler = "cached";
        pm_masked_sampler *cached = sampler_of(&o, &options, batch);
        for (uint32_t run = 0; run < (batch == 1 ? RUNS : 20); run++) {
            uint32_t a[3 * LENGTH], b[3 * LENGTH];
            pm_error error = {0};
            clear(batch, a);
            if (run % 2) a[1] = 0; /* a prompt */
            memcpy(b, a, sizeof a);
            expect_ok(pm_masked_sampler_run(plain, a, run * batch, &error), &error);
            expect_ok(pm_masked_sampler_run(cached, b, run * batch, &error), &error);
            assert_memory_equal(a, b, batch * LENGTH * sizeof *a);
            assert_int_equal(pm_masked_sampler_passes(plain), STEPS);
            if (batch == 1 && run % 2 == 0) passes += pm_masked_sampler_passes(cached);
        }
        pm_masked_sampler_destroy(plain);
        pm_masked_sampler_destroy(cached);
    }
    double expected = STEPS * (1 - pow(1 - 1.0 / STEPS, LENGTH)); /* 4.41; of one run the deviation is 0.68 */
    assert_true(fabs(passes / (RUNS / 2) - expected) < 4 * 0.68 / sqrt(RUNS / 2));
}

/* A sample depends on its number, not on its batch. */
static void test_batches_change_no_bit(void **state)
{
    (void)state;
    enum { SAMPLES = 24, HALF = 12 };
    static const char *const names[] = {"ancestral", "cached",         "first-hitting", "any-order",
                                        "random",    "low-confidence", "threshold"};
    oracle o = {.table = &table};
    for (size_t i = 0; i < COUNT(names); i++) {
        pm_masked_sampling options = pm_masked_sampling_defaults();
        uint32_t whole[SAMPLES * LENGTH], parts[SAMPLES * LENGTH];
        options.sampler = names[i];
        options.threshold = 0.5f;
        pm_masked_sampler *all = sampler_of(&o, &options, SAMPLES);
        pm_masked_sampler *half = sampler_of(&o, &options, HALF);
        clear(SAMPLES, whole);
        whole[3] = whole[8] = whole[70] = 1;
        memcpy(parts, whole, sizeof whole);
        pm_error error = {0};
        expect_ok(pm_masked_sampler_run(all, whole, 100, &error), &error);
        expect_ok(pm_masked_sampler_run(half, parts, 100, &error), &error);
        expect_ok(pm_masked_sampler_run(half, parts + HALF * LENGTH, 100 + HALF, &error), &error);
        assert_memory_equal(whole, parts, sizeof whole);
        pm_masked_sampler_destroy(all);
        pm_masked_sampler_destroy(half);
    }
}

/* ---- Times --------------------------------------------------------------------------------------------- */

typedef struct watch {
    oracle oracle;
    pm_plan *plan;
    pm_tensor time;
    double times[16]; /* that the network was told, of sample 0, and of sample 1 */
    double other[16];
    uint32_t seen, stop_after;
    uint32_t left[16];            /* masks of the first row, after each step */
    uint32_t first_half_left[16]; /* of them in its first three places */
} watch;

static pm_tensor watched_logits(void *user, pm_graph *graph, pm_tensor tokens, pm_tensor time)
{
    watch *w = user;
    w->time = time;
    if (time.id) pm_output(graph, time);
    return oracle_logits(&w->oracle, graph, tokens, time);
}

static pm_status watch_plan(void *user, pm_plan *plan, const pm_graph *graph, pm_error *error)
{
    watch *w = user;
    (void)graph;
    if (w->stop_after == UINT32_MAX) {
        *error = (pm_error){PM_BAD_FILE, "no weights"};
        return PM_BAD_FILE;
    }
    w->plan = plan;
    return PM_OK;
}

static bool watch_step(void *user, uint32_t done, uint32_t total, const uint32_t *canvas)
{
    watch *w = user;
    float times[2] = {0};
    assert_true(done <= total && w->seen < COUNT(w->times));
    if (w->time.id) assert_int_equal(pm_plan_read(w->plan, w->time, times, sizeof times, NULL), PM_OK);
    w->times[w->seen] = (double)times[0];
    w->other[w->seen] = (double)times[1];
    w->left[w->seen] = masks_in(canvas, 0, LENGTH);
    w->first_half_left[w->seen++] = masks_in(canvas, 0, 3);
    return w->stop_after == 0 || w->seen < w->stop_after;
}

/* Two canvases, the second with one token given; the canvases are left in canvas. */
static pm_status watch_run(watch *w, pm_masked_sampling options, uint32_t *canvas, uint32_t *passes)
{
    pm_masked_sampler *sampler = NULL;
    pm_error error = {0};
    pm_denoiser denoiser = {.logits = watched_logits, .user = w, .vocabulary = table.base};
    w->oracle.table = &table;
    options.load = watch_plan;
    options.progress = watch_step;
    options.progress_every = 1;
    options.user = w;
    pm_status status = pm_masked_sampler_create(device, &denoiser, &options, 2, LENGTH, &sampler, &error);
    clear(2, canvas);
    canvas[LENGTH + 1] = 0;
    if (status == PM_OK) status = pm_masked_sampler_run(sampler, canvas, 0, &error);
    if (status == PM_OK && passes) *passes = pm_masked_sampler_passes(sampler);
    pm_masked_sampler_destroy(sampler);
    return status;
}

static void near(double got, double want)
{
    if (fabs(got - want) > 1e-6) fail_msg("%g is not %g", got, want);
}

static void test_times(void **state)
{
    (void)state;
    uint32_t canvas[2 * LENGTH];
    pm_masked_sampling options = pm_masked_sampling_defaults();
    options.time_conditioned = true;
    options.steps = 4;
    watch ancestral = {.stop_after = 0};
    expect_ok(watch_run(&ancestral, options, canvas, NULL), &(pm_error){0});
    assert_int_equal(ancestral.seen, 4);
    for (int i = 0; i < 4; i++) {
        near(ancestral.times[i], 1 - i / 4.0);
        near(ancestral.other[i], 1 - i / 4.0);
    }
    /* Where tokens are counted, the time that has as many masks: with the cosine, sin(pi t / 2) = share. */
    options.sampler = "entropy";
    options.steps = 0;
    options.masking.schedule = PM_MASKING_COSINE;
    watch counted = {.stop_after = 0};
    expect_ok(watch_run(&counted, options, canvas, NULL), &(pm_error){0});
    for (int i = 0; i < LENGTH; i++) {
        near(sin(acos(-1.0) / 2 * counted.times[i]), 1 - i / (double)LENGTH);
        if (i < 4) near(sin(acos(-1.0) / 2 * counted.other[i]), 0.8 - i / (double)LENGTH);
    }
    /* Hitting times fall from below 1. */
    options.sampler = "first-hitting";
    options.masking.schedule = PM_MASKING_LINEAR;
    watch hitting = {.stop_after = 0};
    expect_ok(watch_run(&hitting, options, canvas, NULL), &(pm_error){0});
    for (int i = 0; i < LENGTH; i++) {
        assert_true(hitting.times[i] > 0 && hitting.times[i] < (i ? hitting.times[i - 1] : 1));
        assert_true(i == 4 || hitting.times[i] != hitting.other[i]);
    }
    assert_int_equal(masks_in(canvas, 0, 2 * LENGTH), 0);
}

/* The mean of the k-th greatest of n uniform numbers is 1 - k/(n+1). */
static void test_hitting_times_have_their_law(void **state)
{
    (void)state;
    enum { RUNS = 200 };
    uint32_t canvas[2 * LENGTH];
    double sum[LENGTH] = {0};
    pm_masked_sampling options = pm_masked_sampling_defaults();
    options.time_conditioned = true;
    options.sampler = "first-hitting";
    for (uint32_t run = 0; run < RUNS / 20; run++) {
        for (uint32_t k = 0; k < 20; k++) {
            options.seed = 20 * run + k;
            watch w = {.stop_after = 0};
            expect_ok(watch_run(&w, options, canvas, NULL), &(pm_error){0});
            for (int i = 0; i < LENGTH; i++) sum[i] += w.times[i] / RUNS;
        }
    }
    for (int i = 0; i < LENGTH; i++) {
        double k = i + 1, n = LENGTH, mean = 1 - k / (n + 1);
        double deviation = sqrt(mean * (1 - mean) / (n + 2) / RUNS);
        assert_true(fabs(sum[i] - mean) < 4.5 * deviation);
    }
}

/* ---- Blocks, thresholds, stopping ---------------------------------------------------------------------- */

static void test_blocks_in_order(void **state)
{
    (void)state;
    uint32_t canvas[2 * LENGTH];
    static const char *const names[] = {"ancestral", "low-confidence", "random", "threshold"};
    for (size_t i = 0; i < COUNT(names); i++) {
        pm_masked_sampling options = pm_masked_sampling_defaults();
        options.sampler = names[i];
        options.block = 3;
        options.threshold = 2; /* never */
        watch w = {.stop_after = 0};
        expect_ok(watch_run(&w, options, canvas, NULL), &(pm_error){0});
        for (uint32_t k = 0; k < w.seen; k++) {
            assert_true(w.first_half_left[k] == 0 || w.left[k] - w.first_half_left[k] == 2);
            if (i) assert_int_equal(w.left[k], LENGTH - 1 - k); /* a token a step */
        }
        assert_int_equal(masks_in(canvas, 0, 2 * LENGTH), 0);
        assert_int_equal(canvas[LENGTH + 1], 0);
    }
}

static void test_passes(void **state)
{
    (void)state;
    uint32_t canvas[2 * LENGTH], passes = 0;
    pm_masked_sampling options = pm_masked_sampling_defaults();
    options.sampler = "threshold";
    for (int all = 0; all < 2; all++) {
        watch w = {.stop_after = 0};
        options.threshold = all ? 0.0f : 2.0f;
        options.block = 2;
        expect_ok(watch_run(&w, options, canvas, &passes), &(pm_error){0});
        assert_int_equal(passes, all ? 3 : LENGTH);
    }
    options = pm_masked_sampling_defaults();
    options.sampler = "low-confidence";
    options.steps = 100; /* more than there are tokens: those without any are left out */
    watch w = {.stop_after = 0};
    expect_ok(watch_run(&w, options, canvas, &passes), &(pm_error){0});
    assert_int_equal(passes, LENGTH);
    assert_int_equal(w.seen, LENGTH);
    /* Nothing to do. */
    oracle o = {.table = &table};
    pm_error error = {0};
    pm_masked_sampler *sampler = sampler_of(&o, &options, 2);
    uint32_t before[2 * LENGTH];
    memcpy(before, canvas, sizeof before);
    expect_ok(pm_masked_sampler_run(sampler, canvas, 0, &error), &error);
    assert_int_equal(pm_masked_sampler_passes(sampler), 0);
    assert_memory_equal(before, canvas, sizeof before);
    pm_masked_sampler_destroy(sampler);
}

static void test_stopping(void **state)
{
    (void)state;
    uint32_t canvas[2 * LENGTH], passes = 0;
    pm_masked_sampling options = pm_masked_sampling_defaults();
    options.sampler = "random";
    watch w = {.stop_after = 2};
    expect_ok(watch_run(&w, options, canvas, &passes), &(pm_error){0});
    assert_int_equal(passes, 2);
    assert_int_equal(masks_in(canvas, 0, LENGTH), LENGTH - 2);
    watch fails = {.stop_after = UINT32_MAX};
    assert_int_equal(watch_run(&fails, options, canvas, NULL), PM_BAD_FILE);
}

/* ---- Refusals ------------------------------------------------------------------------------------------ */

static void refuse(pm_masked_sampling options, const char *part)
{
    oracle o = {.table = &table};
    pm_denoiser denoiser = oracle_denoiser(&o);
    pm_masked_sampler *sampler = NULL;
    pm_error error = {0};
    pm_status status = pm_masked_sampler_create(device, &denoiser, &options, 2, LENGTH, &sampler, &error);
    expect_failure(status, PM_BAD_USAGE, &error, part);
    assert_null(sampler);
}

#define REFUSE(part, ...)                                              \
    do {                                                               \
        pm_masked_sampling options_ = {.temperature = 1, __VA_ARGS__}; \
        refuse(options_, part);                                        \
    } while (0)

static void test_refusals(void **state)
{
    (void)state;
    REFUSE("there is no masked sampler", .sampler = "gibbs");
    REFUSE("give steps", .tokens_per_step = 2);
    REFUSE("give one", .sampler = "random", .tokens_per_step = 2, .steps = 3);
    REFUSE("position temperature", .sampler = "random", .position_temperature = 1);
    REFUSE("time", .sampler = "cached", .time_conditioned = true);
    REFUSE("time", .block = 2, .time_conditioned = true);
    REFUSE("schedule", .masking = {.schedule = PM_MASKING_FIXED});
    REFUSE("power", .masking = {.schedule = PM_MASKING_POLYNOMIAL});
    REFUSE("finite", .guidance = NAN);
    REFUSE("top_p", .top_p = 2);
    REFUSE("too many", .steps = 0x7fffffff);
    oracle o = {.table = &table};
    pm_masked_sampling options = pm_masked_sampling_defaults();
    pm_masked_sampler *sampler = sampler_of(&o, &options, 1);
    uint32_t canvas[LENGTH] = {0, 1, 4, 3, 3};
    pm_error error = {0};
    expect_failure(pm_masked_sampler_run(sampler, canvas, 0, &error), PM_BAD_USAGE, &error, "token 4");
    pm_masked_sampler_destroy(sampler);
    pm_masked_sampler_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cached_is_ancestral),
        cmocka_unit_test(test_batches_change_no_bit),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_hitting_times_have_their_law),
        cmocka_unit_test(test_blocks_in_order),
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_stopping),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_table, close_device);
}
