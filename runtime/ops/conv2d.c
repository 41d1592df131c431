/* Convolution of images [B,H,W,C] as a matrix product whose rows are output pixels, and its two gradients.
 * The data gradient is a convolution itself, of the output's gradient spread out by the stride, with the
 * kernel turned by half a turn. */
#include "ops/conv2d.h"

#include "base/status.h"
#include "device/tuning.h"
#include "ops/check.h"
#include "ops/slab.h"
#include "ops/table.h"
#include "ops/tile.h"

enum { IN_X, IN_WEIGHT, IN_BIAS, IN_PER_SAMPLE, IN_RESIDUAL, N_IN };

/* Of the convolution itself; pm_conv2d leaves the activation, which comes by absorbing, 0. */
typedef struct conv_attr {
    pm_conv_sizes sizes;
    uint32_t activation; /* as pm_activation_of */
} conv_attr;

/* ---- Shapes -------------------------------------------------------------------------------------------- */

static pm_shape x_shape(const pm_conv_sizes *c)
{
    return PM_SHAPE(c->batch, c->height, c->width, c->channels);
}

static pm_shape y_shape(const pm_conv_sizes *c)
{
    return PM_SHAPE(c->batch, c->out_height, c->out_width, c->out_channels);
}

static pm_shape weight_shape(const pm_conv_sizes *c)
{
    return PM_SHAPE(c->kernel_height, c->kernel_width, c->channels, c->out_channels);
}

/* pm_conv2d found the sizes from x and the weights; here the optional operands are held against them. */
static void shape_conv2d(pm_graph *graph, pm_node *node)
{
    static const char *const names[] = {
        [IN_BIAS] = "bias", [IN_PER_SAMPLE] = "addend of a sample", [IN_RESIDUAL] = "residual"};
    const pm_conv_sizes *c = PM_ATTR(pm_conv_sizes, node);
    char text[64], y_text[64];
    pm_shape want[N_IN] = {[IN_BIAS] = PM_SHAPE(c->out_channels),
                           [IN_PER_SAMPLE] = PM_SHAPE(c->batch, c->out_channels),
                           [IN_RESIDUAL] = y_shape(c)};
    if (!pm_check_operand(graph, node, IN_X, PM_DTYPE_F32) ||
        !pm_check_operand(graph, node, IN_WEIGHT, PM_DTYPE_F32))
        return;
    for (uint32_t i = IN_BIAS; i < N_IN; i++) {
        if (!pm_is(node->in[i])) continue;
        if (!pm_check_operand(graph, node, i, PM_DTYPE_F32)) return;
        pm_shape shape = pm_shape_of(graph, node->in[i]);
        if (!pm_shape_equal(shape, want[i])) {
            pm_graph_fail(graph, PM_BAD_USAGE, "conv2d: the %s is %s, and the result is %s", names[i],
                          pm_shape_text(shape, text), pm_shape_text(y_shape(c), y_text));
            return;
        }
    }
    pm_node_output(graph, node, PM_DTYPE_F32, y_shape(c));
}

static void shape_conv2d_data(pm_graph *graph, pm_node *node)
{
    pm_node_output(graph, node, PM_DTYPE_F32, x_shape(PM_ATTR(pm_conv_sizes, node)));
}

static void shape_conv2d_weight(pm_graph *graph, pm_node *node)
{
    pm_node_output(graph, node, PM_DTYPE_F32, weight_shape(PM_ATTR(pm_conv_sizes, node)));
}

/* ---- Dispatches ---------------------------------------------------------------------------------------- */

/* The weights in whole vec4s; turned round and with their channels swapped for the data gradient. */
static pm_tensor prepare_weights(pm_lowering *lowering, const pm_conv_sizes *c, pm_tensor weight, bool flip)
{
    if (!flip && pm_is_quads(c->channels) && pm_is_quads(c->out_channels)) return weight;
    return pm_prepared(lowering, weight, c->kernel_height * c->kernel_width, c->channels, c->out_channels,
                       flip);
}

typedef struct conv_operands {
    pm_tensor x, weight, bias, per_sample, residual, y; /* weight: prepared */
    uint32_t activation;
} conv_operands;

/* Samples that one z of the grid covers: enough pixels to be worth it, and to fill tiles. Does not matter to
 * the result. */
