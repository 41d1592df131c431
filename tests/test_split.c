/* Tensors above the device's storage range: with a small pretended range, graphs of every operator, forward
 * and backward, are computed in parts, no binding exceeds the range, and every result has the bits that it
 * has in one go. Also with inputs read from storage buffers. */
/* ctest labels: device */
#include "device_helpers.h"

#include "ops/table.h"
#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>

enum { GAMMA = 1, BETA = 2, SCALE = 4, SHIFT = 8, TOKEN = 16, SILU = 32 }; /* as in ops/norm.c */
enum { BIAS = 1, PER_SAMPLE = 2, RESIDUAL = 4 };                           /* as in ops/conv2d.c */
#define KIB 1024u

/* The graph of an operator's case of that name, but of these sizes, which mean what they mean there. */
typedef struct large_case {
    const char *op, *name;
    uint32_t p[10];
    uint64_t range;
} large_case;

/* A range holds what one workgroup reads and writes, and little more; the largest tensor has several times
 * that. Each kind of operand that an operator binds whole exceeds it somewhere. */
static const large_case large_cases[] = {
    {"unary", "silu", {1, 60, 129}, 8 * KIB},
    {"gated", "several workgroups", {120, 129}, 8 * KIB},
    {"binary", "add, one operand repeated", {0, 20, 30, 15, 1, 15}, 8 * KIB},
    {"binary", "mul, one operand repeated", {1, 40, 30, 15, 30, 1}, 8 * KIB},

    {"sum_to", "columns", {0, 37, 50, 8, 0, 0, 0, 8}, 8 * KIB},
    {"sum_to", "columns, odd", {0, 0, 2600, 7, 0, 0, 0, 7}, 8 * KIB},
    {"sum_to", "axes apart", {8, 40, 30, 8, 1, 40, 1, 8}, 8 * KIB},
    {"sum_to", "rows", {0, 0, 60, 1001, 0, 0, 60, 1}, 8 * KIB},
    {"sum_to", "all", {0, 0, 0, 30001, 0, 0, 0, 1}, 8 * KIB},
    {"sum_to", "columns", {0, 0, 6, 20000, 0, 0, 0, 20000}, 8 * KIB}, /* one row exceeds the range */
    {"sum_to", "columns, odd", {0, 0, 6, 10001, 0, 0, 0, 10001}, 8 * KIB},

    {"broadcast", "along rows", {0, 0, 0, 20000, 0, 0, 4, 20000}, 8 * KIB},
    {"broadcast", "along rows, odd", {0, 0, 0, 10001, 0, 0, 4, 10001}, 8 * KIB},
    {"broadcast", "axes apart", {1, 200, 1, 40, 3, 200, 2, 40}, 8 * KIB},

    {"slice", "channels", {40, 30, 24, 2, 4, 20}, 8 * KIB},
    {"slice", "first axis", {5, 100, 33, 0, 1, 4}, 8 * KIB},
    {"slice", "first axis", {5, 100, 40, 0, 1, 4}, 8 * KIB},
    {"slice", "integers", {5, 4001, 0, 1, 4}, 8 * KIB},
    {"pad", "several workgroups", {4, 60, 40, 0, 1, 6}, 8 * KIB},
    {"pad", "odd, several workgroups", {4, 60, 33, 0, 1, 6}, 8 * KIB},
    {"transpose", "inner run kept", {20, 30, 15, 8, 213}, 8 * KIB},
    {"transpose", "reversed", {4, 30, 20, 5, 3210}, 8 * KIB},
    {"transpose", "integers", {1, 1, 133, 141, 132, 1}, 8 * KIB},
    {"concat", "first axis", {3, 100, 32, 0, 2}, 8 * KIB},
    {"concat", "first axis", {3, 99, 33, 0, 2}, 8 * KIB},
    {"concat", "channels", {40, 30, 16, 2, 8}, 8 * KIB},
    {"concat", "integers", {7, 150, 4, 0, 6, 1}, 8 * KIB},
    {"assign", "several workgroups", {6000}, 8 * KIB},
    {"quantize", "few levels", {9001, 7}, 8 * KIB},
    {"upsample", "twice", {6, 20, 19, 16, 2}, 80 * KIB},
    {"upsample", "three times, odd channels", {12, 12, 8, 5, 3}, 16 * KIB},
    {"pool", "halves", {6, 40, 38, 16, 2}, 80 * KIB},

    {"embedding", "labels", {900, 20, 5, 60, 920}, 8 * KIB}, /* some beyond the table */
    {"embedding", "odd width", {900, 11, 3, 200, 900}, 8 * KIB},
    {"embedding", "one row, several workgroups", {1, 20, 30, 30, 1}, 8 * KIB},
    {"embedding_backward", "large table, odd width", {3001, 150, 7, 3100}, 8 * KIB}, /* blocks of runs */
    {"embedding_backward", "bytes", {257, 600, 64, 257}, 8 * KIB},

    {"at_step", "past the end, several workgroups", {5, 5000, 9}, 8 * KIB},
    {"random", "normal", {1, 41, 9, 15}, 8 * KIB},
    {"random_index", "timesteps", {5000, 1000}, 8 * KIB},
    {"drop_labels", "some", {5000, 10}, 8 * KIB},
    {"categorical", "bytes", {400, 16, 2}, 8 * KIB},
    {"dropout", "half, odd samples", {50, 33, 5, 50}, 8 * KIB},
    {"batch_images", "words", {400, 8, 8, 1, 40, 0}, 8 * KIB},
    {"batch_images", "odd images", {300, 5, 9, 3, 40, 0}, 8 * KIB},
    {"batch_images", "mirrored", {300, 5, 9, 3, 40, 1}, 8 * KIB},
    {"batch_images", "words", {9000, 1, 2, 2, 90, 0}, 8 * KIB}, /* more labels than one binding has */

    {"batch_tokens", "windows", {9000, 90, 32}, 8 * KIB},
    {"digits", "thirty bits", {670, 30, 2, 2}, 8 * KIB},
    {"mask_times", "several workgroups", {0, 9001, 1, 1, 1, 0}, 8 * KIB},
    {"mask_counts", "several workgroups", {9001, 1000, 1}, 8 * KIB},
    {"mask_tokens", "rates, odd, fixed", {3000, 5, 0, 1}, 8 * KIB},
    {"mask_tokens", "counts", {3000, 4, 1, 0}, 8 * KIB},
    {"draw_tokens", "all of it, penalty", {360, 30, 5, 40, 95, 1, 9, 0, 13, 16}, 8 * KIB},
    {"draw_tokens", "all of it, penalty", {360, 30, 5, 40, 95, 1, 9, 0, 13, 16 * 4}, 8 * KIB},
    {"mark_seen", "several workgroups", {500, 31}, 8 * KIB},
    {"reveal", "drawn positions", {200, 20, 0, 50, 10, 9, 1}, 8 * KIB},
    {"rope", "several workgroups", {30, 30, 2, 8, 1, 30}, 8 * KIB},
    {"cache_write", "several workgroups", {40, 3, 8, 4, 2}, 4 * KIB},

    {"mse", "weight of elements", {1, 900, 3, 7}, 40 * KIB},
    {"mse", "weight of samples", {2, 15000, 1, 3}, 40 * KIB},
    {"mse", "weight of ragged samples", {2, 15000, 1, 2}, 40 * KIB},
    {"cross_entropy", "three classes", {1, 9000, 3}, 8 * KIB},
    {"cross_entropy", "aligned rows", {0, 5000, 4}, 8 * KIB},
    {"cross_entropy", "several runs a row", {0, 400, 270}, 72 * KIB},
    {"head_loss", "two chunks, tied, more rows", {700, 76, 60, 64, 1, 0, 64}, 16 * KIB},
    {"norm_of", "several workgroups", {1300003, 100}, 64 * KIB}, /* partial sums, too */
    {"adamw", "average, clipping", {1, 1, 800}, 40 * KIB},
    {"corrupt", "ragged samples", {9000, 1, 3}, 8 * KIB},
    {"corrupt", "samples of one element", {9000, 1, 1}, 8 * KIB},
    {"denoise_step", "several workgroups", {1, 3, 7, 1001}, 8 * KIB},
    {"guide", "aligned halves", {6, 2000}, 8 * KIB},
    {"guide", "ragged halves", {5, 2001}, 8 * KIB},

    {"matmul", "AB, whole vectors", {0, 90, 60, 200}, 16 * KIB},
    {"matmul", "AB^T, whole vectors", {1, 90, 300, 60}, 20 * KIB},
    {"matmul", "AB, odd, bias", {0, 150, 85, 85, 0, 0, 1, 1}, 24 * KIB},
    {"matmul", "AB^T, odd, bias and residual", {1, 150, 85, 85}, 24 * KIB},
    {"matmul", "A^T B, odd, residual", {2, 83, 67, 235}, 24 * KIB},
    {"matmul", "AB, batched", {0, 90, 88, 84, 2, 2, 1}, 24 * KIB}, /* one matrix exceeds the range */
    {"matmul", "AB^T, batched, odd", {1, 90, 85, 83, 2, 2}, 24 * KIB},
    {"matmul", "AB, batched", {0, 20, 12, 8, 40, 40, 1}, 8 * KIB}, /* the whole batch does */
    {"matmul", "AB, A serves the batch", {0, 90, 85, 83, 0, 2}, 24 * KIB},
    {"matmul", "A^T B, B serves the batch", {2, 90, 85, 83, 2, 0}, 24 * KIB},
    {"matmul", "linear, odd", {60, 5, 57, 39, 1}, 24 * KIB},

    {"conv2d", "3x3", {6, 8, 7, 24, 32, 3, 1, 1111, BIAS}, 8 * KIB},
    {"conv2d", "3x3, all addends", {40, 2, 3, 16, 24, 3, 1, 1111, 7}, 8 * KIB},
    {"conv2d", "3x3, odd channels, all addends", {20, 3, 4, 27, 29, 3, 1, 1111, 7}, 24 * KIB},
    {"conv2d", "3x3, odd channels, all addends", {2000, 1, 1, 3, 5, 1, 1, 0, 7}, 8 * KIB}, /* many samples */
    {"conv2d", "3x3, stride 2", {6, 8, 8, 20, 24, 3, 2, 1100, 1}, 8 * KIB},
    {"conv2d", "1x1", {8, 5, 5, 48, 60, 1, 1, 0, 5}, 8 * KIB},

    {"norm", "group, gamma and beta, SiLU", {40, 7, 7, 8, 2, GAMMA | BETA | SILU}, 16 * KIB},
    {"norm", "group, per sample, odd channels", {90, 2, 2, 15, 3, 47}, 8 * KIB},
    {"norm", "group, one position", {900, 0, 0, 12, 3, GAMMA | SCALE}, 8 * KIB},
    {"norm", "group, nothing, one channel each", {900, 2, 0, 6, 6, 0}, 8 * KIB},
    {"norm", "layer, gamma and beta", {90, 5, 0, 32, 0, GAMMA | BETA}, 20 * KIB},
    {"norm", "layer, per sample, odd channels", {300, 3, 0, 13, 0, 15}, 12 * KIB},
    {"norm", "layer, per token", {300, 5, 0, 12, 0, GAMMA | SCALE | SHIFT | TOKEN}, 16 * KIB},
    {"norm", "layer, per token", {9000, 1, 0, 4, 0, SCALE | SHIFT | TOKEN}, 8 * KIB}, /* statistics, too */
    {"softmax", "rows of vec4", {700, 12, 3}, 8 * KIB},
    {"softmax", "odd rows", {500, 31, 3}, 8 * KIB},
    {"attention", "one block", {600, 3, 3, 2, 4}, 8 * KIB}, /* more log-sums than one binding has */
};

