/* A transformer that is told a time (adaLN), for a sample or for each of its tokens: the same time for all
 * tokens is the time of the sample, in the logits bit for bit and in the gradients; the time of one token
 * reaches that token and those that see it, and no other; and the gradient with a time for each token is the
 * slope of the loss. */
/* ctest labels: device */
#include "device_helpers.h"

#include "graph/graph.h"
#include "networks/transformer.h"

#include <math.h>
#include <stdlib.h>

enum { SAMPLES = 3, LENGTH = 7, VOCABULARY = 11, LAYERS = 2, WIDTH = 16 };
enum { ADALN = LAYERS + 1, LOGITS = SAMPLES * LENGTH * VOCABULARY, MOST = WIDTH * 6 * WIDTH };

typedef struct network {
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor tokens, time, labels, logits, loss;
    pm_tensor weight[ADALN], gradient[ADALN]; /* of the layers that make scale, shift and gate */
} network;

static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

/* With adaLN-zero a fresh network does not look at the time: these weights make it. */
static void open_branches(const network *net)
{
    static float values[MOST];
    uint32_t state = 5;
    for (int i = 0; i < ADALN; i++) {
        uint32_t count = pm_count_of(net->graph, net->weight[i]);
        assert_true(count <= MOST);
        for (uint32_t k = 0; k < count; k++) values[k] = 0.5f * noise(&state);
        write_to(net->plan, net->weight[i], values, pm_bytes_of(net->graph, net->weight[i]));
    }
}

static void build(network *net, pm_transformer_config config, bool per_token)
{
    static const char *const names[ADALN] = {"blocks.0.adaln.weight", "blocks.1.adaln.weight",
                                             "last.adaln.weight"};
    uint32_t tokens[SAMPLES * LENGTH], labels[SAMPLES * LENGTH];
    pm_error error = {0};
    pm_graph *graph = pm_graph_create();
    *net = (network){.graph = graph};
    net->tokens = pm_state(graph, "tokens", PM_DTYPE_U32, PM_SHAPE(SAMPLES, LENGTH));
    net->labels = pm_state(graph, "labels", PM_DTYPE_U32, PM_SHAPE(SAMPLES * LENGTH));
    net->time =
        pm_state(graph, "time", PM_DTYPE_F32, per_token ? PM_SHAPE(SAMPLES, LENGTH) : PM_SHAPE(SAMPLES));
    pm_tensor features =
        pm_transformer(graph, &config, net->tokens, (pm_transformer_inputs){.time = net->time});
    net->logits = pm_transformer_logits(graph, &config, features);
    net->loss = pm_transformer_loss(graph, &config, features, net->labels, PM_NONE);
    for (int i = 0; i < ADALN; i++) net->weight[i] = pm_find(graph, names[i]);
    pm_gradients(graph, net->loss, net->weight, ADALN, net->gradient);
    pm_output(graph, net->logits);
    pm_output(graph, net->loss);
    for (int i = 0; i < ADALN; i++) pm_output(graph, net->gradient[i]);
    expect_ok(pm_plan_create(device, graph, NULL, &net->plan, &error), &error);
    for (uint32_t i = 0; i < SAMPLES * LENGTH; i++) {
        tokens[i] = i * 7 % VOCABULARY;
        labels[i] = i * 5 % VOCABULARY;
    }
    write_to(net->plan, net->tokens, tokens, pm_bytes_of(net->graph, net->tokens));
    write_to(net->plan, net->labels, labels, pm_bytes_of(net->graph, net->labels));
    open_branches(net);
}

static void destroy(network *net)
{
    pm_plan_destroy(net->plan);
    pm_graph_destroy(net->graph);
}

static pm_transformer_config config_of(pm_mask mask, pm_norm_kind norm)
{
    return (pm_transformer_config){.vocabulary = VOCABULARY,
                                   .context = LENGTH,
                                   .width = WIDTH,
                                   .layers = LAYERS,
                                   .heads = 2,
                                   .mask = mask,
                                   .theta = 10000.0f,
                                   .norm = norm,
                                   .tied = true,
                                   .time = true};
}

static void same_gradients(const network *a, const network *b)
{
    static float x[MOST], y[MOST];
    for (int i = 0; i < ADALN; i++) {
        uint32_t count = pm_count_of(a->graph, a->weight[i]);
        double square = 0, difference = 0;
        read_from(a->plan, a->gradient[i], x, pm_bytes_of(a->graph, a->gradient[i]));
        read_from(b->plan, b->gradient[i], y, pm_bytes_of(b->graph, b->gradient[i]));
        for (uint32_t k = 0; k < count; k++) {
            square += (double)y[k] * (double)y[k];
            difference += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
        }
        assert_true(square > 0);
        if (!(difference <= 1e-10 * square)) fail_msg("layer %d: %g of %g", i, difference, square);
    }
}