static uint32_t samples_of_slice(const pm_conv_sizes *c)
{
    uint32_t samples = 4096 / (c->out_height * c->out_width);
    uint32_t slices = pm_ceil_div(c->batch, samples ? samples : 1);
    return pm_ceil_div(c->batch, slices);
}

/* The taps whose weights one dispatch sees. */
typedef struct tap_range {
    uint32_t first, end, all;
} tap_range;

/* For so many slices of rows, of sums of so many terms: what was measured, else by rule. */
static pm_tile tile_for(const pm_rules *all, uint32_t spread, uint32_t slices, uint32_t rows,
                        uint32_t columns, uint32_t terms)
{
    pm_rules tuned, rules = *all;
    if (spread > 1) rules.on &= ~PM_BIT(PM_MATRIX_UNITS);
    pm_tiled_shape shape = pm_tiled_shape_of(&rules, PM_TILED_CONV, 1, rows, columns, terms);
    const pm_rules *chosen = pm_tuned_rules(&rules, &shape, &tuned);
    return spread > 1 ? pm_register_tile_for(chosen, slices, rows, columns)
                      : pm_tile_for(chosen, slices, rows, columns);
}

/* `spread` as in shaders/conv2d.comp, `slice` the samples of one z. All but x, y and the weights are added
 * with the last taps. */
static void lower_taps(pm_lowering *lowering, const pm_conv_sizes *c, uint32_t spread, const conv_operands *o,
                       uint32_t slice, tap_range taps)
{
    enum { HAS_BIAS = 1 }; /* of shaders/include/conv2d.glsl, as all of these */
    enum { TAPS_ALL = 0, TAPS_FIRST = 1, TAPS_LATER = 2, TAPS_SPREAD = 4 };
    enum { PER_SAMPLE_WHOLE = 1, PER_SAMPLE_CUT = 2 };
    uint32_t in4 = pm_round4(c->channels), out4 = pm_round4(c->out_channels), weight_first;
    uint32_t pixels = c->height * c->width, out_pixels = c->out_height * c->out_width;
    uint32_t rows =
        spread * spread * slice * pm_ceil_div(c->out_height, spread) * pm_ceil_div(c->out_width, spread);
    bool last = taps.end == taps.all, whole = taps.first == 0 && last;
    bool per_sample = last && pm_is(o->per_sample), residual = last && pm_is(o->residual);
    bool per_sample_whole = per_sample && pm_fits_whole(lowering, o->per_sample, 4);
    uint64_t tap_bytes = (uint64_t)in4 * out4 * 4;
    pm_tensor weight =
        pm_part(lowering, o->weight, taps.first * tap_bytes, taps.end * tap_bytes, &weight_first);
    uint32_t slices = pm_ceil_div(c->batch, slice);
    pm_tile tile = tile_for(lowering->rules, spread, slices, rows, c->out_channels,
                            in4 * c->kernel_height * c->kernel_width);
    uint32_t x_stride = pm_stride_of((uint64_t)slice * pixels * in4);

    pm_dispatch *d = pm_dispatch_begin(lowering, PM_TILE_SHADER(&tile, "conv2d"), tile.lanes);
    pm_spec_tile(d, &tile, c->out_channels);
    pm_spec(d, !per_sample ? 0 : per_sample_whole ? PER_SAMPLE_WHOLE : PER_SAMPLE_CUT);
    pm_spec_epilogue(d, residual, false, last ? o->activation : 0);
    uint32_t of_taps = whole ? TAPS_ALL : taps.first == 0 ? TAPS_FIRST : TAPS_LATER;
    pm_spec(d, spread > 1 && tile.shows ? of_taps + TAPS_SPREAD : of_taps);
    pm_spec_shared(d, lowering->rules, &tile);
    d->rounds = spread == 1 && pm_rounds(lowering->rules, rows, c->out_channels);
    const uint32_t sizes[] = {c->batch,
                              slice,
                              c->height,
                              c->width,
                              in4,
                              c->out_height,
                              c->out_width,
                              c->out_channels,
                              c->kernel_height,
                              c->kernel_width,
                              c->top,
                              c->left,
                              c->stride,
                              pm_log2_of(spread),
                              tile.log2_lanes,
                              last && pm_is(o->bias) ? HAS_BIAS : 0,
                              taps.first,
                              taps.end,
                              weight_first / 16};
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) pm_push_u32(d, sizes[i]);
    pm_bind_in(d, o->x, 4, x_stride);
    pm_bind_in(d, weight, 4, 0);
    pm_bind_in(d, last && pm_is(o->bias) ? o->bias : weight, 4, 0);
    pm_bind_in(d, per_sample ? o->per_sample : weight, 4,
               per_sample && !per_sample_whole ? pm_stride_of((uint64_t)slice * out4) : 0);
    pm_bind_in(d, residual ? o->residual : o->x, 4,
               residual ? pm_stride_of((uint64_t)slice * out_pixels * out4) : x_stride);
    pm_bind_update(d, o->y, pm_stride_of((uint64_t)slice * out_pixels * c->out_channels));
    pm_groups(d, tile.groups_x, tile.groups_y, slices, 2,
              2.0 * c->batch * out_pixels * c->out_channels * c->channels * (taps.end - taps.first) /
                  (spread * spread));
}

