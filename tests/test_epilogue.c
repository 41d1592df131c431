/* What kernels of products and convolutions do for the nodes behind them (runtime/plan/fuse.c) has the bits
 * that those nodes have of their own, in every kind of tile and where operands are bound in parts; it happens
 * where it may, and nowhere else. */
/* ctest labels: device */
#include "device_helpers.h"

#include "plan/plan.h"

#include <math.h>
#include <stdlib.h>

#define FUSING (PM_BIT(PM_ACTIVATION_EPILOGUE) | PM_BIT(PM_GATE_EPILOGUE))

enum { KIB = 1024 };

/* ---- Graphs -------------------------------------------------------------------------------------------- */

/* Activations by number, 0 being none. */
static pm_tensor activated(pm_graph *g, uint32_t activation, pm_tensor y)
{
    pm_tensor (*const functions[])(pm_graph *, pm_tensor) = {NULL, pm_silu, pm_gelu, pm_sigmoid, pm_tanh_of};
    return activation ? functions[activation](g, y) : y;
}

static pm_tensor leaf(pm_graph *g, const char *name, pm_shape shape)
{
    return pm_case_leaf(g, name, shape, 1.0f);
}

enum { GATE_NONE, GATE_SAMPLE, GATE_TOKEN, GATE_WHOLE };

/* A part of what makes several, as in a transformer that is told a time: for each sample or token; or a gate
 * of its own, that is already as large as the result. */
static pm_tensor gate_of(pm_graph *g, uint32_t kind, uint32_t batch, uint32_t length, uint32_t n)
{
    pm_shape whole = PM_SHAPE(batch, length, n);
    if (kind == GATE_WHOLE) return leaf(g, "gate", whole);
    pm_tensor all = leaf(g, "gates", PM_SHAPE(batch, kind == GATE_TOKEN ? length : 1, 3 * n));
    return pm_broadcast(g, pm_slice(g, all, 2, n, 2 * n), whole);
}

/* p: batch, length, k, n, bias, gate, residual (1: before what is behind, 2: behind), activation. */
static pm_tensor build_linear(pm_graph *g, const uint32_t *p)
{
    pm_tensor x = leaf(g, "x", PM_SHAPE(p[0], p[1], p[2])), weight = leaf(g, "weight", PM_SHAPE(p[2], p[3]));
    pm_tensor bias = p[4] ? leaf(g, "bias", PM_SHAPE(p[3])) : PM_NONE;
    pm_tensor residual = p[6] ? leaf(g, "residual", PM_SHAPE(p[0], p[1], p[3])) : PM_NONE;
    pm_tensor y = pm_linear(g, x, weight, bias, p[6] == 1 ? residual : PM_NONE);
    if (p[5]) y = pm_mul(g, y, gate_of(g, p[5], p[0], p[1], p[3]));
    if (p[6] == 2) y = pm_add(g, residual, y);
    return activated(g, p[7], y);
}

/* p: layout, m, n, k, batch or 0, activation. */
static pm_tensor build_matmul(pm_graph *g, const uint32_t *p)
{
    pm_layout layout = (pm_layout)p[0];
    uint32_t a_rows = layout == PM_ATB ? p[3] : p[1], a_width = layout == PM_ATB ? p[1] : p[3];
    uint32_t b_rows = layout == PM_ABT ? p[2] : p[3], b_width = layout == PM_ABT ? p[3] : p[2];
    pm_tensor a = leaf(g, "a", p[4] ? PM_SHAPE(p[4], a_rows, a_width) : PM_SHAPE(a_rows, a_width));
    pm_tensor b = leaf(g, "b", p[4] ? PM_SHAPE(p[4], b_rows, b_width) : PM_SHAPE(b_rows, b_width));
    return activated(g, p[5], pm_matmul(g, a, b, layout, PM_NONE, PM_NONE));
}

