/* Whatever is optional can be turned off, and whatever a device has can be less, without changing a bit: tiny
 * models of every kind are trained and sampled with each feature off and under several limits. */
/* ctest labels: device */
#include "device_helpers.h"

#include "tiny.h"
#include "tiny_text.h"

#include "device/limits.h"
#include "device/shaders_embedded.h"
#include "files/file_io.h"
#include "ops/table.h"
#include "plan/plan.h"
#include "pumice_models.h"

#include <stdio.h>
#include <unistd.h>

enum { STEPS = 2, PIXELS = 2 * TINY_SIDE * TINY_SIDE };

/* All that a run makes, one after the other. */
typedef struct result {
    uint8_t *bytes;
    size_t count;
} result;

static char path[] = "/tmp/pumice-switches-XXXXXX";

static void append(result *all, const void *bytes, size_t count)
{
    all->bytes = realloc(all->bytes, all->count + count);
    assert_non_null(all->bytes);
    memcpy(all->bytes + all->count, bytes, count);
    all->count += count;
}

/* Trains a recipe, and opens the model that it makes. */
static pm_model *train(pm_device *on, const pm_recipe *recipe, const pm_training_data *data, result *all)
{
    pm_error error = {0};
    pm_trainer *trainer = NULL;
    pm_model *model = NULL;
    uint8_t *bytes;
    size_t size;
    expect_ok(pm_trainer_create(on, recipe, data, NULL, &trainer, &error), &error);
    expect_ok(pm_trainer_run(trainer, STEPS, &error), &error);
    expect_ok(pm_trainer_save(trainer, path, &error), &error);
    pm_trainer_destroy(trainer);
    expect_ok(pm_read_file(path, 1u << 28, &bytes, &size, &error), &error);
    append(all, bytes, size);
    free(bytes);
    expect_ok(pm_model_open(path, &model, &error), &error);
    return model;
}

static void pictures(pm_device *on, result *all)
{
    pm_error error = {0};
    pm_recipe recipe;
    uint8_t pixels[PIXELS];
    pm_dataset data = tiny_dataset();
    pm_sample_options options = pm_sample_defaults();
    expect_ok(tiny_fitted_recipe(&recipe, &error), &error);
    pm_model *model = train(on, &recipe, &(pm_training_data){.pictures = &data}, all);
    options.count = 2;
    options.steps = 3;
    expect_ok(pm_model_sample(on, model, &options, pixels, NULL, &error), &error);
    append(all, pixels, sizeof pixels);
    pm_model_close(model);
    free(data.pixels);
    free(data.labels);
}

/* Past the end of the context, from left to right; and a few steps of masks. */
static void text(pm_device *on, uint32_t which, const char *prompt, const char *infill, result *all)
{
    pm_error error = {0};
    pm_recipe recipe;
    pm_texts texts;
    char *json;
    uint32_t *tokens;
    pm_text_options options = pm_text_defaults();
    expect_ok(tiny_text_open(which, &recipe, &json, &tokens, &error), &error);
    pm_training_data data = {.tokens = tokens, .n_tokens = TINY_TEXT, .tokenizer = json};
    pm_model *model = train(on, &recipe, &data, all);
    options.count = 2;
    options.prompt = prompt;
    options.infill = infill;
    if (prompt) options.length = 27;
    if (infill) options.steps = 12;
    if (infill) options.sampler = "ancestral";
    expect_ok(pm_model_generate(on, model, &options, &texts, &error), &error);
    for (uint32_t i = 0; i < texts.count; i++) append(all, texts.texts[i], strlen(texts.texts[i]) + 1);
    pm_texts_free(&texts);
    pm_model_close(model);
    free(json);
    free(tokens);
}

/* What no tiny model is large enough for: a head in chunks, and products of batches with all addends. */
static void operators(pm_device *on, result *all)
{
    static const struct {
        const char *op, *name;
    } cases[] = {{"head_loss", "untied, odd, row weights"},
                 {"matmul", "AB^T, odd, bias and residual"},
                 {"conv2d", "3x3, odd channels, all addends"}};
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        for (uint32_t i = 0; i < (*op)->n_cases; i++) {
            const pm_case *test = &(*op)->cases[i];
            bool wanted = false;
            for (uint32_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
                wanted |= !strcmp((*op)->name, cases[k].op) && !strcmp(test->name, cases[k].name);
            if (!wanted) continue;
            pm_plan *plan;
            pm_graph *g;
            size_t bytes;
            pm_tensor gradient = plan_gradient(on, test, &g, &plan);
            void *values = run_gradient(g, plan, gradient, &bytes);
            append(all, values, bytes);
            free(values);
        }
    }
}

/* Parts of a run. */
enum { PICTURES = 1, CAUSAL = 2, MASKED = 4, OPERATORS = 8, ALL = 15 };