/* Rounds of a dispatch for each tap. A driver may run a loop inside a branch that is not taken, and count it:
 * then that over taps makes one in every round of that over channels. */
static uint64_t rounds_of_tap(const pm_conv_sizes *c)
{
    return 2 * ((uint64_t)pm_round4(c->channels) / 4 + 1);
}

/* `spread` as in shaders/conv2d.comp. Weights that cannot be bound whole, or make a loop too long, are taken
 * tap by tap, as many as can be; samples of which the slices cannot, in smaller slices. */
static void lower_sums(pm_lowering *lowering, const pm_conv_sizes *c, uint32_t spread, conv_operands o)
{
    uint64_t tap_bytes = (uint64_t)pm_round4(c->channels) * pm_round4(c->out_channels) * 4;
    uint64_t in_reach = (pm_reach(lowering, 4) - PM_BIND_ALIGN) / tap_bytes;
    uint32_t slice = samples_of_slice(c), all = c->kernel_height * c->kernel_width, step = all;
    o.x = pm_conv_padded(lowering, o.x, c->batch * c->height * c->width, c->channels);
    o.per_sample = pm_conv_padded(lowering, o.per_sample, c->batch, c->out_channels);
    o.residual =
        pm_conv_padded(lowering, o.residual, c->batch * c->out_height * c->out_width, c->out_channels);
    if (!pm_fits_whole(lowering, o.weight, 4)) step = in_reach == 0 ? 1 : (uint32_t)in_reach;
    uint64_t in_rounds = lowering->rules->most_rounds / rounds_of_tap(c);
    if (in_rounds < step) step = in_rounds == 0 ? 1 : (uint32_t)in_rounds;
    for (uint32_t first = 0; first < all;) {
        uint32_t end = all - first < step ? all : first + step;
        lower_taps(lowering, c, spread, &o, slice, (tap_range){first, end, all});
        if (slice == 1 || pm_dispatch_stays(lowering)) {
            first = end;
        } else {
            slice /= 2;
        }
    }
}

static void lower_tiles(pm_lowering *lowering, const pm_conv_sizes *c, uint32_t spread, conv_operands o)
{
    uint32_t pixels = c->out_height * c->out_width, channels = c->out_channels;
    pm_addend addends[] = {{o.bias, 1, c->batch * pixels, channels, PM_BIAS_EPILOGUE},
                           {o.per_sample, c->batch, pixels, channels, PM_SAMPLE_EPILOGUE},
                           {o.residual, c->batch * pixels, 1, channels, PM_RESIDUAL_EPILOGUE}};
    uint32_t inside = pm_addends_inside(lowering, addends, 3);
    pm_tensor out = o.y;
    o.y = pm_addends_begin(lowering, addends, inside, 3, out);
    if (inside < 1) o.bias = PM_NONE;
    if (inside < 2) o.per_sample = PM_NONE;
    if (inside < 3) o.residual = PM_NONE;
    lower_sums(lowering, c, spread, o);
    pm_lower_addends(lowering, o.y, addends, inside, 3, out);
}

/* Whether this is the product of the pixels' channels and a matrix. */
static bool is_product(const pm_lowering *lowering, const pm_conv_sizes *c)
{
    if (!pm_on(lowering->rules, PM_PRODUCT_CONVOLUTIONS)) return false;
    return c->kernel_height == 1 && c->kernel_width == 1 && c->stride == 1 && c->out_height == c->height &&
           c->out_width == c->width;
}

