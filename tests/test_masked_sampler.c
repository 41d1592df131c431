/* The samplers of the masked process on a device, with a network that is known exactly in its place: a
 * million draws of each against the law that sampler_laws.h enumerates for it, the biased ones included. And
 * what such a test is worth: the same draws against laws of samplers that are slightly wrong. */
/* ctest labels: device */
#include "device_helpers.h"

#include "ops/draw_tokens.h"
#include "oracle.h"
#include "sampler_laws.h"
#include "sampling/masked_sampler.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A million draws of each sampler from the toy; of its variants, and from larger tables, an eighth of it. */
enum { DRAWS = 1000000, BATCH = 125000 };
#define LEAST_FIT 1e-4 /* of the chi-square: a right sampler falls below once in 10,000 seeds */

/* A sampler, and what one step of it is to the enumeration: amounts and windows follow. */
typedef struct setting {
    pm_masked_sampling options;
    law_step step;
    uint32_t steps; /* of a block; 0: length over amount */
    bool argmax;    /* the last step is greedy */
    bool million;
} setting;

#define PURE             \
    {                    \
        .temperature = 1 \
    }

static law_table toy, random_table;

static int make_tables(void **state)
{
    law_toy(&toy);
    law_random(&random_table, 3, 4, 5);
    return open_device(state);
}

/* ---- The law of a setting ------------------------------------------------------------------------------ */

static double masked_share(const pm_masking *masking, double t)
{
    if (masking->schedule == PM_MASKING_COSINE) return cos(acos(-1.0) / 2 * (1 - t));
    if (masking->schedule == PM_MASKING_POLYNOMIAL) return pow(t, (double)masking->power);
    return t;
}

/* A distribution over canvases: where the setting leads from `start`, which has no prompt before a block that
 * it does not fill. */
static void law_of(const law_table *t, const setting *s, uint32_t start, double *law)
{
    static double next[LAW_CANVASES];
    uint32_t block = s->options.block ? s->options.block : t->length;
    for (uint32_t c = 0; c < t->canvases; c++) law[c] = c == start;
    for (uint32_t begin = 0; begin < t->length; begin += block) {
        law_step step = s->step;
        step.begin = begin;
        step.end = begin + block < t->length ? begin + block : t->length;
        uint32_t steps = s->steps;
        if (steps == 0) steps = (uint32_t)ceil((step.end - begin) / step.amount);
        for (uint32_t i = 0; i < steps; i++) {
            if (step.mode == PM_REVEAL_RATE) {
                double now = masked_share(&s->options.masking, (double)(steps - i) / steps);
                double then = masked_share(&s->options.masking, (double)(steps - i - 1) / steps);
                step.amount = (now - then) / now;
            }
            if (s->argmax && i + 1 == steps) step.cuts.temperature = 0;
            law_apply(t, &step, law, next);
            memcpy(law, next, sizeof next);
        }
    }
}

/* ---- Draws --------------------------------------------------------------------------------------------- */

static pm_masked_sampler *sampler_of(oracle *o, const pm_masked_sampling *options, uint32_t batch)
{
    pm_masked_sampler *sampler = NULL;
    pm_error error = {0};
    pm_denoiser denoiser = oracle_denoiser(o);
    expect_ok(pm_masked_sampler_create(device, &denoiser, options, batch, o->table->length, &sampler, &error),
              &error);
    return sampler;
}

static void fill(const law_table *t, uint32_t start, uint32_t batch, uint32_t *canvas)
{
    for (uint32_t i = 0; i < batch * t->length; i++) {
        canvas[i] = law_digit(start, t->base + 1, i % t->length);
    }
}

static uint32_t number_of(const law_table *t, const uint32_t *row)
{
    uint32_t number = 0;
    for (uint32_t i = 0; i < t->length; i++) number += row[i] * law_power(t->base + 1, i);
    return number;
}

/* How often each canvas comes out: counts [canvases]. */
static void draw(const law_table *t, const pm_masked_sampling *options, uint32_t start, uint32_t draws,
                 uint32_t *counts)
{
    oracle o = {.table = t};
    uint32_t *canvas = malloc((size_t)BATCH * t->length * sizeof *canvas);
    assert_non_null(canvas);
    pm_masked_sampler *sampler = sampler_of(&o, options, BATCH);
    memset(counts, 0, LAW_CANVASES * sizeof *counts);
    for (uint32_t first = 0; first < draws; first += BATCH) {
        pm_error error = {0};
        fill(t, start, BATCH, canvas);
        expect_ok(pm_masked_sampler_run(sampler, canvas, first, &error), &error);
        for (uint32_t b = 0; b < BATCH; b++) counts[number_of(t, canvas + (size_t)b * t->length)]++;
    }
    pm_masked_sampler_destroy(sampler);
    free(canvas);
}