static void one_time_for_all_tokens_is_the_time_of_the_sample(void **state)
{
    static const float times[SAMPLES] = {0.1f, 0.93f, 0.5f};
    static float a[LOGITS], b[LOGITS];
    (void)state;
    for (int norm = PM_LAYER_NORM; norm <= PM_RMS_NORM; norm++) {
        float all[SAMPLES * LENGTH];
        network one, each;
        build(&one, config_of(PM_MASK_NONE, (pm_norm_kind)norm), false);
        build(&each, config_of(PM_MASK_NONE, (pm_norm_kind)norm), true);
        for (int i = 0; i < SAMPLES * LENGTH; i++) all[i] = times[i / LENGTH];
        write_to(one.plan, one.time, times, pm_bytes_of(one.graph, one.time));
        write_to(each.plan, each.time, all, pm_bytes_of(each.graph, each.time));
        run_once(one.plan);
        run_once(each.plan);
        read_from(one.plan, one.logits, a, pm_bytes_of(one.graph, one.logits));
        read_from(each.plan, each.logits, b, pm_bytes_of(each.graph, each.logits));
        assert_memory_equal(a, b, sizeof a);
        same_gradients(&each, &one);
        destroy(&one);
        destroy(&each);
    }
}

static void the_time_of_a_token_reaches_those_that_see_it(void **state)
{
    static float before[LOGITS], after[LOGITS];
    float times[SAMPLES * LENGTH];
    const uint32_t sample = 1, token = 4;
    (void)state;
    network net;
    build(&net, config_of(PM_MASK_CAUSAL, PM_LAYER_NORM), true);
    for (uint32_t i = 0; i < SAMPLES * LENGTH; i++) times[i] = (float)i / (SAMPLES * LENGTH);
    write_to(net.plan, net.time, times, pm_bytes_of(net.graph, net.time));
    run_once(net.plan);
    read_from(net.plan, net.logits, before, pm_bytes_of(net.graph, net.logits));
    times[sample * LENGTH + token] = 0.99f;
    write_to(net.plan, net.time, times, pm_bytes_of(net.graph, net.time));
    run_once(net.plan);
    read_from(net.plan, net.logits, after, pm_bytes_of(net.graph, net.logits));
    for (uint32_t i = 0; i < SAMPLES * LENGTH; i++) {
        bool same = memcmp(before + i * VOCABULARY, after + i * VOCABULARY, VOCABULARY * sizeof(float)) == 0;
        bool sees = i / LENGTH == sample && i % LENGTH >= token;
        if (same == sees)
            fail_msg("sample %u, token %u: %s", i / LENGTH, i % LENGTH, same ? "same" : "other");
    }
    destroy(&net);
}

/* The loss after a step of `by` along the gradients. */
static double loss_beyond(const network *net, float *const weights[ADALN], float *const slopes[ADALN],
                          double by)
{
    static float moved[MOST];
    float loss;
    for (int i = 0; i < ADALN; i++) {
        uint32_t count = pm_count_of(net->graph, net->weight[i]);
        for (uint32_t k = 0; k < count; k++) moved[k] = (float)(weights[i][k] + by * slopes[i][k]);
        write_to(net->plan, net->weight[i], moved, pm_bytes_of(net->graph, net->weight[i]));
    }
    run_once(net->plan);
    read_from(net->plan, net->loss, &loss, pm_bytes_of(net->graph, net->loss));
    return loss;
}

static void the_gradient_is_the_slope(void **state)
{
    static float w[ADALN][MOST], g[ADALN][MOST];
    float *const weights[ADALN] = {w[0], w[1], w[2]}, *const slopes[ADALN] = {g[0], g[1], g[2]};
    float times[SAMPLES * LENGTH];
    double square = 0;
    (void)state;
    network net;
    build(&net, config_of(PM_MASK_NONE, PM_RMS_NORM), true);
    for (uint32_t i = 0; i < SAMPLES * LENGTH; i++) times[i] = (float)(i * 8 % 21) / 21.0f;
    write_to(net.plan, net.time, times, pm_bytes_of(net.graph, net.time));
    run_once(net.plan);
    for (int i = 0; i < ADALN; i++) {
        read_from(net.plan, net.weight[i], w[i], pm_bytes_of(net.graph, net.weight[i]));
        read_from(net.plan, net.gradient[i], g[i], pm_bytes_of(net.graph, net.gradient[i]));
        uint32_t count = pm_count_of(net.graph, net.weight[i]);
        for (uint32_t k = 0; k < count; k++) square += (double)g[i][k] * (double)g[i][k];
    }
    assert_true(square > 0);
    double h = 1e-2 / sqrt(square); /* a step of length 0.01 */
    double slope = (loss_beyond(&net, weights, slopes, h) - loss_beyond(&net, weights, slopes, -h)) / (2 * h);
    if (!(fabs(slope - square) <= 2e-3 * square)) fail_msg("slope %g, by the gradient %g", slope, square);
    destroy(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_time_for_all_tokens_is_the_time_of_the_sample),
        cmocka_unit_test(the_time_of_a_token_reaches_those_that_see_it),
        cmocka_unit_test(the_gradient_is_the_slope),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