/* p: batch, side, channels, out channels, kernel, stride, all addends, activation. */
static pm_tensor build_conv(pm_graph *g, const uint32_t *p)
{
    uint32_t before = (p[4] - 1) / 2, side = (p[1] + 2 * before - p[4]) / p[5] + 1;
    pm_conv2d_args args = {
        .stride = p[5], .pad_top = before, .pad_left = before, .pad_bottom = before, .pad_right = before};
    pm_tensor x = leaf(g, "x", PM_SHAPE(p[0], p[1], p[1], p[2]));
    if (p[6]) args.bias = leaf(g, "bias", PM_SHAPE(p[3]));
    if (p[6]) args.per_sample = leaf(g, "per_sample", PM_SHAPE(p[0], p[3]));
    if (p[6]) args.residual = leaf(g, "residual", PM_SHAPE(p[0], side, side, p[3]));
    pm_tensor y = pm_conv2d(g, x, leaf(g, "weight", PM_SHAPE(p[4], p[4], p[2], p[3])), args);
    return activated(g, p[7], y);
}

static const struct graph_case {
    const char *name;
    pm_tensor (*build)(pm_graph *graph, const uint32_t *p);
    uint32_t p[8];
    uint32_t absorbed, fewer; /* nodes, and dispatches at least */
} cases[] = {
    {"silu", build_linear, {3, 25, 40, 36, 1, 0, 0, 1}, 1, 1},
    {"gelu, odd", build_linear, {3, 11, 13, 27, 1, 0, 0, 2}, 1, 1},
    {"sigmoid, residual before it", build_linear, {2, 17, 20, 24, 1, 0, 1, 3}, 1, 1},
    {"tanh, residual behind", build_linear, {2, 17, 20, 19, 0, 0, 2, 4}, 0, 0},
    {"one row, gelu", build_linear, {1, 1, 48, 300, 1, 0, 0, 2}, 1, 1},
    {"one row, silu, odd", build_linear, {1, 1, 20, 45, 1, 0, 1, 1}, 1, 1},
    {"residual behind", build_linear, {2, 40, 24, 20, 1, 0, 2, 0}, 0, 0},
    {"gate of a sample", build_linear, {3, 25, 40, 36, 1, GATE_SAMPLE, 2, 0}, 2, 4},
    {"gate of a token", build_linear, {3, 25, 40, 36, 1, GATE_TOKEN, 2, 0}, 2, 3},
    {"gate of its own", build_linear, {3, 25, 40, 36, 1, GATE_WHOLE, 2, 0}, 2, 2},
    {"gate of one sample, no bias", build_linear, {1, 70, 24, 32, 0, GATE_SAMPLE, 2, 0}, 2, 4},
    {"gate of samples of one token", build_linear, {9, 1, 24, 32, 1, GATE_SAMPLE, 2, 0}, 2, 3},
    {"gate, nothing added", build_linear, {2, 33, 20, 64, 1, GATE_SAMPLE, 0, 0}, 1, 3},
    {"gate, silu behind", build_linear, {5, 13, 20, 16, 1, GATE_SAMPLE, 2, 1}, 3, 5},
    {"gate, many terms", build_linear, {2, 9, 300, 80, 1, GATE_SAMPLE, 2, 2}, 3, 5},
    {"gate, wide", build_linear, {3, 7, 12, 520, 1, GATE_SAMPLE, 2, 0}, 2, 4},
    {"gate, one row", build_linear, {1, 1, 48, 300, 1, GATE_SAMPLE, 2, 0}, 2, 3},
    {"gate, odd", build_linear, {3, 11, 13, 27, 1, GATE_SAMPLE, 2, 0}, 0, 0},
    {"gate, residual before it", build_linear, {3, 11, 12, 28, 1, GATE_SAMPLE, 1, 0}, 0, 0},
    {"AB^T", build_matmul, {PM_ABT, 33, 45, 20, 0, 2}, 1, 1},
    {"A^T B, in parts", build_matmul, {PM_ATB, 20, 24, 1100, 0, 1}, 1, 1},
    {"AB, batched, odd", build_matmul, {PM_AB, 13, 11, 9, 4, 4}, 1, 1},
    {"AB^T, batched", build_matmul, {PM_ABT, 20, 24, 16, 3, 3}, 1, 1},
    {"3x3", build_conv, {3, 9, 12, 20, 3, 1, 0, 1}, 1, 1},
    {"3x3, odd, all addends", build_conv, {2, 10, 5, 7, 3, 1, 1, 2}, 1, 1},
    {"3x3, stride", build_conv, {5, 9, 8, 24, 3, 2, 1, 4}, 1, 1},
    {"3x3, wide", build_conv, {2, 5, 40, 64, 3, 1, 1, 1}, 1, 1},
    {"tanh, residual of its own", build_linear, {2, 17, 20, 19, 0, 0, 1, 4}, 1, 1},
    {"1x1", build_conv, {3, 7, 12, 20, 1, 1, 0, 3}, 1, 1},
};
enum { CASES = sizeof cases / sizeof cases[0] };

