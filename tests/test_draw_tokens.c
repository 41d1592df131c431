/* Tokens drawn from logits: every cut, confidence and draw against definitions in double, with sorting;
 * shares of rare tokens counted exactly over all 2^32 draws. */
/* ctest labels: device */
#include "device_helpers.h"

#include "base/exact.h"
#include "base/philox.h"
#include "ops/draw_tokens.h"
#include "ops/random.h"

#include <math.h>
#include <stdlib.h>

static uint32_t noise_state = 1;

static double noise(void)
{
    noise_state = noise_state * 1664525u + 1013904223u;
    return (double)(noise_state >> 8) / 16777216.0;
}

/* ---- Rare tokens --------------------------------------------------------------------------------------- */

#define RARE 1000u
#define RARE_WEIGHT 1e-7
#define RARE_SHARE (RARE * RARE_WEIGHT / (1.0 + RARE * RARE_WEIGHT))
#define FREQUENT 400u /* where the token of weight 1 is */

/* Whether this share of all draws is what all rare tokens together have. */
static bool is_rare_share(double share)
{
    return fabs(share / RARE_SHARE - 1.0) < 1e-3;
}

/* The least of the draws 0 .. 2^32 that gives token `token` or a later one. */
static uint64_t first_draw_of(const double *logits, uint32_t token, uint64_t low)
{
    pm_draw_args args = {.temperature = 1.0f};
    uint64_t high = UINT64_C(1) << 32;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (pm_draw_row(logits, NULL, RARE + 1, &args, (uint32_t)middle, 0).token >= token) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static void test_rare_tokens_have_their_share(void **state)
{
    (void)state;
    double logits[RARE + 1], rare = 0;
    for (uint32_t i = 0; i <= RARE; i++) logits[i] = i == FREQUENT ? 0.0 : (double)logf((float)RARE_WEIGHT);
    uint64_t begin = 0;
    for (uint32_t i = 0; i <= RARE; i++) {
        uint64_t end = first_draw_of(logits, i + 1, begin);
        double share = (double)(end - begin) / 4294967296.0;
        double wanted = (i == FREQUENT ? 1.0 : RARE_WEIGHT) * (1.0 - RARE_SHARE);
        if (fabs(share - wanted) > 1.01 / 4294967296.0 + 2e-7 * wanted)
            fail_msg("token %u: share %.9g, not %.9g", i, share, wanted);
        if (i != FREQUENT) rare += share;
        begin = end;
    }
    assert_true(begin == UINT64_C(1) << 32);
    assert_true(is_rare_share(rare));
}

/* The same with a race in f32, over all pairs of uniform numbers k / 2^24 of the frequent and one rare token:
 * the token of the least -log(u) / weight. */
static double share_of_a_race(void)
{
    const double all = 16777215.0;
    double share = 0;
    for (uint32_t k = 1; k < 100; k++) {
        float rare = -pmf_log((float)(16777216 - k) * 5.96046448e-08f) / (float)RARE_WEIGHT;
        uint32_t low = 1, high = 16777216; /* the frequent token's numbers below `low` lose */
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (-pmf_log((float)middle * 5.96046448e-08f) > rare) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        share += (low - 1) / all / all;
    }
    return RARE * share;
}

static void test_a_race_would_be_caught(void **state)
{
    (void)state;
    double share = share_of_a_race();
    assert_false(is_rare_share(share));
    assert_true(fabs(share / RARE_SHARE - 0.731) < 0.01); /* w z / (e^z - 1) with z = 2^-24 / w */
}

static void test_exponentials(void **state)
{
    (void)state;
    float last = 100.0f;
    for (uint64_t i = 0; i <= 400000; i++) {
        uint64_t bits = i < 1000 ? i : i > 399000 ? 0xffffffffu - (400000 - i) : i * 10737;
        double u = ((double)bits + 0.5) / 4294967296.0, wanted = -log1p(u - 1.0);
        float got = pm_exponential((uint32_t)bits);
        if (fabs((double)got / wanted - 1.0) > 3e-6 || got > last)
            fail_msg("bits %u: %.9g, not %.9g", (unsigned)bits, (double)got, wanted);
        last = got;
    }
}

static void test_chance(void **state)
{
    (void)state;
    assert_true(pm_happens(0xffffffffu, 1.0f));
    assert_false(pm_happens(0, 0.0f));
    assert_true(pm_happens(0, 2.32830644e-10f)); /* 2^-32: for one number of all */
    assert_false(pm_happens(1, 2.32830644e-10f));
    assert_true(pm_happens(0x7fffffffu, 0.5f));
    assert_false(pm_happens(0x80000000u, 0.5f));
    assert_false(pm_happens(0, NAN));
    const uint32_t counter[4] = {3, 10, 77, 5}, moved[4] = {3, 13, 77, 5};
    uint32_t happened = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        bool happens = pm_happens_at(counter, 4, 3, i, 0.25f);
        happened += happens;
        assert_true(happens == pm_happens(pm_draw_element(counter, 4, 3, i), 0.25f));
        assert_true(happens == pm_happens_at(moved, 4, 0, i, 0.25f));
    }
    assert_true(abs((int)happened - 2500) < 5 * 43);
}

