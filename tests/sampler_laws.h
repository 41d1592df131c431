/* Exact laws of the samplers of the masked process on a table of discrete_laws.h: a distribution over all
 * (base+1)^length canvases is carried from step to step, over every way to draw and to choose, without
 * drawing anything. */
#ifndef PM_TESTS_SAMPLER_LAWS_H
#define PM_TESTS_SAMPLER_LAWS_H

#include "discrete_laws.h"

/* ---- One step of a sampler ----------------------------------------------------------------------------- */

/* What a row's conditional becomes before a token is drawn from it; 0 means none, but for the temperature. */
typedef struct law_cuts {
    double temperature;
    uint32_t top_k;
    double top_p, min_p;
} law_cuts;

typedef struct law_step {
    law_cuts cuts;
    pm_reveal_mode mode;
    pm_confidence confidence;
    const double *order; /* [length], or NULL: the confidence of each place, instead */
    /* How sure a device is of `drawn`, or NULL: in double. Where a table makes confidences equal, the last
     * bit of a float decides. */
    double (*rounded)(const double *p, uint32_t n, uint32_t drawn);
    double amount; /* how many, or the rate */
    double threshold, position_temperature;
    uint32_t begin, end; /* the window */
} law_step;

#define LAW_TIE 1e-9 /* confidences this close are equal; the lower place comes first */

/* Keeps what is at least as probable as `least`, and makes it sum to 1. */
static inline void law_keep(double *p, uint32_t n, double least)
{
    double sum = 0;
    for (uint32_t v = 0; v < n; v++) {
        if (p[v] < least - LAW_TIE) p[v] = 0;
        sum += p[v];
    }
    for (uint32_t v = 0; v < n; v++) p[v] /= sum;
}

/* The r-th greatest value, r from 0. */
static inline double law_ranked(const double *p, uint32_t n, uint32_t r)
{
    for (uint32_t v = 0; v < n; v++) {
        uint32_t above = 0;
        for (uint32_t u = 0; u < n; u++) above += p[u] > p[v] || (p[u] == p[v] && u < v);
        if (above == r) return p[v];
    }
    return 0;
}

static inline void law_cut(double *p, uint32_t n, const law_cuts *cuts)
{
    if (cuts->temperature == 0) { /* the first of the most probable */
        double most = law_ranked(p, n, 0);
        bool found = false;
        for (uint32_t v = 0; v < n; v++) {
            bool is = !found && p[v] >= most - LAW_TIE;
            p[v] = is;
            found |= is;
        }
        return;
    }
    for (uint32_t v = 0; v < n; v++) p[v] = pow(p[v], 1 / cuts->temperature);
    law_keep(p, n, 0);
    if (cuts->top_k && cuts->top_k < n) law_keep(p, n, law_ranked(p, n, cuts->top_k - 1));
    if (cuts->top_p > 0 && cuts->top_p < 1) {
        uint32_t r = 0;
        for (double mass = law_ranked(p, n, 0); mass < cuts->top_p - LAW_TIE && r + 1 < n;) {
            mass += law_ranked(p, n, ++r);
        }
        law_keep(p, n, law_ranked(p, n, r));
    }
    if (cuts->min_p > 0) law_keep(p, n, cuts->min_p * law_ranked(p, n, 0));
}

static inline double law_confidence(pm_confidence kind, const double *p, uint32_t n, uint32_t drawn)
{
    double sum = 0;
    switch (kind) {
    case PM_CONFIDENCE_DRAWN:
        return p[drawn];
    case PM_CONFIDENCE_MAX:
        return law_ranked(p, n, 0);
    case PM_CONFIDENCE_MARGIN:
        return law_ranked(p, n, 0) - law_ranked(p, n, 1);
    case PM_CONFIDENCE_ENTROPY:
        for (uint32_t v = 0; v < n; v++) sum += p[v] > 0 ? p[v] * log(p[v]) : 0;
        return sum;
    case PM_CONFIDENCE_RANDOM:
        break;
    }
    return 0;
}

/* The masked places of a canvas within a window, what has been drawn for each, and how sure it is. */
typedef struct law_draws {
    uint32_t n, place[LAW_LENGTH], token[LAW_LENGTH];
    double sure[LAW_LENGTH];
} law_draws;