/* ---- Running them -------------------------------------------------------------------------------------- */

typedef struct outcome {
    float *values;
    uint32_t count, dispatches, absorbed, of_kind; /* of_kind: dispatches of the kernels looked for */
} outcome;

static uint32_t absorbed_in(const pm_plan *plan)
{
    uint32_t last = PM_NEVER, count = 0; /* a node may be several dispatches */
    for (uint32_t i = 0; i < plan->n_dispatches; i++) {
        if (plan->dispatches[i].node != last) count += plan->dispatches[i].absorbed.count;
        last = plan->dispatches[i].node;
    }
    return count;
}

static outcome run(pm_device *on, uint64_t off, const struct graph_case *test, pm_precision precision,
                   const char *kind)
{
    pm_error error = {0};
    pm_plan *plan;
    uint64_t before = on->rules.on;
    pm_graph *g = pm_graph_create();
    pm_tensor y = test->build(g, test->p);
    pm_output(g, y);
    on->rules.on &= ~off;
    expect_ok(pm_plan_create(on, g, &(pm_plan_options){.precision = precision}, &plan, &error), &error);
    on->rules.on = before;
    outcome out = {malloc(pm_bytes_of(g, y)), pm_count_of(g, y), plan->n_dispatches, absorbed_in(plan), 0};
    assert_non_null(out.values);
    for (uint32_t i = 0; i < plan->n_dispatches; i++) {
        bool matrix_units = plan->dispatches[i].subgroup != 0;
        out.of_kind +=
            strcmp(plan->dispatches[i].shader, kind) == 0 && matrix_units == (precision == PM_FAST);
    }
    run_once(plan);
    read_from(plan, y, out.values, pm_bytes_of(g, y));
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
    return out;
}

/* The largest difference, as a share of the largest value. */
static double difference(const outcome *a, const outcome *b)
{
    double most = 0, scale = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        most = fmax(most, fabs((double)a->values[i] - (double)b->values[i]));
        scale = fmax(scale, fabs((double)a->values[i]));
    }
    return most / scale;
}

typedef struct expectation {
    pm_precision precision;
    double error;                /* 0: the same bits */
    bool in_parts;               /* operands may not fit, so that less is fused */
    bool some;                   /* a third of the cases: of a device that differs from another in little */
    const char *product, *image; /* kernels that are to run; NULL: whatever does */
} expectation;

static void compare(pm_device *on, const expectation *e)
{
    uint32_t wrong = 0, absorbed = 0, products = 0, images = 0, tried = 0;
    for (uint32_t i = 0; i < CASES; i += e->some ? 3 : 1, tried++) {
        const struct graph_case *test = &cases[i];
        const char *kind = test->build == build_conv ? e->image : e->product;
        outcome one = run(on, 0, test, e->precision, kind ? kind : "");
        outcome several = run(on, FUSING, test, e->precision, "");
        bool same = e->error > 0 ? difference(&one, &several) <= e->error
                                 : memcmp(one.values, several.values, one.count * sizeof(float)) == 0;
        bool fused = one.absorbed == test->absorbed && one.dispatches + test->fewer <= several.dispatches;
        if (!same) print_error("%s: other values\n", test->name);
        if (!fused && !e->in_parts)
            print_error("%s: %u nodes absorbed, %u dispatches and %u\n", test->name, one.absorbed,
                        one.dispatches, several.dispatches);
        wrong += !same || (!fused && !e->in_parts) || several.absorbed > 0;
        absorbed += one.absorbed;
        *(test->build == build_conv ? &images : &products) += one.of_kind;
        free(one.values);
        free(several.values);
    }
    assert_int_equal(wrong, 0);
    assert_true(absorbed > tried / 2);
    if (e->product) assert_true(products > tried / 2);
    if (e->image) assert_true(images > tried / 12);
}

static void compare_on(pm_device_options options, expectation e)
{
    pm_error error = {0};
    pm_device *own;
    expect_ok(pm_device_open(&options, &own, &error), &error);
    compare(own, &e);
    pm_device_close(own);
}

/* ---- What is fused ------------------------------------------------------------------------------------- */