/* What was given stands, no mask is left, and the rest follows the law; returns the draws. */
static const uint32_t *check(const law_table *t, const setting *s, uint32_t start)
{
    static double law[LAW_CANVASES];
    static uint32_t counts[LAW_CANVASES];
    pm_masked_sampling defaults = pm_masked_sampling_defaults(), o = s->options;
    if (o.guidance == 0.0f) o.guidance = defaults.guidance;
    o.temperature = (float)s->step.cuts.temperature;
    o.top_k = s->step.cuts.top_k;
    o.top_p = (float)s->step.cuts.top_p;
    o.min_p = (float)s->step.cuts.min_p;
    o.position_temperature = (float)s->step.position_temperature;
    o.threshold = (float)s->step.threshold;
    o.final_argmax = s->argmax;
    o.seed = 20;
    law_of(t, s, start, law);
    draw(t, &o, start, t == &toy && s->million ? DRAWS : BATCH, counts);
    double fit = law_fit(law, counts, t->canvases);
    if (!(fit > LEAST_FIT)) {
        fail_msg("%s, %u steps, block %u, length %u: chi-square says %g", o.sampler, s->steps, o.block,
                 t->length, fit);
    }
    return counts;
}

static void check_all(const setting *settings, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)check(&toy, &settings[i], toy.canvases - 1);
        (void)check(&random_table, &settings[i], random_table.canvases - 1);
    }
}

/* The confidence of a drawn token as a device rounds it: the operator's reference, with random bits from the
 * middle of those that draw it. */
static double rounded(const double *p, uint32_t n, uint32_t drawn)
{
    double logits[LAW_BASE], before = 0;
    const pm_draw_args args = {.temperature = 1};
    for (uint32_t v = 0; v < n; v++) logits[v] = (double)(float)log(p[v]);
    for (uint32_t v = 0; v < drawn; v++) before += p[v];
    uint32_t bits = (uint32_t)((before + p[drawn] / 2) * 4294967296.0);
    pm_drawn result = pm_draw_row(logits, NULL, n, &args, bits, 0);
    assert_int_equal(result.token, drawn);
    return (double)result.confidence;
}

/* ---- Laws ---------------------------------------------------------------------------------------------- */

static void test_ancestral_laws(void **state)
{
    (void)state;
    static const law_step rate = {.cuts = PURE, .mode = PM_REVEAL_RATE};
    const setting settings[] = {
        {.options = {.sampler = "ancestral", .steps = 1}, .step = rate, .steps = 1},
        {.options = {.sampler = "ancestral", .steps = 4}, .step = rate, .steps = 4, .million = true},
        {.options = {.sampler = "cached", .steps = 3, .masking = {.schedule = PM_MASKING_COSINE}},
         .step = rate,
         .steps = 3},
        {.options = {.sampler = "ancestral",
                     .steps = 3,
                     .masking = {.schedule = PM_MASKING_POLYNOMIAL, .power = 2}},
         .step = rate,
         .steps = 3},
    };
    check_all(settings, COUNT(settings));
    const setting blocks = {
        .options = {.sampler = "ancestral", .steps = 4, .block = 2}, .step = rate, .steps = 2};
    const setting argmax = {
        .options = {.sampler = "ancestral", .steps = 2}, .step = rate, .steps = 2, .argmax = true};
    (void)check(&random_table, &blocks, random_table.canvases - 1);
    (void)check(&random_table, &argmax, random_table.canvases - 1);
}

static void test_order_laws(void **state)
{
    (void)state;
    static const double left_to_right[] = {0, -1, -2, -3, -4};
    static const law_step random = {.cuts = PURE, .confidence = PM_CONFIDENCE_RANDOM, .amount = 1};
    const setting settings[] = {
        {.options = {.sampler = "first-hitting"}, .step = random, .million = true},
        {.options = {.sampler = "any-order"}, .step = random, .million = true},
        {.options = {.sampler = "left-to-right"},
         .step = {.cuts = PURE, .order = left_to_right, .amount = 1},
         .million = true},
        {.options = {.sampler = "any-order", .tokens_per_step = 2},
         .step = {.cuts = PURE, .confidence = PM_CONFIDENCE_RANDOM, .amount = 2}},
        {.options = {.sampler = "random", .tokens_per_step = 2},
         .step = {.cuts = PURE, .confidence = PM_CONFIDENCE_RANDOM, .amount = 2},
         .million = true},
    };
    check_all(settings, COUNT(settings));
}