enum { LARGE_CASES = sizeof large_cases / sizeof large_cases[0] };

/* Operators that bind nothing which could exceed a range. */
static const char *const never_split[] = {"advance", "loss_scale"};

static pm_device *storage_device; /* reads inputs from storage buffers */
static bool is_cpu;

/* ---- One graph ----------------------------------------------------------------------------------------- */

typedef struct built {
    pm_graph *graph;
    pm_tensor output, gradient; /* gradient: flat, or PM_NONE */
    uint32_t n_tensors;         /* without those that plans make */
} built;

/* The loss is the sum of squares, so that the gradient which arrives is not all ones. */
static built build(const pm_case *test, const uint32_t *p, bool forward, bool all_visible)
{
    built b = {.graph = pm_graph_create()};
    b.output = test->build(b.graph, p);
    if (pm_graph_status(b.graph, NULL) != PM_OK) fail_msg("%s: %s", test->name, b.graph->error.message);
    if (pm_dtype_of(b.graph, b.output) == PM_DTYPE_F32 && !test->no_gradient && !forward) {
        b.gradient = pm_backward(b.graph, pm_sum(b.graph, pm_mul(b.graph, b.output, b.output)));
        pm_output(b.graph, b.gradient);
    }
    pm_output(b.graph, b.output);
    for (uint32_t n = 0; all_visible && n < b.graph->n_nodes; n++) {
        for (uint32_t i = 0; i < b.graph->nodes[n].n_out; i++) pm_output(b.graph, b.graph->nodes[n].out[i]);
    }
    b.n_tensors = b.graph->n_tensors;
    return b;
}