static void own_tiles_have_the_same_bits(void **state)
{
    (void)state;
    compare(device, &(expectation){0});
    compare_on((pm_device_options){.limits = {.tile = {12, 3}}}, (expectation){.some = true});
    compare_on((pm_device_options){.off = PM_BIT(PM_TEXEL_INPUTS) | PM_BIT(PM_ROW_PRODUCTS)},
               (expectation){.some = true});
}

static void register_tiles_have_the_same_bits(void **state)
{
    uint64_t off = PM_BIT(PM_SHARED_TILES) | PM_BIT(PM_SHARED_FETCHES);
    expectation e = {.product = "matmul", .image = "conv2d"};
    (void)state;
    compare_on((pm_device_options){.off = off}, e);
    e.some = true;
    compare_on((pm_device_options){.off = off | PM_BIT(PM_CPU_KERNELS)}, e);
}

static void lanes_have_the_same_bits(void **state)
{
    pm_device_options options = {.limits = {.tile = {16, 1}}};
    pm_error error = {0};
    pm_device *own;
    (void)state;
    expect_ok(pm_device_open(&options, &own, &error), &error);
    const pm_device_facts *facts = pm_device_facts_of(own);
    bool can = facts->type == PM_DEVICE_CPU && facts->subgroup_shows &&
               facts->subgroup_size == own->rules.gemm_lanes;
    own->rules.on |= PM_BIT(PM_SHARED_FETCHES);
    if (can) compare(own, &(expectation){.product = "matmul_lanes", .image = "conv2d_lanes"});
    pm_device_close(own);
    if (!can) skip();
}

static void shared_tiles_have_the_same_bits(void **state)
{
    pm_device_options options = {.off = PM_BIT(PM_CPU_KERNELS) | PM_BIT(PM_MATRIX_UNITS),
                                 .limits = {.tile = {4, 1}}};
    expectation e = {.product = "matmul_shared", .image = "conv2d_shared"};
    (void)state;
    compare_on(options, e);
    options.limits = (pm_device_limits){.tile = {4, 2}, .shared = 16 * KIB, .invocations = 128};
    e.some = true;
    compare_on(options, e);
}

static void parts_have_the_same_bits(void **state)
{
    pm_device_options options = {.limits = {.storage_range = 64 * KIB}};
    (void)state;
    compare_on(options, (expectation){.in_parts = true});
    options.off = PM_BIT(PM_CPU_KERNELS); /* other kernels: all of it again */
    options.limits.tile[0] = 4;
    options.limits.tile[1] = 1;
    compare_on(options, (expectation){.in_parts = true});
}

/* Sums are of f16 products, but what is done to them is not: with fma or without, as the compiler likes. */
static void matrix_units_do_the_same(void **state)
{
    pm_device_options options = {.off = PM_BIT(PM_CPU_KERNELS)};
    pm_error error = {0};
    pm_device *own;
    (void)state;
    expect_ok(pm_device_open(&options, &own, &error), &error);
    bool can = pm_device_uses(own, PM_MATRIX_UNITS);
    expectation e = {PM_FAST, .error = 2e-6, .product = "matmul_shared", .image = "conv2d_shared"};
    if (can) compare(own, &e);
    pm_device_close(own);
    if (!can) skip();
}

/* ---- What is not --------------------------------------------------------------------------------------- */

enum { N = 8 };

static pm_tensor product(pm_graph *g)
{
    return pm_matmul(g, leaf(g, "a", PM_SHAPE(5, N)), leaf(g, "b", PM_SHAPE(N, N)), PM_AB, PM_NONE, PM_NONE);
}

static pm_tensor output_itself(pm_graph *g, const uint32_t *p)
{
    pm_tensor y = product(g);
    (void)p;
    pm_output(g, y);
    return pm_silu(g, y);
}

static pm_tensor read_twice(pm_graph *g, const uint32_t *p)
{
    pm_tensor y = product(g);
    (void)p;
    return pm_concat(g, pm_silu(g, y), pm_tanh_of(g, y), 0);
}

static pm_tensor square(pm_graph *g, const uint32_t *p)
{
    pm_tensor y = product(g);
    (void)p;
    return pm_mul(g, y, y);
}

static pm_tensor read_in_part(pm_graph *g, const uint32_t *p)
{
    (void)p;
    return pm_silu(g, pm_view(g, product(g), 0, PM_SHAPE(2, N)));
}