static void test_confidence_laws(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        pm_confidence confidence;
    } rows[] = {{"low-confidence", PM_CONFIDENCE_DRAWN},
                {"entropy", PM_CONFIDENCE_ENTROPY},
                {"margin", PM_CONFIDENCE_MARGIN},
                {"max-prob", PM_CONFIDENCE_MAX}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        law_step step = {.cuts = PURE, .confidence = rows[i].confidence, .rounded = i ? NULL : rounded};
        for (uint32_t k = 1; k <= 2; k++) {
            step.amount = k;
            setting s = {
                .options = {.sampler = rows[i].name, .tokens_per_step = k}, .step = step, .million = true};
            (void)check(k == 1 ? &random_table : &toy, &s, k == 1 ? random_table.canvases - 1 : 63);
        }
    }
    const setting biased = {
        {.sampler = "low-confidence"}, {.cuts = PURE, .amount = 1, .rounded = rounded}, 0, false, true};
    const uint32_t *counts = check(&toy, &biased, 63);
    /* It does not draw from the table itself: what the confidence of a drawn token does. */
    double law[LAW_CANVASES] = {0};
    for (uint32_t s = 0; s < toy.states; s++) law[law_canvas(&toy, s, 0)] = toy.p[s];
    assert_true(law_fit(law, counts, toy.canvases) < 1e-100);
}

static void test_other_laws(void **state)
{
    (void)state;
    const law_step drawn = {.cuts = PURE, .amount = 1, .rounded = rounded};
    law_step threshold = drawn, positions = drawn, blocks = drawn, ranked = drawn;
    threshold.mode = PM_REVEAL_THRESHOLD;
    threshold.threshold = 0.45;
    positions.position_temperature = 0.25;
    ranked.confidence = PM_CONFIDENCE_ENTROPY;
    ranked.rounded = NULL;
    ranked.position_temperature = 0.5;
    ranked.amount = 2;
    const setting settings[] = {
        {.options = {.sampler = "threshold"}, .step = threshold, .steps = 4, .million = true},
        {.options = {.sampler = "threshold", .block = 2}, .step = threshold, .steps = 2},
        {.options = {.sampler = "low-confidence"}, .step = positions},
        {.options = {.sampler = "entropy", .tokens_per_step = 2}, .step = ranked},
        {.options = {.sampler = "low-confidence", .block = 2}, .step = blocks},
    };
    check_all(settings, COUNT(settings));
}

/* Every table has distinct probabilities here: with equals a cut would depend on the last bit. */
static void test_laws_with_cuts(void **state)
{
    (void)state;
    law_step rate = {.cuts = PURE, .mode = PM_REVEAL_RATE};
    law_step drawn = {.cuts = PURE, .confidence = PM_CONFIDENCE_DRAWN, .amount = 1};
    static const law_cuts cuts[] = {{.temperature = 0.7},
                                    {.temperature = 1.5, .top_k = 2},
                                    {.temperature = 1, .top_p = 0.8},
                                    {.temperature = 0.8, .min_p = 0.3},
                                    {.temperature = 0}};
    for (size_t i = 0; i < COUNT(cuts); i++) {
        rate.cuts = drawn.cuts = cuts[i];
        const setting ancestral = {.options = {.sampler = "ancestral", .steps = 3}, .step = rate, .steps = 3};
        const setting confident = {.options = {.sampler = "low-confidence"}, .step = drawn};
        (void)check(&random_table, i % 2 ? &ancestral : &confident, random_table.canvases - 1);
        if (cuts[i].temperature == 0) (void)check(&random_table, &ancestral, random_table.canvases - 1);
    }
}

/* ---- Conditioning and guidance ------------------------------------------------------------------------- */

/* The table's own law given what a canvas shows. */
static void conditional(const law_table *t, uint32_t start, double *law)
{
    double sum = 0;
    memset(law, 0, LAW_CANVASES * sizeof *law);
    for (uint32_t s = 0; s < t->states; s++) {
        if (!law_agrees(t, s, start, t->length)) continue;
        law[law_canvas(t, s, 0)] = t->p[s];
        sum += t->p[s];
    }
    for (uint32_t c = 0; c < t->canvases; c++) law[c] /= sum;
}

