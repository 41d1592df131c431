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

typedef void do_query(const pm_reference *ref, const pm_attention_geometry *g, head_at at, uint32_t query);

static void each_query(const pm_reference *ref, do_query *function)
{
    pm_attention_geometry g = pm_attention_geometry_of(ref->graph, ref->node);
    for (uint32_t head = 0; head < g.samples * g.heads; head++) {
        head_at at = head_of(&g, head / g.heads, head % g.heads);
        for (uint32_t i = 0; i < g.queries; i++) function(ref, &g, at, i);
    }
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
    each_query(ref, reference_query);
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

static void clear_gradients(const pm_reference *ref)
{
    for (uint32_t o = 0; o < 3; o++) {
        for (uint32_t i = 0; i < ref->out[o].count; i++) ref->out[o].f[i] = 0.0;
    }
}

void pm_attention_backward_reference(const pm_reference *ref)
{
    clear_gradients(ref);
    each_query(ref, reference_query_backward);
}

/* ---- What 16 bits may do to them ----------------------------------------------------------------------- */

/* Precision fast, by matrix units. Let x be what is exact and x' what the kernels have, d(x) how far rounding
 * x to 16 bits may move it (pm_half_rounding), and s_ij a score times the scale. Rounded rows give
 *
 *     |s_ij' - s_ij| <= e_ij = scale sum_c |q| d(k) + d(q) |k| + d(q) d(k),
 *
 * and so, for L_i = log sum_j exp s_ij and the probability p_ij = exp(s_ij - L_i),
 *
 *     |L_i' - L_i| <= E_i = log sum_j p_ij exp e_ij        (from below, too: by Jensen's inequality)
 *     p_ij exp(-e_ij - E_i) <= p_ij' <= p_ij exp(e_ij + E_i).
 *
 * A weight, exp(s_ij' - the largest score so far), is rounded so before it is multiplied, by the format's
 * share of it; or it is lost, where it is below the least. The gradients take L_i as it is, and there E_i is
 * 0. */

/* How far the inner product of two rounded rows may be from that of the rows. */
static double inner_moves(const pm_half_format *half, const pm_attention_geometry *g, const double *a,
                          const double *b)
{
    double sum = 0.0;
    for (uint32_t c = 0; c < g->head_width; c++) {
        double da = pm_half_rounding(half, a[c]), db = pm_half_rounding(half, b[c]);
        sum += fabs(a[c]) * db + da * fabs(b[c]) + da * db;
    }
    return sum;
}

/* How far a weight of 16 bits may be from p, which exp(e) multiplies or divides at most; `largest`: what the
 * weight is relative to. */
static double weight_moves(const pm_half_format *half, double p, double e, double largest)
{
    bool may_be_lost = p / largest * exp(-e) < half->least;
    return p * (exp(e) * (1.0 + half->share) - 1.0) + (may_be_lost ? p : 0.0);
}

static void query_rounding(const pm_reference *ref, const pm_attention_geometry *g, head_at at, uint32_t i)
{
    const double *q = ref->in[Q].f + at.q + i * g->width, *k = ref->in[K].f + at.k, *v = ref->in[V].f + at.k;
    double *out = ref->out[0].f + at.q + i * g->width;
    bool has_first = ref->in[FIRST].count != 0;
    uint32_t seen = keys_seen(g, has_first ? ref->in[FIRST].u[0] : g->keys - g->queries, i);
    double top = -INFINITY, total = 0.0, moved = 0.0, most = 0.0, scale = 1.0 / sqrt((double)g->head_width);
    for (uint32_t j = 0; j < seen; j++) {
        top = fmax(top, inner(g, q, k + j * g->kv_width) * scale);
        most = fmax(most, inner_moves(ref->half, g, q, k + j * g->kv_width) * scale);
    }
    for (uint32_t j = 0; j < seen; j++) {
        double e = inner_moves(ref->half, g, q, k + j * g->kv_width) * scale;
        double weight = exp(inner(g, q, k + j * g->kv_width) * scale - top);
        total += weight;
        moved += weight * exp(e);
    }
    double all = log(moved / total); /* E_i */
    for (uint32_t c = 0; c < g->head_width; c++) out[c] = 0.0;
    for (uint32_t j = 0; j < seen; j++) {
        double e = inner_moves(ref->half, g, q, k + j * g->kv_width) * scale;
        double p = exp(inner(g, q, k + j * g->kv_width) * scale - top) / total;
        /* The largest score may have moved by `most`. */
        double w = weight_moves(ref->half, p, e + all, exp(most) / total);
        for (uint32_t c = 0; c < g->head_width; c++) {
            double x = v[j * g->kv_width + c], dx = pm_half_rounding(ref->half, x);
            out[c] += w * (fabs(x) + dx) + p * dx;
        }
    }
    ref->out[1].f[at.log_sums + i] = all;
}

void pm_attention_rounding(const pm_reference *ref)
{
    each_query(ref, query_rounding);
}

static void query_backward_rounding(const pm_reference *ref, const pm_attention_geometry *g, head_at at,
                                    uint32_t i)
{
    uint32_t row = at.q + i * g->width;
    const double *q = ref->in[Q].f + row, *out = ref->in[OUT].f + row, *dout = ref->in[DOUT].f + row;
    double *dq = ref->out[Q].f + row, delta = inner(g, out, dout), scale = 1.0 / sqrt((double)g->head_width);
    for (uint32_t j = 0; j < keys_seen(g, g->keys - g->queries, i); j++) {
        const double *k = ref->in[K].f + at.k + j * g->kv_width, *v = ref->in[V].f + at.k + j * g->kv_width;
        double *dk = ref->out[K].f + at.k + j * g->kv_width, *dv = ref->out[V].f + at.k + j * g->kv_width;
        double e = inner_moves(ref->half, g, q, k) * scale, more = exp(e);
        double p = exp(inner(g, q, k) * scale - ref->in[LOG_SUMS].f[at.log_sums + i]);
        double w = weight_moves(ref->half, p, e, 1.0), ds = fabs(p * (inner(g, dout, v) - delta));
        /* What p and the inner product of dO and V do to dS; then its own rounding, or loss. */
        double moves = ds * (more - 1.0) + p * more * inner_moves(ref->half, g, dout, v),
               largest = ds + moves;
        if (ds - moves < ref->half->least) moves += fmin(largest, ref->half->least);
        moves += largest * ref->half->share;
        for (uint32_t c = 0; c < g->head_width; c++) {
            double d_dout = pm_half_rounding(ref->half, dout[c]), d_k = pm_half_rounding(ref->half, k[c]),
                   d_q = pm_half_rounding(ref->half, q[c]);
            dv[c] += w * (fabs(dout[c]) + d_dout) + p * d_dout;
            dq[c] += scale * (moves * (fabs(k[c]) + d_k) + ds * d_k);
            dk[c] += scale * (moves * (fabs(q[c]) + d_q) + ds * d_q);
        }
    }
}

void pm_attention_backward_rounding(const pm_reference *ref)
{
    clear_gradients(ref);
    each_query(ref, query_backward_rounding);
}
