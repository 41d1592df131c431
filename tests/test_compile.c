/* Devices that only compile: plans make their pipelines and nothing else; and the tiles that rules and
 * registers of GPUs allow. */
/* ctest labels: device */
#include "device_helpers.h"

#include "device/pipeline_statistics.h"
#include "ops/attention.h"
#include "ops/tile.h"

static pm_tensor build(pm_graph *graph)
{
    pm_tensor a = pm_param(graph, "a", PM_SHAPE(20, 12), (pm_init){PM_INIT_ONE, 0});
    pm_tensor b = pm_param(graph, "b", PM_SHAPE(12, 8), (pm_init){PM_INIT_ONE, 0});
    pm_tensor c = pm_matmul(graph, a, b, PM_AB, PM_NONE, PM_NONE);
    pm_output(graph, c);
    return c;
}

/* What a plan of `on` gives for ones times ones. */
static void run(pm_device *on, float values[20 * 8], uint32_t *pipelines)
{
    pm_error error;
    pm_plan *plan;
    pm_graph *graph = pm_graph_create();
    pm_tensor c = build(graph);
    expect_ok(pm_plan_create(on, graph, NULL, &plan, &error), &error);
    *pipelines = pm_plan_stats_of(plan).pipelines;
    expect_ok(pm_plan_run(plan, 3, &error), &error);
    expect_ok(pm_plan_wait(plan, &error), &error);
    memset(values, 0xff, 20 * 8 * sizeof *values);
    expect_ok(pm_plan_read(plan, c, values, 20 * 8 * sizeof *values, &error), &error);
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
}

static void test_nothing_runs(void **state)
{
    pm_error error;
    pm_device *compiler;
    float values[20 * 8];
    uint32_t here, there;
    (void)state;
    run(device, values, &here);
    for (uint32_t i = 0; i < 20 * 8; i++) assert_true(values[i] == 12.0f);
    expect_ok(pm_device_open(&(pm_device_options){.compile_only = true}, &compiler, &error), &error);
    run(compiler, values, &there);
    for (uint32_t i = 0; i < 20 * 8; i++) assert_true(values[i] == 0.0f);
    assert_int_equal(here, there);
    assert_int_equal(compiler->n_pipelines, there);
    assert_int_equal(compiler->submitted, 0);
    pm_device_close(compiler);
}

static void test_statistics(void **state)
{
    pm_error error;
    pm_device *compiler;
    pm_pipeline_statistics statistics;
    float values[20 * 8];
    uint32_t count;
    (void)state;
    expect_ok(pm_device_open(&(pm_device_options){.compile_only = true}, &compiler, &error), &error);
    run(compiler, values, &count);
    for (uint32_t i = 0; i < count; i++) {
        expect_ok(pm_pipeline_statistics_read(compiler, compiler->pipelines[i].pipeline.pipeline, &statistics,
                                              &error),
                  &error);
        assert_true(compiler->has_statistics || (statistics.count == 0 && statistics.registers < 0));
        assert_true(statistics.count <= PM_MOST_STATISTICS);
    }
    pm_device_close(compiler);
}

/* Of every size: what a tile may need. */
static void check_tiles(const pm_rules *rules, const pm_device_facts *facts)
{
    static const uint32_t sizes[] = {1, 7, 40, 96, 257, 1024, 4096};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    uint32_t shared = 0;
    for (uint32_t i = 0; i < SIZES * SIZES; i++) {
        pm_tile tile = pm_tile_for(rules, 1, sizes[i / SIZES], sizes[i % SIZES]);
        assert_true(tile.rows > 0 && (tile.part_rows || tile.rows * tile.columns <= rules->tile_vec4s));
        assert_true(tile.lanes <= facts->max_invocations && tile.shared_bytes <= facts->max_shared_bytes);
        assert_true(tile.group_rows == (tile.lanes >> tile.log2_lanes) * tile.rows);
        shared += tile.shared_bytes > 0;
        if (tile.part_rows == 0) continue;
        uint32_t subgroups = tile.lanes / rules->matrix_subgroup;
        assert_int_equal(tile.group_rows * (4 * tile.columns << tile.log2_lanes),
                         subgroups * tile.part_rows * tile.part_columns * rules->matrix[0] *
                             rules->matrix[1]);
    }
    assert_true(shared > 0);
}

