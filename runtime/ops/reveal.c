/* Which masked positions of a canvas get the tokens that were drawn for them: so many of the surest, those
 * that are sure enough, or each by chance.
 *
 * Whose turn it is needs no sorting: a position counts those that come before it, which is quadratic in the
 * length and a small thing beside the network. A first pass turns confidences into integers of the same order
 * and marks what is no candidate with 0, so that the second, which writes the canvas, does not read it. */
#include "base/bits.h"
#include "base/checked.h"
#include "base/exact.h"
#include "base/philox.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/random.h"
#include "ops/slab.h"
#include "ops/table.h"

#define MAX_LENGTH 32768u

enum {
    REVEAL_CANVAS,
    REVEAL_TOKENS,
    REVEAL_CONFIDENCE,
    REVEAL_AMOUNT,
    REVEAL_WINDOW,
    REVEAL_COUNTER,
    REVEAL_KEYS
};

typedef struct reveal_attr {
    pm_reveal_args args;
    uint32_t stream;
} reveal_attr;

static bool races(const pm_reveal_args *args)
{
    return args->mode != PM_REVEAL_RATE && args->position_temperature > 0.0f;
}

static bool check_args(pm_graph *graph, const pm_reveal_args *args)
{
    float temperature = args->position_temperature;
    const char *wrong = NULL;
    if ((uint32_t)args->mode > PM_REVEAL_RATE) wrong = "there is no such mode";
    if (temperature != 0.0f && !(temperature >= 1e-6f && temperature <= 1e6f))
        wrong = "the position temperature must be 0, or from 1e-6 to 1e6";
    if (args->threshold != args->threshold) wrong = "the threshold is not a number";
    if (wrong) pm_graph_fail(graph, PM_BAD_USAGE, "reveal: %s", wrong);
    return !wrong;
}

/* The shapes beside the canvas's own. */
static bool check_tables(pm_graph *graph, const pm_node *node, uint32_t batch)
{
    pm_shape amount = pm_shape_of(graph, node->in[REVEAL_AMOUNT]);
    pm_shape window = pm_shape_of(graph, node->in[REVEAL_WINDOW]);
    bool has_window = pm_is(node->in[REVEAL_WINDOW]);
    char text[64];
    if (amount.rank != 2 || amount.dim[1] != batch) {
        pm_graph_fail(graph, PM_BAD_USAGE, "reveal: the amount must be [S,%u], not %s", batch,
                      pm_shape_text(amount, text));
    } else if (has_window && (window.rank != 2 || window.dim[1] != 2)) {
        pm_graph_fail(graph, PM_BAD_USAGE, "reveal: the window must be [S,2], not %s",
                      pm_shape_text(window, text));
    }
    return pm_ok(graph);
}

static void shape_reveal(pm_graph *graph, pm_node *node)
{
    const pm_reveal_args *args = &PM_ATTR(reveal_attr, node)->args;
    bool rate = args->mode == PM_REVEAL_RATE, has_confidence = pm_is(node->in[REVEAL_CONFIDENCE]);
    if (!check_args(graph, args) || !pm_check_operand(graph, node, REVEAL_CANVAS, PM_DTYPE_U32) ||
        !pm_check_operand(graph, node, REVEAL_TOKENS, PM_DTYPE_U32) ||
        ((!rate || has_confidence) && !pm_check_operand(graph, node, REVEAL_CONFIDENCE, PM_DTYPE_F32)) ||
        !pm_check_operand(graph, node, REVEAL_AMOUNT, rate ? PM_DTYPE_F32 : PM_DTYPE_U32) ||
        (pm_is(node->in[REVEAL_WINDOW]) && !pm_check_operand(graph, node, REVEAL_WINDOW, PM_DTYPE_U32)) ||
        !pm_check_counter(graph, node, REVEAL_COUNTER))
        return;
    pm_shape canvas = pm_shape_of(graph, node->in[REVEAL_CANVAS]);
    char text[64];
    if (canvas.rank != 2 || canvas.dim[1] > MAX_LENGTH ||
        pm_info(graph, node->in[REVEAL_CANVAS])->kind != PM_KIND_STATE) {
        pm_graph_fail(graph, PM_BAD_USAGE, "reveal: the canvas must be a state [B,L] with L up to %u, not %s",
                      MAX_LENGTH, pm_shape_text(canvas, text));
        return;
    }
    if (!pm_shape_equal(pm_shape_of(graph, node->in[REVEAL_TOKENS]), canvas) ||
        (has_confidence && !pm_shape_equal(pm_shape_of(graph, node->in[REVEAL_CONFIDENCE]), canvas))) {
        pm_graph_fail(graph, PM_BAD_USAGE, "reveal: tokens and confidence must have the canvas's shape, %s",
                      pm_shape_text(canvas, text));
        return;
    }
    (void)check_tables(graph, node, canvas.dim[0]);
}

