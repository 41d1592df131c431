/* Attention and its gradients in plain C; see attention.h. */
#include "ops/attention.h"

#include <math.h>

/* One head of one sample: the first element of its rows in q, k and v. */
typedef struct head_at {
    uint32_t q, k, log_sums;
} head_at;

static head_at head_of(const pm_attention_geometry *g, uint32_t sample, uint32_t head)
{
    return (head_at){
        .q = sample * g->queries * g->width + head * g->head_width,
        .k = sample * g->keys * g->kv_width + head / g->group * g->head_width,
        .log_sums = (sample * g->heads + head) * g->queries,
    };
}

static double inner(const pm_attention_geometry *g, const double *a, const double *b)
{
    double sum = 0.0;
    for (uint32_t c = 0; c < g->head_width; c++) sum += a[c] * b[c];
    return sum;
}

/* `origin` is the position of query 0 among the keys. */
static uint32_t keys_seen(const pm_attention_geometry *g, uint32_t origin, uint32_t query)
{
    uint64_t seen = (uint64_t)origin + query + 1;
    if (g->mask == PM_MASK_NONE) return g->keys;
    if (g->mask == PM_MASK_BLOCK) seen = (seen + g->block - 1) / g->block * g->block;
    return seen < g->keys ? (uint32_t)seen : g->keys;
}

static void reference_query(const pm_reference *ref, const pm_attention_geometry *g, head_at at, uint32_t i)
{
    const double *q = ref->in[Q].f + at.q + i * g->width, *k = ref->in[K].f + at.k, *v = ref->in[V].f + at.k;
    double *out = ref->out[0].f + at.q + i * g->width;
    bool has_first = ref->in[FIRST].count != 0;
    uint32_t seen = keys_seen(g, has_first ? ref->in[FIRST].u[0] : g->keys - g->queries, i);
    double top = -INFINITY, total = 0.0, scale = 1.0 / sqrt((double)g->head_width);
    for (uint32_t j = 0; j < seen; j++) top = fmax(top, inner(g, q, k + j * g->kv_width) * scale);
    for (uint32_t j = 0; j < seen; j++) total += exp(inner(g, q, k + j * g->kv_width) * scale - top);
    for (uint32_t c = 0; c < g->head_width; c++) out[c] = 0.0;
    for (uint32_t j = 0; j < seen; j++) {
        double probability = exp(inner(g, q, k + j * g->kv_width) * scale - top) / total;
        for (uint32_t c = 0; c < g->head_width; c++) out[c] += probability * v[j * g->kv_width + c];
    }
    ref->out[1].f[at.log_sums + i] = top + log(total);
}

void pm_attention_reference(const pm_reference *ref)
{
    pm_attention_geometry g = pm_attention_geometry_of(ref->graph, ref->node);
    for (uint32_t head = 0; head < g.samples * g.heads; head++) {
        head_at at = head_of(&g, head / g.heads, head % g.heads);
        for (uint32_t i = 0; i < g.queries; i++) reference_query(ref, &g, at, i);
    }
}

static void reference_query_backward(const pm_reference *ref, const pm_attention_geometry *g, head_at at,
                                     uint32_t i)
{
    uint32_t row = at.q + i * g->width;
    const double *q = ref->in[Q].f + row, *out = ref->in[OUT].f + row, *dout = ref->in[DOUT].f + row;
    double *dq = ref->out[Q].f + row, delta = inner(g, out, dout), scale = 1.0 / sqrt((double)g->head_width);
    for (uint32_t j = 0; j < keys_seen(g, g->keys - g->queries, i); j++) {
        const double *k = ref->in[K].f + at.k + j * g->kv_width, *v = ref->in[V].f + at.k + j * g->kv_width;
        double *dk = ref->out[K].f + at.k + j * g->kv_width, *dv = ref->out[V].f + at.k + j * g->kv_width;
        double probability = exp(inner(g, q, k) * scale - ref->in[LOG_SUMS].f[at.log_sums + i]);
        double dscore = probability * (inner(g, dout, v) - delta) * scale;
        for (uint32_t c = 0; c < g->head_width; c++) {
            dv[c] += probability * dout[c];
            dq[c] += dscore * k[c];
            dk[c] += dscore * q[c];
        }
    }
}

void pm_attention_backward_reference(const pm_reference *ref)
{
    pm_attention_geometry g = pm_attention_geometry_of(ref->graph, ref->node);
    for (uint32_t o = 0; o < 3; o++) {
        for (uint32_t i = 0; i < ref->out[o].count; i++) ref->out[o].f[i] = 0.0;
    }
    for (uint32_t head = 0; head < g.samples * g.heads; head++) {
        head_at at = head_of(&g, head / g.heads, head % g.heads);
        for (uint32_t i = 0; i < g.queries; i++) reference_query_backward(ref, &g, at, i);
    }
}