/* ---- Definitions in double ----------------------------------------------------------------------------- */

#define MAX_V 400u

typedef struct choice {
    double logit, p;
    uint32_t token;
} choice;

/* What a row's draw is, by definition. `unsure`: a comparison is too close for double to be held against f32.
 */
typedef struct definition {
    double p[MAX_V]; /* after the cuts */
    uint32_t token;
    double confidence;
    bool unsure;
} definition;

static int by_logit(const void *a, const void *b)
{
    const choice *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->token < y->token ? -1 : 1;
}

static uint32_t through_equals(const choice *sorted, uint32_t count, uint32_t kept)
{
    while (kept > 0 && kept < count && sorted[kept].logit == sorted[kept - 1].logit) kept++;
    return kept;
}

/* How many of the sorted tokens the cuts keep. */
static uint32_t cut(choice *sorted, uint32_t count, const pm_draw_args *args, bool *unsure)
{
    uint32_t kept = count;
    double mass = 0, running = 0, top_p = (double)args->top_p;
    if (args->top_k && args->top_k < count) kept = through_equals(sorted, count, args->top_k);
    if (args->top_p > 0 && args->top_p < 1) {
        uint32_t all = kept;
        for (uint32_t i = 0; i < all; i++) mass += sorted[i].p;
        for (kept = 0; kept < all && running < top_p * mass;) {
            uint32_t next = through_equals(sorted, all, kept + 1);
            while (kept < next) running += sorted[kept++].p;
            if (fabs(running - top_p * mass) < 1e-5 * mass) *unsure = true;
        }
    }
    double least = (double)args->min_p * sorted[0].p;
    for (uint32_t i = 0; i < kept; i++) {
        if (args->min_p > 0 && fabs(sorted[i].p - least) < 1e-5 * least) *unsure = true;
        if (sorted[i].p < least) kept = i;
    }
    return kept;
}

static double confidence_of(const definition *d, const choice *sorted, uint32_t kept, uint32_t count,
                            pm_confidence kind)
{
    double entropy = 0, second = kept > 1 ? d->p[sorted[1].token] : 0;
    for (uint32_t i = 0; i < count; i++) entropy += d->p[i] > 0 ? d->p[i] * log(d->p[i]) : 0;
    switch (kind) {
    case PM_CONFIDENCE_DRAWN:
        return d->p[d->token];
    case PM_CONFIDENCE_MAX:
        return d->p[sorted[0].token];
    case PM_CONFIDENCE_MARGIN:
        return d->p[sorted[0].token] - second;
    case PM_CONFIDENCE_ENTROPY:
        return entropy;
    case PM_CONFIDENCE_RANDOM:
        break;
    }
    return 0;
}

