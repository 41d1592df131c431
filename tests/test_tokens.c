/* Batches of text and masks, on a device, by their statistics: which windows, how many masks and where. Seeds
 * are fixed, so that each test passes always or never; bounds are where one seed in a thousand or fewer would
 * fail by chance. */
/* ctest labels: device */
#include "device_helpers.h"

#include <math.h>
#include <stdlib.h>

#define NOT_MASKED 0xffffffffu
#define MASK 999u

typedef struct run {
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor counter;
} run;

static run begin(void)
{
    run r = {.graph = pm_graph_create()};
    r.counter = pm_counter(r.graph);
    return r;
}

static void plan_cut(run *r, uint64_t storage_range)
{
    pm_error error = {0};
    expect_ok(plan_within(storage_range, device, r->graph, NULL, &r->plan, &error), &error);
}

static void plan(run *r)
{
    plan_cut(r, 0);
}

static void end(run *r)
{
    pm_plan_destroy(r->plan);
    pm_graph_destroy(r->graph);
}

/* One run with this step, first sample and seed. */
static void at(run *r, uint32_t step, uint32_t first, uint32_t seed)
{
    const uint32_t counter[4] = {step, first, seed, 77};
    pm_error error = {0};
    expect_ok(pm_plan_write(r->plan, r->counter, counter, sizeof counter, &error), &error);
    expect_ok(pm_plan_run(r->plan, 1, &error), &error);
}

static void read_words(run *r, pm_tensor tensor, void *data, uint32_t count)
{
    pm_error error = {0};
    expect_ok(pm_plan_read(r->plan, tensor, data, (size_t)count * 4, &error), &error);
}

/* 0, 1, 2 ...: tokens that say where they come from. */
static pm_tensor places(pm_graph *graph, const char *name, uint32_t rows, uint32_t length)
{
    static uint32_t values[1 << 16];
    assert_in_range(rows * length, 1, 1 << 16);
    for (uint32_t i = 0; i < rows * length; i++) values[i] = i % length;
    return pm_constant(graph, name, PM_DTYPE_U32, rows == 1 ? PM_SHAPE(length) : PM_SHAPE(rows, length),
                       values);
}

/* Pearson's statistic of counts that should be equal. */
static double chi_square(const uint32_t *count, uint32_t classes)
{
    double total = 0, sum = 0;
    for (uint32_t i = 0; i < classes; i++) total += count[i];
    for (uint32_t i = 0; i < classes; i++) {
        double expected = total / classes, d = count[i] - expected;
        sum += d * d / expected;
    }
    return sum;
}

/* About its 0.999 quantile (Wilson & Hilferty 1931). */
static double chi_square_bound(uint32_t freedom)
{
    double f = 2.0 / (9.0 * freedom);
    return freedom * pow(1 - f + 3.09 * sqrt(f), 3);
}

/* ---- Windows ------------------------------------------------------------------------------------------- */

enum { STARTS = 37, WINDOW = 5, WINDOWS = 4096 };

static void windows_begin_everywhere(void **state)
{
    static uint32_t tokens[WINDOWS * WINDOW];
    uint32_t count[STARTS] = {0};
    run r = begin();
    (void)state;
    pm_tensor corpus = places(r.graph, "corpus", 1, STARTS + WINDOW - 1);
    pm_tensor batch = pm_batch_tokens(r.graph, corpus, r.counter, 3, WINDOWS, WINDOW);
    pm_output(r.graph, batch);
    plan(&r);
    at(&r, 5, 0, 1);
    read_words(&r, batch, tokens, WINDOWS * WINDOW);
    for (uint32_t i = 0; i < WINDOWS; i++) {
        uint32_t start = tokens[i * WINDOW];
        assert_in_range(start, 0, STARTS - 1);
        count[start]++;
        for (uint32_t k = 1; k < WINDOW; k++) assert_int_equal(tokens[i * WINDOW + k], start + k);
    }
    for (uint32_t i = 0; i < STARTS; i++) assert_true(count[i] > 0);
    double x = chi_square(count, STARTS);
    if (x > chi_square_bound(STARTS - 1)) fail_msg("chi-square of the starts is %g", x);
    end(&r);
}

