/* The losses of the masked process on a device, with a network that is known exactly in its place: every
 * bound is then the entropy of the data. By summing over all masks where that can be done, else as a mean
 * with its interval; and wrong losses, which must not pass. */
/* ctest labels: device */
#include "device_helpers.h"

#include "oracle.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static law_table toy, random_table;

static int make_tables(void **state)
{
    law_toy(&toy);
    law_random(&random_table, 3, 4, 5);
    return open_device(state);
}

static pm_plan *plan_of(pm_graph *graph)
{
    pm_plan *plan = NULL;
    pm_error error = {0};
    expect_ok(pm_plan_create(device, graph, NULL, &plan, &error), &error);
    return plan;
}

static double value_of(pm_plan *plan, pm_tensor tensor)
{
    float value = 0;
    pm_error error = {0};
    expect_ok(pm_plan_read(plan, tensor, &value, sizeof value, &error), &error);
    return (double)value;
}

/* ---- Over all masks ------------------------------------------------------------------------------------ */

/* The sum over all states and sets of masks m of p(state) weight[m] sum -log p(token | canvas), by the
 * device's cross-entropy; over the masked places, or over all of them. */
static double sum_over_masks(const law_table *t, const double *weight, bool carry_over)
{
    uint32_t sets = 1u << t->length, rows = t->states * sets, cells = rows * t->length;
    uint32_t *tokens = malloc(cells * sizeof *tokens), *labels = malloc(cells * sizeof *labels);
    float *weights = malloc(cells * sizeof *weights);
    assert_true(tokens && labels && weights);
    for (uint32_t i = 0; i < cells; i++) {
        uint32_t state = i / t->length / sets, masked = i / t->length % sets, place = i % t->length;
        uint32_t token = law_digit(state, t->base, place);
        bool mask = masked >> place & 1;
        tokens[i] = mask ? t->base : token;
        labels[i] = mask || !carry_over ? token : UINT32_MAX;
        weights[i] = (float)(t->p[state] * weight[masked] * cells);
    }
    oracle o = {.table = t};
    pm_graph *graph = pm_graph_create();
    pm_tensor canvas = pm_constant(graph, "tokens", PM_DTYPE_U32, PM_SHAPE(rows, t->length), tokens);
    pm_tensor logits = pm_reshape(graph, oracle_logits(&o, graph, canvas, PM_NONE), PM_SHAPE(cells, t->base));
    pm_tensor label = pm_constant(graph, "labels", PM_DTYPE_U32, PM_SHAPE(cells), labels);
    pm_tensor loss = pm_cross_entropy(graph, logits, label,
                                      pm_constant(graph, "weights", PM_DTYPE_F32, PM_SHAPE(cells), weights));
    pm_output(graph, loss);
    pm_plan *plan = plan_of(graph);
    assert_int_equal(pm_plan_run(plan, 1, NULL), PM_OK);
    double result = value_of(plan, loss);
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
    free(tokens);
    free(labels);
    free(weights);
    return result;
}

static double choose(uint32_t n, uint32_t k)
{
    double c = 1;
    for (uint32_t i = 0; i < k; i++) c = c * (n - i) / (i + 1);
    return c;
}

/* k masks with probability 1/L, all sets of k alike, weight L/k (or 1). */
static void weights_of_counts(const law_table *t, bool weighted, double *weight)
{
    for (uint32_t m = 0; m < 1u << t->length; m++) {
        uint32_t k = law_count(m);
        weight[m] = k ? (weighted ? 1.0 / k : 1.0 / t->length) / choose(t->length, k) : 0;
    }
}

/* T steps with rates t/T, weight 1/t: the probability that a mask of step t is revealed in it. */
static void weights_of_steps(const law_table *t, uint32_t steps, double *weight)
{
    for (uint32_t m = 0; m < 1u << t->length; m++) {
        uint32_t k = law_count(m);
        weight[m] = 0;
        for (uint32_t i = 1; i <= steps; i++) {
            double rate = (double)i / steps;
            weight[m] += pow(rate, k) * pow(1 - rate, (double)t->length - k) / i;
        }
    }
}