static inline uint32_t law_write(const law_table *t, uint32_t canvas, const law_draws *d, uint32_t which)
{
    for (uint32_t j = 0; j < d->n; j++) {
        if (which >> j & 1) canvas -= (t->base - d->token[j]) * law_power(t->base + 1, d->place[j]);
    }
    return canvas;
}

/* The surest draw outside `taken`. */
static inline uint32_t law_surest(const law_draws *d, uint32_t taken)
{
    uint32_t best = d->n;
    for (uint32_t j = 0; j < d->n; j++) {
        if (!(taken >> j & 1) && (best == d->n || d->sure[j] > d->sure[best] + LAW_TIE)) best = j;
    }
    return best;
}

/* `left` more places, one after another with probability proportional to exp(sure / temperature). */
static inline void law_one_by_one(const law_table *t, uint32_t canvas, const law_draws *d, uint32_t taken,
                                  uint32_t left, double temperature, double probability, double *out)
{
    double weight[LAW_LENGTH], sum = 0;
    if (left == 0) {
        out[law_write(t, canvas, d, taken)] += probability;
        return;
    }
    for (uint32_t j = 0; j < d->n; j++) {
        weight[j] = taken >> j & 1 ? 0 : exp((d->sure[j] - d->sure[law_surest(d, taken)]) / temperature);
        sum += weight[j];
    }
    for (uint32_t j = 0; j < d->n; j++) {
        if (weight[j] > 0) {
            law_one_by_one(t, canvas, d, taken | 1u << j, left - 1, temperature,
                           probability * weight[j] / sum, out);
        }
    }
}

/* Chooses among the draws and adds where that leads. */
static inline void law_reveal(const law_table *t, const law_step *step, uint32_t canvas, const law_draws *d,
                              double probability, double *out)
{
    if (step->mode == PM_REVEAL_RATE) {
        for (uint32_t which = 0; which < 1u << d->n; which++) {
            double k = law_count(which), rate = step->amount;
            out[law_write(t, canvas, d, which)] += probability * pow(rate, k) * pow(1 - rate, d->n - k);
        }
        return;
    }
    uint32_t amount = (uint32_t)step->amount, taken = 0;
    if (amount > d->n) amount = d->n;
    bool random = step->confidence == PM_CONFIDENCE_RANDOM && !step->order;
    if (random || step->position_temperature > 0) {
        double temperature = random ? 1 : step->position_temperature;
        law_one_by_one(t, canvas, d, 0, amount, temperature, probability, out);
        return;
    }
    for (uint32_t k = 0; k < amount; k++) taken |= 1u << law_surest(d, taken);
    for (uint32_t j = 0; j < d->n && step->mode == PM_REVEAL_THRESHOLD; j++) {
        if (d->sure[j] >= step->threshold) taken |= 1u << j;
    }
    out[law_write(t, canvas, d, taken)] += probability;
}

/* The step applied to a distribution over canvases: in, out [canvases]; `t` has the conditionals. Draws at
 * temperature 0 are judged at temperature 1. */
static inline void law_apply(const law_table *t, const law_step *step, const double *in, double *out)
{
    for (uint32_t c = 0; c < t->canvases; c++) out[c] = 0;
    for (uint32_t c = 0; c < t->canvases; c++) {
        if (in[c] == 0) continue;
        law_draws d = {0};
        double p[LAW_LENGTH][LAW_BASE], judged[LAW_LENGTH][LAW_BASE];
        for (uint32_t i = step->begin; i < step->end; i++) {
            if (!(law_masks(t, c) >> i & 1)) continue;
            memcpy(p[d.n], t->cond[c][i], sizeof p[d.n]);
            law_cut(p[d.n], t->base, &step->cuts);
            memcpy(judged[d.n], step->cuts.temperature > 0 ? p[d.n] : t->cond[c][i], sizeof p[d.n]);
            d.place[d.n++] = i;
        }
        for (uint32_t combination = 0; combination < law_power(t->base, d.n); combination++) {
            double probability = in[c];
            for (uint32_t j = 0; j < d.n; j++) {
                uint32_t v = d.token[j] = law_digit(combination, t->base, j);
                probability *= p[j][v];
                d.sure[j] = step->order     ? step->order[d.place[j]]
                            : step->rounded ? step->rounded(judged[j], t->base, v)
                                            : law_confidence(step->confidence, judged[j], t->base, v);
            }
            if (probability > 0) law_reveal(t, step, c, &d, probability, out);
        }
    }
}

#endif