/* The kernels' order is bias, a sample's addend, residual, activation. */
static bool absorb(const pm_lowering *lowering, pm_node *node, const pm_node *reader)
{
    conv_attr *attr = (conv_attr *)(void *)node->attr;
    const pm_conv_sizes *c = &attr->sizes;
    pm_addend addends[] = {{.x = node->in[IN_BIAS], .feature = PM_BIAS_EPILOGUE},
                           {.x = node->in[IN_PER_SAMPLE], .feature = PM_SAMPLE_EPILOGUE},
                           {.x = node->in[IN_RESIDUAL], .feature = PM_RESIDUAL_EPILOGUE}};
    if (attr->activation || pm_addends_inside(lowering, addends, 3) < 3) return false;
    uint64_t rounds = (uint64_t)c->kernel_height * c->kernel_width * rounds_of_tap(c);
    pm_follower follower = pm_follower_of(lowering, reader, node->out[0], rounds);
    if (follower.activation == 0) return false;
    attr->activation = follower.activation;
    node->out[0] = reader->out[0];
    return true;
}

static void lower_conv2d(pm_lowering *lowering, const pm_node *node)
{
    const pm_conv_sizes *c = PM_ATTR(pm_conv_sizes, node);
    uint32_t activation = PM_ATTR(conv_attr, node)->activation;
    const pm_tensor *in = node->in;
    if (is_product(lowering, c) && !pm_is(in[IN_PER_SAMPLE])) {
        pm_lower_product(lowering, (pm_product){.layout = PM_AB,
                                                .m = c->batch * c->height * c->width,
                                                .n = c->out_channels,
                                                .k = c->channels,
                                                .batch = 1,
                                                .a = in[IN_X],
                                                .b = in[IN_WEIGHT],
                                                .bias = in[IN_BIAS],
                                                .residual = in[IN_RESIDUAL],
                                                .c = node->out[0],
                                                .activation = activation});
        return;
    }
    pm_tensor weight = prepare_weights(lowering, c, in[IN_WEIGHT], false);
    lower_tiles(lowering, c, 1,
                (conv_operands){in[IN_X], weight, in[IN_BIAS], in[IN_PER_SAMPLE], in[IN_RESIDUAL],
                                node->out[0], activation});
}

static void lower_conv2d_data(pm_lowering *lowering, const pm_node *node)
{
    const pm_conv_sizes *c = PM_ATTR(pm_conv_sizes, node);
    pm_tensor dy = node->in[GRAD_IN_DY], weight = node->in[GRAD_IN_OTHER];
    if (is_product(lowering, c)) {
        pm_lower_product(lowering, (pm_product){.layout = PM_ABT,
                                                .m = c->batch * c->height * c->width,
                                                .n = c->channels,
                                                .k = c->out_channels,
                                                .batch = 1,
                                                .a = dy,
                                                .b = weight,
                                                .c = node->out[0]});
        return;
    }
    pm_conv_sizes turned = {
        .batch = c->batch,
        .height = c->out_height,
        .width = c->out_width,
        .channels = c->out_channels,
        .out_height = c->height,
        .out_width = c->width,
        .out_channels = c->channels,
        .kernel_height = c->kernel_height,
        .kernel_width = c->kernel_width,
        .stride = 1,
        .top = c->kernel_height - 1 - c->top,
        .left = c->kernel_width - 1 - c->left,
    };
    lower_tiles(
        lowering, &turned, c->stride,
        (conv_operands){.x = dy, .weight = prepare_weights(lowering, c, weight, true), .y = node->out[0]});
}

/* ---- References ---------------------------------------------------------------------------------------- */

/* What a tap of an output pixel multiplies: element [at_x, ci] of x with element [at_w, ci, co] of the
 * weights, for all ci, co. */
typedef void visit(const pm_reference *ref, const pm_conv_sizes *c, uint32_t x_at, uint32_t w_at,
                   uint32_t y_at);

static void visit_taps(const pm_reference *ref, visit *function)
{
    const pm_conv_sizes *c = PM_ATTR(pm_conv_sizes, ref->node);
    for (uint32_t i = 0; i < c->batch * c->out_height * c->out_width; i++) {
        uint32_t b = i / (c->out_height * c->out_width), y = i / c->out_width % c->out_height,
                 x = i % c->out_width;
        for (uint32_t tap = 0; tap < c->kernel_height * c->kernel_width; tap++) {
            int64_t row = (int64_t)y * c->stride + tap / c->kernel_width - c->top;
            int64_t column = (int64_t)x * c->stride + tap % c->kernel_width - c->left;
            if (row < 0 || column < 0 || row >= c->height || column >= c->width) continue;
            uint32_t pixel = (b * c->height + (uint32_t)row) * c->width + (uint32_t)column;
            function(ref, c, pixel * c->channels, tap * c->channels * c->out_channels, i * c->out_channels);
        }
    }
}