static void test_bounds_over_all_masks(void **state)
{
    (void)state;
    static const struct {
        uint32_t steps;
        double bound;
    } rows[] = {{1, 3.25372494}, {2, 3.17824605}, {4, 3.13970695}, {16, 3.11045278}, {1000, 3.10079210}};
    const law_table *tables[] = {&toy, &random_table};
    double weight[1u << LAW_LENGTH];
    for (size_t k = 0; k < COUNT(tables); k++) {
        weights_of_counts(tables[k], true, weight);
        assert_true(fabs(sum_over_masks(tables[k], weight, true) - law_entropy(tables[k])) < 2e-6);
        weights_of_steps(tables[k], 7, weight);
        assert_true(fabs(sum_over_masks(tables[k], weight, true) - law_bound(tables[k], 7)) < 2e-6);
    }
    for (size_t i = 0; i < COUNT(rows); i++) {
        weights_of_steps(&toy, rows[i].steps, weight);
        assert_true(fabs(sum_over_masks(&toy, weight, true) - rows[i].bound) < 2e-6);
    }
}

static void test_wrong_bounds_over_all_masks(void **state)
{
    (void)state;
    double weight[1u << LAW_LENGTH];
    weights_of_counts(&toy, true, weight);
    assert_true(fabs(sum_over_masks(&toy, weight, false) - law_entropy(&toy)) > 0.1); /* no carry-over */
    weights_of_counts(&toy, false, weight);
    assert_true(fabs(sum_over_masks(&toy, weight, true) - law_entropy(&toy)) > 0.1); /* no L/k */
    law_table sharp = toy; /* a network that is too sure: no bound is below the entropy */
    for (uint32_t i = 0; i < sizeof sharp.cond / sizeof(double); i++) {
        double *p = &sharp.cond[0][0][0] + i;
        *p = pow(*p, 1.05);
    }
    weights_of_counts(&toy, true, weight);
    double bound = sum_over_masks(&sharp, weight, true);
    assert_true(bound > law_entropy(&toy) + 1e-5 && bound < law_entropy(&toy) + 0.1);
}

/* ---- Means --------------------------------------------------------------------------------------------- */

/* Each state of the toy as often as its 108ths say, in a random order: the data add nothing to the spread. */
enum { COPIES = 200, BATCH = 108 * COPIES, BATCHES = 64 };

static void draw_toy(uint32_t *tokens)
{
    static uint32_t states[BATCH];
    uint32_t n = 0;
    for (uint32_t s = 0; s < toy.states; s++) {
        for (int k = 0; k < (int)lround(toy.p[s] * BATCH); k++) states[n++] = s;
    }
    assert_int_equal(n, BATCH);
    for (uint32_t i = 0; i < BATCH; i++) {
        uint32_t state = states[pm_permute(i, BATCH, (const uint32_t[]){1, 2}, 0)];
        for (uint32_t k = 0; k < 3; k++) tokens[3 * i + k] = law_digit(state, 3, k);
    }
}

typedef struct estimate {
    double mean, error; /* nats a sequence; of the mean, from the spread of the batches' means */
    double variance;    /* of one sample, within a batch */
    double loss;        /* nats a token, of the last batch, by pm_masked_loss */
    double of_batch;    /* the bound of the last batch */
} estimate;