static void define(const float *logits, const uint32_t *seen, uint32_t count, const pm_draw_args *args,
                   uint32_t bits, definition *d)
{
    choice sorted[MAX_V];
    double temperature = args->temperature > 0 ? (double)args->temperature : 1.0, total = 0, running = 0;
    memset(d, 0, sizeof *d);
    for (uint32_t i = 0; i < count; i++) {
        float l = logits[i], r = args->repetition;
        if (seen && seen[i] && r > 0) l = l > 0 ? l / r : l * r;
        sorted[i] = (choice){(double)l, 0, i};
    }
    qsort(sorted, count, sizeof *sorted, by_logit);
    for (uint32_t i = 0; i < count; i++) sorted[i].p = exp((sorted[i].logit - sorted[0].logit) / temperature);
    uint32_t kept = cut(sorted, count, args, &d->unsure);
    for (uint32_t i = 0; i < kept; i++) total += sorted[i].p;
    for (uint32_t i = 0; i < kept; i++) d->p[sorted[i].token] = sorted[i].p / total;
    double u = ((double)bits + 0.5) / 4294967296.0;
    d->token = count;
    for (uint32_t i = 0; i < count; i++) {
        running += d->p[i];
        if (d->token == count && d->p[i] > 0 && running > u) d->token = i;
        if (fabs(running - u) < 1e-6 && args->temperature > 0) d->unsure = true;
    }
    if (args->temperature <= 0) d->token = sorted[0].token;
    d->confidence = confidence_of(d, sorted, kept, count, args->confidence);
}

/* ---- On a device --------------------------------------------------------------------------------------- */

typedef struct drawing {
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor logits, seen, counter, token, confidence;
    uint32_t rows, width, samples;
    pm_draw_attr attr;
} drawing;

static void open_drawing(drawing *d, uint32_t rows, uint32_t width, pm_draw_attr attr)
{
    pm_error error = {0};
    pm_graph *graph = pm_graph_create();
    uint32_t each = attr.args.rows_per_sample ? attr.args.rows_per_sample : 1;
    *d = (drawing){.graph = graph, .rows = rows, .width = width, .samples = rows / each, .attr = attr};
    d->logits = pm_state(graph, "logits", PM_DTYPE_F32, PM_SHAPE(rows, width));
    d->seen = pm_state(graph, "seen", PM_DTYPE_U32, PM_SHAPE(d->samples, width));
    d->counter = pm_counter(graph);
    d->token = pm_draw_tokens_with(graph, d->logits, d->seen, d->counter, attr, &d->confidence);
    pm_output(graph, d->token);
    pm_output(graph, d->confidence);
    pm_advance(graph, d->counter);
    expect_ok(pm_plan_create(device, graph, NULL, &d->plan, &error), &error);
}

static void close_drawing(drawing *d)
{
    pm_plan_destroy(d->plan);
    pm_graph_destroy(d->graph);
}

static void write_to(pm_plan *plan, pm_tensor tensor, const void *data, size_t bytes)
{
    pm_error error = {0};
    expect_ok(pm_plan_write(plan, tensor, data, bytes, &error), &error);
}

static void read_from(pm_plan *plan, pm_tensor tensor, void *data, size_t bytes)
{
    pm_error error = {0};
    expect_ok(pm_plan_read(plan, tensor, data, bytes, &error), &error);
}

static void run_once(pm_plan *plan)
{
    pm_error error = {0};
    expect_ok(pm_plan_run(plan, 1, &error), &error);
    expect_ok(pm_plan_wait(plan, &error), &error);
}

#define ROWS 96u
#define EACH 4u

static uint32_t seen_tokens[ROWS / EACH * MAX_V], drawn_tokens[ROWS];
static float row_logits[ROWS * MAX_V], confidences[ROWS];

