/* What a canvas takes: every mode against a definition with sorting, drawn positions by their frequency. */
/* ctest labels: device */
#include "drawing.h"

#include "base/philox.h"

#include <math.h>
#include <stdlib.h>

#define MASK 99u
#define STEPS 3u
#define STREAM 6u
#define MAX_B 8u
#define MAX_L 130u

static uint32_t noise_state = 5;

static double noise(void)
{
    noise_state = noise_state * 1664525u + 1013904223u;
    return (double)(noise_state >> 8) / 16777216.0;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(noise() * n);
}

/* One canvas and what comes with it, on the device and on the host. */
typedef struct revealing {
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor canvas, tokens, confidence, amount, window, counter;
    uint32_t batch, length;
    pm_reveal_args args;
} revealing;

static uint32_t canvas[MAX_B * MAX_L], tokens[MAX_B * MAX_L], got[MAX_B * MAX_L];
static float confidence[MAX_B * MAX_L], rates[STEPS * MAX_B];
static uint32_t amounts[STEPS * MAX_B], windows[STEPS][2];

static void open_revealing(revealing *r, uint32_t batch, uint32_t length, pm_reveal_args args)
{
    pm_error error = {0};
    pm_graph *graph = pm_graph_create();
    pm_shape shape = PM_SHAPE(batch, length);
    bool rate = args.mode == PM_REVEAL_RATE;
    *r = (revealing){.graph = graph, .batch = batch, .length = length, .args = args};
    r->canvas = pm_state(graph, "canvas", PM_DTYPE_U32, shape);
    r->tokens = pm_state(graph, "tokens", PM_DTYPE_U32, shape);
    r->confidence = pm_state(graph, "confidence", PM_DTYPE_F32, shape);
    r->amount = pm_state(graph, "amount", rate ? PM_DTYPE_F32 : PM_DTYPE_U32, PM_SHAPE(STEPS, batch));
    r->window = pm_state(graph, "window", PM_DTYPE_U32, PM_SHAPE(STEPS, 2));
    r->counter = pm_counter(graph);
    pm_tensor after = pm_reveal(graph, r->canvas, r->tokens, rate ? PM_NONE : r->confidence, r->amount,
                                r->window, r->counter, STREAM, args);
    assert_int_equal(after.id, r->canvas.id);
    if (rate) pm_output(graph, pm_affine(graph, r->confidence, 1.0f, 0.0f)); /* so that the plan has it */
    pm_advance(graph, r->counter);
    expect_ok(pm_plan_create(device, graph, NULL, &r->plan, &error), &error);
}

static void close_revealing(revealing *r)
{
    pm_plan_destroy(r->plan);
    pm_graph_destroy(r->graph);
}

/* ---- By definition ------------------------------------------------------------------------------------- */

typedef struct candidate {
    float confidence;
    uint32_t position;
} candidate;

static int by_confidence(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->confidence != y->confidence) return x->confidence > y->confidence ? -1 : 1;
    return x->position < y->position ? -1 : 1;
}

static void define_row(const revealing *r, const uint32_t counter[4], uint32_t row)
{
    candidate sorted[MAX_L];
    uint32_t step = counter[0] < STEPS ? counter[0] : STEPS - 1, count = 0, start = row * r->length;
    for (uint32_t i = windows[step][0]; i < windows[step][1] && i < r->length; i++) {
        if (canvas[start + i] == MASK) sorted[count++] = (candidate){confidence[start + i], i};
    }
    qsort(sorted, count, sizeof *sorted, by_confidence);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t position = sorted[i].position;
        bool turn = i < amounts[step * r->batch + row];
        if (r->args.mode == PM_REVEAL_THRESHOLD) turn = turn || sorted[i].confidence >= r->args.threshold;
        if (r->args.mode == PM_REVEAL_RATE)
            turn = pm_happens_at(counter, STREAM, row, position, rates[step * r->batch + row]);
        if (turn) canvas[start + position] = tokens[start + position];
    }
}

/* `values`: how many different confidences. */
static void fill(revealing *r, uint32_t values)
{
    static const float some_rates[] = {0.0f, 1.0f, 0.3f, 0.01f, 0.8f};
    uint32_t count = r->batch * r->length;
    for (uint32_t i = 0; i < count; i++) {
        canvas[i] = below(4) ? MASK : below(50);
        tokens[i] = 1000 + i;
        confidence[i] = (float)below(values) / (float)values;
    }
    for (uint32_t i = 0; i < STEPS * r->batch; i++) {
        amounts[i] = i % 5 == 4 ? r->length + 3 : below(r->length / 3 + 1);
        rates[i] = some_rates[i % 5];
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        windows[i][0] = i == 1 ? 0 : below(r->length / 2);
        windows[i][1] = i == 1 ? r->length + 9 : windows[i][0] + below(r->length);
    }
    bool rate = r->args.mode == PM_REVEAL_RATE;
    write_to(r->plan, r->canvas, canvas, 4 * (size_t)count);
    write_to(r->plan, r->tokens, tokens, 4 * (size_t)count);
    write_to(r->plan, r->confidence, confidence, 4 * (size_t)count);
    write_to(r->plan, r->amount, rate ? (const void *)rates : amounts, 4 * (size_t)STEPS * r->batch);
    write_to(r->plan, r->window, windows, sizeof windows);
}

