/* Exact laws of small discrete models, in double. Any table p over base^length states has known conditionals
 * for every canvas (a state with some places masked), and so the law of every sampler of the masked process
 * follows by carrying a distribution over all (base+1)^length canvases from step to step: no sampling. Tests
 * hold it against published values (test_discrete_laws.c), and what a device draws against it
 * (test_masked_sampler.c).
 *
 * States and canvases are numbers: sum of token[i] base^i, and of token[i] (base+1)^i with `base` the mask.
 */
#ifndef PM_TESTS_DISCRETE_LAWS_H
#define PM_TESTS_DISCRETE_LAWS_H

#include "base/philox.h"
#include "pumice.h"

#include <math.h>
#include <string.h>

enum { LAW_LENGTH = 5, LAW_BASE = 4, LAW_STATES = 256, LAW_CANVASES = 1024 };

typedef struct law_table {
    uint32_t base, length, states, canvases;
    double p[LAW_STATES];
    /* p(token v at place i | what the canvas shows elsewhere), [i][v]; at places that are not masked, too:
     * given all other places alone. */
    double cond[LAW_CANVASES][LAW_LENGTH][LAW_BASE];
} law_table;

/* ---- Tables -------------------------------------------------------------------------------------------- */

static inline uint32_t law_power(uint32_t base, uint32_t exponent)
{
    uint32_t result = 1;
    while (exponent--) result *= base;
    return result;
}

static inline uint32_t law_digit(uint32_t number, uint32_t base, uint32_t place)
{
    return number / law_power(base, place) % base;
}

/* The canvas that shows all of a state but the places of `masked` (bit i: place i). */
static inline uint32_t law_canvas(const law_table *t, uint32_t state, uint32_t masked)
{
    uint32_t canvas = 0;
    for (uint32_t i = 0; i < t->length; i++) {
        uint32_t token = masked >> i & 1 ? t->base : law_digit(state, t->base, i);
        canvas += token * law_power(t->base + 1, i);
    }
    return canvas;
}

/* Bit i: place i of the canvas is masked. */
static inline uint32_t law_masks(const law_table *t, uint32_t canvas)
{
    uint32_t masks = 0;
    for (uint32_t i = 0; i < t->length; i++) {
        masks |= (uint32_t)(law_digit(canvas, t->base + 1, i) == t->base) << i;
    }
    return masks;
}

static inline uint32_t law_count(uint32_t bits)
{
    uint32_t n = 0;
    for (; bits; bits &= bits - 1) n++;
    return n;
}

/* The state of a canvas without masks. */
static inline uint32_t law_state(const law_table *t, uint32_t canvas)
{
    uint32_t state = 0;
    for (uint32_t i = 0; i < t->length; i++) {
        state += law_digit(canvas, t->base + 1, i) * law_power(t->base, i);
    }
    return state;
}

/* Whether the state shows what the canvas shows, place `except` aside. */
static inline bool law_agrees(const law_table *t, uint32_t state, uint32_t canvas, uint32_t except)
{
    for (uint32_t i = 0; i < t->length; i++) {
        uint32_t token = law_digit(canvas, t->base + 1, i);
        if (i != except && token != t->base && token != law_digit(state, t->base, i)) return false;
    }
    return true;
}

/* From weights p (of any sum) to a table with its conditionals. */
static inline void law_finish(law_table *t)
{
    double sum = 0;
    for (uint32_t s = 0; s < t->states; s++) sum += t->p[s];
    memset(t->cond, 0, sizeof t->cond);
    for (uint32_t c = 0; c < t->canvases; c++) {
        for (uint32_t i = 0; i < t->length; i++) {
            double *row = t->cond[c][i], total = 0;
            for (uint32_t s = 0; s < t->states; s++) {
                if (law_agrees(t, s, c, i)) row[law_digit(s, t->base, i)] += t->p[s];
            }
            for (uint32_t v = 0; v < t->base; v++) total += row[v];
            for (uint32_t v = 0; v < t->base; v++) row[v] /= total;
        }
    }
    for (uint32_t s = 0; s < t->states; s++) t->p[s] /= sum;
}

static inline void law_begin(law_table *t, uint32_t base, uint32_t length)
{
    *t = (law_table){.base = base,
                     .length = length,
                     .states = law_power(base, length),
                     .canvases = law_power(base + 1, length)};
}

/* p(a,b,c) proportional to 1 + 4 [a=b] + 2 [b=c] + a c, over three tokens of three values. */
static inline void law_toy(law_table *t)
{
    law_begin(t, 3, 3);
    for (uint32_t s = 0; s < t->states; s++) {
        uint32_t a = s % 3, b = s / 3 % 3, c = s / 9;
        t->p[s] = 1.0 + 4.0 * (a == b) + 2.0 * (b == c) + (double)(a * c);
    }
    law_finish(t);
}

/* Weights e^z with z standard normal, from a seed. */
static inline void law_random(law_table *t, uint32_t base, uint32_t length, uint32_t seed)
{
    law_begin(t, base, length);
    for (uint32_t s = 0; s < t->states; s++) {
        uint32_t counter[4] = {s, 0, 0, 0}, key[2] = {seed, 0}, bits[4];
        float normals[4];
        pm_philox4x32(counter, key, bits);
        pm_normal4(bits, normals);
        t->p[s] = exp((double)normals[0]);
    }
    law_finish(t);
}

/* Guided conditionals, p_u^(1-w) p_c^w made to sum to 1 (2207.12598 on logits): c as the canvas stands, u
 * with the places of `prompt` masked as well. p is left as it was. */