/* ---- Rates --------------------------------------------------------------------------------------------- */

enum { RATE_LENGTH = 10001 };

static void masks_are_as_many_as_the_rate_says(void **state)
{
    static const float rate[] = {0.0f, 1e-3f, 0.15f, 0.5f, 0.999f, 1.0f};
    enum { ROWS = sizeof rate / sizeof rate[0] };
    static uint32_t masked[ROWS * RATE_LENGTH], labels[ROWS * RATE_LENGTH];
    static uint32_t values[ROWS * RATE_LENGTH];
    run r = begin();
    (void)state;
    for (uint32_t i = 0; i < ROWS * RATE_LENGTH; i++) values[i] = i % 250;
    pm_tensor tokens = pm_constant(r.graph, "tokens", PM_DTYPE_U32, PM_SHAPE(ROWS, RATE_LENGTH), values), of;
    pm_tensor rates = pm_constant(r.graph, "rates", PM_DTYPE_F32, PM_SHAPE(ROWS), rate);
    pm_tensor y = pm_mask_tokens(r.graph, tokens, rates, MASK, PM_NONE, r.counter, 4, &of);
    pm_output(r.graph, y);
    pm_output(r.graph, of);
    plan(&r);
    at(&r, 0, 10, 2);
    read_words(&r, y, masked, ROWS * RATE_LENGTH);
    read_words(&r, of, labels, ROWS * RATE_LENGTH);
    for (uint32_t row = 0; row < ROWS; row++) {
        double p = (double)rate[row], count = 0, runs = 0;
        for (uint32_t i = 0; i < RATE_LENGTH; i++) {
            uint32_t k = row * RATE_LENGTH + i;
            bool is = masked[k] == MASK;
            assert_int_equal(masked[k], is ? MASK : values[k]);
            assert_int_equal(labels[k], is ? values[k] : NOT_MASKED);
            count += is;
            runs += i > 0 && is && masked[k - 1] == MASK; /* neighbours, which know nothing of each other */
        }
        if (p == 0.0 || p == 1.0) assert_true(count == p * RATE_LENGTH);
        assert_true(fabs(count - p * RATE_LENGTH) <= 3.5 * sqrt(p * (1 - p) * RATE_LENGTH));
        assert_true(fabs(runs - p * p * RATE_LENGTH) <= 6 * sqrt(p * p * (1 - p * p) * RATE_LENGTH) + 1);
    }
    end(&r);
}

/* ---- Exactly k ----------------------------------------------------------------------------------------- */

enum { TINY = 6, TINY_ROWS = 6000 };

static uint32_t bits_set(uint32_t x)
{
    uint32_t n = 0;
    for (; x; x &= x - 1) n++;
    return n;
}