static void test_modes_are_as_defined(void **state)
{
    (void)state;
    static const struct {
        pm_reveal_args args;
        uint32_t batch, length, values;
    } tests[] = {
        {{.mode = PM_REVEAL_COUNT}, 5, 70, 1u << 20}, {{.mode = PM_REVEAL_COUNT}, 8, 130, 3},
        {{.mode = PM_REVEAL_COUNT}, 1, 1, 1},         {{PM_REVEAL_THRESHOLD, .threshold = 0.75f}, 6, 64, 8},
        {{.mode = PM_REVEAL_RATE}, 7, 81, 1u << 20},
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        revealing r;
        pm_reveal_args args = tests[i].args;
        args.mask_token = MASK;
        open_revealing(&r, tests[i].batch, tests[i].length, args);
        for (uint32_t round = 0; round < 3; round++) {
            uint32_t counter[4] = {0, 10 * round, 3, 4}, changed = 0;
            fill(&r, tests[i].values);
            write_to(r.plan, r.counter, counter, sizeof counter);
            for (; counter[0] < STEPS + 1; counter[0]++) {
                uint32_t count = r.batch * r.length;
                for (uint32_t row = 0; row < r.batch; row++) define_row(&r, counter, row);
                run_once(r.plan);
                read_from(r.plan, r.canvas, got, 4 * (size_t)count);
                for (uint32_t k = 0; k < count; k++) {
                    if (got[k] != canvas[k])
                        fail_msg("test %zu, step %u, row %u, position %u: %u, not %u", i, counter[0],
                                 k / r.length, k % r.length, got[k], canvas[k]);
                    changed += got[k] >= 1000;
                }
            }
            assert_true(r.length == 1 || changed > 0);
        }
        close_revealing(&r);
    }
}

/* ---- Drawn positions ----------------------------------------------------------------------------------- */

/* Two of five positions, drawn one after another with probability proportional to exp(confidence / T): each
 * pair has p q / (1 - p) + q p / (1 - q). */
static void test_positions_have_their_frequency(void **state)
{
    (void)state;
    enum { BATCH = 4096, LENGTH = 5, RUNS = 10 };
    static uint32_t board[BATCH * LENGTH], blank[BATCH * LENGTH], all[STEPS * BATCH], whole[STEPS][2];
    static float sure[BATCH * LENGTH];
    static const float levels[LENGTH] = {0.9f, 0.1f, 0.5f, 0.45f, 0.0f};
    uint32_t counts[1 << LENGTH] = {0};
    double p[LENGTH], sum = 0, chi = 0, freedom = -1;
    revealing r;
    open_revealing(&r, BATCH, LENGTH, (pm_reveal_args){.mask_token = MASK, .position_temperature = 0.4f});
    for (uint32_t i = 0; i < BATCH * LENGTH; i++) blank[i] = MASK;
    for (uint32_t i = 0; i < BATCH * LENGTH; i++) sure[i] = levels[i % LENGTH];
    for (uint32_t i = 0; i < STEPS * BATCH; i++) all[i] = 2;
    for (uint32_t i = 0; i < STEPS; i++) whole[i][1] = LENGTH;
    write_to(r.plan, r.confidence, sure, sizeof sure);
    write_to(r.plan, r.amount, all, sizeof all);
    write_to(r.plan, r.window, whole, sizeof whole);
    write_to(r.plan, r.counter, (const uint32_t[4]){0, 0, 21, 22}, 16);
    for (uint32_t run = 0; run < RUNS; run++) {
        write_to(r.plan, r.canvas, blank, sizeof blank);
        run_once(r.plan);
        read_from(r.plan, r.canvas, board, sizeof board);
        for (uint32_t row = 0; row < BATCH; row++) {
            uint32_t set = 0;
            for (uint32_t i = 0; i < LENGTH; i++) set |= (uint32_t)(board[row * LENGTH + i] != MASK) << i;
            counts[set]++;
        }
    }
    for (uint32_t i = 0; i < LENGTH; i++) sum += p[i] = exp((double)levels[i] / (double)0.4f);
    for (uint32_t i = 0; i < LENGTH; i++) p[i] /= sum;
    uint32_t pairs = 0;
    for (uint32_t i = 0; i < LENGTH; i++) {
        for (uint32_t j = 0; j < i; j++) {
            double wanted = (p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j])) * BATCH * RUNS;
            uint32_t count = counts[1u << i | 1u << j];
            chi += (count - wanted) * (count - wanted) / wanted;
            freedom++;
            pairs += count;
        }
    }
    assert_int_equal(pairs, BATCH * RUNS);
    if (fabs(chi - freedom) > 5 * sqrt(2 * freedom)) fail_msg("chi-square %.1f of %.0f", chi, freedom);
    close_revealing(&r);
}

