/* The enumerations of discrete_laws.h and sampler_laws.h held against values that were computed by other
 * means: what the tests of the samplers rest on. */
#include "unit.h"

#include "sampler_laws.h"

static void near(double got, double want, double tolerance, const char *what, int line)
{
    if (fabs(got - want) <= tolerance) return;
    print_error("line %d: %s is %.12g, not %.12g within %g\n", line, what, got, want, tolerance);
    fail();
}
#define NEAR(got, want, tolerance) near(got, want, tolerance, #got, __LINE__)
#define COUNT(array) (sizeof(array) / sizeof *(array))

static law_table toy;

static int make_toy(void **state)
{
    (void)state;
    law_toy(&toy);
    return 0;
}

/* ---- Entropies ----------------------------------------------------------------------------------------- */

static void test_entropies(void **state)
{
    (void)state;
    double totals[LAW_LENGTH + 1];
    law_losses_by_count(&toy, totals);
    NEAR(law_entropy(&toy), 3.1006347468, 5e-11);
    NEAR(law_entropy(&toy) / 3 / log(2), 1.491090, 5e-7);
    NEAR(totals[1], 2.93901492, 5e-9);
    NEAR(totals[2], 6.21832875, 5e-9);
    NEAR(totals[3], 3.2537249428, 5e-11); /* the entropies of the marginals */
    NEAR((2 * totals[1] + totals[2] + 2 * totals[3]) / 6, law_entropy(&toy), 1e-12); /* k-DCE */
}

/* The rate uniform with weight 1/rate, by Simpson's rule: the entropy, whatever the table. */
static void test_bound_in_continuous_time(void **state)
{
    (void)state;
    static law_table random;
    law_random(&random, 4, 4, 7);
    const law_table *tables[] = {&toy, &random};
    for (size_t k = 0; k < COUNT(tables); k++) {
        double totals[LAW_LENGTH + 1], sum = totals[0] = 0;
        const int n = 2000;
        law_losses_by_count(tables[k], totals);
        for (int i = 0; i <= n; i++) {
            double rate = (double)i / n, weight = i == 0 || i == n ? 1 : i % 2 ? 4 : 2;
            /* At rate 0 the quotient has the limit totals[1]. */
            double term = i ? law_loss_at_rate(tables[k], totals, rate) / rate : totals[1];
            sum += weight * term / (3 * n);
        }
        NEAR(sum, law_entropy(tables[k]), 1e-10);
    }
}

static void test_bound_of_steps(void **state)
{
    (void)state;
    static const struct {
        uint32_t steps;
        double bound;
    } rows[] = {{1, 3.25372494},  {2, 3.17824605},  {4, 3.13970695},   {8, 3.12023749},
                {16, 3.11045278}, {64, 3.10309238}, {1000, 3.10079210}};
    for (size_t i = 0; i < COUNT(rows); i++) NEAR(law_bound(&toy, rows[i].steps), rows[i].bound, 5e-9);
}

/* ---- Samplers ------------------------------------------------------------------------------------------ */

static const law_cuts pure = {.temperature = 1};

/* The law of `steps` steps from a canvas of masks; each as `step` says, with rates for equal steps of time.
 */
static void law_of(const law_table *t, law_step step, uint32_t steps, double *states)
{
    static double a[LAW_CANVASES], b[LAW_CANVASES];
    memset(a, 0, sizeof a);
    a[t->canvases - 1] = 1;
    step.end = t->length;
    for (uint32_t i = 0; i < steps; i++) {
        if (step.mode == PM_REVEAL_RATE) step.amount = 1.0 / (steps - i);
        law_apply(t, &step, a, b);
        memcpy(a, b, sizeof a);
    }
    law_states(t, a, states);
}