/* Those that a feature could change. */
static uint32_t parts_of(pm_feature feature)
{
    if (feature == PM_CACHED_DECODE) return CAUSAL;
    if (feature == PM_SKIPPED_STEPS) return MASKED;
    return PICTURES | OPERATORS;
}

static result run(const pm_device_options *options, uint32_t parts, bool *is_used, pm_feature feature)
{
    result all = {0};
    pm_error error = {0};
    pm_device *on;
    expect_ok(pm_device_open(options, &on, &error), &error);
    *is_used = pm_device_uses(on, feature);
    if (parts & PICTURES) pictures(on, &all);
    if (parts & CAUSAL) text(on, 0, "the sto", NULL, &all);
    if (parts & MASKED) text(on, 2, NULL, "the [9] a [4].", &all);
    if (parts & OPERATORS) operators(on, &all);
    pm_device_close(on);
    return all;
}

static result expected[ALL + 1]; /* of each set of parts, once it is asked for */

static bool same(const pm_device_options *options, uint32_t parts, const char *what, pm_feature feature)
{
    bool is_used;
    result *want = &expected[parts];
    if (!want->bytes) *want = run(NULL, parts, &is_used, feature);
    result got = run(options, parts, &is_used, feature);
    bool same_bits = got.count == want->count && memcmp(got.bytes, want->bytes, got.count) == 0;
    if (!same_bits) print_error("%s: other bits\n", what);
    if (is_used && options->off) print_error("%s is still used\n", what);
    free(got.bytes);
    return same_bits && !(is_used && options->off);
}

static void every_feature_can_be_off(void **state)
{
    uint32_t wrong = 0;
    (void)state;
    for (uint32_t i = 0; i < PM_FEATURES; i++) {
        const char *about;
        if (!pm_feature_offered(pm_device_facts_of(device), (pm_feature)i)) continue;
        pm_device_options options = {.off = PM_BIT(i)};
        wrong +=
            !same(&options, parts_of((pm_feature)i), pm_feature_name((pm_feature)i, &about), (pm_feature)i);
    }
    pm_device_options none = {.off = PM_BIT(PM_FEATURES) - 1};
    wrong += !same(&none, ALL, "all off", PM_MEMORY_REUSE);
    assert_int_equal(wrong, 0);
}

static void every_device_may_be_less(void **state)
{
    char usual[32]; /* asked for, where that can be */
    const char *const limits[] = {"storage-range=256KiB,shared=16KiB,invocations=128,allocation=1MiB",
                                  "tile=4x1", "tile=12x3", "submit=1", usual};
    uint32_t wrong = 0;
    (void)state;
    (void)snprintf(usual, sizeof usual, "subgroup=%u", pm_device_facts_of(device)->subgroup_size);
    for (uint32_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        pm_error error = {0};
        pm_device_options options = {0};
        expect_ok(pm_limits_parse("test", limits[i], &options.limits, &error), &error);
        wrong += !same(&options, PICTURES | OPERATORS, limits[i], PM_MEMORY_REUSE);
    }
    assert_int_equal(wrong, 0);
}

/* ---- What is read -------------------------------------------------------------------------------------- */

static void limits_are_read(void **state)
{
    pm_error error = {0};
    pm_device_limits limits = {.memory = 7};
    char text_of[200];
    (void)state;
    const char *given = "storage-range=8MiB, shared";
    expect_failure(pm_limits_parse("here", given, &limits, &error), PM_BAD_USAGE, &error, "here: ");
    expect_ok(
        pm_limits_parse("here", "storage-range=3GiB,shared=65536,tile=16x2,subgroup=32", &limits, &error),
        &error);
    assert_true(limits.storage_range == 3ull << 30 && limits.shared == 65536 && limits.memory == 7);
    assert_true(limits.tile[0] == 16 && limits.tile[1] == 2 && limits.invocations == 0);
    assert_string_equal(pm_limits_text(&limits, text_of, sizeof text_of),
                        "storage-range=3GiB, shared=64KiB, memory=7, tile=16x2, subgroup=32");
    pm_device_limits other = {.storage_range = 5, .groups = 6, .tile = {4, 1}};
    pm_device_limits merged = pm_limits_merge(&limits, &other);
    assert_true(merged.storage_range == 3ull << 30 && merged.groups == 6 && merged.tile[0] == 16);
}

static void limits_lower_facts(void **state)
{
    pm_error error = {0};
    pm_device_facts facts = *pm_device_facts_of(device), before = facts;
    pm_device_limits limits = {.storage_range = 1 << 20, .memory = 1 << 22, .invocations = 128};
    (void)state;
    expect_ok(pm_limits_apply(&limits, &facts, &error), &error);
    assert_true(facts.max_storage_range == 1 << 20 && facts.memory_bytes == 1 << 22);
    assert_true(facts.max_invocations == 128 && facts.max_shared_bytes == before.max_shared_bytes);
    limits = (pm_device_limits){.shared = (uint64_t)before.max_shared_bytes + 1};
    expect_failure(pm_limits_apply(&limits, &facts, &error), PM_BAD_USAGE, &error, "is above what");
}

