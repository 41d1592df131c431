/* `pumice bench tune`: measures tiles for what a recipe needs, or for usual shapes, and keeps them. */
#include "bench.h"
#include "source.h"

#include <stdio.h>

static void say(void *user, const char *line)
{
    (void)user;
    if (!cli.json) printf("%s\n", line);
    (void)fflush(stdout);
}

/* What a training step of a recipe asks for. */
static pm_status ask_recipe(pm_device *device, const char *name, pm_error *error)
{
    pm_recipe recipe;
    pm_plan_stats stats;
    cli_source source = {0};
    pm_status status = bench_load_recipe(name, bench_args.data, &recipe, error);
    if (status != PM_OK) return status;
    status = cli_source_open(&recipe, &source, error);
    if (status == PM_OK) status = cli_trainer_needs(device, &recipe, &source, &stats, error);
    cli_source_close(&source);
    return status;
}

/* A transformer's products, forward and backward, and a U-Net's convolutions. */
static pm_status ask_usual(pm_device *device, pm_error *error)
{
    static const uint32_t products[][2] = {{256, 256}, {256, 1024}, {1024, 256}, {1024, 1024}};
    static const uint32_t convolutions[][3] = {{28, 32, 32}, {14, 64, 64}, {7, 64, 64}};
    pm_plan_stats stats;
    pm_graph *graph = pm_graph_create();
    pm_init one = {PM_INIT_ONE, 0};
    pm_tensor loss = PM_NONE;
    char name[32];
    for (uint32_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        pm_shape rows = PM_SHAPE(4096, products[i][0]), weight = PM_SHAPE(products[i][0], products[i][1]);
        (void)snprintf(name, sizeof name, "x%u", i);
        pm_tensor x = pm_param(graph, name, rows, one);
        (void)snprintf(name, sizeof name, "w%u", i);
        pm_tensor y =
            pm_sum(graph, pm_linear(graph, x, pm_param(graph, name, weight, one), PM_NONE, PM_NONE));
        loss = i ? pm_add(graph, loss, y) : y;
    }
    for (uint32_t i = 0; i < sizeof convolutions / sizeof convolutions[0]; i++) {
        const uint32_t *c = convolutions[i];
        pm_conv2d_args args = {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
        (void)snprintf(name, sizeof name, "image%u", i);
        pm_tensor x = pm_param(graph, name, PM_SHAPE(32, c[0], c[0], c[1]), one);
        (void)snprintf(name, sizeof name, "kernel%u", i);
        pm_tensor w = pm_param(graph, name, PM_SHAPE(3, 3, c[1], c[2]), one);
        loss = pm_add(graph, loss, pm_sum(graph, pm_conv2d(graph, x, w, args)));
    }
    (void)pm_backward(graph, loss);
    pm_plan_options options = {.precision = cli_precision()};
    pm_status status = pm_plan_needs(device, graph, &options, &stats, error);
    pm_graph_destroy(graph);
    return status;
}

pm_status bench_run_tune(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                         pm_error *error)
{
    uint32_t tuned;
    double start = cli_seconds();
    pm_tune_options options = {.seconds = bench_args.seconds, .again = true, .say = say};
    (void)report;
    pm_status status = count > 1 ? ask_recipe(device, words[1], error) : ask_usual(device, error);
    if (status != PM_OK) return status;
    if (!pm_device_uses(device, PM_TUNED_TILES))
        return pm_fail(error, PM_BAD_USAGE, "bench tune: tuned-tiles is turned off");
    cli_say("tuning for at most %u s", bench_args.seconds);
    status = pm_device_tune(device, &options, &tuned, error);
    if (status == PM_OK && !cli.json)
        printf("%u classes of shapes in %.1f s, kept for later\n", tuned, cli_seconds() - start);
    return status;
}