/* Logits; in every second row in steps of 1/4, so that many are equal. */
static void fill(drawing *d, double scale)
{
    for (uint32_t i = 0; i < d->rows * d->width; i++) {
        double x = scale * (2.0 * noise() - 1.0);
        row_logits[i] = (float)(i / d->width % 2 ? floor(x * 4.0) / 4.0 : x);
    }
    for (uint32_t i = 0; i < d->samples * d->width; i++) seen_tokens[i] = noise() < 0.3 ? 7 : 0;
    write_to(d->plan, d->logits, row_logits, sizeof(float) * d->rows * d->width);
    write_to(d->plan, d->seen, seen_tokens, sizeof(uint32_t) * d->samples * d->width);
}

static void compare_draws(drawing *d, const uint32_t counter[4])
{
    uint32_t unsure = 0;
    definition want;
    write_to(d->plan, d->counter, counter, 16);
    run_once(d->plan);
    read_from(d->plan, d->token, drawn_tokens, sizeof(uint32_t) * d->rows);
    read_from(d->plan, d->confidence, confidences, sizeof(float) * d->rows);
    for (uint32_t row = 0; row < d->rows; row++) {
        uint32_t sample = row / EACH;
        uint32_t bits = pm_draw_element(counter, d->attr.stream, sample, row % EACH);
        define(row_logits + row * d->width, seen_tokens + sample * d->width, d->width, &d->attr.args, bits,
               &want);
        unsure += want.unsure;
        if (want.unsure) continue;
        if (drawn_tokens[row] != want.token)
            fail_msg("row %u: token %u, not %u", row, drawn_tokens[row], want.token);
        double error = fabs((double)confidences[row] - want.confidence);
        if (d->attr.args.confidence != PM_CONFIDENCE_RANDOM && !(error < 1e-6 + 3e-6 * fabs(want.confidence)))
            fail_msg("row %u: confidence %.9g, not %.9g", row, (double)confidences[row], want.confidence);
    }
    assert_true(unsure < d->rows / 8);
}

static void test_draws_are_as_defined(void **state)
{
    (void)state;
    static const struct {
        pm_draw_args args;
        uint32_t width, row_lanes;
        double scale;
    } tests[] = {
        {{.temperature = 1.0f, .confidence = PM_CONFIDENCE_DRAWN}, 97, 1, 4},
        {{.temperature = 0.7f, .top_k = 9, .confidence = PM_CONFIDENCE_MARGIN}, 61, 1, 4},
        {{.temperature = 1.3f, .top_k = 9, .confidence = PM_CONFIDENCE_ENTROPY}, 61, 64, 4},
        {{.temperature = 1.0f, .top_k = 1, .confidence = PM_CONFIDENCE_MAX}, 30, 1, 2},
        {{.temperature = 1.0f, .top_p = 0.8f, .confidence = PM_CONFIDENCE_MAX}, 100, 1, 5},
        {{.temperature = 0.9f, .top_p = 0.3f, .confidence = PM_CONFIDENCE_ENTROPY}, 300, 64, 3},
        {{.temperature = 1.0f, .min_p = 0.1f, .confidence = PM_CONFIDENCE_ENTROPY}, 50, 1, 4},
        {{.temperature = 0.0f, .confidence = PM_CONFIDENCE_DRAWN}, 33, 1, 1},
        {{.temperature = 0.0f, .top_k = 4, .confidence = PM_CONFIDENCE_MARGIN}, 133, 64, 1},
        {{.temperature = 0.8f, .repetition = 1.3f, .confidence = PM_CONFIDENCE_DRAWN}, 40, 1, 4},
        {{.temperature = 1.1f,
          .top_k = 30,
          .top_p = 0.9f,
          .min_p = 0.02f,
          .repetition = 1.2f,
          .confidence = PM_CONFIDENCE_MARGIN},
         400,
         256,
         6},
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        drawing d;
        pm_draw_attr attr = {tests[i].args, 5, tests[i].row_lanes};
        attr.args.rows_per_sample = EACH;
        open_drawing(&d, ROWS, tests[i].width, attr);
        for (uint32_t run = 0; run < 4; run++) {
            fill(&d, tests[i].scale);
            compare_draws(&d, (const uint32_t[4]){run, 100 * run, 42, 43});
        }
        close_drawing(&d);
    }
}

