/* Measures which tile is the fastest for the classes of shapes that plans of a device asked for: one shape of
 * each class, those with the most to do first, every size that the device allows, until time is up. */
#include "device/tuning.h"
#include "plan/plan.h"

#include "base/clock.h"
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

enum { WARM_UP = 3, RUNS = 5 }; /* the first runs of a plan measure its pieces */
#define MOST_WORK 4e9           /* operations of a product that is timed */
#define LONGEST 0.2             /* seconds for the runs of one tile */
#define GAIN 0.97               /* of the time with the rules' tile, at most, for another to be kept */

static double work_of(const pm_tiled_shape *s)
{
    return 2.0 * s->count * s->m * s->n * s->k;
}

/* The same class with less to do, if it is much: tiles do not care how many rows of them there are. */
static pm_tiled_shape representative(const pm_tiled_shape *shape)
{
    pm_tiled_shape s = *shape;
    while (work_of(&s) > MOST_WORK && s.m > 512) s.m /= 2;
    while (work_of(&s) > MOST_WORK && s.k > 512) s.k /= 2;
    return s;
}

/* y = conv2d(x, w), 3x3, on images of SIDE x SIDE with `pixels` in all, whose sums have taps_channels terms.
 */
static pm_tensor build_conv(pm_graph *graph, uint64_t pixels, uint32_t taps_channels, uint32_t out_channels)
{
    enum { SIDE = 16, TAPS = 9 };
    uint32_t channels = taps_channels >= TAPS ? taps_channels / TAPS : 1;
    uint32_t samples = (uint32_t)(pixels / (SIDE * SIDE));
    pm_tensor x = pm_state(graph, "x", PM_DTYPE_F32, PM_SHAPE(samples ? samples : 1, SIDE, SIDE, channels));
    pm_tensor w = pm_state(graph, "w", PM_DTYPE_F32, PM_SHAPE(3, 3, channels, out_channels));
    pm_conv2d_args args = {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    return pm_conv2d(graph, x, w, args);
}

/* d loss / d w of y = conv2d(x, w), from a state for d loss / d y; y itself is then never computed. */
static pm_tensor build_conv_weight(pm_graph *graph, pm_tensor y)
{
    static const bool wants[PM_MAX_INPUTS] = {[1] = true}; /* the weights */
    pm_tensor grad_in[PM_MAX_INPUTS] = {PM_NONE};
    if (!pm_is(y)) return PM_NONE; /* the graph says why */
    pm_tensor dy = pm_state(graph, "dy", PM_DTYPE_F32, pm_shape_of(graph, y));
    const pm_node node = graph->nodes[graph->n_nodes - 1]; /* appending moves the array */
    node.op->backward(graph, &node, &dy, wants, grad_in);
    return grad_in[1];
}

static pm_tensor build(pm_graph *graph, const pm_tiled_shape *s)
{
    uint32_t kind = s->kind % PM_TILED_KINDS;
    if (kind == PM_TILED_CONV) return build_conv(graph, s->m, s->k, s->n);
    if (kind == PM_TILED_CONV_WEIGHT)
        return build_conv_weight(graph, build_conv(graph, (uint64_t)s->count * s->k, s->m, s->n));
    bool a_transposed = kind == PM_TILED_ATB, b_transposed = kind == PM_TILED_ABT;
    uint32_t a_rows = a_transposed ? s->k : s->m, a_width = a_transposed ? s->m : s->k;
    uint32_t b_rows = b_transposed ? s->n : s->k, b_width = b_transposed ? s->k : s->n;
    pm_shape a = s->count > 1 ? PM_SHAPE(s->count, a_rows, a_width) : PM_SHAPE(a_rows, a_width);
    pm_shape b = s->count > 1 ? PM_SHAPE(s->count, b_rows, b_width) : PM_SHAPE(b_rows, b_width);
    return pm_matmul(graph, pm_state(graph, "a", PM_DTYPE_F32, a), pm_state(graph, "b", PM_DTYPE_F32, b),
                     (pm_layout)kind, PM_NONE, PM_NONE);
}

static pm_status time_runs(pm_plan *plan, double *least, pm_error *error)
{
    pm_status status = pm_plan_run(plan, WARM_UP, error);
    if (status == PM_OK) status = pm_plan_wait(plan, error);
    double all = pm_seconds();
    *least = 1e30;
    for (uint32_t i = 0; status == PM_OK && i < RUNS && (i == 0 || pm_seconds() - all < LONGEST); i++) {
        double start = pm_seconds();
        status = pm_plan_run(plan, 1, error);
        if (status == PM_OK) status = pm_plan_wait(plan, error);
        double seconds = pm_seconds() - start;
        if (seconds < *least) *least = seconds;
    }
    return status;
}

pm_status pm_time_graph(pm_device *device, pm_graph *graph, pm_tile_size tile, pm_precision precision,
                        double *seconds, pm_error *error)
{
    pm_plan_options options = {.precision = precision};
    pm_plan *plan = NULL;
    device->tuning.measuring = true;
    device->tuning.forced = tile;
    pm_status status = pm_graph_status(graph, error);
    if (status == PM_OK) status = pm_plan_create(device, graph, &options, &plan, error);
    if (status == PM_OK) status = time_runs(plan, seconds, error);
    pm_plan_destroy(plan);
    device->tuning.measuring = false;
    return status;
}

pm_status pm_time_shape(pm_device *device, const pm_tiled_shape *shape, pm_tile_size tile,
                        pm_precision precision, double *seconds, pm_error *error)
{
    pm_graph *graph = pm_graph_create();
    if (!graph) return pm_fail(error, PM_NO_MEMORY, "tuning: out of host memory");
    pm_output(graph, build(graph, shape));
    pm_status status = pm_time_graph(device, graph, tile, precision, seconds, error);
    pm_graph_destroy(graph);
    return status;
}

static void say(const pm_tune_options *options, const pm_tiled_shape *s, pm_tile_size tile, double rule,
                double best)
{
    static const char *const kinds[PM_TILED_KINDS] = {"AB", "AB^T", "A^T B", "conv", "conv weight"};
    char text[160], count[20] = "", chosen[40] = "the rule's tile";
    if (!options->say) return;
    if (tile.rows) (void)snprintf(chosen, sizeof chosen, "a tile of %ux%u", tile.rows, tile.columns);
    if (s->count > 1) (void)snprintf(count, sizeof count, "%u of ", s->count);
    (void)snprintf(text, sizeof text, "tuning: %s %s%ux%ux%u%s: %s, %.3g GFLOP/s, by rule %.3g",
                   kinds[s->kind % PM_TILED_KINDS], count, s->m, s->n, s->k,
                   s->kind >= PM_TILED_MATRIX ? " by matrix units" : "", chosen, work_of(s) / best * 1e-9,
                   work_of(s) / rule * 1e-9);
    options->say(options->user, text);
}

static pm_precision precision_of(const pm_tiled_shape *shape)
{
    return shape->kind >= PM_TILED_MATRIX ? PM_FAST : PM_EXACT;
}

/* Once more both, so that it was not something else that disturbed one of them. */
static pm_status time_again(pm_device *device, const pm_tiled_shape *shape, pm_tile_size tile, double *rule,
                            double *seconds, pm_error *error)
{
    double once;
    pm_precision precision = precision_of(shape);
    pm_status status = pm_time_shape(device, shape, (pm_tile_size){0, 0}, precision, &once, error);
    if (status == PM_OK && once < *rule) *rule = once;
    if (status == PM_OK) status = pm_time_shape(device, shape, tile, precision, &once, error);
    if (status == PM_OK && once < *seconds) *seconds = once;
    return status;
}

/* The fastest tile of one shape, unless time is up before the rules' own was measured. */
static pm_status tune_shape(pm_device *device, const pm_tiled_shape *shape, const pm_tune_options *options,
                            double end, bool *done, pm_error *error)
{
    uint32_t count;
    const pm_tile_size *sizes = pm_tile_sizes(&device->rules, shape->kind, &count);
    pm_precision precision = precision_of(shape);
    pm_tiled_shape s = representative(shape);
    pm_tile_size best = {0, 0};
    double rule, least, seconds;
    *done = false;
    pm_status status = pm_time_shape(device, &s, best, precision, &rule, error);
    least = rule * GAIN;
    for (uint32_t i = 0; status == PM_OK && i < count; i++) {
        if (!pm_tile_allowed(&device->rules, shape->kind, sizes[i])) continue;
        if (pm_seconds() > end) return PM_OK;
        status = pm_time_shape(device, &s, sizes[i], precision, &seconds, error);
        if (status != PM_OK || seconds >= least) continue;
        least = seconds;
        best = sizes[i];
    }
    if (status == PM_OK && best.rows) status = time_again(device, &s, best, &rule, &least, error);
    if (status != PM_OK) return status;
    if (least >= rule * GAIN) best = (pm_tile_size){0, 0};
    pm_tuning_set(&device->tuning, shape, best);
    say(options, &s, best, rule, best.rows ? least : rule);
    *done = true;
    return PM_OK;
}

static int by_work(const void *a, const void *b)
{
    double x = work_of(a), y = work_of(b);
    return (x < y) - (x > y);
}

pm_status pm_device_tune(pm_device *device, const pm_tune_options *options, uint32_t *tuned, pm_error *error)
{
    pm_tuning *tuning = &device->tuning;
    pm_status status = PM_OK;
    double end = pm_seconds() + options->seconds;
    *tuned = 0;
    if (device->compile_only || !device->rules.tuning || device->rules.tile[0]) return PM_OK;
    qsort(tuning->asked, tuning->n_asked, sizeof tuning->asked[0], by_work);
    for (uint32_t i = 0; status == PM_OK && i < tuning->n_asked && pm_seconds() < end; i++) {
        bool done;
        if (!options->again && pm_tuning_find(tuning, &tuning->asked[i])) continue;
        status = tune_shape(device, &tuning->asked[i], options, end, &done, error);
        *tuned += done;
    }
    if (status == PM_OK && *tuned > 0) pm_tuning_save(device);
    return status;
}
