/* The masked process at a length where nothing can be enumerated: sequences of a Markov chain, whose
 * conditionals given any set of tokens follow by passing messages forwards and backwards. The host makes the
 * logits from the tokens that the device masked; the device scores them, or draws from them. */
/* ctest labels: device */
#include "device_helpers.h"

#include "base/philox.h"
#include "sampling/masked_sampler.h"

#include <math.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { LENGTH = 32, STATES = 4, BATCH = 4096, CELLS = BATCH * LENGTH };
#define STAY 0.85
#define MOVE 0.05

/* log 4 for the first token, and for each other the entropy of a row of the transition matrix. */
static double entropy_of_chain(void)
{
    return log(STATES) - (LENGTH - 1) * (STAY * log(STAY) + 3 * MOVE * log(MOVE));
}

static double step(uint32_t from, uint32_t to)
{
    return from == to ? STAY : MOVE;
}

static double uniform(uint32_t sample, uint32_t element, uint32_t stream)
{
    uint32_t counter[4] = {element, 0, sample, stream}, key[2] = {99, 0}, bits[4];
    pm_philox4x32(counter, key, bits);
    return (bits[0] + 0.5) / 4294967296.0;
}

static void draw_chain(uint32_t sample, uint32_t *row)
{
    for (uint32_t i = 0; i < LENGTH; i++) {
        double u = uniform(sample, i, 1);
        uint32_t other = (uint32_t)((u - STAY) / MOVE) + 1; /* of the three other states, once u > STAY */
        row[i] = i == 0 ? (uint32_t)(u * STATES) : (row[i - 1] + (u < STAY ? 0 : other)) % STATES;
    }
}

/* One message through a place: what is known before it times whether the token there fits, then a step. */
static void pass(const double *in, uint32_t token, double *out)
{
    double sum = 0;
    for (uint32_t v = 0; v < STATES; v++) {
        out[v] = 0;
        for (uint32_t u = 0; u < STATES; u++) {
            if (token == STATES || token == u) out[v] += in[u] * step(u, v);
        }
        sum += out[v];
    }
    for (uint32_t v = 0; v < STATES; v++) out[v] /= sum;
}

/* log p(x_i = v | the other tokens that are not masks), all places of a row; the chain is reversible, so that
 * both directions have the same steps. `ahead`: use what comes after a place, too. */
static void log_conditionals(const uint32_t *row, bool ahead, float *out)
{
    double before[LENGTH][STATES], after[LENGTH][STATES];
    for (uint32_t v = 0; v < STATES; v++) before[0][v] = after[LENGTH - 1][v] = 1.0 / STATES;
    for (uint32_t i = 1; i < LENGTH; i++) pass(before[i - 1], row[i - 1], before[i]);
    for (uint32_t i = LENGTH - 1; i > 0; i--) pass(after[i], row[i], after[i - 1]);
    for (uint32_t i = 0; i < LENGTH; i++) {
        double sum = 0, p[STATES];
        for (uint32_t v = 0; v < STATES; v++) sum += p[v] = before[i][v] * (ahead ? after[i][v] : 1);
        for (uint32_t v = 0; v < STATES; v++) out[i * STATES + v] = (float)log(p[v] / sum);
    }
}

/* ---- A network whose logits the host writes ------------------------------------------------------------ */

typedef struct by_host {
    pm_tensor tokens, logits;
    pm_plan *plan;
} by_host;

static pm_tensor host_logits(void *user, pm_graph *graph, pm_tensor tokens, pm_tensor time)
{
    (void)time;
    by_host *h = user;
    h->tokens = tokens;
    if (!pm_name_of(graph, tokens)[0]) pm_output(graph, tokens); /* a canvas is a state already */
    return h->logits = pm_state(graph, "logits", PM_DTYPE_F32, PM_SHAPE(BATCH, LENGTH, STATES));
}

typedef struct estimate {
    double mean, error; /* nats a sequence */
} estimate;

/* The bound of fresh sequences. Each batch runs twice with the same counter, and so with the same masks: the
 * first run tells them, the second scores the logits for them. */
static estimate bound_of_chain(const pm_masked_config *config, bool ahead)
{
    enum { BATCHES = 32 };
    static uint32_t tokens[CELLS], masked[CELLS];
    static float logits[CELLS * STATES], bounds[BATCH];
    by_host h = {0};
    pm_denoiser denoiser = {.logits = host_logits, .user = &h, .vocabulary = STATES};
    pm_graph *graph = pm_graph_create();
    pm_tensor data = pm_state(graph, "tokens", PM_DTYPE_U32, PM_SHAPE(BATCH, LENGTH));
    pm_tensor counter = pm_counter(graph);
    pm_tensor bound = pm_masked_bound(graph, config, &denoiser, data, PM_NONE, counter);
    pm_output(graph, bound);
    pm_plan *plan = NULL;
    pm_error error = {0};
    expect_ok(pm_plan_create(device, graph, NULL, &plan, &error), &error);
    double sum = 0, square = 0;
    for (uint32_t b = 0; b < BATCHES; b++) {
        uint32_t start[4] = {b, b * BATCH, 4, 0};
        for (uint32_t i = 0; i < BATCH; i++) draw_chain(b * BATCH + i, tokens + i * LENGTH);
        expect_ok(pm_plan_write(plan, data, tokens, sizeof tokens, &error), &error);
        expect_ok(pm_plan_write(plan, counter, start, sizeof start, &error), &error);
        expect_ok(pm_plan_run(plan, 1, &error), &error);
        expect_ok(pm_plan_read(plan, h.tokens, masked, sizeof masked, &error), &error);
        for (uint32_t i = 0; i < BATCH; i++) {
            log_conditionals(masked + i * LENGTH, ahead, logits + i * LENGTH * STATES);
        }
        expect_ok(pm_plan_write(plan, h.logits, logits, sizeof logits, &error), &error);
        expect_ok(pm_plan_run(plan, 1, &error), &error);
        expect_ok(pm_plan_read(plan, bound, bounds, sizeof bounds, &error), &error);
        for (uint32_t i = 0; i < BATCH; i++) {
            sum += (double)bounds[i];
            square += (double)bounds[i] * (double)bounds[i];
        }
    }
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
    double n = BATCHES * BATCH, mean = sum / n;
    return (estimate){mean, sqrt((square / n - mean * mean) / n)};
}