/* What a workgroup of attention by matrix units may need; of gradients of keys and values there may be none.
 */
static void check_attention(const pm_rules *rules, const pm_device_facts *facts)
{
    static const uint32_t kernels[][2] = {{1, 1}, {2, 1}, {2, 2}}; /* tensors of the own side, results */
    for (uint32_t i = 0; i < 3 * 3 * 4; i++) {
        uint32_t width = 32u << i % 3, rows = 16u << 2 * (i / 9), m = rules->matrix[0];
        const uint32_t *kernel = kernels[i / 3 % 3];
        pm_attention_block b = pm_attention_block_for(rules, width, rows, kernel[0], kernel[1]);
        assert_true(b.lanes > 0 || (kernel[1] == 2 && rules->attention_fragments < 4) || width == 128);
        if (b.lanes == 0) continue;
        assert_int_equal(b.lanes, b.high * b.wide * rules->matrix_subgroup);
        assert_true(b.lanes <= facts->max_invocations && b.shared_bytes <= facts->max_shared_bytes);
        assert_true(b.shared_bytes <= 32768 && (b.high == 1 || b.high / 2 * m < rows));
        assert_true(b.kept == 0 || b.kept == kernel[0] * b.high * m);
        assert_true(width % (b.wide * rules->matrix[1]) == 0 && b.theirs % rules->matrix[2] == 0);
    }
}

/* f16 where there is any, else bf16, where there is any; without both no matrix units. */
static void check_formats(const pm_device_facts *facts)
{
    pm_device_facts other = *facts;
    pm_device_limits limits = {0};
    for (uint32_t has = 0; has < 4; has++) {
        uint32_t f16 = has & 1u ? 16 : 0, bf16 = has & 2u ? 32 : 0;
        for (uint32_t i = 0; i < 3; i++) {
            other.matrix[i] = f16;
            other.matrix_bf16[i] = bf16;
        }
        for (uint32_t off = 0; off < 2; off++) {
            pm_rules rules = pm_rules_for(&other, &limits, off ? PM_BIT(PM_MATRIX_F16) : 0);
            bool in_f16 = f16 && !off, units = in_f16 || bf16;
            assert_true(pm_on(&rules, PM_MATRIX_UNITS) == units);
            assert_true(pm_on(&rules, PM_MATRIX_ATTENTION) == units);
            if (!units) continue;
            assert_true(rules.bf16 == !in_f16);
            assert_int_equal(rules.matrix[0], in_f16 ? f16 : bf16);
        }
    }
}

/* No GPU gets a tile that its rule has no registers for, whatever the shape, or more shared memory or lanes
 * than it has; and a tile that was asked for is taken as it is. */
static void test_tiles_fit(void **state)
{
    static const uint32_t vendors[] = {0x1002, 0x10de, 0x8086, 0x106b, 0x5143, 0x13b5};
    (void)state;
    for (uint32_t v = 0; v < sizeof vendors / sizeof vendors[0]; v++) {
        pm_device_facts facts = {.type = PM_DEVICE_DISCRETE,
                                 .vendor_id = vendors[v],
                                 .subgroup_size = v == 0 ? 64 : 32,
                                 .max_invocations = v % 2 ? 128 : 1024,
                                 .max_shared_bytes = v % 2 ? 16384 : 32768,
                                 .matrix = {v == 2 ? 8 : 16, v == 2 ? 8 : 16, 16},
                                 .matrix_subgroup = v == 0   ? 64
                                                    : v == 2 ? 8
                                                             : 32};
        pm_device_limits limits = {0};
        pm_rules rules = pm_rules_for(&facts, &limits, 0);
        assert_false(rules.is_cpu);
        assert_int_equal(rules.tile_vec4s, v < 2 ? 16 : 8);
        assert_int_equal(rules.gemm_lanes, v == 0 ? 64 : 32);
        assert_true(pm_matrix_tile_for(&rules, 1, 1024, 1024).rows > 0);
        check_tiles(&rules, &facts);
        check_attention(&rules, &facts);
        rules = pm_rules_for(&facts, &limits, PM_BIT(PM_MATRIX_UNITS));
        assert_false(pm_on(&rules, PM_MATRIX_ATTENTION));
        check_formats(&facts);
        assert_true(pm_matrix_tile_for(&rules, 1, 1024, 1024).rows == 0);
        check_tiles(&rules, &facts);
        limits.tile[0] = 32;
        limits.tile[1] = 4;
        rules = pm_rules_for(&facts, &limits, PM_BIT(PM_MATRIX_UNITS));
        pm_tile tile = pm_tile_for(&rules, 1, 1024, 1024);
        assert_true(tile.rows == 32 && tile.columns == 4);
    }
}

