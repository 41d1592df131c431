/* Images made larger by repeating pixels, or smaller by averaging them; each is the other's gradient, up to a
 * factor. */
#include "base/status.h"
#include "ops/check.h"
#include "ops/layout.h"
#include "ops/table.h"

typedef struct resample_attr {
    uint32_t factor;
    float scale; /* of the result */
} resample_attr;

/* [B,H,W,C], a factor, and whether its multiples or its parts are wanted, to the output's shape. */
static void shape_resample(pm_graph *graph, pm_node *node, bool up)
{
    uint32_t factor = PM_ATTR(resample_attr, node)->factor;
    char text[64];
    if (!pm_check_operand(graph, node, 0, PM_DTYPE_F32)) return;
    pm_shape shape = pm_shape_of(graph, node->in[0]);
    bool fits = shape.rank == 4 && factor > 0;
    for (uint32_t axis = 1; fits && axis <= 2; axis++) {
        fits = up ? shape.dim[axis] <= INT32_MAX / factor : shape.dim[axis] % factor == 0;
        shape.dim[axis] = up ? shape.dim[axis] * factor : shape.dim[axis] / factor;
    }
    if (!fits) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "%s: %s is not [B,H,W,C] with height and width that go with the factor %u",
                      node->op->name, pm_shape_text(pm_shape_of(graph, node->in[0]), text), factor);
        return;
    }
    pm_node_output(graph, node, PM_DTYPE_F32, shape);
}

/* ---- Up-sampling --------------------------------------------------------------------------------------- */

static void shape_upsample(pm_graph *graph, pm_node *node)
{
    shape_resample(graph, node, true);
}

static void lower_upsample(pm_lowering *lowering, const pm_node *node)
{
    const resample_attr *attr = PM_ATTR(resample_attr, node);
    pm_shape x = pm_shape_of(lowering->graph, node->in[0]);
    uint32_t height = x.dim[1], width = x.dim[2], channels = x.dim[3];
    /* Each row and each pixel is read `factor` times in a row: axes of stride 0. */
    pm_strided view = {
        .rank = 5,
        .extent = {x.dim[0] * height, attr->factor, width, attr->factor, channels},
        .stride = {width * channels, 0, channels, 0, 1},
    };
    pm_lower_gather(lowering, node->in[0], node->out[0], view, attr->scale);
}

static void reference_upsample(const pm_reference *ref)
{
    const resample_attr *attr = PM_ATTR(resample_attr, ref->node);
    pm_shape x = ref->in[0].shape, y = ref->out[0].shape;
    uint32_t to = 0;
    for (uint32_t b = 0; b < y.dim[0]; b++) {
        for (uint32_t h = 0; h < y.dim[1]; h++) {
            for (uint32_t w = 0; w < y.dim[2]; w++) {
                uint32_t from = (b * x.dim[1] + h / attr->factor) * x.dim[2] + w / attr->factor;
                for (uint32_t c = 0; c < y.dim[3]; c++) {
                    ref->out[0].f[to++] = (double)attr->scale * ref->in[0].f[from * y.dim[3] + c];
                }
            }
        }
    }
}

static void backward_upsample(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                              const bool *wants, pm_tensor *grad_in)
{
    (void)wants;
    grad_in[0] = pm_emit(graph, &pm_op_pool, grad_out, 1, node->attr, sizeof(resample_attr), NULL);
}

pm_tensor pm_upsample_nearest(pm_graph *graph, pm_tensor x, uint32_t factor)
{
    resample_attr attr = {factor, 1.0f};
    if (factor == 1) return x;
    return pm_emit(graph, &pm_op_upsample, &x, 1, &attr, sizeof attr, NULL);
}

static pm_tensor case_upsample(pm_graph *graph, const uint32_t *p)
{
    pm_tensor x = pm_case_leaf(graph, "x", PM_SHAPE(p[0], p[1], p[2], p[3]), 1.0f);
    return pm_upsample_nearest(graph, x, p[4]);
}

static const pm_case cases_upsample[] = {
    {.name = "twice", .build = case_upsample, .p = {2, 3, 5, 4, 2}},
    {.name = "three times, odd channels", .build = case_upsample, .p = {2, 2, 3, 3, 3}},
    {.name = "one pixel", .build = case_upsample, .p = {1, 1, 1, 1, 4}},
    {.name = "several workgroups", .build = case_upsample, .p = {3, 10, 14, 16, 2}, .no_gradient = true},
    {.name = "odd, several workgroups", .build = case_upsample, .p = {2, 5, 11, 3, 3}},
    {.name = "14x14, 64 channels", .build = case_upsample, .p = {32, 14, 14, 64, 2}, .bench = true},
};

