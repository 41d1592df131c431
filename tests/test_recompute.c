/* Activations that are computed again: the same bits, less memory, more operations; what is not in a block,
 * or is changed in place, is left as it is. */
/* ctest labels: device */
#include "device_helpers.h"

#include "graph/graph.h"
#include "networks/transformer.h"
#include "networks/unet.h"
#include "plan/plan.h"

#include <stdlib.h>

typedef struct result {
    float *gradient;
    size_t bytes;
    pm_plan_stats stats;
} result;

/* A transformer with dropout, norms with modulation, attention and a gate. */
static pm_tensor transformer_loss(pm_graph *g)
{
    const pm_transformer_config config = {
        .vocabulary = 11,
        .context = 24,
        .width = 32,
        .layers = 5,
        .heads = 2,
        .mask = PM_MASK_NONE,
        .positions = PM_POSITIONS_ROPE,
        .theta = 1e4f,
        .norm = PM_RMS_NORM,
        .mlp = PM_MLP_SWIGLU,
        .time = true,
        .dropout = 0.1f,
    };
    uint32_t ids[3 * 24];
    float times[3] = {0.2f, 0.5f, 0.9f};
    for (uint32_t i = 0; i < 3 * 24; i++) ids[i] = i * 7 % 11;
    pm_tensor tokens = pm_constant(g, "tokens", PM_DTYPE_U32, PM_SHAPE(3, 24), ids);
    pm_tensor labels = pm_constant(g, "labels", PM_DTYPE_U32, PM_SHAPE(3, 24), ids);
    pm_transformer_inputs inputs = {.time = pm_constant(g, "times", PM_DTYPE_F32, PM_SHAPE(3), times),
                                    .counter = pm_counter(g)};
    return pm_transformer_loss(g, &config, pm_transformer(g, &config, tokens, inputs), labels, PM_NONE);
}

/* A U-Net, whose skips go from block to block. */
static pm_tensor unet_loss(pm_graph *g)
{
    const pm_unet_config config = {.channels = 1,
                                   .base = 16,
                                   .multipliers = {1, 2},
                                   .levels = 2,
                                   .blocks = 2,
                                   .attention = {4},
                                   .n_attention = 1,
                                   .heads = 2,
                                   .groups = 4,
                                   .timesteps = 100,
                                   .dropout = 0.1f};
    uint32_t steps[2] = {3, 70};
    pm_tensor x = pm_param(g, "x", PM_SHAPE(2, 8, 8, 1), (pm_init){PM_INIT_NORMAL, 1});
    pm_tensor y = pm_unet(g, &config, x, pm_constant(g, "steps", PM_DTYPE_U32, PM_SHAPE(2), steps), PM_NONE,
                          pm_counter(g));
    return pm_sum(g, pm_mul(g, y, pm_add(g, y, x)));
}

static void run(pm_tensor (*build)(pm_graph *g), bool recompute, result *out)
{
    pm_error error = {0};
    pm_plan *plan;
    pm_graph *g = pm_graph_create();
    pm_tensor loss = build(g);
    if (recompute) pm_recompute(g);
    pm_tensor gradient = pm_backward(g, loss);
    pm_plan_options options = {.seed = 5};
    out->bytes = pm_bytes_of(g, gradient);
    out->gradient = malloc(out->bytes);
    expect_ok(pm_plan_create(device, g, &options, &plan, &error), &error);
    for (uint32_t id = 1; id < g->n_tensors; id++) { /* no weight is zero, or gradients would be */
        const pm_tensor_info *info = &g->tensors[id];
        if (!info->is_param || info->init.kind != PM_INIT_ZERO) continue;
        uint32_t count = pm_shape_count(info->shape);
        float *values = malloc(count * sizeof *values);
        for (uint32_t i = 0; i < count; i++) values[i] = 0.02f * (float)(i % 7) - 0.05f;
        write_to(plan, (pm_tensor){id}, values, count * sizeof *values);
        free(values);
    }
    run_once(plan);
    read_from(plan, gradient, out->gradient, out->bytes);
    out->stats = pm_plan_stats_of(plan);
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
}

static void compare(pm_tensor (*build)(pm_graph *g))
{
    result kept, again;
    uint32_t differ_from_zero = 0;
    run(build, false, &kept);
    run(build, true, &again);
    assert_int_equal(kept.bytes, again.bytes);
    assert_memory_equal(kept.gradient, again.gradient, kept.bytes);
    for (size_t i = 0; i < kept.bytes / 4; i++) differ_from_zero += kept.gradient[i] != 0.0f;
    assert_true(differ_from_zero > kept.bytes / 4 / 2);
    print_message("activations %.1f KiB instead of %.1f, %.2f times the operations\n",
                  (double)again.stats.activation_bytes / 1024, (double)kept.stats.activation_bytes / 1024,
                  again.stats.flops / kept.stats.flops);
    assert_true((double)again.stats.activation_bytes < 0.75 * (double)kept.stats.activation_bytes);
    assert_true(again.stats.flops > 1.1 * kept.stats.flops);
    assert_true(again.stats.flops < 1.4 * kept.stats.flops);
    free(kept.gradient);
    free(again.gradient);
}

static void transformer_has_the_same_bits(void **state)
{
    (void)state;
    compare(transformer_loss);
}

static void unet_has_the_same_bits(void **state)
{
    (void)state;
    compare(unet_loss);
}

/* Without boundaries, or with one, there is nothing to compute again. */
static void no_blocks_nothing_again(void **state)
{
    uint32_t nodes[2];
    (void)state;
    for (uint32_t recompute = 0; recompute < 2; recompute++) {
        pm_graph *g = pm_graph_create();
        pm_tensor x = pm_param(g, "x", PM_SHAPE(8, 8), (pm_init){PM_INIT_ONE, 0});
        pm_tensor y = pm_silu(g, x);
        pm_boundary(g);
        y = pm_silu(g, y);
        if (recompute) pm_recompute(g);
        (void)pm_backward(g, pm_sum(g, y));
        assert_int_equal(pm_graph_status(g, NULL), PM_OK);
        nodes[recompute] = g->n_nodes;
        pm_graph_destroy(g);
    }
    assert_int_equal(nodes[0], nodes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transformer_has_the_same_bits),
        cmocka_unit_test(unet_has_the_same_bits),
        cmocka_unit_test(no_blocks_nothing_again),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
