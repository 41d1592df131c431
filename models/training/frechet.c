/* The Frechet distance between Gaussians (1706.08500 eq. 6):
 *
 *     |m1 - m2|^2 + tr C1 + tr C2 - 2 tr sqrt(C1 C2)
 *
 * With C1 = L1 L1^T and C2 = L2 L2^T, C1 C2 has the eigenvalues of L1^T L2 L2^T L1 = M M^T for M = L1^T L2,
 * so that the last trace is the sum of the singular values of M. They come from one-sided Jacobi rotations,
 * which never form M M^T: its small eigenvalues would lose half of their digits, and their roots are what is
 * summed. */
#include "training/evaluate.h"

#include "base/checked.h"
#include "base/status.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { MAX_SWEEPS = 60 }; /* ten are usual */

/* A Gaussian that was fitted to features. */
typedef struct gaussian {
    double *mean;   /* [width] */
    double *factor; /* [width][width], lower triangle: the covariance, and then its Cholesky factor */
    double trace;   /* of the covariance */
} gaussian;

/* Sample mean and unbiased covariance, in two passes. `scratch` is [width]. */
static void fit(const float *features, uint32_t n, uint32_t width, double *scratch, gaussian *out)
{
    for (size_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < width; j++) out->mean[j] += (double)features[i * width + j];
    }
    for (uint32_t j = 0; j < width; j++) out->mean[j] /= n;
    for (size_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < width; j++) scratch[j] = (double)features[i * width + j] - out->mean[j];
        for (uint32_t j = 0; j < width; j++) {
            double *row = out->factor + (size_t)j * width;
            for (uint32_t k = 0; k <= j; k++) row[k] += scratch[j] * scratch[k];
        }
    }
    for (uint32_t j = 0; j < width; j++) {
        for (uint32_t k = 0; k <= j; k++) out->factor[(size_t)j * width + k] /= (double)n - 1.0;
        out->trace += out->factor[(size_t)j * width + j];
    }
}

static double dot(const double *a, const double *b, uint32_t n)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Cholesky, in place, of a matrix that may be singular (fewer pictures than features, features that never
 * change): a pivot that is nothing but rounding gives a column of zeros. */
static void factorize(double *a, uint32_t width)
{
    for (uint32_t j = 0; j < width; j++) {
        double *row = a + (size_t)j * width;
        double pivot = row[j] - dot(row, row, j);
        double root = pivot > width * DBL_EPSILON * row[j] ? sqrt(pivot) : 0.0;
        row[j] = root;
        for (uint32_t i = j + 1; i < width; i++) {
            double *below = a + (size_t)i * width;
            below[j] = root > 0.0 ? (below[j] - dot(below, row, j)) / root : 0.0;
        }
    }
}

/* m = (L1^T L2)^T, whose rows are what the rotations work on. */
static void multiply_factors(const double *l1, const double *l2, uint32_t width, double *m)
{
    for (uint32_t k = 0; k < width; k++) {
        for (uint32_t j = 0; j <= k; j++) {
            double factor = l2[(size_t)k * width + j], *row = m + (size_t)j * width;
            for (uint32_t i = 0; i <= k; i++) row[i] += factor * l1[(size_t)k * width + i];
        }
    }
}

/* Turns rows p and q until they are orthogonal (Golub & Van Loan, Matrix Computations, section 8.6.3): false
 * when they already are, or when one is negligible. */
static bool rotate(double *p, double *q, uint32_t width, double negligible)
{
    double pp = dot(p, p, width), qq = dot(q, q, width), pq = dot(p, q, width);
    double norm_p = sqrt(pp), norm_q = sqrt(qq);
    if (norm_p <= negligible || norm_q <= negligible) return false;
    if (fabs(pq) <= width * DBL_EPSILON * norm_p * norm_q) return false;
    double zeta = (qq - pp) / (2.0 * pq);
    double tangent = copysign(1.0, zeta) / (fabs(zeta) + sqrt(1.0 + zeta * zeta));
    double cosine = 1.0 / sqrt(1.0 + tangent * tangent), sine = cosine * tangent;
    for (uint32_t i = 0; i < width; i++) {
        double old = p[i];
        p[i] = cosine * old - sine * q[i];
        q[i] = sine * old + cosine * q[i];
    }
    return true;
}