static void test_ancestral(void **state)
{
    (void)state;
    static const struct {
        uint32_t steps;
        double variation;
    } rows[] = {{1, .222222}, {4, .054683}, {16, .013616}, {64, .003401}, {256, .000850}};
    double states[LAW_STATES];
    law_step step = {.cuts = pure, .mode = PM_REVEAL_RATE};
    for (size_t i = 0; i < COUNT(rows); i++) {
        law_of(&toy, step, rows[i].steps, states);
        NEAR(law_total_variation(toy.p, states, toy.states), rows[i].variation, 5.1e-7);
        if (rows[i].steps == 16) NEAR(law_divergence(toy.p, states, toy.states), 6.80e-4, 5e-7);
        if (rows[i].steps == 64) NEAR(law_divergence(toy.p, states, toy.states), 4.345e-5, 5e-8);
    }
}

static void test_decoders(void **state)
{
    (void)state;
    static const struct {
        pm_confidence confidence;
        double variation[3]; /* with 1, 2 and 3 tokens a step */
    } rows[] = {{PM_CONFIDENCE_RANDOM, {0, -1, .222222}},
                {PM_CONFIDENCE_ENTROPY, {0, .041667, .222222}},
                {PM_CONFIDENCE_MARGIN, {0, .041667, .222222}},
                {PM_CONFIDENCE_MAX, {0, -1, .222222}},
                {PM_CONFIDENCE_DRAWN, {.296318, .270859, .222222}}};
    double states[LAW_STATES];
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (uint32_t k = 1; k <= 3; k++) {
            law_step step = {.cuts = pure, .confidence = rows[i].confidence, .amount = k};
            law_of(&toy, step, (3 + k - 1) / k, states);
            double want = rows[i].variation[k - 1];
            if (want >= 0) NEAR(law_total_variation(toy.p, states, toy.states), want, 5.1e-7);
        }
    }
}

/* One token a step in any order that looks at places only gives the table itself: a fixed order,
 * one by confidence, or a race with a temperature. Not so with the confidence of what was drawn. */
static void test_orders_of_any_table(void **state)
{
    (void)state;
    static law_table t;
    static const double left_to_right[] = {0, -1, -2, -3}, inside_out[] = {-2, 0, -1, -3};
    double states[LAW_STATES];
    for (uint32_t seed = 0; seed < 4; seed++) {
        law_random(&t, 3, 4, seed);
        law_step steps[] = {
            {.cuts = pure, .amount = 1, .order = left_to_right},
            {.cuts = pure, .amount = 1, .order = inside_out},
            {.cuts = pure, .amount = 1, .confidence = PM_CONFIDENCE_ENTROPY},
            {.cuts = pure, .amount = 1, .confidence = PM_CONFIDENCE_MARGIN, .position_temperature = 0.3},
            {.cuts = pure, .amount = 1, .confidence = PM_CONFIDENCE_DRAWN},
            {.cuts = pure, .amount = 1, .confidence = PM_CONFIDENCE_DRAWN, .position_temperature = 0.3},
        };
        for (size_t i = 0; i < COUNT(steps); i++) {
            law_of(&t, steps[i], 4, states);
            double variation = law_total_variation(t.p, states, t.states);
            if (i < 4) NEAR(variation, 0, 1e-12);
            if (i >= 4) assert_true(variation > 0.01);
        }
    }
}

/* With a threshold that all or none exceed, thresholds are counts. */
static void test_thresholds(void **state)
{
    (void)state;
    double a[LAW_STATES], b[LAW_STATES];
    law_step step = {
        .cuts = pure, .mode = PM_REVEAL_THRESHOLD, .confidence = PM_CONFIDENCE_DRAWN, .amount = 1};
    step.threshold = 1.1;
    law_of(&toy, step, 3, a);
    NEAR(law_total_variation(toy.p, a, toy.states), .296318, 5.1e-7);
    step.threshold = 0.0;
    law_of(&toy, step, 1, b);
    NEAR(law_total_variation(toy.p, b, toy.states), .222222, 5.1e-7);
}

/* ---- Cuts, guidance, statistics ------------------------------------------------------------------------ */

static void check_cut(law_cuts cuts, const double *want)
{
    double p[] = {0.4, 0.1, 0.3, 0.2};
    law_cut(p, 4, &cuts);
    for (int v = 0; v < 4; v++) NEAR(p[v], want[v], 1e-12);
}