/* Masks `wanted` of a row of six, and asks that all subsets of the positions in `free_ones` be alike. */
static void check_subsets(uint32_t wanted, uint32_t free_ones, uint32_t seed)
{
    static uint32_t masked[TINY_ROWS * TINY], ks[TINY_ROWS], fixed[TINY_ROWS * TINY];
    uint32_t count[1 << TINY] = {0}, seen[1 << TINY], subsets = 0, available = bits_set(free_ones);
    run r = begin();
    for (uint32_t i = 0; i < TINY_ROWS; i++) ks[i] = wanted;
    for (uint32_t i = 0; i < TINY_ROWS * TINY; i++) fixed[i] = free_ones >> i % TINY & 1 ? 0 : 7;
    pm_tensor tokens = places(r.graph, "tokens", TINY_ROWS, TINY);
    pm_tensor k = pm_constant(r.graph, "k", PM_DTYPE_U32, PM_SHAPE(TINY_ROWS), ks);
    pm_tensor f = pm_constant(r.graph, "fixed", PM_DTYPE_U32, PM_SHAPE(TINY_ROWS, TINY), fixed);
    bool all_free = free_ones == (1 << TINY) - 1;
    pm_tensor y = pm_mask_tokens(r.graph, tokens, k, MASK, all_free ? PM_NONE : f, r.counter, 6, NULL);
    pm_output(r.graph, y);
    plan(&r);
    at(&r, 1, 2, seed);
    read_words(&r, y, masked, TINY_ROWS * TINY);
    for (uint32_t row = 0; row < TINY_ROWS; row++) {
        uint32_t subset = 0;
        for (uint32_t i = 0; i < TINY; i++) subset |= (uint32_t)(masked[row * TINY + i] == MASK) << i;
        assert_int_equal(bits_set(subset), wanted < available ? wanted : available);
        assert_int_equal(subset & ~free_ones, 0);
        count[subset]++;
    }
    for (uint32_t subset = 0; subset < 1 << TINY; subset++) {
        bool possible = (subset & ~free_ones) == 0 && bits_set(subset) == wanted;
        if (possible) seen[subsets++] = count[subset];
    }
    if (subsets > 1) {
        double x = chi_square(seen, subsets);
        if (x > chi_square_bound(subsets - 1)) fail_msg("%u of %#x: chi-square is %g", wanted, free_ones, x);
    }
    end(&r);
}

static void all_subsets_are_alike(void **state)
{
    (void)state;
    check_subsets(3, 0x3f, 1); /* 20 of them */
    check_subsets(2, 0x3f, 2);
    check_subsets(5, 0x3f, 3);
    check_subsets(2, 0x2e, 4); /* of four that are not fixed */
    check_subsets(0, 0x3f, 5);
    check_subsets(6, 0x3f, 6);
    check_subsets(4, 0x15, 7); /* more than there are */
}

/* ---- Times and counts ---------------------------------------------------------------------------------- */

enum { TIMES = 8192 };

/* The mean of each output against its integral over t, for which each has a closed form. */
static void check_times(pm_masking m, double mean_rate, double mean_bound)
{
    static float t[TIMES], rate[TIMES], weight[TIMES];
    run r = begin();
    pm_tensor of_rate, of_weight;
    pm_tensor times = pm_mask_times(r.graph, r.counter, 1, TIMES, m, &of_rate, &of_weight);
    pm_output(r.graph, times);
    pm_output(r.graph, of_rate);
    pm_output(r.graph, of_weight);
    plan(&r);
    at(&r, 9, 0, 3);
    read_words(&r, times, t, TIMES);
    read_words(&r, of_rate, rate, TIMES);
    read_words(&r, of_weight, weight, TIMES);
    double sum = 0, bound = 0, tolerance = m.stratified ? 2e-3 : 0.02;
    uint32_t tenth[10] = {0};
    for (uint32_t i = 0; i < TIMES; i++) {
        assert_true(t[i] >= m.t_min && t[i] <= 1.0f && rate[i] >= 0.0f && rate[i] <= 1.0f);
        assert_true(isfinite(weight[i]) && weight[i] >= 0.0f);
        sum += (double)rate[i] / TIMES;
        bound +=
            (double)rate[i] * (double)weight[i] / TIMES; /* -alpha' (1 - t_min): its mean is a difference */
        double u = ((double)t[i] - (double)m.t_min) / (1 - (double)m.t_min);
        tenth[u < 1 ? (uint32_t)(10 * u) : 9]++;
    }
    if (fabs(sum - mean_rate) > tolerance) fail_msg("mean rate %g, not %g", sum, mean_rate);
    if (fabs(bound - mean_bound) > tolerance) fail_msg("mean of rate x weight %g, not %g", bound, mean_bound);
    if (m.stratified) {
        for (uint32_t i = 0; i < 10; i++) assert_in_range(tenth[i], TIMES / 10 - 1, TIMES / 10 + 2);
    } else {
        assert_true(chi_square(tenth, 10) < chi_square_bound(9));
    }
    end(&r);
}

