/* `pumice bench matmul M N K` and the like: one operator of a shape that the user names. */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MOST_NUMBERS = 8, LARGEST = 1 << 24 };

typedef struct shape {
    const char *name, *op;
    pm_tensor (*build)(pm_graph *graph, const uint32_t *n);
    uint32_t n[MOST_NUMBERS];
} shape;

static pm_tensor leaf(pm_graph *graph, const char *name, pm_shape shape)
{
    return pm_param(graph, name, shape, (pm_init){PM_INIT_UNIFORM, 1});
}

static pm_layout chosen_layout(void)
{
    uint32_t layout = PM_AB;
    while (layout < PM_ATB && strcmp(bench_args.layout, bench_layouts[layout]) != 0) layout++;
    return (pm_layout)layout;
}

static pm_tensor build_matmul(pm_graph *graph, const uint32_t *n)
{
    pm_layout layout = chosen_layout();
    pm_shape a = layout == PM_ATB ? PM_SHAPE(n[2], n[0]) : PM_SHAPE(n[0], n[2]);
    pm_shape b = layout == PM_ABT ? PM_SHAPE(n[1], n[2]) : PM_SHAPE(n[2], n[1]);
    return pm_matmul(graph, leaf(graph, "a", a), leaf(graph, "b", b), layout, PM_NONE, PM_NONE);
}

pm_tensor bench_build_conv(pm_graph *graph, const uint32_t *n)
{
    uint32_t kernel = n[5] ? n[5] : 3, pad = kernel / 2;
    pm_tensor x = leaf(graph, "x", PM_SHAPE(n[0], n[1], n[2], n[3]));
    pm_tensor weight = leaf(graph, "weight", PM_SHAPE(kernel, kernel, n[3], n[4]));
    pm_conv2d_args conv = {
        .stride = n[6], .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad};
    return pm_conv2d(graph, x, weight, conv);
}

static pm_tensor build_attention(pm_graph *graph, const uint32_t *n)
{
    pm_shape shape = PM_SHAPE(n[0], n[1], n[2] * n[3]);
    return pm_attention(graph, leaf(graph, "q", shape), leaf(graph, "k", shape), leaf(graph, "v", shape),
                        (pm_attention_args){.heads = n[2]});
}

static const shape shapes[] = {
    {"matmul", "matmul", build_matmul, {0}},
    {"conv", "conv2d", bench_build_conv, {0}},
    {"attention", "attention", build_attention, {0}},
};

static void build_shape(pm_graph *graph, const void *user)
{
    const shape *s = user;
    (void)s->build(graph, s->n);
}

static pm_status parse(uint32_t count, const char *const *words, shape *out, pm_error *error)
{
    uint32_t kind = 0;
    while (strcmp(shapes[kind].name, words[0]) != 0) kind++;
    *out = shapes[kind];
    for (uint32_t i = 0; i + 1 < count && i < MOST_NUMBERS; i++) {
        uint64_t value;
        if (!cli_parse_natural(words[i + 1], &value) || value < 1 || value > LARGEST) {
            return pm_fail(error, PM_BAD_USAGE, "bench %s takes whole numbers from 1 to %d, not \"%.40s\"",
                           words[0], LARGEST, words[i + 1]);
        }
        out->n[i] = (uint32_t)value;
    }
    return PM_OK;
}

pm_status bench_check_shape(uint32_t count, const char *const *words, pm_error *error)
{
    shape ignored;
    return parse(count, words, &ignored, error);
}

pm_status bench_run_shape(pm_device *device, uint32_t count, const char *const *words, bench_report *report,
                          pm_error *error)
{
    shape s;
    char name[128];
    pm_status status = parse(count, words, &s, error);
    if (status != PM_OK) return status;
    bool layout = s.build == build_matmul && chosen_layout() != PM_AB;
    int used =
        snprintf(name, sizeof name, "%s%s%s", s.name, layout ? " " : "", layout ? bench_args.layout : "");
    for (uint32_t i = 0; i + 1 < count; i++)
        used += snprintf(name + used, sizeof name - (size_t)used, " %" PRIu32, s.n[i]);
    bench_kernel kernel = {.name = name,
                           .op = s.op,
                           .build = build_shape,
                           .user = &s,
                           .gradients = bench_args.backward ? BENCH_ALL_GRADIENTS : BENCH_NO_GRADIENT};
    return bench_kernel_rows(device, &kernel, NULL, report, error);
}