static estimate estimate_bound(const pm_masked_config *config, const uint32_t *fixed)
{
    static uint32_t tokens[3 * BATCH];
    static float values[BATCH];
    oracle o = {.table = &toy};
    pm_denoiser denoiser = oracle_denoiser(&o);
    draw_toy(tokens);
    pm_graph *graphs[2] = {pm_graph_create(), pm_graph_create()};
    pm_plan *plans[2];
    pm_tensor counters[2], results[2];
    for (int k = 0; k < 2; k++) {
        pm_shape shape = PM_SHAPE(BATCH, 3);
        pm_tensor data = pm_constant(graphs[k], "tokens", PM_DTYPE_U32, shape, tokens), prompt = PM_NONE;
        if (fixed) prompt = pm_constant(graphs[k], "fixed", PM_DTYPE_U32, shape, fixed);
        counters[k] = pm_counter(graphs[k]);
        results[k] = k ? pm_masked_loss(graphs[k], config, &denoiser, data, prompt, counters[k])
                       : pm_masked_bound(graphs[k], config, &denoiser, data, prompt, counters[k]);
        pm_output(graphs[k], results[k]);
        plans[k] = plan_of(graphs[k]);
    }
    estimate e = {0};
    double square = 0, within = 0;
    for (uint32_t b = 0; b < BATCHES; b++) {
        uint32_t counter[4] = {b, 7, 1, 0};
        assert_int_equal(pm_plan_write(plans[0], counters[0], counter, sizeof counter, NULL), PM_OK);
        assert_int_equal(pm_plan_run(plans[0], 1, NULL), PM_OK);
        assert_int_equal(pm_plan_read(plans[0], results[0], values, sizeof values, NULL), PM_OK);
        e.of_batch = 0;
        for (uint32_t i = 0; i < BATCH; i++) e.of_batch += (double)values[i] / BATCH;
        for (uint32_t i = 0; i < BATCH; i++) within += pow((double)values[i] - e.of_batch, 2);
        e.mean += e.of_batch / BATCHES;
        square += e.of_batch * e.of_batch;
    }
    e.error = sqrt((square - BATCHES * e.mean * e.mean) / (BATCHES - 1) / BATCHES);
    e.variance = within / (BATCH - 1) / BATCHES;
    uint32_t counter[4] = {BATCHES - 1, 7, 1, 0};
    assert_int_equal(pm_plan_write(plans[1], counters[1], counter, sizeof counter, NULL), PM_OK);
    assert_int_equal(pm_plan_run(plans[1], 1, NULL), PM_OK);
    e.loss = value_of(plans[1], results[1]);
    for (int k = 0; k < 2; k++) {
        pm_plan_destroy(plans[k]);
        pm_graph_destroy(graphs[k]);
    }
    return e;
}

/* What the bound is without the rates below `low` and above `high`: the integral of G(rate) / rate, by
 * Simpson's rule. */
static double bound_between(const law_table *t, double low, double high)
{
    double totals[LAW_LENGTH + 1], sum = 0;
    const int n = 4000;
    law_losses_by_count(t, totals);
    for (int i = 0; i <= n; i++) {
        double rate = low + (high - low) * i / n, weight = i == 0 || i == n ? 1 : i % 2 ? 4 : 2;
        double term = rate > 0 ? law_loss_at_rate(t, totals, rate) / rate : totals[1];
        sum += weight * term * (high - low) / (3 * n);
    }
    return sum;
}

static pm_masked_config config_of(const char *objective, const char *schedule)
{
    pm_masked_config config;
    pm_error error = {0};
    expect_ok(pm_masked_config_from_names(objective, schedule, &config, &error), &error);
    return config;
}

/* Every objective and schedule estimates the same number, up to the rates that its t_min and eps leave out,
 * which are known. */
static void test_losses_agree(void **state)
{
    (void)state;
    const double t_min = 1e-3, pi = acos(-1.0);
    const struct {
        const char *objective, *schedule;
        double low, high; /* rates that it covers */
        double error;     /* of the mean, at most */
    } rows[] = {
        {"t", "linear", (1 - 1e-3) * t_min, 1 - 1e-3, 0.006},
        {"lambda", "linear", t_min, 1, 0.006},
        {"t", "cosine", (1 - 2e-4) * sin(pi / 2 * t_min) + 1e-4, 1 - 1e-4, 0.006},
        {"t", "polynomial", (1 - 2e-4) * t_min * t_min + 1e-4, 1 - 1e-4, 0.012},
        {"k", "linear", 0, 1, 0.0012},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        pm_masked_config config = config_of(rows[i].objective, rows[i].schedule);
        estimate e = estimate_bound(&config, NULL);
        double exact = bound_between(&toy, rows[i].low, rows[i].high);
        print_message("%s %s: %.5f +- %.5f, exactly %.5f; one sample +- %.3f\n", rows[i].objective,
                      rows[i].schedule, e.mean, e.error, exact, sqrt(e.variance));
        assert_true(e.error < rows[i].error);
        assert_true(fabs(e.mean - exact) < 4.5 * e.error);
        assert_true(fabs(exact - law_entropy(&toy)) < 0.007); /* eps and t_min: 1e-3 of 3 nats each */
        assert_true(fabs(3 * e.loss - e.of_batch) < 1e-5 * e.of_batch);
    }
}