static void schedules_have_their_means(void **state)
{
    const double pi = 3.14159265358979;
    (void)state;
    for (int stratified = 0; stratified < 2; stratified++) {
        bool s = stratified;
        check_times((pm_masking){PM_MASKING_LINEAR, 1e-3f, 0, 0, s}, 0.999 / 2, 0.999);
        check_times((pm_masking){PM_MASKING_LINEAR, 0, 0, 0.25f, s}, 0.625, 0.75);
        check_times((pm_masking){PM_MASKING_COSINE, 0, 0, 0, s}, 2 / pi, 1);
        check_times((pm_masking){PM_MASKING_COSINE, 0.01f, 0, 0, s}, 0.01 + 0.98 * 2 / pi, 0.98);
        check_times((pm_masking){PM_MASKING_POLYNOMIAL, 0, 3, 0, s}, 0.25, 1);
        check_times((pm_masking){PM_MASKING_POLYNOMIAL, 0.05f, 3, 0, s}, 0.05 + 0.9 / 4, 0.9);
        check_times((pm_masking){PM_MASKING_FIXED, 0, 0.15f, 0, s}, 0.15, 0.15);
    }
}

/* Stratified over B = L, each count comes once; and over any B no two stretches of the same number of
 * neighbours on the circle differ by more than one. */
static void check_even_counts(uint32_t batch, uint32_t length, uint32_t seed)
{
    static uint32_t k[256], count[256];
    static float weight[256];
    run r = begin();
    pm_tensor of_weight;
    pm_tensor counts = pm_mask_counts(r.graph, r.counter, 1, batch, length, true, &of_weight);
    pm_output(r.graph, counts);
    pm_output(r.graph, of_weight);
    plan(&r);
    at(&r, seed, 5, seed);
    read_words(&r, counts, k, batch);
    read_words(&r, of_weight, weight, batch);
    memset(count, 0, sizeof count);
    for (uint32_t i = 0; i < batch; i++) {
        assert_in_range(k[i], 1, length);
        count[k[i] - 1]++;
        assert_true(fabs((double)weight[i] * k[i] - length) < 1e-6 * length);
    }
    uint32_t least = batch / length, most = (batch + length - 1) / length;
    for (uint32_t i = 0; i < length; i++) assert_in_range(count[i], least, most);
    end(&r);
}

static void stratified_counts_are_even(void **state)
{
    (void)state;
    check_even_counts(16, 16, 1); /* a permutation: powers of two are spaced exactly */
    check_even_counts(256, 64, 2);
    check_even_counts(8, 128, 3);
    check_even_counts(100, 7, 4);
    check_even_counts(9, 200, 5);
}

static void counts_are_uniform(void **state)
{
    static uint32_t k[TIMES];
    uint32_t count[23] = {0};
    run r = begin();
    (void)state;
    pm_tensor counts = pm_mask_counts(r.graph, r.counter, 1, TIMES, 23, false, NULL);
    pm_output(r.graph, counts);
    plan(&r);
    at(&r, 0, 0, 4);
    read_words(&r, counts, k, TIMES);
    for (uint32_t i = 0; i < TIMES; i++) {
        assert_in_range(k[i], 1, 23);
        count[k[i] - 1]++;
    }
    assert_true(chi_square(count, 23) < chi_square_bound(22));
    end(&r);
}

/* ---- A sample's own randomness ------------------------------------------------------------------------- */

enum { BATCH = 12, LENGTH = 21, WORDS = BATCH * LENGTH };

/* Everything that is drawn for a batch of `batch` samples from `first` on; what is per row is in column 0. */
enum { OF_WINDOWS, OF_RATES, OF_COUNTS, OF_TIMES, OF_KS, KINDS };