static void visit_forward(const pm_reference *ref, const pm_conv_sizes *c, uint32_t x_at, uint32_t w_at,
                          uint32_t y_at)
{
    const double *x = ref->in[IN_X].f + x_at, *w = ref->in[IN_WEIGHT].f + w_at;
    double *y = ref->out[0].f + y_at;
    for (uint32_t co = 0; co < c->out_channels; co++) {
        for (uint32_t ci = 0; ci < c->channels; ci++) y[co] += x[ci] * w[ci * c->out_channels + co];
    }
}

static void visit_data(const pm_reference *ref, const pm_conv_sizes *c, uint32_t x_at, uint32_t w_at,
                       uint32_t y_at)
{
    const double *dy = ref->in[GRAD_IN_DY].f + y_at, *w = ref->in[GRAD_IN_OTHER].f + w_at;
    double *dx = ref->out[0].f + x_at;
    for (uint32_t ci = 0; ci < c->channels; ci++) {
        for (uint32_t co = 0; co < c->out_channels; co++) dx[ci] += dy[co] * w[ci * c->out_channels + co];
    }
}

static void visit_weight(const pm_reference *ref, const pm_conv_sizes *c, uint32_t x_at, uint32_t w_at,
                         uint32_t y_at)
{
    const double *dy = ref->in[GRAD_IN_DY].f + y_at, *x = ref->in[GRAD_IN_OTHER].f + x_at;
    double *dw = ref->out[0].f + w_at;
    for (uint32_t ci = 0; ci < c->channels; ci++) {
        for (uint32_t co = 0; co < c->out_channels; co++) dw[ci * c->out_channels + co] += x[ci] * dy[co];
    }
}

static void clear(const pm_host *host)
{
    for (uint32_t i = 0; i < host->count; i++) host->f[i] = 0.0;
}

static void reference_conv2d(const pm_reference *ref)
{
    const pm_conv_sizes *c = PM_ATTR(pm_conv_sizes, ref->node);
    const pm_host *in = ref->in;
    clear(&ref->out[0]);
    visit_taps(ref, visit_forward);
    for (uint32_t i = 0; i < ref->out[0].count; i++) {
        uint32_t co = i % c->out_channels, b = i / (c->out_height * c->out_width * c->out_channels);
        if (in[IN_BIAS].count) ref->out[0].f[i] += in[IN_BIAS].f[co];
        if (in[IN_PER_SAMPLE].count) ref->out[0].f[i] += in[IN_PER_SAMPLE].f[b * c->out_channels + co];
        if (in[IN_RESIDUAL].count) ref->out[0].f[i] += in[IN_RESIDUAL].f[i];
    }
}

static void reference_conv2d_data(const pm_reference *ref)
{
    clear(&ref->out[0]);
    visit_taps(ref, visit_data);
}

static void reference_conv2d_weight(const pm_reference *ref)
{
    clear(&ref->out[0]);
    visit_taps(ref, visit_weight);
}

/* ---- The operators ------------------------------------------------------------------------------------- */

/* dX from dY and the weights; dW from dY and X. Neither is differentiable again. */
const pm_op pm_op_conv2d_data = {
    .name = "conv2d_data",
    .products = true,
    .shape = shape_conv2d_data,
    .lower = lower_conv2d_data,
    .reference = reference_conv2d_data,
};

const pm_op pm_op_conv2d_weight = {
    .name = "conv2d_weight",
    .products = true,
    .shape = shape_conv2d_weight,
    .lower = pm_lower_conv2d_weight,
    .reference = reference_conv2d_weight,
};

