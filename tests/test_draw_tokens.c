/* Tokens drawn from logits: every cut, confidence and draw against definitions in double, with sorting;
 * shares of rare tokens counted exactly over all 2^32 draws. */
/* ctest labels: device */
#include "drawing.h"

#include "ops/random.h"

#include <math.h>
#include <stdlib.h>

static uint32_t noise_state = 1;

static double noise(void)
{
    noise_state = noise_state * 1664525u + 1013904223u;
    return (double)(noise_state >> 8) / 16777216.0;
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

        cmocka_unit_test(test_draws_are_as_defined),  cmocka_unit_test(test_draws_have_their_frequency),

        cmocka_unit_test(test_batches_do_not_matter), cmocka_unit_test(test_infinite_logits),
        cmocka_unit_test(test_wrong_arguments),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