static void draw_batch(uint32_t batch, uint32_t first, uint32_t step, uint32_t out[KINDS][WORDS])
{
    run r = begin();
    pm_tensor corpus = places(r.graph, "corpus", 1, 1000), y[KINDS], rate;
    pm_masking linear = {.schedule = PM_MASKING_LINEAR, .eps = 1e-3f};
    y[OF_WINDOWS] = pm_batch_tokens(r.graph, corpus, r.counter, 1, batch, LENGTH);
    y[OF_TIMES] = pm_mask_times(r.graph, r.counter, 2, batch, linear, &rate, NULL);
    y[OF_KS] = pm_mask_counts(r.graph, r.counter, 3, batch, LENGTH, false, NULL);
    y[OF_RATES] = pm_mask_tokens(r.graph, y[OF_WINDOWS], rate, MASK, PM_NONE, r.counter, 4, NULL);
    y[OF_COUNTS] = pm_mask_tokens(r.graph, y[OF_WINDOWS], y[OF_KS], MASK, PM_NONE, r.counter, 4, NULL);
    for (uint32_t i = 0; i < KINDS; i++) pm_output(r.graph, y[i]);
    plan(&r);
    at(&r, step, first, 8);
    for (uint32_t i = 0; i < KINDS; i++) read_words(&r, y[i], out[i], pm_count_of(r.graph, y[i]));
    end(&r);
}

static void a_batch_may_be_split(void **state)
{
    static uint32_t whole[KINDS][WORDS], head[KINDS][WORDS], tail[KINDS][WORDS], later[KINDS][WORDS];
    const uint32_t cut = 5;
    (void)state;
    draw_batch(BATCH, 40, 3, whole);
    draw_batch(cut, 40, 3, head);
    draw_batch(BATCH - cut, 40 + cut, 3, tail);
    draw_batch(BATCH, 40, 4, later);
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        uint32_t width = kind < OF_TIMES ? LENGTH : 1;
        assert_memory_equal(whole[kind], head[kind], cut * width * 4);
        assert_memory_equal(whole[kind] + cut * width, tail[kind], (BATCH - cut) * width * 4);
        assert_memory_not_equal(whole[kind], later[kind], BATCH * width * 4);
    }
}

/* ---- Dispatches in pieces ------------------------------------------------------------------------------ */

enum { CUT_BATCH = 330, CUT_LENGTH = 70, CUT_WORDS = CUT_BATCH * CUT_LENGTH, MANY = 9001, CUT_KINDS = 6 };

/* All of it, with bindings of at most `range` bytes (0: the device's); returns the pieces that it took. */
static uint32_t draw_cut(uint64_t range, uint32_t *out[CUT_KINDS])
{
    run r = begin();
    pm_masking cosine = {.schedule = PM_MASKING_COSINE, .stratified = true};
    pm_tensor y[CUT_KINDS], rate;
    pm_tensor corpus = places(r.graph, "corpus", 1, 1000);
    pm_tensor tokens = pm_batch_tokens(r.graph, corpus, r.counter, 1, CUT_BATCH, CUT_LENGTH);
    pm_tensor k = pm_mask_counts(r.graph, r.counter, 2, CUT_BATCH, CUT_LENGTH, false, NULL);
    (void)pm_mask_times(r.graph, r.counter, 3, CUT_BATCH, cosine, &rate, NULL);
    pm_tensor fixed = pm_random_index(r.graph, r.counter, 6, CUT_WORDS, 3);
    fixed = pm_reshape(r.graph, fixed, PM_SHAPE(CUT_BATCH, CUT_LENGTH));
    y[0] = pm_mask_tokens(r.graph, tokens, rate, MASK, fixed, r.counter, 4, NULL);
    y[1] = pm_mask_tokens(r.graph, tokens, k, MASK, fixed, r.counter, 4, &y[2]);
    y[3] = pm_mask_times(r.graph, r.counter, 3, MANY, cosine, NULL, NULL);
    y[4] = pm_mask_counts(r.graph, r.counter, 2, MANY, 50, true, NULL);
    y[5] = pm_digits(r.graph, pm_reshape(r.graph, tokens, PM_SHAPE(CUT_WORDS / 2, 2)), 1000);
    for (uint32_t i = 0; i < CUT_KINDS; i++) pm_output(r.graph, y[i]);
    plan_cut(&r, range);
    at(&r, 2, 9, 5);
    for (uint32_t i = 0; i < CUT_KINDS; i++) {
        out[i] = calloc(CUT_WORDS, sizeof **out);
        assert_non_null(out[i]);
        read_words(&r, y[i], out[i], pm_count_of(r.graph, y[i]));
    }
    uint32_t pieces = pm_plan_stats_of(r.plan).pieces;
    end(&r);
    return pieces;
}