/* The variance of k-DCE's estimate from one sample, by enumeration. */
static double variance_of_counts(const law_table *t)
{
    double square = 0, h = law_entropy(t);
    for (uint32_t m = 1; m < 1u << t->length; m++) {
        for (uint32_t s = 0; s < t->states; s++) {
            double k = law_count(m), loss = 0;
            for (uint32_t i = 0; i < t->length; i++) {
                if (m >> i & 1) loss -= log(t->cond[law_canvas(t, s, m)][i][law_digit(s, t->base, i)]);
            }
            square += t->p[s] / t->length / choose(t->length, (uint32_t)k) * pow(t->length / k * loss, 2);
        }
    }
    return square - h * h;
}

/* Without strata: k-DCE's is small, that of 1/t is large with a perfect network, too. */
static void test_variances(void **state)
{
    (void)state;
    pm_masked_config k = config_of("k", "linear"), lambda = config_of("lambda", "linear");
    k.masking.stratified = lambda.masking.stratified = false;
    estimate a = estimate_bound(&k, NULL), b = estimate_bound(&lambda, NULL);
    double exact = variance_of_counts(&toy);
    print_message("variance of a sample: k %.4f, exactly %.4f; lambda %.1f\n", a.variance, exact, b.variance);
    assert_true(fabs(a.variance / exact - 1) < 0.01);
    assert_true(b.variance > 10 && b.variance < 40);
    assert_true(fabs(a.mean - law_entropy(&toy)) < 4.5 * a.error);
    assert_true(a.error < 0.002);
    /* Samples are independent: their own spread says as much about the mean as that of the batches. */
    assert_true(fabs(a.error / sqrt(a.variance / BATCH / BATCHES) - 1) < 0.4);
}

/* Fixed tokens are given: what is left is the conditional entropy, by the sequence and by the free token. */
static void test_fixed_tokens(void **state)
{
    (void)state;
    static uint32_t fixed[3 * BATCH];
    double entropy = law_entropy(&toy), first[3] = {0};
    for (uint32_t s = 0; s < toy.states; s++) first[s % 3] += toy.p[s];
    for (int v = 0; v < 3; v++) entropy += first[v] * log(first[v]);
    for (uint32_t i = 0; i < BATCH; i++) fixed[3 * i] = 1 + i % 3;
    pm_masked_config config = config_of("lambda", "linear");
    estimate e = estimate_bound(&config, fixed);
    assert_true(fabs(e.mean - entropy) < 4.5 * e.error + 2e-3); /* t_min leaves out about 1.7e-3 */
    assert_true(e.error < 0.006);
    assert_true(fabs(3 * e.loss - e.of_batch) < 1e-5 * e.of_batch);
    config.per_free_token = true;
    e = estimate_bound(&config, fixed);
    assert_true(fabs(2 * e.loss - e.of_batch) < 1e-5 * e.of_batch);
}

/* BERT's loss is that of a token at one rate, which is no bound on anything: here it is even below. */
static void test_fixed_rate(void **state)
{
    (void)state;
    double totals[LAW_LENGTH + 1];
    law_losses_by_count(&toy, totals);
    pm_masked_config config = config_of("bert", "linear");
    estimate e = estimate_bound(&config, NULL);
    double exact = law_loss_at_rate(&toy, totals, 0.15) / 0.15;
    assert_true(e.error < 0.006 && fabs(e.mean - exact) < 4.5 * e.error);
    assert_true(fabs(e.mean - law_entropy(&toy)) > 20 * e.error);
}

