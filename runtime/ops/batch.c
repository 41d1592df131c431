/* Batches of images from a data set that lies on the device: shuffled anew each epoch by a permutation that
 * is computed and not stored. */
#include "base/philox.h"
#include "base/status.h"
#include "ops/check.h"
#include "ops/flat.h"
#include "ops/random.h"
#include "ops/slab.h"
#include "ops/table.h"

#include <stdlib.h>

#define STREAM_MIRROR 0xfffffffeu /* next to PM_STREAM_PERMUTE */
#define MIRRORED 0x80000000u

typedef struct batch_attr {
    uint32_t batch;
    bool mirror;
} batch_attr;

/* in: pixels, labels, counter; out: images, labels */
static void shape_batch(pm_graph *graph, pm_node *node)
{
    uint32_t batch = PM_ATTR(batch_attr, node)->batch;
    char pixels_text[64], labels_text[64];
    if (!pm_check_operand(graph, node, 0, PM_DTYPE_U8) || !pm_check_operand(graph, node, 1, PM_DTYPE_U32) ||
        !pm_check_counter(graph, node, 2)) {
        return;
    }
    pm_shape pixels = pm_shape_of(graph, node->in[0]), labels = pm_shape_of(graph, node->in[1]);
    if (pixels.rank != 4 || labels.rank != 1 || labels.dim[0] != pixels.dim[0]) {
        pm_graph_fail(graph, PM_BAD_USAGE,
                      "batch_images: pixels must be [N,H,W,C], not %s, and labels [N], not %s",
                      pm_shape_text(pixels, pixels_text), pm_shape_text(labels, labels_text));
        return;
    }
    pixels.dim[0] = batch;
    pm_node_output(graph, node, PM_DTYPE_F32, pixels);
    pm_node_output(graph, node, PM_DTYPE_U32, PM_SHAPE(batch));
}

/* Which images, and whether mirrored; and the labels that lie in a window of them. */
static void choose_images(pm_lowering *lowering, const pm_node *node, pm_tensor chosen,
                          const pm_window *labels)
{
    const batch_attr *attr = PM_ATTR(batch_attr, node);
    uint32_t lanes = lowering->rules->lanes;
    pm_dispatch *d = pm_dispatch_begin(lowering, "batch_select", lanes);
    pm_spec(d, attr->mirror);
    pm_spec(d, STREAM_MIRROR);
    pm_spec_window(d, labels);
    pm_push_u32(d, attr->batch);
    pm_push_u32(d, pm_shape_of(lowering->graph, node->in[0]).dim[0]);
    pm_push_window(d, labels, 4);
    pm_bind_in(d, node->in[2], 1, 0);
    pm_bind_in(d, labels->tensor, 1, 0);
    pm_bind_out(d, chosen, 0);
    pm_bind_out(d, node->out[1], 0);
    pm_groups(d, pm_ceil_div(attr->batch, lanes), 1, 1, 0, 0);
}

/* The pixels that lie in a window of all. */
static void fetch_images(pm_lowering *lowering, const pm_node *node, pm_tensor chosen,
                         const pm_window *images)
{
    const batch_attr *attr = PM_ATTR(batch_attr, node);
    pm_shape pixels = pm_shape_of(lowering->graph, node->in[0]);
    uint32_t row = pixels.dim[2] * pixels.dim[3], image = pixels.dim[1] * row, count = attr->batch * image;
    pm_dispatch *d = pm_dispatch_begin(lowering, "batch", lowering->rules->lanes);
    pm_spec(d, pm_is_quads(image) && !attr->mirror);
    pm_spec_window(d, images);
    pm_push_u32(d, count);
    pm_push_divisor(d, image);
    pm_push_divisor(d, row);
    pm_push_divisor(d, pixels.dim[3]);
    pm_push_window(d, images, 4);
    pm_bind_in(d, images->tensor, 1, 0);
    pm_bind_in(d, chosen, 1, 0);
    pm_bind_update(d, node->out[0], pm_flat_stride(lowering));
    pm_groups(d, pm_flat_groups(lowering, pm_quads(count)), 1, 1, 0, 0);
}