const pm_op pm_op_upsample = {
    .name = "upsample",
    .shape = shape_upsample,
    .backward = backward_upsample,
    .lower = lower_upsample,
    .reference = reference_upsample,
    PM_CASES(cases_upsample),
};

/* ---- Pooling ------------------------------------------------------------------------------------------- */

static void shape_pool(pm_graph *graph, pm_node *node)
{
    shape_resample(graph, node, false);
}

static void lower_pool(pm_lowering *lowering, const pm_node *node)
{
    const resample_attr *attr = PM_ATTR(resample_attr, node);
    pm_shape y = pm_shape_of(lowering->graph, node->out[0]);
    bool quads = pm_is_quads(y.dim[3]);
    uint32_t unit = quads ? 4 : 1, channels = y.dim[3] / unit;
    uint32_t square = attr->factor * channels,
             rows = attr->factor * y.dim[2] * square; /* units of the input */
    pm_strided view = {
        .rank = 3,
        .extent = {y.dim[0] * y.dim[1], y.dim[2], channels},
        .stride = {rows, square, 1},
    };
    pm_slab slab = pm_slab_of(lowering, view.extent[0], pm_view_row(&view), pm_slab_turns(lowering));
    uint32_t in_stride = pm_slab_stride(&slab, rows * unit);

    pm_dispatch *d = pm_dispatch_begin(lowering, quads ? "pool" : "pool_ragged", lowering->rules->lanes);
    pm_spec(d, view.rank);
    pm_spec(d, attr->factor);
    pm_push_view(d, &slab, &view, in_stride / 4 / unit);
    pm_push_f32(d, attr->scale);
    pm_bind_in(d, node->in[0], unit, in_stride);
    pm_bind_out(d, node->out[0], pm_slab_stride(&slab, pm_view_row(&view) * unit));
    pm_slab_groups(d, &slab);
}

static void reference_pool(const pm_reference *ref)
{
    const resample_attr *attr = PM_ATTR(resample_attr, ref->node);
    pm_shape x = ref->in[0].shape, y = ref->out[0].shape;
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        uint32_t c = i % y.dim[3], w = i / y.dim[3] % y.dim[2], h = i / y.dim[3] / y.dim[2] % y.dim[1];
        uint32_t b = i / y.dim[3] / y.dim[2] / y.dim[1];
        double sum = 0;
        for (uint32_t dh = 0; dh < attr->factor; dh++) {
            for (uint32_t dw = 0; dw < attr->factor; dw++) {
                uint32_t row = b * x.dim[1] + h * attr->factor + dh, column = w * attr->factor + dw;
                sum += ref->in[0].f[(row * x.dim[2] + column) * x.dim[3] + c];
            }
        }
        ref->out[0].f[i] = (double)attr->scale * sum;
    }
}

static void backward_pool(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out, const bool *wants,
                          pm_tensor *grad_in)
{
    (void)wants;
    grad_in[0] = pm_emit(graph, &pm_op_upsample, grad_out, 1, node->attr, sizeof(resample_attr), NULL);
}

pm_tensor pm_avg_pool(pm_graph *graph, pm_tensor x, uint32_t factor)
{
    resample_attr attr = {factor, factor ? 1.0f / ((float)factor * (float)factor) : 0.0f};
    if (factor == 1) return x;
    return pm_emit(graph, &pm_op_pool, &x, 1, &attr, sizeof attr, NULL);
}

static pm_tensor case_pool(pm_graph *graph, const uint32_t *p)
{
    pm_tensor x = pm_case_leaf(graph, "x", PM_SHAPE(p[0], p[1], p[2], p[3]), 1.0f);
    return pm_avg_pool(graph, x, p[4]);
}

static const pm_case cases_pool[] = {
    {.name = "halves", .build = case_pool, .p = {2, 4, 6, 4, 2}},
    {.name = "thirds, odd channels", .build = case_pool, .p = {2, 3, 9, 3, 3}},
    {.name = "to one pixel", .build = case_pool, .p = {2, 7, 7, 1, 7}},
    {.name = "several workgroups", .build = case_pool, .p = {5, 28, 28, 32, 2}, .no_gradient = true},
    {.name = "odd, several workgroups", .build = case_pool, .p = {2, 14, 20, 5, 2}},
    {.name = "odd, larger", .build = case_pool, .p = {6, 18, 18, 5, 2}, .no_gradient = true},
    {.name = "28x28, 32 channels", .build = case_pool, .p = {32, 28, 28, 32, 2}, .bench = true},
};

const pm_op pm_op_pool = {
    .name = "pool",
    .shape = shape_pool,
    .backward = backward_pool,
    .lower = lower_pool,
    .reference = reference_pool,
    PM_CASES(cases_pool),
};