static uint32_t rows_of(const pm_graph *graph, pm_tensor table)
{
    return pm_is(table) ? pm_shape_of(graph, table).dim[0] : 0;
}

static void lower_keys(pm_lowering *lowering, const pm_node *node, pm_tensor keys)
{
    const reveal_attr *attr = PM_ATTR(reveal_attr, node);
    const pm_graph *graph = lowering->graph;
    const pm_tensor *in = node->in;
    bool rate = attr->args.mode == PM_REVEAL_RATE, race = races(&attr->args);
    pm_shape canvas = pm_shape_of(graph, in[REVEAL_CANVAS]);
    uint32_t lanes = lowering->rules->lanes, count = pm_shape_count(canvas);
    pm_dispatch *d = pm_dispatch_begin(lowering, "reveal_keys", lanes);
    pm_spec(d, rate);
    pm_spec(d, race);
    pm_spec(d, pm_is(in[REVEAL_WINDOW]));
    pm_push_u32(d, count);
    pm_push_divisor(d, canvas.dim[1]);
    pm_push_u32(d, canvas.dim[0]);
    pm_push_u32(d, attr->args.mask_token);
    pm_push_u32(d, attr->stream);
    pm_push_u32(d, rows_of(graph, in[REVEAL_WINDOW]));
    pm_push_u32(d, rows_of(graph, in[REVEAL_AMOUNT]));
    pm_push_f32(d, race ? 1.0f / attr->args.position_temperature : 1.0f);
    pm_bind_in(d, in[REVEAL_COUNTER], 1, 0);
    pm_bind_in(d, in[REVEAL_CANVAS], 1, 4 * lanes);
    /* What is not read is bound to something of its type. */
    pm_bind_in(d, in[rate ? REVEAL_AMOUNT : REVEAL_CONFIDENCE], 1, rate ? 0 : 4 * lanes);
    pm_bind_in(d, in[pm_is(in[REVEAL_WINDOW]) ? REVEAL_WINDOW : REVEAL_COUNTER], 1, 0);
    pm_bind_in(d, in[rate ? REVEAL_AMOUNT : REVEAL_CONFIDENCE], 1, rate ? 0 : 4 * lanes);
    pm_bind_out(d, keys, 4 * lanes);
    pm_groups(d, pm_ceil_div(count, lanes), 1, 1, 0, 10.0 * count);
}

/* Writes the tokens whose turn it is, of some rows of the canvas; the keys are an input here. */
static void lower_turns(pm_lowering *lowering, const pm_node *node)
{
    const reveal_attr *attr = PM_ATTR(reveal_attr, node);
    const pm_tensor *in = node->in;
    bool rate = attr->args.mode == PM_REVEAL_RATE;
    pm_shape canvas = pm_shape_of(lowering->graph, in[REVEAL_CANVAS]);
    uint32_t lanes = lowering->rules->lanes, count = pm_shape_count(canvas);
    pm_dispatch *d = pm_dispatch_begin(lowering, "reveal", lanes);
    pm_spec(d, (uint32_t)attr->args.mode);
    pm_push_u32(d, count);
    pm_push_divisor(d, canvas.dim[1]);
    pm_push_u32(d, pm_shape_of(lowering->graph, in[REVEAL_AMOUNT]).dim[1]);
    pm_push_u32(d, rows_of(lowering->graph, in[REVEAL_AMOUNT]));
    pm_push_f32(d, attr->args.threshold);
    pm_push_u32(d, lowering->first_row);
    pm_bind_in(d, in[REVEAL_COUNTER], 1, 0);
    pm_bind_in(d, in[REVEAL_KEYS], 1, 0);
    pm_bind_in(d, in[REVEAL_TOKENS], 1, 4 * lanes);
    pm_bind_in(d, in[rate ? REVEAL_AMOUNT : REVEAL_CONFIDENCE], 1, rate ? 0 : 4 * lanes);
    pm_bind_in(d, in[rate ? REVEAL_COUNTER : REVEAL_AMOUNT], 1, 0);
    pm_bind_update(d, in[REVEAL_CANVAS], 4 * lanes);
    pm_groups(d, pm_ceil_div(count, lanes), 1, 1, 0, rate ? count : 3.0 * count * canvas.dim[1]);
}