static void lower_batch(pm_lowering *lowering, const pm_node *node)
{
    pm_tensor chosen = pm_scratch(lowering, PM_DTYPE_U32, PM_ATTR(batch_attr, node)->batch);
    for (pm_window w = pm_window_first(lowering, node->in[1], 1); pm_window_is(&w); pm_window_next(&w)) {
        choose_images(lowering, node, chosen, &w);
    }
    for (pm_window w = pm_window_first(lowering, node->in[0], 1); pm_window_is(&w); pm_window_next(&w)) {
        fetch_images(lowering, node, chosen, &w);
    }
}

/* Image i of the batch: which one of the data set, and whether it is mirrored. The sequence begins again
 * after 2^32 images. */
static uint32_t choose(const batch_attr *attr, const uint32_t *counter, uint32_t i, uint32_t images,
                       bool *mirrored)
{
    uint32_t number = counter[0] * attr->batch + counter[1] + i;
    *mirrored = attr->mirror && (pm_draw_element(counter, STREAM_MIRROR, i, 0) & MIRRORED) != 0;
    return pm_permute(number % images, images, counter + 2, number / images);
}

static void reference_batch(const pm_reference *ref)
{
    const batch_attr *attr = PM_ATTR(batch_attr, ref->node);
    pm_shape shape = ref->in[0].shape;
    uint32_t width = shape.dim[2], channels = shape.dim[3], lines = shape.dim[1];
    for (uint32_t b = 0; b < attr->batch; b++) {
        bool mirrored;
        uint32_t image = choose(attr, ref->in[2].u, b, shape.dim[0], &mirrored);
        ref->out[1].u[b] = ref->in[1].u[image];
        for (uint32_t i = 0; i < lines * width * channels; i++) {
            uint32_t c = i % channels, x = i / channels % width, y = i / channels / width;
            uint32_t from_x = mirrored ? width - 1 - x : x;
            uint32_t value = ref->in[0].u[((image * lines + y) * width + from_x) * channels + c];
            ref->out[0].f[b * lines * width * channels + i] = (double)value / 127.5 - 1.0;
        }
    }
}

pm_tensor pm_batch_images(pm_graph *graph, pm_tensor pixels, pm_tensor all_labels, pm_tensor counter,
                          uint32_t batch, bool mirror, pm_tensor *labels)
{
    batch_attr attr = {batch, mirror};
    pm_tensor in[] = {pixels, all_labels, counter}, out[PM_MAX_OUTPUTS] = {PM_NONE};
    (void)pm_emit(graph, &pm_op_batch_images, in, 3, &attr, sizeof attr, out);
    if (labels) *labels = out[1];
    return out[0];
}

/* p: images, height, width, channels, batch, mirrored */
static pm_tensor case_batch(pm_graph *graph, const uint32_t *p)
{
    uint32_t count = p[0] * p[1] * p[2] * p[3];
    uint8_t *bytes = malloc(count);
    if (!bytes) {
        pm_graph_fail(graph, PM_NO_MEMORY, "batch_images: out of host memory");
        return PM_NONE;
    }
    for (uint32_t i = 0; i < count; i++) bytes[i] = (uint8_t)(i * 2654435761u >> 24);
    pm_tensor pixels = pm_constant(graph, "pixels", PM_DTYPE_U8, PM_SHAPE(p[0], p[1], p[2], p[3]), bytes);
    free(bytes);
    pm_tensor labels = pm_case_indices(graph, "labels", PM_SHAPE(p[0]), 10);
    return pm_batch_images(graph, pixels, labels, pm_case_counter(graph), p[4], p[5] != 0, NULL);
}

static const pm_case cases_batch[] = {
    {.name = "words", .build = case_batch, .p = {50, 6, 6, 1, 8, 0}, .no_gradient = true},
    {.name = "odd images", .build = case_batch, .p = {23, 5, 3, 3, 9, 0}, .no_gradient = true},
    {.name = "mirrored", .build = case_batch, .p = {31, 4, 6, 3, 17, 1}, .no_gradient = true},
    {.name = "batch larger than the data set",
     .build = case_batch,
     .p = {5, 3, 3, 1, 16, 1},
     .no_gradient = true},
    {.name = "several workgroups", .build = case_batch, .p = {60, 28, 28, 1, 40, 0}, .no_gradient = true},
    {.name = "32 of 28x28",
     .build = case_batch,
     .p = {1000, 28, 28, 1, 32, 0},
     .no_gradient = true,
     .bench = true},
};

const pm_op pm_op_batch_images = {
    .name = "batch_images",
    .shape = shape_batch,
    .lower = lower_batch,
    .reference = reference_batch,
    PM_CASES(cases_batch),
};