/* The second half of a batch alone, by its samples' numbers. */
static void test_batches_do_not_matter(void **state)
{
    (void)state;
    enum { BATCH = 8, HALF = 4, LENGTH = 33, REST = HALF * LENGTH };
    static const pm_reveal_args tests[] = {
        {.mode = PM_REVEAL_RATE, .mask_token = MASK},
        {.mode = PM_REVEAL_COUNT, .mask_token = MASK, .position_temperature = 1.0f},
    };
    for (size_t i = 0; i < 2; i++) {
        revealing all, half;
        uint32_t alone[REST], revealed = 0;
        open_revealing(&all, BATCH, LENGTH, tests[i]);
        open_revealing(&half, HALF, LENGTH, tests[i]);
        fill(&all, 1u << 20);
        for (uint32_t k = 0; k < STEPS * BATCH; k++) {
            rates[k] = 0.5f;
            amounts[k] = 7;
        }
        bool rate = tests[i].mode == PM_REVEAL_RATE;
        windows[0][0] = 0;
        windows[0][1] = LENGTH;
        revealing *both[] = {&all, &half};
        for (size_t k = 0; k < 2; k++) {
            revealing *r = both[k];
            size_t skip = k * REST, bytes = 4 * (size_t)r->batch * LENGTH;
            write_to(r->plan, r->canvas, canvas + skip, bytes);
            write_to(r->plan, r->tokens, tokens + skip, bytes);
            write_to(r->plan, r->confidence, confidence + skip, bytes);
            write_to(r->plan, r->amount, rate ? (const void *)rates : amounts, 4 * (size_t)STEPS * r->batch);
            write_to(r->plan, r->window, windows, sizeof windows);
            write_to(r->plan, r->counter, (const uint32_t[4]){0, 70 + (uint32_t)k * HALF, 5, 6}, 16);
            run_once(r->plan);
        }
        read_from(all.plan, all.canvas, got, sizeof(uint32_t) * BATCH * LENGTH);
        read_from(half.plan, half.canvas, alone, sizeof alone);
        assert_memory_equal(got + REST, alone, sizeof alone);
        for (uint32_t k = 0; k < REST; k++) revealed += alone[k] >= 1000;
        assert_true(revealed > 10 && revealed < 100);
        close_revealing(&all);
        close_revealing(&half);
    }
}

static void test_marks(void **state)
{
    (void)state;
    pm_error error = {0};
    pm_graph *graph = pm_graph_create();
    pm_plan *plan = NULL;
    pm_tensor seen = pm_state(graph, "seen", PM_DTYPE_U32, PM_SHAPE(3, 4));
    pm_tensor row = pm_state(graph, "tokens", PM_DTYPE_U32, PM_SHAPE(3));
    assert_int_equal(pm_mark_seen(graph, seen, row).id, seen.id);
    expect_ok(pm_plan_create(device, graph, NULL, &plan, &error), &error);
    uint32_t marks[12];
    write_to(plan, row, (const uint32_t[3]){2, 4, 0}, 12); /* 4 is beyond, and must not mark the next row */
    run_once(plan);
    write_to(plan, row, (const uint32_t[3]){2, 1, 3}, 12);
    run_once(plan);
    read_from(plan, seen, marks, sizeof marks);
    static const uint32_t wanted[12] = {0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1};
    assert_memory_equal(marks, wanted, sizeof marks);
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
}

static void test_wrong_arguments(void **state)
{
    (void)state;
    static const struct {
        pm_reveal_args args;
        uint32_t batch, window;
        const char *message;
    } tests[] = {
        {{.mode = (pm_reveal_mode)7}, 2, 2, "no such mode"},
        {{.position_temperature = -1.0f}, 2, 2, "position temperature"},
        {{.threshold = NAN}, 2, 2, "threshold"},
        {{.mode = PM_REVEAL_RATE}, 2, 2, "operand 3 must be a tensor of type f32"},
        {{.mode = PM_REVEAL_COUNT}, 3, 2, "amount must be [S,2]"},
        {{.mode = PM_REVEAL_COUNT}, 2, 3, "window must be [S,2]"},
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        pm_graph *graph = pm_graph_create();
        pm_error error = {0};
        pm_tensor board = pm_state(graph, "canvas", PM_DTYPE_U32, PM_SHAPE(2, 4));
        pm_tensor sure = pm_state(graph, "confidence", PM_DTYPE_F32, PM_SHAPE(2, 4));
        pm_tensor amount = pm_state(graph, "amount", PM_DTYPE_U32, PM_SHAPE(1, tests[i].batch));
        pm_tensor window = pm_state(graph, "window", PM_DTYPE_U32, PM_SHAPE(1, tests[i].window));
        (void)pm_reveal(graph, board, board, sure, amount, window, pm_counter(graph), 0, tests[i].args);
        expect_failure(pm_graph_status(graph, &error), PM_BAD_USAGE, &error, tests[i].message);
        pm_graph_destroy(graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes_are_as_defined),  cmocka_unit_test(test_positions_have_their_frequency),
        cmocka_unit_test(test_batches_do_not_matter), cmocka_unit_test(test_marks),
        cmocka_unit_test(test_wrong_arguments),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