/* Pearson's statistic, within 5 standard deviations of its mean. */
static void expect_fit(const uint32_t *counts, const double *p, uint32_t cells, double draws)
{
    double chi = 0, freedom = -1;
    for (uint32_t i = 0; i < cells; i++) {
        if (p[i] <= 0) {
            assert_int_equal(counts[i], 0);
            continue;
        }
        double wanted = p[i] * draws;
        chi += (counts[i] - wanted) * (counts[i] - wanted) / wanted;
        freedom++;
    }
    if (fabs(chi - freedom) > 5 * sqrt(2 * freedom)) fail_msg("chi-square %.1f of %.0f", chi, freedom);
}

static void test_draws_have_their_frequency(void **state)
{
    (void)state;
    enum { MANY = 4096, CELLS = 20, RUNS = 20 };
    static float logits[MANY * CELLS];
    static uint32_t tokens[MANY];
    uint32_t counts[CELLS] = {0};
    definition want;
    drawing d;
    pm_draw_attr attr = {{.temperature = 0.8f, .top_k = 15}, 3, 0};
    for (uint32_t i = 0; i < CELLS; i++) logits[i] = (float)(3.0 * noise());
    for (uint32_t i = CELLS; i < MANY * CELLS; i++) logits[i] = logits[i % CELLS];
    open_drawing(&d, MANY, CELLS, attr);
    write_to(d.plan, d.logits, logits, sizeof logits);
    write_to(d.plan, d.counter, (const uint32_t[4]){0, 0, 7, 8}, 16);
    for (uint32_t run = 0; run < RUNS; run++) {
        run_once(d.plan);
        read_from(d.plan, d.token, tokens, sizeof tokens);
        for (uint32_t i = 0; i < MANY; i++) counts[tokens[i]]++;
    }
    define(logits, NULL, CELLS, &attr.args, 0, &want);
    expect_fit(counts, want.p, CELLS, (double)MANY * RUNS);
    close_drawing(&d);
}

/* The second half of a batch, drawn alone by its samples' numbers, is the same; random confidences too, which
 * differ from row to row. */
static void test_batches_do_not_matter(void **state)
{
    (void)state;
    enum { WIDTH = 40, HALF = ROWS / 2 };
    drawing all, half;
    uint32_t tokens[HALF];
    float random[HALF];
    pm_draw_attr attr = {{.temperature = 1.0f, .top_p = 0.95f, .repetition = 1.5f}, 5, 0};
    attr.args.confidence = PM_CONFIDENCE_RANDOM;
    attr.args.rows_per_sample = EACH;
    open_drawing(&all, ROWS, WIDTH, attr);
    open_drawing(&half, HALF, WIDTH, attr);
    fill(&all, 3.0);
    write_to(half.plan, half.logits, row_logits + HALF * WIDTH, sizeof(float) * HALF * WIDTH);
    write_to(half.plan, half.seen, seen_tokens + HALF / EACH * WIDTH, sizeof(uint32_t) * HALF / EACH * WIDTH);
    compare_draws(&all, (const uint32_t[4]){9, 30, 1, 2});
    write_to(half.plan, half.counter, (const uint32_t[4]){9, 30 + HALF / EACH, 1, 2}, 16);
    run_once(half.plan);
    read_from(half.plan, half.token, tokens, sizeof tokens);
    read_from(half.plan, half.confidence, random, sizeof random);
    assert_memory_equal(tokens, drawn_tokens + HALF, sizeof tokens);
    assert_memory_equal(random, confidences + HALF, sizeof random);
    double mean = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        assert_true(confidences[i] >= 0 && confidences[i] < 1);
        assert_true(i == 0 || confidences[i] != confidences[i - 1]);
        mean += (double)confidences[i] / ROWS;
    }
    assert_true(fabs(mean - 0.5) < 0.15);
    close_drawing(&all);
    close_drawing(&half);
}