static void test_bound_of_chain(void **state)
{
    (void)state;
    pm_masked_config config;
    double exact = entropy_of_chain();
    assert_true(fabs(exact - 19.59882) < 5e-6);
    assert_int_equal(pm_masked_config_from_names("k", "linear", &config, NULL), PM_OK);
    config.masking.stratified = false; /* so that samples are independent */
    estimate e = bound_of_chain(&config, true);
    print_message("k: %.4f +- %.4f of %.5f nats\n", e.mean, e.error, exact);
    assert_true(e.error < 0.045);
    assert_true(fabs(e.mean - exact) < 4 * e.error);
    /* A network that looks back only is worse, and its bound says so. */
    estimate blind = bound_of_chain(&config, false);
    assert_true(blind.mean > exact + 20 * blind.error);
}

/* With weights of L/k, every number of masks counts the same; a fixed rate says nothing about a sequence. */
static void test_wrong_bound_of_chain(void **state)
{
    (void)state;
    pm_masked_config config;
    assert_int_equal(pm_masked_config_from_names("bert", "linear", &config, NULL), PM_OK);
    estimate e = bound_of_chain(&config, true);
    assert_true(fabs(e.mean - entropy_of_chain()) > 20 * e.error);
}

/* ---- Samples ------------------------------------------------------------------------------------------- */

static pm_status write_logits(by_host *h, const uint32_t *canvas, pm_error *error)
{
    static float logits[CELLS * STATES];
    for (uint32_t i = 0; i < BATCH; i++) {
        log_conditionals(canvas + i * LENGTH, true, logits + i * LENGTH * STATES);
    }
    return pm_plan_write(h->plan, h->logits, logits, sizeof logits, error);
}

/* Before the first step: nothing is known. */
static pm_status load(void *user, pm_plan *plan, const pm_graph *graph, pm_error *error)
{
    static uint32_t canvas[CELLS];
    by_host *h = user;
    (void)graph;
    h->plan = plan;
    for (uint32_t i = 0; i < CELLS; i++) canvas[i] = STATES;
    return write_logits(h, canvas, error);
}

/* Between steps. */
static bool look(void *user, uint32_t done, uint32_t total, const uint32_t *canvas)
{
    (void)done;
    (void)total;
    return write_logits(user, canvas, NULL) == PM_OK;
}

/* How many standard deviations the number of steps that stay is off, in samples of BATCH sequences; they are
 * independent in the chain. */
static double deviation_of_samples(const char *name)
{
    static uint32_t canvas[CELLS];
    by_host h = {0};
    pm_denoiser denoiser = {.logits = host_logits, .user = &h, .vocabulary = STATES};
    pm_masked_sampling o = pm_masked_sampling_defaults();
    pm_masked_sampler *sampler = NULL;
    pm_error error = {0};
    o.sampler = name;
    o.seed = 8;
    o.load = load;
    o.progress = look;
    o.progress_every = 1;
    o.user = &h;
    expect_ok(pm_masked_sampler_create(device, &denoiser, &o, BATCH, LENGTH, &sampler, &error), &error);
    for (uint32_t i = 0; i < CELLS; i++) canvas[i] = STATES;
    expect_ok(pm_masked_sampler_run(sampler, canvas, 0, &error), &error);
    pm_masked_sampler_destroy(sampler);
    double stays = 0, n = BATCH * (LENGTH - 1);
    for (uint32_t i = 0; i < CELLS; i++) {
        assert_true(canvas[i] < STATES);
        stays += i % LENGTH && canvas[i] == canvas[i - 1];
    }
    return (stays - n * STAY) / sqrt(n * STAY * (1 - STAY));
}

static void test_samples_of_chain(void **state)
{
    (void)state;
    assert_true(fabs(deviation_of_samples("entropy")) < 4);
    assert_true(fabs(deviation_of_samples("first-hitting")) < 4);
    double biased = deviation_of_samples("low-confidence");
    print_message("low-confidence: steps that stay are too many by %.0f deviations\n", biased);
    assert_true(biased > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound_of_chain),
        cmocka_unit_test(test_wrong_bound_of_chain),
        cmocka_unit_test(test_samples_of_chain),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