/* ---- Seams and refusals -------------------------------------------------------------------------------- */

static pm_tensor own_loss(void *user, pm_graph *graph, pm_tensor tokens, pm_tensor time, pm_tensor labels,
                          pm_tensor row_weight)
{
    pm_tensor logits = oracle_logits(user, graph, tokens, time);
    uint32_t rows = pm_count_of(graph, labels);
    return pm_affine(
        graph, pm_cross_entropy(graph, pm_reshape(graph, logits, PM_SHAPE(rows, 3)), labels, row_weight),
        2.0f, 0.0f);
}

static void test_network_with_a_loss_of_its_own(void **state)
{
    (void)state;
    const uint32_t tokens[] = {0, 1, 2, 2, 2, 1}, counter[4] = {0, 0, 5, 0};
    double loss[2];
    for (int k = 0; k < 2; k++) {
        oracle o = {.table = &toy};
        pm_denoiser denoiser = oracle_denoiser(&o);
        if (k) denoiser.loss = own_loss;
        pm_masked_config config = config_of("t", "cosine");
        config.time_conditioned = k;
        pm_graph *graph = pm_graph_create();
        pm_tensor data = pm_constant(graph, "tokens", PM_DTYPE_U32, PM_SHAPE(2, 3), tokens);
        pm_tensor now = pm_counter(graph);
        pm_tensor result = pm_masked_loss(graph, &config, &denoiser, data, PM_NONE, now);
        pm_output(graph, result);
        assert_int_equal(o.time.id != 0, k); /* told only if asked for */
        if (k) {
            assert_int_equal(pm_dtype_of(graph, o.time), PM_DTYPE_F32);
            assert_int_equal(pm_count_of(graph, o.time), 2);
        }
        pm_plan *plan = plan_of(graph);
        assert_int_equal(pm_plan_write(plan, now, counter, sizeof counter, NULL), PM_OK);
        assert_int_equal(pm_plan_run(plan, 1, NULL), PM_OK);
        loss[k] = value_of(plan, result);
        pm_plan_destroy(plan);
        pm_graph_destroy(graph);
    }
    assert_true(loss[0] > 0 && loss[1] == 2 * loss[0]);
}

static void refuse(pm_masked_config config, bool fixed, const char *part)
{
    oracle o = {.table = &toy};
    pm_denoiser denoiser = oracle_denoiser(&o);
    pm_error error = {0};
    pm_graph *graph = pm_graph_create();
    pm_tensor tokens = pm_state(graph, "tokens", PM_DTYPE_U32, PM_SHAPE(2, 3));
    (void)pm_masked_loss(graph, &config, &denoiser, tokens, fixed ? tokens : PM_NONE, pm_counter(graph));
    expect_failure(pm_graph_status(graph, &error), PM_BAD_USAGE, &error, part);
    pm_graph_destroy(graph);
}

static void test_refusals(void **state)
{
    (void)state;
    pm_error error = {0};
    pm_masked_config k = config_of("k", "linear"), bert = config_of("bert", "linear"),
                     t = config_of("t", "linear");
    refuse(k, true, "fixed");
    k.time_conditioned = true;
    refuse(k, false, "time");
    bert.masking.power = 0;
    refuse(bert, false, "rate");
    t.per_free_token = true;
    refuse(t, false, "fixed");
    expect_failure(pm_masked_config_from_names("x", "linear", &t, &error), PM_BAD_USAGE, &error, "lambda");
    expect_failure(pm_masked_config_from_names("t", "x", &t, &error), PM_BAD_USAGE, &error, "cosine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_over_all_masks),
        cmocka_unit_test(test_wrong_bounds_over_all_masks),
        cmocka_unit_test(test_losses_agree),
        cmocka_unit_test(test_variances),
        cmocka_unit_test(test_fixed_tokens),
        cmocka_unit_test(test_fixed_rate),
        cmocka_unit_test(test_network_with_a_loss_of_its_own),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_tables, close_device);
}
