/* The gradient of a convolution's weights: a matrix product whose terms are output pixels, in chunks of
 * samples that the shapes alone decide, which are added up in their order. */
#include "ops/conv2d.h"
#include "ops/slab.h"

/* Samples of a chunk of the weights' gradient, whose order of summation it decides: about a thousand pixels;
 * more where that would make more than 128 chunks, or chunks' results of more than 2^22 elements. */
static uint32_t samples_of_chunk(const pm_conv_sizes *c)
{
    uint32_t samples = 1024 / (c->out_height * c->out_width), most = 128;
    uint32_t weights = c->kernel_height * c->kernel_width * c->channels * c->out_channels;
    uint32_t chunks = pm_ceil_div(c->batch, samples ? samples : 1);
    if (most > (1u << 22) / weights) most = (1u << 22) / weights;
    if (most == 0) most = 1;
    return pm_ceil_div(c->batch, chunks < most ? chunks : most);
}

/* Adds up the chunks, as far as a window has them. */
static void lower_weight_sum(pm_lowering *lowering, const pm_conv_sizes *c, const pm_window *parts,
                             uint32_t chunks, pm_tensor dw)
{
    uint32_t in4 = pm_round4(c->channels), quads = pm_round4(c->out_channels) / 4;
    uint32_t taps = c->kernel_height * c->kernel_width, rows = taps * c->channels;
    pm_slab slab = pm_slab_of(lowering, rows, quads, 1);
    pm_dispatch *d = pm_dispatch_begin(lowering, "conv2d_weight_sum", lowering->rules->lanes);
    pm_spec_tile(d, &(pm_tile){.rows = 4, .columns = 1}, c->out_channels);
    pm_spec_window(d, parts);
    pm_push_slab(d, &slab, rows * quads);
    pm_push_window(d, parts, 16);
    pm_push_u32(d, taps * in4 * quads);
    pm_push_u32(d, chunks);
    pm_push_divisor(d, quads);
    pm_push_divisor(d, c->channels);
    pm_push_u32(d, in4);
    pm_push_u32(d, c->out_channels);
    pm_bind_in(d, parts->tensor, 4, 0);
    pm_bind_update(d, dw, pm_slab_stride(&slab, c->out_channels));
    pm_groups(d, slab.groups_x, slab.groups_y, 1, 1, (double)rows * quads * 4 * chunks);
}

/* The gradient of the weights: x and dy in whole vec4s, the chunks' sums, and their sizes. */
typedef struct weight_sums {
    const pm_conv_sizes *c;
    pm_tensor x, dy, parts;
    uint32_t x_size, dy_size, part_size; /* elements of a sample, and of one chunk's sums */
    uint32_t chunk, chunks;
} weight_sums;

/* Where in its binding each operand begins, in bytes. */
typedef struct weight_first {
    uint32_t x, dy, part;
} weight_first;

typedef enum weight_samples { SAMPLES_ALL = 0, SAMPLES_FIRST = 1, SAMPLES_LATER = 2 } weight_samples;

static pm_dispatch *begin_weight(pm_lowering *lowering, const weight_sums *s, const pm_tile *tile,
                                 weight_samples kind, uint32_t samples, uint32_t chunk, weight_first first)
{
    const pm_conv_sizes *c = s->c;
    uint32_t in4 = pm_round4(c->channels), out4 = pm_round4(c->out_channels);
    pm_dispatch *d = pm_dispatch_begin(lowering, PM_TILE_SHADER(tile, "conv2d_weight"), tile->lanes);
    pm_spec_tile(d, tile, out4);
    pm_spec(d, kind);
    pm_spec_shared(d, lowering->rules, tile);
    d->rounds = pm_rounds(lowering->rules, c->kernel_height * c->kernel_width * in4, out4);
    const uint32_t sizes[] = {samples,       chunk,          c->height, c->width,         in4,
                              c->out_height, c->out_width,   out4,      c->kernel_height, c->kernel_width,
                              c->top,        c->left,        c->stride, tile->log2_lanes, first.x / 16,
                              first.dy / 16, first.part / 16};
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) pm_push_u32(d, sizes[i]);
    return d;
}

static double weight_flops(const weight_sums *s, uint32_t samples)
{
    return 2.0 * samples * s->c->out_height * s->c->out_width * s->part_size;
}

static void lower_chunks(pm_lowering *lowering, const weight_sums *s, const pm_tile *tile)
{
    uint32_t batch = s->c->batch;
    pm_dispatch *d = begin_weight(lowering, s, tile, SAMPLES_ALL, batch, s->chunk, (weight_first){0, 0, 0});
    pm_bind_in(d, s->x, 4, pm_stride_of((uint64_t)s->chunk * s->x_size));
    pm_bind_in(d, s->dy, 4, pm_stride_of((uint64_t)s->chunk * s->dy_size));
    pm_bind_update(d, s->parts, pm_stride_of(s->part_size));
    pm_groups(d, tile->groups_x, tile->groups_y, s->chunks, 2, weight_flops(s, batch));
}

