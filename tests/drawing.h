/* What the tests of drawing and revealing tokens share: a plan's tensors, and a graph that draws. */
#ifndef PM_TESTS_DRAWING_H
#define PM_TESTS_DRAWING_H

#include "device_helpers.h"

#include "ops/draw_tokens.h"

typedef struct drawing {
    pm_graph *graph;
    pm_plan *plan;
    pm_tensor logits, seen, counter, token, confidence;
    uint32_t rows, width, samples;
    pm_draw_attr attr;
} drawing;

static inline void open_drawing(drawing *d, uint32_t rows, uint32_t width, pm_draw_attr attr)
{
    pm_error error = {0};
    pm_graph *graph = pm_graph_create();
    uint32_t each = attr.args.rows_per_sample ? attr.args.rows_per_sample : 1;
    *d = (drawing){.graph = graph, .rows = rows, .width = width, .samples = rows / each, .attr = attr};
    d->logits = pm_state(graph, "logits", PM_DTYPE_F32, PM_SHAPE(rows, width));
    d->seen = pm_state(graph, "seen", PM_DTYPE_U32, PM_SHAPE(d->samples, width));
    d->counter = pm_counter(graph);
    d->token = pm_draw_tokens_with(graph, d->logits, d->seen, d->counter, attr, &d->confidence);
    pm_output(graph, d->token);
    pm_output(graph, d->confidence);
    pm_advance(graph, d->counter);
    expect_ok(pm_plan_create(device, graph, NULL, &d->plan, &error), &error);
}

static inline void close_drawing(drawing *d)
{
    pm_plan_destroy(d->plan);
    pm_graph_destroy(d->graph);
}

#endif