/* At steps whose random number falls to a rare token, the device draws the one that the host does. */
static void test_rare_tokens_on_the_device(void **state)
{
    (void)state;
    static float logits[RARE + 1];
    static double same[RARE + 1];
    drawing d;
    pm_draw_attr attr = {{.temperature = 1.0f}, 2, 0};
    uint32_t counter[4] = {0, 0, 11, 12}, found = 0;
    for (uint32_t i = 0; i <= RARE; i++) {
        logits[i] = i == FREQUENT ? 0.0f : logf((float)RARE_WEIGHT);
        same[i] = (double)logits[i];
    }
    open_drawing(&d, 1, RARE + 1, attr);
    write_to(d.plan, d.logits, logits, sizeof logits);
    for (; found < 24; counter[0]++) {
        uint32_t bits = pm_draw_element(counter, attr.stream, 0, 0), token;
        double u = bits / 4294967296.0;
        if (u > 0.9e-7 * FREQUENT && u < 1.0 - 0.9e-7 * (RARE - FREQUENT)) continue;
        uint32_t wanted = pm_draw_row(same, NULL, RARE + 1, &attr.args, bits, 0).token;
        assert_int_not_equal(wanted, FREQUENT);
        write_to(d.plan, d.counter, counter, sizeof counter);
        run_once(d.plan);
        read_from(d.plan, d.token, &token, sizeof token);
        assert_int_equal(token, wanted);
        found++;
    }
    close_drawing(&d);
}

/* Of 2^upper equal tokens the upper bits of the random number choose one. */
static void expect_upper_bits(uint32_t upper, uint32_t row_lanes, const uint32_t *steps, uint32_t count)
{
    static const float logits[4096];
    static const double same[4096];
    drawing d;
    pm_draw_attr attr = {{.temperature = 1.0f}, 2, row_lanes};
    uint32_t width = 1u << upper;
    open_drawing(&d, 1, width, attr);
    write_to(d.plan, d.logits, logits, sizeof(float) * width);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t counter[4] = {steps[i], 0, 5, 6};
        uint32_t bits = pm_draw_element(counter, attr.stream, 0, 0), token;
        assert_true(i > 0 || bits << upper == 0);
        assert_int_equal(pm_draw_row(same, NULL, width, &attr.args, bits, 0).token, bits >> (32 - upper));
        write_to(d.plan, d.counter, counter, sizeof counter);
        run_once(d.plan);
        read_from(d.plan, d.token, &token, sizeof token);
        assert_int_equal(token, bits >> (32 - upper));
    }
    close_drawing(&d);
}

/* At the first step the lower 26 bits are 0 (found by trying): running sums are met exactly, that of a lane's
 * first token too. */
static void test_equal_tokens(void **state)
{
    (void)state;
    static const uint32_t steps[] = {74062057, 0, 1, 2, 3, 4, 5, 6};
    expect_upper_bits(12, 1, steps, 8);
    expect_upper_bits(12, 64, steps, 8);
    expect_upper_bits(6, 64, steps, 8);
}