/* The least size for dispatches of few lanes, where the driver would choose among several and the vendor's
 * compiler was seen to gain by it; else the driver's. */
static void test_subgroup_sizes(void **state)
{
    enum { AMD = 0x1002, NVIDIA = 0x10de, INTEL = 0x8086, QUALCOMM = 0x5143 };
    static const struct {
        uint32_t vendor, sizes[2];
        bool asked, card;
        uint32_t size, few_lanes;
    } cases[] = {
        {AMD, {32, 64}, true, true, 32, 4096},    {AMD, {32, 64}, true, false, 32, 1024},
        {AMD, {64, 64}, true, true, 0, 0},        {AMD, {32, 64}, false, true, 0, 0},
        {INTEL, {8, 32}, true, false, 8, 1024},   {INTEL, {16, 32}, true, true, 16, 4096},
        {INTEL, {0, 0}, false, true, 0, 0},       {NVIDIA, {32, 32}, true, true, 0, 0},
        {QUALCOMM, {64, 128}, true, false, 0, 0},
    };
    (void)state;
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pm_device_facts facts = {.type = cases[i].card ? PM_DEVICE_DISCRETE : PM_DEVICE_INTEGRATED,
                                 .vendor_id = cases[i].vendor,
                                 .subgroup_size = 32,
                                 .subgroup_sizes = {cases[i].sizes[0], cases[i].sizes[1]},
                                 .subgroups_asked = cases[i].asked,
                                 .most_subgroups = 16,
                                 .max_invocations = 1024};
        pm_device_limits limits = {0};
        uint32_t size = cases[i].size, few = cases[i].few_lanes;
        pm_rules rules = pm_rules_for(&facts, &limits, 0);
        assert_true(pm_feature_offered(&facts, PM_SUBGROUP_SIZES) == (size != 0));
        assert_int_equal(pm_subgroup_for(&rules, 64, 64), size);
        assert_int_equal(pm_subgroup_for(&rules, 64, few), size);
        assert_int_equal(pm_subgroup_for(&rules, 64, (uint64_t)few + 64), 0);
        assert_int_equal(pm_subgroup_for(&rules, 64, UINT64_C(1) << 32 | 64), 0);
        assert_int_equal(pm_subgroup_for(&rules, 16 * size + 1, 64), 0); /* too many for a workgroup */
        rules = pm_rules_for(&facts, &limits, PM_BIT(PM_SUBGROUP_SIZES));
        assert_int_equal(pm_subgroup_for(&rules, 64, 64), 0);
        limits.subgroup = 32; /* what is asked for by hand goes before the rule, for all dispatches */
        rules = pm_rules_for(&facts, &limits, 0);
        assert_int_equal(pm_subgroup_for(&rules, 64, 64), cases[i].asked ? 32 : 0);
        assert_int_equal(pm_subgroup_for(&rules, 512, 1 << 20), cases[i].asked ? 32 : 0);
        assert_int_equal(pm_subgroup_for(&rules, 1024, 1 << 20), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_runs),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_tiles_fit),
        cmocka_unit_test(test_subgroup_sizes),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