/* The gradient of SiLU needs what it was applied to, and so does that of the gate. */
static pm_tensor differentiated(pm_graph *g, const uint32_t *p)
{
    pm_tensor y = product(g), b = pm_find(g, "b"), gradient;
    y = p[0] ? pm_mul(g, y, pm_silu(g, pm_find(g, "a"))) : pm_silu(g, y);
    y = pm_sum(g, y);
    pm_output(g, y);
    pm_gradients(g, y, p[0] ? (pm_tensor[]){pm_find(g, "a")} : &b, 1, &gradient);
    return gradient;
}

/* What the product reads is changed before what reads the product. */
static pm_tensor changed_in_between(pm_graph *g, const uint32_t *p)
{
    pm_tensor x = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1, 3, N)), row = leaf(g, "row", PM_SHAPE(1, 1, N));
    pm_tensor y =
        pm_matmul(g, pm_reshape(g, x, PM_SHAPE(3, N)), leaf(g, "b", PM_SHAPE(N, N)), PM_AB, PM_NONE, PM_NONE);
    (void)p;
    (void)pm_cache_write(g, x, row, pm_state(g, "zero", PM_DTYPE_U32, PM_SHAPE(1)));
    return pm_silu(g, y);
}

/* What a gate is a slice of is changed before the gate is used, but after it was cut out. */
static pm_tensor changed_gate(pm_graph *g, const uint32_t *p)
{
    pm_tensor all = pm_state(g, "x", PM_DTYPE_F32, PM_SHAPE(1, 5, 2 * N));
    pm_tensor gate = pm_reshape(g, pm_slice(g, all, 2, N, 2 * N), PM_SHAPE(5, N));
    (void)p;
    (void)pm_cache_write(g, all, leaf(g, "row", PM_SHAPE(1, 1, 2 * N)),
                         pm_state(g, "zero", PM_DTYPE_U32, PM_SHAPE(1)));
    return pm_mul(g, product(g), gate);
}

static void what_others_need_is_kept(void **state)
{
    static const struct graph_case kept[] = {
        {"it is an output", output_itself, {0}, 0, 0},
        {"two read it", read_twice, {0}, 0, 0},
        {"its square", square, {0}, 0, 0},
        {"a part of it is read", read_in_part, {0}, 0, 0},
        {"the gradient of silu", differentiated, {0}, 0, 0},
        {"the gradient of a gate", differentiated, {1}, 0, 0},
        {"its operand changes", changed_in_between, {0}, 0, 0},
        {"its gate changes", changed_gate, {0}, 1, 1},
    };
    (void)state;
    for (uint32_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        outcome one = run(device, 0, &kept[i], PM_EXACT, ""),
                several = run(device, FUSING, &kept[i], PM_EXACT, "");
        if (one.absorbed != kept[i].absorbed || one.dispatches + kept[i].fewer != several.dispatches)
            fail_msg("%s: %u nodes absorbed", kept[i].name, one.absorbed);
        if (memcmp(one.values, several.values, one.count * sizeof(float)) != 0)
            fail_msg("%s: other bits", kept[i].name);
        free(one.values);
        free(several.values);
    }
}

static void is_said(void *user, const char *line)
{
    if (strstr(line, "matmul + mul + add + silu")) *(bool *)user = true;
}

static void it_is_said(void **state)
{
    pm_error error = {0};
    pm_plan *plan;
    bool said = false;
    pm_graph *g = pm_graph_create();
    (void)state;
    pm_output(g, build_linear(g, (uint32_t[]){5, 13, 20, 16, 1, GATE_SAMPLE, 2, 1}));
    expect_ok(pm_plan_create(device, g, NULL, &plan, &error), &error);
    pm_plan_explain(plan, is_said, &said);
    assert_true(said);
    pm_plan_destroy(plan);
    pm_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_tiles_have_the_same_bits), cmocka_unit_test(register_tiles_have_the_same_bits),
        cmocka_unit_test(lanes_have_the_same_bits),     cmocka_unit_test(shared_tiles_have_the_same_bits),
        cmocka_unit_test(parts_have_the_same_bits),     cmocka_unit_test(matrix_units_do_the_same),
        cmocka_unit_test(what_others_need_is_kept),     cmocka_unit_test(it_is_said),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