/* Logits that are neighbouring floats are not equals. */
static void test_neighbouring_floats(void **state)
{
    (void)state;
    enum { WIDTH = 9 };
    for (uint32_t p = 0; p < 2; p++) {
        drawing d;
        float logits[2 * WIDTH], confidence[2];
        uint32_t tokens[2];
        pm_draw_args args = {.temperature = 1.0f};
        if (p) {
            args.top_p = 3.0f / 9.0f - 1e-4f;
        } else {
            args.top_k = 2;
        }
        for (uint32_t i = 0; i < WIDTH; i++) {
            logits[i] = i % 3 == 1 ? nextafterf(3.0f, 4.0f) : 3.0f;
            logits[WIDTH + i] = i % 3 == 0 ? -3.0f : nextafterf(-3.0f, -4.0f);
        }
        open_drawing(&d, 2, WIDTH, (pm_draw_attr){args, 1, 0});
        write_to(d.plan, d.logits, logits, sizeof logits);
        run_once(d.plan);
        read_from(d.plan, d.token, tokens, sizeof tokens);
        read_from(d.plan, d.confidence, confidence, sizeof confidence);
        assert_int_equal(tokens[0] % 3, 1);
        assert_int_equal(tokens[1] % 3, 0);
        for (uint32_t i = 0; i < 2; i++) assert_true(fabsf(confidence[i] - 1.0f / 3.0f) < 1e-6f);
        close_drawing(&d);
    }
}

/* Minus infinity is never drawn; a row of nothing else gives token 0 with confidence 0. */
static void test_infinite_logits(void **state)
{
    (void)state;
    enum { WIDTH = 5 };
    drawing d;
    float logits[2 * WIDTH], confidence[2];
    uint32_t tokens[2];
    for (uint32_t i = 0; i < 2 * WIDTH; i++) logits[i] = i == 3 ? -1e30f : -INFINITY;
    open_drawing(&d, 2, WIDTH, (pm_draw_attr){{.temperature = 0.5f, .top_k = 4, .top_p = 0.99f}, 1, 0});
    write_to(d.plan, d.logits, logits, sizeof logits);
    run_once(d.plan);
    read_from(d.plan, d.token, tokens, sizeof tokens);
    read_from(d.plan, d.confidence, confidence, sizeof confidence);
    assert_int_equal(tokens[0], 3);
    assert_true(confidence[0] == 1.0f);
    assert_int_equal(tokens[1], 0);
    assert_true(confidence[1] == 0.0f);
    close_drawing(&d);
}

static void test_wrong_arguments(void **state)
{
    (void)state;
    static const struct {
        pm_draw_args args;
        const char *message;
    } tests[] = {
        {{.temperature = -1.0f}, "temperature"},
        {{.temperature = NAN}, "temperature"},
        {{.top_p = 1.5f}, "top_p"},
        {{.min_p = -0.5f}, "min_p"},
        {{.repetition = 1e9f}, "repetition"},
        {{.confidence = (pm_confidence)9}, "confidence"},
        {{.rows_per_sample = 5}, "multiple of the 5"},
        {{.rows_per_sample = 2}, "`seen` must be [3,4]"},
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        pm_graph *graph = pm_graph_create();
        pm_error error = {0};
        pm_tensor logits = pm_state(graph, "logits", PM_DTYPE_F32, PM_SHAPE(6, 4));
        pm_tensor seen = pm_state(graph, "seen", PM_DTYPE_U32, PM_SHAPE(6, 4));
        (void)pm_draw_tokens(graph, logits, seen, pm_counter(graph), 0, tests[i].args, NULL);
        expect_failure(pm_graph_status(graph, &error), PM_BAD_USAGE, &error, tests[i].message);
        pm_graph_destroy(graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rare_tokens_have_their_share),
        cmocka_unit_test(test_a_race_would_be_caught),
        cmocka_unit_test(test_exponentials),
        cmocka_unit_test(test_chance),
        cmocka_unit_test(test_draws_are_as_defined),
        cmocka_unit_test(test_draws_have_their_frequency),
        cmocka_unit_test(test_rare_tokens_on_the_device),
        cmocka_unit_test(test_equal_tokens),
        cmocka_unit_test(test_neighbouring_floats),
        cmocka_unit_test(test_batches_do_not_matter),
        cmocka_unit_test(test_infinite_logits),
        cmocka_unit_test(test_wrong_arguments),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