/* Of subgroups only a size that a device has, or lets be asked for. */
static void limits_change_subgroups(void **state)
{
    pm_error error = {0};
    pm_device_facts facts = {.subgroup_size = 64, .subgroup_sizes = {32, 64}, .matrix_subgroup = 64};
    pm_device_limits limits = {.subgroup = 32};
    (void)state;
    expect_failure(pm_limits_apply(&limits, &facts, &error), PM_BAD_USAGE, &error,
                   "no size can be asked for");
    facts.subgroups_asked = true;
    expect_ok(pm_limits_apply(&limits, &facts, &error), &error);
    assert_true(facts.subgroup_size == 32 && facts.matrix_subgroup == 32);
    limits.subgroup = 16;
    expect_failure(pm_limits_apply(&limits, &facts, &error), PM_BAD_USAGE, &error, "32 to 64 invocations");
    facts = (pm_device_facts){.subgroup_size = 32, .subgroup_sizes = {16, 32}, .matrix_subgroup = 16};
    facts.subgroups_asked = true;
    expect_ok(pm_limits_apply(&limits, &facts, &error), &error);
    assert_true(facts.subgroup_size == 16 && facts.matrix_subgroup == 16);
    facts = (pm_device_facts){.subgroup_size = 32, .subgroup_sizes = {32, 32}};
    expect_failure(pm_limits_apply(&limits, &facts, &error), PM_BAD_USAGE, &error, "which has 32");
    limits.subgroup = 32;
    expect_ok(pm_limits_apply(&limits, &facts, &error), &error);
}

static bool shares_memory(const char *shader)
{
    enum { OP_VARIABLE = 59, WORKGROUP = 4 };
    for (uint32_t i = 0; i < pm_shader_binary_count; i++) {
        const pm_shader_binary *b = &pm_shader_binaries[i];
        if (strcmp(b->name, shader) != 0) continue;
        for (uint32_t at = 5; at < b->word_count; at += b->words[at] >> 16) {
            if ((b->words[at] & 0xffff) == OP_VARIABLE && b->words[at + 3] == WORKGROUP) return true;
        }
        return false;
    }
    fail_msg("no shader %s", shader);
    return false;
}

/* All dispatches of all cases, as they would be on the least device: they keep Vulkan's guarantees, and a
 * kernel with shared memory says how much. */
static void dispatches_keep_the_least(void **state)
{
    pm_error error = {0};
    pm_device *least;
    pm_device_options options = {.limits = {.invocations = 128, .shared = 16384}};
    uint32_t sharing = 0;
    (void)state;
    expect_ok(pm_device_open(&options, &least, &error), &error);
    for (uint32_t gpu = 0; gpu < 2; gpu++) {
        if (gpu) least->rules.is_cpu = false;
        for (const pm_op *const *op = pm_op_table; *op; op++) {
            for (uint32_t i = 0; i < (*op)->n_cases; i++) {
                pm_plan plan = {.device = least, .graph = pm_graph_create()};
                pm_output(plan.graph, (*op)->cases[i].build(plan.graph, (*op)->cases[i].p));
                expect_ok(pm_plan_lower(&plan, &error), &error);
                for (uint32_t k = 0; k < plan.n_dispatches; k++) {
                    const pm_dispatch *d = &plan.dispatches[k];
                    bool shares = shares_memory(d->shader);
                    if (d->spec[0] > 128 || d->shared_bytes > 16384 || shares != (d->shared_bytes > 0))
                        fail_msg("%s: %u lanes, %u bytes shared", d->shader, d->spec[0], d->shared_bytes);
                    sharing += shares;
                }
                free(plan.dispatches);
                free(plan.parts);
                free(plan.costs);
                pm_graph_destroy(plan.graph);
            }
        }
    }
    assert_true(sharing > 4);
    pm_device_close(least);
}

static int begin(void **state)
{
    if (open_device(state) != 0) return -1;
    int file = mkstemp(path);
    if (file < 0) return -1;
    (void)close(file);
    return 0;
}

static int end(void **state)
{
    for (uint32_t i = 0; i <= ALL; i++) free(expected[i].bytes);
    (void)unlink(path);
    return close_device(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_read),          cmocka_unit_test(limits_lower_facts),
        cmocka_unit_test(limits_change_subgroups),  cmocka_unit_test(dispatches_keep_the_least),
        cmocka_unit_test(every_feature_can_be_off), cmocka_unit_test(every_device_may_be_less),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