/* Every root tensor that the plan keeps, one after the other. */
static unsigned char *read_all(pm_plan *plan, const built *b, size_t *bytes)
{
    unsigned char *all = NULL;
    pm_error error;
    *bytes = 0;
    for (uint32_t id = 1; id < b->n_tensors; id++) {
        const pm_tensor_info *info = &b->graph->tensors[id];
        if (info->base != id || !plan->placements[id].used) continue;
        if (!info->is_output && info->kind == PM_KIND_TEMP) continue;
        size_t size = pm_bytes_of(b->graph, (pm_tensor){id});
        all = realloc(all, *bytes + size);
        assert_non_null(all);
        if (pm_plan_read(plan, (pm_tensor){id}, all + *bytes, size, &error) != PM_OK)
            fail_msg("%s", error.message);
        *bytes += size;
    }
    return all;
}

static void no_binding_exceeds(const pm_plan *plan, uint64_t range)
{
    for (uint32_t i = 0; i < plan->n_pieces; i++) {
        const pm_piece *piece = &plan->pieces[i];
        for (uint32_t b = 0; b < plan->dispatches[piece->dispatch].n_bind; b++) {
            uint64_t slack = piece->texels ? PM_VIEW_SLACK : 0;
            assert_true(piece->range[b].end - piece->range[b].begin <= range + slack);
        }
    }
}