static void lower_reveal(pm_lowering *lowering, const pm_node *node)
{
    enum {
        KEYS = 1 << REVEAL_KEYS,
        CANVASES = 1 << REVEAL_CANVAS | 1 << REVEAL_TOKENS | 1 << REVEAL_CONFIDENCE
    };
    pm_node turns = *node;
    uint32_t count = pm_count_of(lowering->graph, node->in[REVEAL_CANVAS]);
    turns.in[REVEAL_KEYS] = pm_scratch(lowering, PM_DTYPE_U32, count);
    lower_keys(lowering, node, turns.in[REVEAL_KEYS]);
    turns.in[REVEAL_KEYS] = pm_reshape(lowering->graph, turns.in[REVEAL_KEYS],
                                       pm_shape_of(lowering->graph, node->in[REVEAL_CANVAS]));
    pm_lower_by_rows(lowering, &turns, KEYS | CANVASES, KEYS, 0, lower_turns);
}

/* ---- Reference ----------------------------------------------------------------------------------------- */

/* In float, as the device does: a turn is a comparison. */
static float score_of(const pm_reference *ref, uint32_t row, uint32_t position)
{
    const reveal_attr *attr = PM_ATTR(reveal_attr, ref->node);
    uint32_t length = ref->in[REVEAL_CANVAS].shape.dim[1];
    float score = (float)ref->in[REVEAL_CONFIDENCE].f[(size_t)row * length + position];
    if (races(&attr->args)) {
        uint32_t bits = pm_draw_element(ref->in[REVEAL_COUNTER].u, attr->stream, row, position);
        score = score * (1.0f / attr->args.position_temperature) - pmf_log(pm_exponential(bits));
    }
    return pmf_flush(score);
}

static uint32_t step_row(const pm_reference *ref, uint32_t table)
{
    uint32_t step = ref->in[REVEAL_COUNTER].u[0], rows = ref->in[table].shape.dim[0];
    return step < rows ? step : rows - 1;
}

static bool is_open(const pm_reference *ref, uint32_t row, uint32_t position)
{
    const pm_host *canvas = &ref->in[REVEAL_CANVAS], *window = &ref->in[REVEAL_WINDOW];
    uint32_t i = row * canvas->shape.dim[1] + position;
    if (canvas->u[i] != PM_ATTR(reveal_attr, ref->node)->args.mask_token) return false;
    if (window->count == 0) return true;
    const uint32_t *bounds = window->u + 2 * (size_t)step_row(ref, REVEAL_WINDOW);
    return position >= bounds[0] && position < bounds[1];
}

/* The amount's surest of a row, one after another. `open` says which are left; the lowest of equals goes
 * first. */
static void take_surest(const pm_reference *ref, uint32_t row, uint8_t *open, uint8_t *taken)
{
    uint32_t length = ref->in[REVEAL_CANVAS].shape.dim[1], batch = ref->in[REVEAL_CANVAS].shape.dim[0];
    uint32_t amount = ref->in[REVEAL_AMOUNT].u[step_row(ref, REVEAL_AMOUNT) * batch + row];
    for (uint32_t n = 0; n < amount && n < length; n++) {
        uint32_t best = length;
        float best_score = 0.0f;
        for (uint32_t i = 0; i < length; i++) {
            float score = open[i] ? score_of(ref, row, i) : 0.0f;
            if (open[i] && (best == length || score > best_score)) {
                best = i;
                best_score = score;
            }
        }
        if (best == length) return;
        open[best] = 0;
        taken[best] = 1;
    }
}

static void reveal_row(const pm_reference *ref, uint32_t row, uint8_t *open, uint8_t *taken)
{
    const reveal_attr *attr = PM_ATTR(reveal_attr, ref->node);
    uint32_t batch = ref->in[REVEAL_CANVAS].shape.dim[0], length = ref->in[REVEAL_CANVAS].shape.dim[1];
    size_t start = (size_t)row * length;
    for (uint32_t i = 0; i < length; i++) {
        open[i] = is_open(ref, row, i);
        taken[i] = 0;
    }
    if (attr->args.mode == PM_REVEAL_RATE) {
        float rate = (float)ref->in[REVEAL_AMOUNT].f[step_row(ref, REVEAL_AMOUNT) * batch + row];
        for (uint32_t i = 0; i < length; i++)
            taken[i] = open[i] && pm_happens_at(ref->in[REVEAL_COUNTER].u, attr->stream, row, i, rate);
    } else {
        if (attr->args.mode == PM_REVEAL_THRESHOLD) {
            for (uint32_t i = 0; i < length; i++)
                taken[i] = open[i] && (float)ref->in[REVEAL_CONFIDENCE].f[start + i] >= attr->args.threshold;
        }
        take_surest(ref, row, open, taken);
    }
    for (uint32_t i = 0; i < length; i++) {
        if (taken[i]) ref->in[REVEAL_CANVAS].u[start + i] = ref->in[REVEAL_TOKENS].u[start + i];
    }
}