/* Sum of the singular values of m [width][width], which is destroyed: false when the rotations do not come to
 * an end. */
static bool nuclear_norm(double *m, uint32_t width, double *out)
{
    double negligible = DBL_EPSILON * sqrt(dot(m, m, width * width));
    bool turned = true;
    for (int sweep = 0; turned && sweep < MAX_SWEEPS; sweep++) {
        turned = false;
        for (uint32_t p = 0; p + 1 < width; p++) {
            for (uint32_t q = p + 1; q < width; q++) {
                turned |= rotate(m + (size_t)p * width, m + (size_t)q * width, width, negligible);
            }
        }
    }
    *out = 0.0;
    for (uint32_t p = 0; p < width; p++) {
        *out += sqrt(dot(m + (size_t)p * width, m + (size_t)p * width, width));
    }
    return !turned;
}

static pm_status check_features(const char *which, const float *features, uint32_t n, uint32_t width,
                                pm_error *error)
{
    if (n < 2)
        return pm_fail(error, PM_BAD_USAGE, "Frechet distance: the %s set has %u rows; it needs 2", which, n);
    for (size_t i = 0; i < (size_t)n * width; i++) {
        if (isfinite(features[i])) continue;
        return pm_fail(error, PM_FAILED,
                       "Frechet distance: feature %zu of row %zu of the %s set is not finite", i % width,
                       i / width, which);
    }
    return PM_OK;
}

static pm_status distance(const float *a, uint32_t n_a, const float *b, uint32_t n_b, uint32_t width,
                          double *memory, double *out, pm_error *error)
{
    size_t square = (size_t)width * width;
    double *m = memory + 2 * square, *scratch = m + square;
    gaussian first = {.mean = scratch + width, .factor = memory};
    gaussian second = {.mean = scratch + 2 * (size_t)width, .factor = memory + square};
    fit(a, n_a, width, scratch, &first);
    fit(b, n_b, width, scratch, &second);
    factorize(first.factor, width);
    factorize(second.factor, width);
    multiply_factors(first.factor, second.factor, width, m);
    double root_trace, means = 0.0;
    if (!nuclear_norm(m, width, &root_trace)) {
        return pm_fail(error, PM_FAILED, "Frechet distance: the singular values did not converge");
    }
    for (uint32_t j = 0; j < width; j++) {
        means += (first.mean[j] - second.mean[j]) * (first.mean[j] - second.mean[j]);
    }
    /* It is never negative but for rounding. */
    *out = fmax(0.0, means + first.trace + second.trace - 2.0 * root_trace);
    return PM_OK;
}

pm_status pm_frechet_distance(const float *a, uint32_t n_a, const float *b, uint32_t n_b, uint32_t width,
                              double *out, pm_error *error)
{
    if (width < 1 || width > PM_FRECHET_MAX_WIDTH) {
        return pm_fail(error, PM_BAD_USAGE, "Frechet distance: %u features; it takes from 1 to %u", width,
                       PM_FRECHET_MAX_WIDTH);
    }
    pm_status status = check_features("first", a, n_a, width, error);
    if (status == PM_OK) status = check_features("second", b, n_b, width, error);
    if (status != PM_OK) return status;
    double *memory = calloc((size_t)width * (3 * (size_t)width + 3), sizeof *memory);
    if (!memory) return pm_fail(error, PM_NO_MEMORY, "Frechet distance: out of host memory");
    status = distance(a, n_a, b, n_b, width, memory, out, error);
    free(memory);
    return status;
}