static void backward_conv2d(pm_graph *graph, const pm_node *node, const pm_tensor *grad_out,
                            const bool *wants, pm_tensor *grad_in)
{
    const pm_conv_sizes *c = PM_ATTR(pm_conv_sizes, node);
    pm_tensor dy = grad_out[0];
    if (wants[IN_X]) {
        grad_in[IN_X] =
            pm_emit(graph, &pm_op_conv2d_data, (pm_tensor[]){dy, node->in[IN_WEIGHT]}, 2, c, sizeof *c, NULL);
    }
    if (wants[IN_WEIGHT]) {
        grad_in[IN_WEIGHT] =
            pm_emit(graph, &pm_op_conv2d_weight, (pm_tensor[]){dy, node->in[IN_X]}, 2, c, sizeof *c, NULL);
    }
    if (wants[IN_BIAS]) grad_in[IN_BIAS] = pm_sum_to(graph, dy, PM_SHAPE(c->out_channels));
    if (wants[IN_PER_SAMPLE]) {
        pm_tensor sum = pm_sum_to(graph, dy, PM_SHAPE(c->batch, 1, 1, c->out_channels));
        grad_in[IN_PER_SAMPLE] = pm_reshape(graph, sum, PM_SHAPE(c->batch, c->out_channels));
    }
    if (wants[IN_RESIDUAL]) grad_in[IN_RESIDUAL] = dy;
}

/* p: batch, height, width, channels, out channels, kernel, stride, padding at the four sides as a decimal
 * number (top, left, bottom, right), optional operands (1 bias, 2 per sample, 4 residual). */
static pm_tensor case_conv2d(pm_graph *graph, const uint32_t *p)
{
    uint32_t top = p[7] / 1000, left = p[7] / 100 % 10, bottom = p[7] / 10 % 10, right = p[7] % 10;
    uint32_t height = (p[1] + top + bottom - p[5]) / p[6] + 1,
             width = (p[2] + left + right - p[5]) / p[6] + 1;
    pm_tensor x = pm_case_leaf(graph, "x", PM_SHAPE(p[0], p[1], p[2], p[3]), 1.0f);
    pm_tensor weight = pm_case_leaf(graph, "weight", PM_SHAPE(p[5], p[5], p[3], p[4]), 1.0f);
    pm_conv2d_args args = {
        .stride = p[6], .pad_top = top, .pad_left = left, .pad_bottom = bottom, .pad_right = right};
    if (p[8] & 1) args.bias = pm_case_leaf(graph, "bias", PM_SHAPE(p[4]), 1.0f);
    if (p[8] & 2) args.per_sample = pm_case_leaf(graph, "per_sample", PM_SHAPE(p[0], p[4]), 1.0f);
    if (p[8] & 4) args.residual = pm_case_leaf(graph, "residual", PM_SHAPE(p[0], height, width, p[4]), 1.0f);
    return pm_conv2d(graph, x, weight, args);
}

static const pm_case cases_conv2d[] = {
    {.name = "3x3", .build = case_conv2d, .p = {2, 5, 7, 8, 12, 3, 1, 1111}},
    {.name = "3x3, all addends", .build = case_conv2d, .p = {3, 4, 6, 4, 8, 3, 1, 1111, 7}},
    {.name = "3x3, odd channels, all addends", .build = case_conv2d, .p = {2, 5, 4, 3, 5, 3, 1, 1111, 7}},
    {.name = "3x3, one channel in", .build = case_conv2d, .p = {2, 6, 6, 1, 8, 3, 1, 1111, 1}},
    {.name = "3x3, one channel out", .build = case_conv2d, .p = {2, 6, 6, 8, 1, 3, 1, 1111, 1}},
    {.name = "3x3, no padding", .build = case_conv2d, .p = {2, 5, 6, 4, 4, 3, 1, 0}},
    {.name = "3x3, uneven padding", .build = case_conv2d, .p = {2, 5, 6, 4, 4, 3, 1, 2010}},
    {.name = "3x3, one pixel", .build = case_conv2d, .p = {3, 1, 1, 4, 4, 3, 1, 1111}},
    {.name = "3x3, stride 2", .build = case_conv2d, .p = {2, 8, 8, 4, 8, 3, 2, 1100}},
    {.name = "3x3, stride 2, odd sides and channels",
     .build = case_conv2d,
     .p = {2, 7, 5, 3, 6, 3, 2, 1111, 3}},
    {.name = "3x3, stride 2, padded behind", .build = case_conv2d, .p = {3, 6, 4, 5, 4, 3, 2, 11, 4}},
    {.name = "1x1", .build = case_conv2d, .p = {2, 3, 5, 8, 12, 1, 1, 0, 5}},
    {.name = "1x1, odd channels, per sample", .build = case_conv2d, .p = {2, 3, 5, 3, 2, 1, 1, 0, 3}},
    {.name = "1x1, stride 2", .build = case_conv2d, .p = {2, 5, 4, 4, 4, 1, 2, 0, 1}},
    {.name = "3x3, several workgroups and chunks",
     .build = case_conv2d,
     .p = {5, 23, 21, 4, 4, 3, 1, 1111, 1}},
    {.name = "3x3, large", .build = case_conv2d, .p = {5, 28, 28, 32, 36, 3, 1, 1111, 1}, .large = true},
    {.name = "3x3, stride 2, large",
     .build = case_conv2d,
     .p = {3, 28, 28, 24, 64, 3, 2, 11, 1},
     .large = true},
    {.name = "3x3, 28x28, 32 to 32",
     .build = case_conv2d,
     .p = {32, 28, 28, 32, 32, 3, 1, 1111, 1},
     .bench = true},
    {.name = "3x3, 28x28, 96 to 32",
     .build = case_conv2d,
     .p = {32, 28, 28, 96, 32, 3, 1, 1111, 1},
     .bench = true},
    {.name = "3x3, 14x14, 64 to 64",
     .build = case_conv2d,
     .p = {32, 14, 14, 64, 64, 3, 1, 1111, 1},
     .bench = true},
    {.name = "3x3, 14x14, 128 to 64",
     .build = case_conv2d,
     .p = {32, 14, 14, 128, 64, 3, 1, 1111, 1},
     .bench = true},
    {.name = "3x3, stride 2, 28x28, 32 to 32",
     .build = case_conv2d,
     .p = {32, 28, 28, 32, 32, 3, 2, 11, 1},
     .bench = true},
    {.name = "1x1, 28x28, 64 to 32",
     .build = case_conv2d,
     .p = {32, 28, 28, 64, 32, 1, 1, 0, 1},
     .bench = true},
};