static void test_cuts(void **state)
{
    (void)state;
    check_cut((law_cuts){1, 0, 0, 0}, (const double[]){0.4, 0.1, 0.3, 0.2});
    check_cut((law_cuts){1, 2, 0, 0}, (const double[]){4 / 7.0, 0, 3 / 7.0, 0});
    check_cut((law_cuts){1, 0, 0.7, 0}, (const double[]){4 / 7.0, 0, 3 / 7.0, 0});
    check_cut((law_cuts){1, 0, 0.71, 0}, (const double[]){4 / 9.0, 0, 3 / 9.0, 2 / 9.0});
    check_cut((law_cuts){1, 0, 0, 0.45}, (const double[]){4 / 9.0, 0, 3 / 9.0, 2 / 9.0});
    check_cut((law_cuts){0, 0, 0, 0}, (const double[]){1, 0, 0, 0});
    check_cut((law_cuts){0.5, 0, 0, 0}, (const double[]){16 / 30.0, 1 / 30.0, 9 / 30.0, 4 / 30.0});
}

/* Scale 1 is the conditional law, 0 the unconditional; with 2 the law of the path is not the tilted law. */
static void test_guidance(void **state)
{
    (void)state;
    static law_table guided;
    double a[LAW_CANVASES] = {0}, b[LAW_CANVASES], got[3][9] = {{0}}, tilted[9], sum = 0, p0[9] = {0};
    const uint32_t prompt = 2; /* token 2 at place 0, the rest masked */
    for (int w = 0; w < 3; w++) {
        law_guide(&toy, 1, w, &guided);
        memset(a, 0, sizeof a);
        a[prompt + 3 * 4 + 3 * 16] = 1;
        law_step step = {.cuts = pure, .amount = 1, .confidence = PM_CONFIDENCE_RANDOM, .end = 3};
        for (int i = 0; i < 2; i++) {
            law_apply(&guided, &step, a, b);
            memcpy(a, b, sizeof a);
        }
        for (uint32_t r = 0; r < 9; r++) got[w][r] = a[prompt + 4 * (r % 3) + 16 * (r / 3)];
    }
    for (uint32_t s = 0; s < 27; s++) p0[s / 3] += toy.p[s];
    for (uint32_t r = 0; r < 9; r++) sum += toy.p[prompt + 3 * r];
    for (uint32_t r = 0; r < 9; r++) {
        NEAR(got[0][r], p0[r], 1e-12);
        NEAR(got[1][r], toy.p[prompt + 3 * r] / sum, 1e-12);
        tilted[r] = got[1][r] * got[1][r] / got[0][r];
    }
    sum = 0;
    for (uint32_t r = 0; r < 9; r++) sum += tilted[r];
    for (uint32_t r = 0; r < 9; r++) tilted[r] /= sum;
    assert_true(law_total_variation(got[2], tilted, 9) > 0.005);
}

static void test_statistics(void **state)
{
    (void)state;
    /* Table values of the chi-square distribution. */
    NEAR(law_chi_square_tail(3.841459, 1), 0.05, 1e-7);
    NEAR(law_chi_square_tail(38.885139, 26), 0.05, 1e-7);
    NEAR(law_chi_square_tail(54.051962, 26), 0.001, 1e-8);
    NEAR(law_chi_square_tail(12.878504, 24), 0.968, 1e-3);
    const double law[] = {0.5, 0.25, 0.25, 0};
    assert_true(law_fit(law, (const uint32_t[]){5000, 2500, 2500, 0}, 4) > 0.999);
    assert_true(law_fit(law, (const uint32_t[]){5300, 2350, 2350, 0}, 4) < 1e-6);
    assert_true(law_fit(law, (const uint32_t[]){5000, 2500, 2499, 1}, 4) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entropies),      cmocka_unit_test(test_bound_in_continuous_time),
        cmocka_unit_test(test_bound_of_steps), cmocka_unit_test(test_ancestral),
        cmocka_unit_test(test_decoders),       cmocka_unit_test(test_orders_of_any_table),
        cmocka_unit_test(test_thresholds),     cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_guidance),       cmocka_unit_test(test_statistics),
    };
    return cmocka_run_group_tests(tests, make_toy, NULL);
}