static void reference_reveal(const pm_reference *ref)
{
    uint8_t open[MAX_LENGTH], taken[MAX_LENGTH];
    for (uint32_t row = 0; row < ref->in[REVEAL_CANVAS].shape.dim[0]; row++)
        reveal_row(ref, row, open, taken);
}

pm_tensor pm_reveal(pm_graph *graph, pm_tensor canvas, pm_tensor tokens, pm_tensor confidence,
                    pm_tensor amount, pm_tensor window, pm_tensor counter, uint32_t stream,
                    pm_reveal_args args)
{
    reveal_attr attr = {args, stream};
    (void)pm_emit(graph, &pm_op_reveal, (pm_tensor[]){canvas, tokens, confidence, amount, window, counter}, 6,
                  &attr, sizeof attr, NULL);
    return pm_ok(graph) ? canvas : PM_NONE;
}

/* ---- Cases --------------------------------------------------------------------------------------------- */

#define CASE_STEPS 4u
#define CASE_ELEMENTS 4096u

/* Values 0, 1/n .. (n-1)/n, in a jumble: with a small n there are many equals. */
static pm_tensor case_values(pm_graph *graph, const char *name, pm_shape shape, uint32_t n)
{
    float values[CASE_ELEMENTS];
    uint32_t state = 77;
    for (uint32_t i = 0; i < CASE_ELEMENTS; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)((state >> 8) % n) / (float)n;
    }
    return pm_constant(graph, name, PM_DTYPE_F32, shape, values);
}

/* Five steps, of which the last is beyond the tables, on a canvas that is all masks, token 0. p: batch,
 * length, mode, values of confidence, position temperature in tenths, tokens at most, with a window. */
static pm_tensor case_reveal(pm_graph *graph, const uint32_t *p)
{
    pm_shape shape = PM_SHAPE(p[0], p[1]), table = PM_SHAPE(CASE_STEPS, p[0]);
    uint32_t windows[CASE_STEPS][2] = {{0, p[1]}, {p[1] / 4, p[1] / 2}, {p[1] / 3, p[1] + 5}, {1, p[1]}};
    pm_tensor canvas = pm_state(graph, "canvas", PM_DTYPE_U32, shape), counter = pm_counter(graph);
    pm_tensor tokens = pm_case_indices(graph, "tokens", shape, 9), window = PM_NONE, amount;
    pm_tensor confidence = case_values(graph, "confidence", shape, p[3]);
    pm_reveal_args args = {
        .mode = (pm_reveal_mode)p[2], .threshold = 0.875f, .position_temperature = (float)p[4] / 10.0f};
    if (args.mode == PM_REVEAL_RATE) {
        amount = case_values(graph, "rate", table, 8);
        confidence = PM_NONE;
    } else {
        amount = pm_case_indices(graph, "amount", table, p[5]);
    }
    if (p[6]) window = pm_constant(graph, "window", PM_DTYPE_U32, PM_SHAPE(CASE_STEPS, 2), windows);
    for (uint32_t step = 0; step <= CASE_STEPS; step++) {
        (void)pm_reveal(graph, canvas, tokens, confidence, amount, window, counter, 6, args);
        pm_advance(graph, counter);
    }
    return canvas;
}

#define CASE(text, ...)                                                             \
    {                                                                               \
        .name = text, .build = case_reveal, .p = {__VA_ARGS__}, .no_gradient = true \
    }
#define FINE 16777216 /* hardly any equals */

static const pm_case cases_reveal[] = {
    CASE("count", 3, 37, PM_REVEAL_COUNT, FINE, 0, 9, 0),
    CASE("count, equals, window", 4, 53, PM_REVEAL_COUNT, 3, 0, 20, 1),
    CASE("more than there are", 3, 5, PM_REVEAL_COUNT, 2, 0, 90, 0),
    CASE("one position", 2, 1, PM_REVEAL_COUNT, 2, 0, 2, 1),
    CASE("threshold", 5, 64, PM_REVEAL_THRESHOLD, 16, 0, 12, 1),
    CASE("rate", 6, 101, PM_REVEAL_RATE, FINE, 0, 0, 0),
    CASE("rate, window", 2, 64, PM_REVEAL_RATE, FINE, 0, 0, 1),
    CASE("drawn positions", 4, 77, PM_REVEAL_COUNT, FINE, 5, 9, 1),
    CASE("drawn positions, threshold", 3, 80, PM_REVEAL_THRESHOLD, 16, 20, 9, 0),
    {.name = "16x256",
     .build = case_reveal,
     .p = {16, 256, PM_REVEAL_COUNT, FINE, 0, 64, 1},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_reveal = {
    .name = "reveal",
    .updates = 1u << REVEAL_CANVAS,
    .shape = shape_reveal,
    .lower = lower_reveal,
    .reference = reference_reveal,
    PM_CASES(cases_reveal),
};