static void pieces_give_the_same(void **state)
{
    uint32_t *whole[CUT_KINDS], *cut[CUT_KINDS];
    (void)state;
    uint32_t one_each = draw_cut(0, whole), pieces = draw_cut(16384, cut);
    assert_true(pieces >= one_each + 20);
    for (uint32_t i = 0; i < CUT_KINDS; i++) {
        assert_memory_equal(whole[i], cut[i], CUT_WORDS * 4);
        free(whole[i]);
        free(cut[i]);
    }
}

/* ---- Wrong use ----------------------------------------------------------------------------------------- */

static void expect_refusal(run *r, const char *part)
{
    pm_error error = {0};
    expect_failure(pm_graph_status(r->graph, &error), PM_BAD_USAGE, &error, part);
    pm_graph_destroy(r->graph);
    *r = begin();
}

static void wrong_arguments_are_refused(void **state)
{
    run r = begin();
    (void)state;
    pm_batch_tokens(r.graph, places(r.graph, "corpus", 1, 9), r.counter, 1, 2, 10);
    expect_refusal(&r, "hold a window of 10");
    pm_mask_times(r.graph, r.counter, 1, 4, (pm_masking){.eps = 0.5f}, NULL, NULL);
    expect_refusal(&r, "eps must be");
    pm_mask_times(r.graph, r.counter, 1, 4, (pm_masking){.t_min = 1.0f}, NULL, NULL);
    expect_refusal(&r, "t_min must be");
    pm_mask_times(r.graph, r.counter, 1, 4, (pm_masking){.schedule = PM_MASKING_POLYNOMIAL}, NULL, NULL);
    expect_refusal(&r, "power must be");
    pm_mask_times(r.graph, r.counter, 1, 4, (pm_masking){.schedule = PM_MASKING_FIXED, .power = NAN}, NULL,
                  NULL);
    expect_refusal(&r, "fixed rate must be");
    pm_mask_counts(r.graph, r.counter, 1, 4, 0, false, NULL);
    expect_refusal(&r, "none can be masked");
    pm_tensor tokens = places(r.graph, "tokens", 3, 4);
    pm_mask_tokens(r.graph, tokens, tokens, MASK, PM_NONE, r.counter, 1, NULL);
    expect_refusal(&r, "rates or counts [B]");
    tokens = places(r.graph, "tokens", 3, 4);
    pm_tensor ks = pm_random_index(r.graph, r.counter, 1, 3, 4);
    pm_mask_tokens(r.graph, tokens, ks, MASK, ks, r.counter, 1, NULL);
    expect_refusal(&r, "fixed is 3");
    pm_digits(r.graph, places(r.graph, "tokens", 2, 31), 2);
    expect_refusal(&r, "do not fit in 31 bits");
    pm_graph_destroy(r.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_begin_everywhere),    cmocka_unit_test(masks_are_as_many_as_the_rate_says),
        cmocka_unit_test(all_subsets_are_alike),       cmocka_unit_test(schedules_have_their_means),
        cmocka_unit_test(stratified_counts_are_even),  cmocka_unit_test(counts_are_uniform),
        cmocka_unit_test(a_batch_may_be_split),        cmocka_unit_test(pieces_give_the_same),
        cmocka_unit_test(wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