/* A prompt, a suffix, something in between: whatever stands in the canvas. One token a step is then exact. */
static void test_conditioning_is_exact(void **state)
{
    (void)state;
    static const uint32_t rows[][4] = {{2, 3, 3, 3}, {3, 3, 3, 0}, {3, 1, 3, 2}, {0, 3, 1, 3}};
    static const char *const names[] = {"first-hitting", "entropy", "any-order", "random"};
    static const pm_confidence confidences[] = {PM_CONFIDENCE_RANDOM, PM_CONFIDENCE_ENTROPY,
                                                PM_CONFIDENCE_RANDOM, PM_CONFIDENCE_RANDOM};
    double law[LAW_CANVASES], enumerated[LAW_CANVASES];
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint32_t start = number_of(&random_table, rows[i]);
        setting s = {.options = {.sampler = names[i]},
                     .step = {.cuts = PURE, .confidence = confidences[i], .amount = 1}};
        conditional(&random_table, start, law);
        law_of(&random_table, &s, start, enumerated);
        assert_true(law_total_variation(law, enumerated, random_table.canvases) < 1e-12);
        const uint32_t *counts = check(&random_table, &s, start);
        assert_true(law_fit(law, counts, random_table.canvases) > LEAST_FIT);
    }
}

/* The first token is a class that chooses between mixtures of the others. */
static void test_guidance_laws(void **state)
{
    (void)state;
    static law_table guided[4];
    static const uint32_t row[] = {1, 3, 3, 3};
    static double wrong[LAW_CANVASES], law[LAW_CANVASES];
    uint32_t start = number_of(&random_table, row), counts[LAW_CANVASES];
    setting s = {.options = {.sampler = "random"},
                 .step = {.cuts = PURE, .confidence = PM_CONFIDENCE_RANDOM, .amount = 1}};
    for (int w = 0; w < 4; w++) law_guide(&random_table, 1, w, &guided[w]);
    for (int w = 0; w < 4; w++) {
        pm_masked_sampling o = pm_masked_sampling_defaults();
        o.sampler = "random";
        o.guidance = (float)w;
        o.seed = 3;
        if (w == 3) break;
        law_of(&guided[w], &s, start, law);
        draw(&random_table, &o, start, BATCH, counts);
        assert_true(law_fit(law, counts, random_table.canvases) > LEAST_FIT);
        law_of(&guided[w + 1], &s, start, wrong); /* the scale of the other convention */
        assert_true(law_fit(wrong, counts, random_table.canvases) < 1e-100);
    }
    conditional(&random_table, start, wrong);
    law_of(&guided[1], &s, start, law);
    assert_true(law_total_variation(law, wrong, random_table.canvases) < 1e-12);
}

/* ---- Tests of the tests -------------------------------------------------------------------------------- */

/* All places of a finished canvas drawn anew from what the network says of them: no carry-over. */
static void without_carry_over(const law_table *t, const double *law, double *out)
{
    memset(out, 0, LAW_CANVASES * sizeof *out);
    for (uint32_t c = 0; c < t->canvases; c++) {
        for (uint32_t s = 0; s < t->states && law[c] > 0; s++) {
            double probability = law[c];
            for (uint32_t i = 0; i < t->length; i++) probability *= t->cond[c][i][law_digit(s, t->base, i)];
            out[law_canvas(t, s, 0)] += probability;
        }
    }
}

static void test_wrong_laws_are_noticed(void **state)
{
    (void)state;
    static double law[LAW_CANVASES], wrong[LAW_CANVASES];
    setting s = {
        {.sampler = "ancestral", .steps = 4}, {.cuts = PURE, .mode = PM_REVEAL_RATE}, 4, false, true};
    const uint32_t *counts = check(&toy, &s, 63);
    law_of(&toy, &s, 63, law);
    without_carry_over(&toy, law, wrong);
    assert_true(law_fit(wrong, counts, 64) < 1e-100);
    /* The rate of the first step in all of them but the last, which reveals what is left. */
    for (uint32_t c = 0; c < 64; c++) law[c] = c == 63;
    for (uint32_t i = 0; i < 4; i++) {
        law_step step = {.cuts = PURE, .mode = PM_REVEAL_RATE, .amount = i == 3 ? 1 : 0.25, .end = 3};
        law_apply(&toy, &step, law, wrong);
        memcpy(law, wrong, sizeof law);
    }
    assert_true(law_fit(wrong, counts, 64) < 1e-20);
    s.steps = 5;
    law_of(&toy, &s, 63, wrong);
    assert_true(law_fit(wrong, counts, 64) < 1e-20);
    s.steps = 4;
    s.step.cuts.temperature = 0.95;
    law_of(&toy, &s, 63, wrong);
    assert_true(law_fit(wrong, counts, 64) < 1e-20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ancestral_laws),  cmocka_unit_test(test_order_laws),
        cmocka_unit_test(test_confidence_laws), cmocka_unit_test(test_other_laws),
        cmocka_unit_test(test_laws_with_cuts),  cmocka_unit_test(test_conditioning_is_exact),
        cmocka_unit_test(test_guidance_laws),   cmocka_unit_test(test_wrong_laws_are_noticed),

    };
    return cmocka_run_group_tests(tests, make_tables, close_device);
}
