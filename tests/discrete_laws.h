/* Small discrete models that are known exactly, in double. Any table p over base^length states has known
 * conditionals for every canvas (a state with some places masked), entropies and bounds; sampler_laws.h adds
 * the laws of samplers. Tests hold all of it against published values (test_discrete_laws.c), and what a
 * device makes of it against that.
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