static inline void law_guide(const law_table *t, uint32_t prompt, double w, law_table *guided)
{
    *guided = *t;
    for (uint32_t c = 0; c < t->canvases; c++) {
        uint32_t u = c;
        for (uint32_t i = 0; i < t->length; i++) {
            uint32_t unit = law_power(t->base + 1, i);
            if (prompt >> i & 1) u += (t->base - law_digit(c, t->base + 1, i)) * unit;
        }
        for (uint32_t i = 0; i < t->length; i++) {
            double *row = guided->cond[c][i], sum = 0;
            for (uint32_t v = 0; v < t->base; v++) {
                row[v] = pow(t->cond[u][i][v], 1 - w) * pow(t->cond[c][i][v], w);
                sum += row[v];
            }
            for (uint32_t v = 0; v < t->base; v++) row[v] /= sum;
        }
    }
}

/* ---- Entropies and bounds, in nats --------------------------------------------------------------------- */

static inline double law_entropy(const law_table *t)
{
    double h = 0;
    for (uint32_t s = 0; s < t->states; s++) h -= t->p[s] > 0 ? t->p[s] * log(t->p[s]) : 0;
    return h;
}

/* G(m): the mean of sum over masked places of -log p(token | canvas), for the places of m masked. */
static inline double law_masked_loss(const law_table *t, uint32_t masked)
{
    double g = 0;
    for (uint32_t s = 0; s < t->states; s++) {
        uint32_t canvas = law_canvas(t, s, masked);
        for (uint32_t i = 0; i < t->length; i++) {
            if (t->p[s] > 0 && masked >> i & 1) {
                g -= t->p[s] * log(t->cond[canvas][i][law_digit(s, t->base, i)]);
            }
        }
    }
    return g;
}

/* The sum of G(m) over all sets m of k places: totals[k], for k = 0 .. length. */
static inline void law_losses_by_count(const law_table *t, double *totals)
{
    for (uint32_t k = 0; k <= t->length; k++) totals[k] = 0;
    for (uint32_t m = 0; m < 1u << t->length; m++) totals[law_count(m)] += law_masked_loss(t, m);
}

/* The mean of G(m) when each place is masked with probability `rate`. */
static inline double law_loss_at_rate(const law_table *t, const double *totals, double rate)
{
    double sum = 0;
    for (uint32_t k = 0; k <= t->length; k++) {
        sum += pow(rate, k) * pow(1 - rate, (double)t->length - k) * totals[k];
    }
    return sum;
}

/* The bound of T steps of the absorbing process with rates t/T: a masked place is revealed in step t with
 * probability 1/t, and costs -log p(token | canvas) if so. */
static inline double law_bound(const law_table *t, uint32_t steps)
{
    double totals[LAW_LENGTH + 1], sum = 0;
    law_losses_by_count(t, totals);
    for (uint32_t i = 1; i <= steps; i++) {
        sum += law_loss_at_rate(t, totals, (double)i / steps) / i;
    }
    return sum;
}

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

/* ---- Comparing ----------------------------------------------------------------------------------------- */

/* From a distribution over canvases, all without masks, to one over states. */
static inline void law_states(const law_table *t, const double *canvases, double *states)
{
    for (uint32_t s = 0; s < t->states; s++) states[s] = canvases[law_canvas(t, s, 0)];
}

static inline double law_total_variation(const double *p, const double *q, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += fabs(p[i] - q[i]);
    return sum / 2;
}

static inline double law_divergence(const double *p, const double *q, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += p[i] > 0 ? p[i] * log(p[i] / q[i]) : 0;
    return sum;
}

/* P(chi-square of `freedom` > x): the regularised upper incomplete gamma function Q(freedom/2, x/2), by its
 * series below the mean and by Lentz's continued fraction above. */
static inline double law_chi_square_tail(double x, double freedom)
{
    double a = freedom / 2, y = x / 2;
    if (y <= 0 || a <= 0) return 1;
    double front = exp(-y + a * log(y) - lgamma(a));
    if (y < a + 1) {
        double term = 1 / a, sum = term;
        for (int n = 1; n < 10000 && term > sum * 1e-16; n++) sum += term *= y / (a + n);
        return 1 - front * sum;
    }
    double b = y + 1 - a, c = 1e300, d = 1 / b, h = d;
    for (int n = 1; n < 10000; n++) {
        double an = -n * (n - a), delta;
        b += 2;
        d = 1 / (an * d + b);
        c = b + an / c;
        delta = c * d;
        h *= delta;
        if (fabs(delta - 1) < 1e-15) break;
    }
    return front * h;
}

/* The probability that a sample of the law lies as far from it as these counts [n], by Pearson's chi-square;
 * cells of fewer than five expected are taken together. 0 where something impossible was counted. */
static inline double law_fit(const double *law, const uint32_t *counts, uint32_t n)
{
    double total = 0, rest_expected = 0, rest_seen = 0, chi = 0, freedom = -1;
    for (uint32_t i = 0; i < n; i++) total += counts[i];
    for (uint32_t i = 0; i < n; i++) {
        double expected = law[i] * total;
        if (law[i] < 1e-13 && counts[i]) return 0;
        if (expected < 5) {
            rest_expected += expected;
            rest_seen += counts[i];
            continue;
        }
        chi += (counts[i] - expected) * (counts[i] - expected) / expected;
        freedom++;
    }
    if (rest_expected >= 5) {
        chi += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
        freedom++;
    }
    return freedom > 0 ? law_chi_square_tail(chi, freedom) : 1;
}

#endif