/* Adds the pieces of each node to pieces[node]. */
static void count_pieces(const pm_plan *plan, uint32_t *pieces)
{
    for (uint32_t i = 0; i < plan->n_pieces; i++) pieces[plan->dispatches[plan->pieces[i].dispatch].node]++;
}

typedef struct outcome {
    unsigned char *values;
    size_t bytes;
    uint32_t *pieces; /* of each node */
} outcome;

static void free_outcome(outcome *o)
{
    free(o->values);
    free(o->pieces);
}

/* Runs it twice, as states have other values in the second run. */
static pm_status run(pm_device *on, const built *b, uint64_t range, outcome *out, pm_error *error)
{
    pm_plan *plan;
    pm_plan_options options = {.seed = 5};
    pm_status status = plan_within(range, on, b->graph, &options, &plan, error);
    *out = (outcome){0};
    if (status != PM_OK) return status;
    out->pieces = calloc(b->graph->n_nodes, sizeof *out->pieces);
    assert_non_null(out->pieces);
    count_pieces(plan, out->pieces);
    if (range) no_binding_exceeds(plan, range);
    assert_int_equal(pm_plan_run(plan, 2, error), PM_OK);
    out->values = read_all(plan, b, &out->bytes);
    pm_plan_destroy(plan);
    return PM_OK;
}

/* ---- Every operator ------------------------------------------------------------------------------------ */

static bool was_split[256]; /* by index in pm_op_table */

static uint32_t index_of(const pm_op *op)
{
    uint32_t i = 0;
    while (pm_op_table[i] && pm_op_table[i] != op) i++;
    assert_true(i < sizeof was_split && pm_op_table[i]);
    return i;
}

static const pm_case *find_case(const large_case *large)
{
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        for (uint32_t i = 0; i < (*op)->n_cases; i++) {
            const pm_case *test = &(*op)->cases[i];
            if (strcmp((*op)->name, large->op) == 0 && strcmp(test->name, large->name) == 0) return test;
        }
    }
    fail_msg("no case %s of %s", large->name, large->op);
    return NULL;
}

static bool same_in_parts(pm_device *on, const large_case *large, bool all_visible)
{
    const pm_case *test = find_case(large);
    bool forward = strcmp(large->op, "assign") == 0; /* its gradient sorts indices, which is in one go */
    built b = build(test, large->p, forward, all_visible);
    outcome whole, parts;
    pm_error error = {0};
    assert_int_equal(run(device, &b, 0, &whole, &error), PM_OK);
    pm_graph_destroy(b.graph); /* with the tensors that the plan made */
    b = build(test, large->p, forward, all_visible);
    bool ran = run(on, &b, large->range, &parts, &error) == PM_OK;
    bool same = ran && whole.bytes == parts.bytes && memcmp(whole.values, parts.values, whole.bytes) == 0;
    if (!same) print_error("%s (%s): %s\n", large->op, large->name, ran ? "other bits" : error.message);
    for (uint32_t n = 0; ran && n < b.graph->n_nodes; n++)
        was_split[index_of(b.graph->nodes[n].op)] |= parts.pieces[n] > whole.pieces[n];
    pm_graph_destroy(b.graph);
    free_outcome(&whole);
    free_outcome(&parts);
    return same;
}