/* Samples `first` to `first + samples` of chunk number `chunk`. */
static void lower_samples(pm_lowering *lowering, const weight_sums *s, const pm_tile *tile, uint32_t chunk,
                          uint32_t first, uint32_t samples)
{
    weight_first at;
    uint64_t from = (uint64_t)chunk * s->chunk + first, end = from + samples;
    uint64_t part_bytes = (uint64_t)s->part_size * 4;
    pm_tensor x = pm_part(lowering, s->x, from * s->x_size * 4, end * s->x_size * 4, &at.x);
    pm_tensor dy = pm_part(lowering, s->dy, from * s->dy_size * 4, end * s->dy_size * 4, &at.dy);
    pm_tensor part = pm_part(lowering, s->parts, chunk * part_bytes, (chunk + 1) * part_bytes, &at.part);
    pm_dispatch *d =
        begin_weight(lowering, s, tile, first ? SAMPLES_LATER : SAMPLES_FIRST, samples, samples, at);
    pm_bind_in(d, x, 4, 0);
    pm_bind_in(d, dy, 4, 0);
    pm_bind_update(d, part, pm_stride_of((uint64_t)tile->group_rows * pm_round4(s->c->out_channels)));
    pm_bind_halo(d, PM_BIND_ALIGN);
    pm_groups(d, tile->groups_x, tile->groups_y, 1, 1, weight_flops(s, samples));
}

/* Pixels that one invocation can go through, four a round. */
static uint64_t weight_pixels_in_rounds(const pm_lowering *lowering)
{
    return (uint64_t)lowering->rules->most_rounds * 4;
}

/* Samples that one binding holds, wherever they begin, and whose pixels a loop has rounds for: a multiple of
 * four where there are more, so that terms are added four at a time as in one go. */
static uint32_t samples_in_reach(const pm_lowering *lowering, const weight_sums *s)
{
    uint32_t largest = s->x_size > s->dy_size ? s->x_size : s->dy_size;
    uint64_t samples = (pm_reach(lowering, 4) - PM_BIND_ALIGN) / ((uint64_t)largest * 4);
    uint64_t in_rounds = weight_pixels_in_rounds(lowering) / (s->c->out_height * s->c->out_width);
    if (samples > in_rounds) samples = in_rounds;
    if (samples > s->chunk) samples = s->chunk;
    return samples == 0 ? 1 : samples < 4 ? (uint32_t)samples : (uint32_t)samples / 4 * 4;
}

/* What was measured, else by rule. */
static pm_tile tile_of_weight(const pm_rules *rules, const weight_sums *s, uint32_t rows, uint32_t columns)
{
    pm_rules tuned;
    uint32_t terms = s->chunk * s->c->out_height * s->c->out_width;
    pm_tiled_shape shape = pm_tiled_shape_of(rules, PM_TILED_CONV_WEIGHT, s->chunks, rows, columns, terms);
    return pm_tile_for(pm_tuned_rules(rules, &shape, &tuned), s->chunks, rows, columns);
}

void pm_lower_conv2d_weight(pm_lowering *lowering, const pm_node *node)
{
    const pm_conv_sizes *c = PM_ATTR(pm_conv_sizes, node);
    uint32_t in4 = pm_round4(c->channels), out4 = pm_round4(c->out_channels);
    uint32_t pixels = c->height * c->width, out_pixels = c->out_height * c->out_width;
    uint32_t rows = c->kernel_height * c->kernel_width * in4;
    weight_sums s = {.c = c,
                     .x_size = pixels * in4,
                     .dy_size = out_pixels * out4,
                     .part_size = rows * out4,
                     .chunk = samples_of_chunk(c)};
    s.chunks = pm_ceil_div(c->batch, s.chunk);
    s.dy = pm_conv_padded(lowering, node->in[GRAD_IN_DY], c->batch * out_pixels, c->out_channels);
    s.x = pm_conv_padded(lowering, node->in[GRAD_IN_OTHER], c->batch * pixels, c->channels);
    bool direct = s.chunks == 1 && pm_is_quads(c->channels) && pm_is_quads(c->out_channels);
    s.parts = direct ? node->out[0] : pm_scratch(lowering, PM_DTYPE_F32, s.chunks * s.part_size);
    pm_tile tile = tile_of_weight(lowering->rules, &s, rows, out4);
    bool in_chunks = (uint64_t)s.chunk * out_pixels <= weight_pixels_in_rounds(lowering);
    if (!in_chunks)
        (void)pm_rounds_fit(lowering, "conv2d", "images of this size", pm_ceil_div(out_pixels, 4));
    if (in_chunks) {
        lower_chunks(lowering, &s, &tile);
        in_chunks = pm_dispatch_stays(lowering);
    }
    if (!in_chunks) {
        uint32_t step = samples_in_reach(lowering, &s);
        for (uint32_t chunk = 0; chunk < s.chunks; chunk++) {
            uint32_t here = c->batch - chunk * s.chunk < s.chunk ? c->batch - chunk * s.chunk : s.chunk;
            for (uint32_t first = 0; first < here; first += step) {
                lower_samples(lowering, &s, &tile, chunk, first, here - first < step ? here - first : step);
            }
        }
    }
    for (pm_window w = pm_window_first(lowering, s.parts, 4); !direct && pm_window_is(&w);
         pm_window_next(&w)) {
        lower_weight_sum(lowering, c, &w, s.chunks, node->out[0]);
    }
}