const pm_op pm_op_conv2d = {
    .name = "conv2d",
    .products = true,
    .shape = shape_conv2d,
    .backward = backward_conv2d,
    .lower = lower_conv2d,
    .absorb = absorb,
    .reference = reference_conv2d,
    PM_CASES(cases_conv2d),
};

pm_tensor pm_conv2d(pm_graph *graph, pm_tensor x, pm_tensor weight, pm_conv2d_args args)
{
    if (!pm_ok(graph)) return PM_NONE;
    char x_text[64], w_text[64];
    pm_shape in = pm_shape_of(graph, x), w = pm_shape_of(graph, weight);
    if (in.rank != 4 || w.rank != 4 || in.dim[3] != w.dim[2]) {
        pm_graph_fail(graph, PM_BAD_USAGE, "conv2d: x %s does not fit the weights %s",
                      pm_shape_text(in, x_text), pm_shape_text(w, w_text));
        return PM_NONE;
    }
    uint32_t stride = args.stride ? args.stride : 1;
    bool padding_fits = args.pad_top < w.dim[0] && args.pad_bottom < w.dim[0] && args.pad_left < w.dim[1] &&
                        args.pad_right < w.dim[1];
    if (stride > 2 || w.dim[0] > 16 || w.dim[1] > 16 || !padding_fits ||
        in.dim[1] + args.pad_top + args.pad_bottom < w.dim[0] ||
        in.dim[2] + args.pad_left + args.pad_right < w.dim[1]) {
        pm_graph_fail(
            graph, PM_BAD_USAGE,
            "conv2d: x %s, weights %s: the stride must be 1 or 2, the padding smaller than the kernel, and "
            "the kernel no larger than the padded image (or 16)",
            pm_shape_text(in, x_text), pm_shape_text(w, w_text));
        return PM_NONE;
    }
    pm_conv_sizes attr = {
        .batch = in.dim[0],
        .height = in.dim[1],
        .width = in.dim[2],
        .channels = in.dim[3],
        .out_height = (in.dim[1] + args.pad_top + args.pad_bottom - w.dim[0]) / stride + 1,
        .out_width = (in.dim[2] + args.pad_left + args.pad_right - w.dim[1]) / stride + 1,
        .out_channels = w.dim[3],
        .kernel_height = w.dim[0],
        .kernel_width = w.dim[1],
        .stride = stride,
        .top = args.pad_top,
        .left = args.pad_left,
    };
    pm_tensor operands[N_IN] = {x, weight, args.bias, args.per_sample, args.residual};
    return pm_emit(graph, &pm_op_conv2d, operands, N_IN, &attr, sizeof attr, NULL);
}