/* `one_each`: only the first case of each operator. */
static void all_the_same(pm_device *on, bool all_visible, bool one_each)
{
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < LARGE_CASES; i++) {
        bool first = i == 0 || strcmp(large_cases[i].op, large_cases[i - 1].op) != 0;
        if (first || !one_each) wrong += !same_in_parts(on, &large_cases[i], all_visible);
    }
    assert_int_equal(wrong, 0);
}

static void parts_give_the_same_bits(void **state)
{
    (void)state;
    all_the_same(device, true, false);
}

/* With memory shared by lifetime, as in real use: what is left from part to part must stay alive. */
static void parts_share_memory(void **state)
{
    (void)state;
    all_the_same(device, false, false);
}

static void storage_inputs_give_the_same_bits(void **state)
{
    (void)state;
    all_the_same(storage_device, true, true);
}

static void every_operator_was_split(void **state)
{
    (void)state;
    for (uint32_t i = 0; pm_op_table[i]; i++) {
        bool never = false;
        for (uint32_t k = 0; k < sizeof never_split / sizeof never_split[0]; k++)
            never |= strcmp(never_split[k], pm_op_table[i]->name) == 0;
        if (was_split[i] == never) fail_msg("%s was %ssplit", pm_op_table[i]->name, never ? "" : "not ");
    }
}

/* ---- Small cases --------------------------------------------------------------------------------------- */

static size_t largest_of(const pm_graph *graph)
{
    size_t largest = 0;
    for (uint32_t id = 1; id < graph->n_tensors; id++) {
        size_t bytes = pm_bytes_of(graph, (pm_tensor){id});
        if (graph->tensors[id].base == id && bytes > largest) largest = bytes;
    }
    return largest;
}

/* The operators' own cases, with a range of half their largest tensor. Many are too small for that: what one
 * workgroup, or a few that begin where a device can bind, read and write exceeds it. That is said, and
 * nothing else goes wrong. */
static void small_cases_split_or_say_why_not(void **state)
{
    uint32_t split = 0;
    (void)state;
    device->rules.is_cpu = is_cpu;
    for (const pm_op *const *op = pm_op_table; *op; op++) {
        for (uint32_t i = 0; i < (*op)->n_cases; i++) {
            const pm_case *test = &(*op)->cases[i];
            if (test->bench || test->large) continue;
            built b = build(test, test->p, false, true);
            uint64_t range = (largest_of(b.graph) / 2 + 255) / 256 * 256;
            outcome whole, parts;
            pm_error error = {0};
            pm_status status = run(device, &b, range, &parts, &error);
            pm_graph_destroy(b.graph);
            if (status != PM_OK) {
                assert_int_equal(status, PM_BAD_USAGE);
                assert_true(strstr(error.message, "cannot be split") || strstr(error.message, "too small"));
                continue;
            }
            b = build(test, test->p, false, true);
            assert_int_equal(run(device, &b, 0, &whole, &error), PM_OK);
            assert_int_equal(whole.bytes, parts.bytes);
            if (memcmp(whole.values, parts.values, whole.bytes) != 0)
                fail_msg("%s (%s): other bits in parts", (*op)->name, test->name);
            pm_graph_destroy(b.graph);
            free_outcome(&whole);
            free_outcome(&parts);
            split++;
        }
    }
    assert_true(split > 40);
}

/* With the workgroups and tiles of a GPU on a CPU driver, too: they are smaller, so that less data will do,
 * and compiled sooner. */
static int open_devices(void **state)
{
    pm_device_options options = {.off = PM_BIT(PM_TEXEL_INPUTS)};
    if (open_device(state) != 0) return -1;
    if (pm_device_open(&options, &storage_device, NULL) != PM_OK) return -1;
    is_cpu = device->rules.is_cpu;
    device->rules.is_cpu = storage_device->rules.is_cpu = false;
    return 0;
}

static int close_devices(void **state)
{
    pm_device_close(storage_device);
    return close_device(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_give_the_same_bits),
        cmocka_unit_test(every_operator_was_split),
        cmocka_unit_test(parts_share_memory),
        cmocka_unit_test(storage_inputs_give_the_same_bits),
        cmocka_unit_test(small_cases_split_or_say_why_not),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
