/* The Frechet distance, against closed forms and against a square root of the product of covariances that is
 * computed in another way. */
#include "file_helpers.h"

#include "training/evaluate.h"

#include <math.h>

static double distance(const float *a, uint32_t n_a, const float *b, uint32_t n_b, uint32_t width)
{
    pm_error error;
    double d = -1.0;
    expect_ok(pm_frechet_distance(a, n_a, b, n_b, width, &d, &error), &error);
    return d;
}

static void expect_near(double value, double wanted, double tolerance)
{
    if (!(fabs(value - wanted) <= tolerance)) fail_msg("%.17g, wanted %.17g +- %g", value, wanted, tolerance);
}

/* Correlated features of very unlike sizes; the caller frees them. */
static float *random_features(uint32_t n, uint32_t width, uint64_t seed)
{
    uint64_t random = seed * 7919 + 1;
    float *out = malloc((size_t)n * width * sizeof *out);
    assert_non_null(out);
    for (uint32_t i = 0; i < n; i++) {
        float common = (float)(next_random(&random) % 1000) * 1e-3f;
        for (uint32_t j = 0; j < width; j++) {
            float own = (float)(next_random(&random) % 1000) * 1e-3f;
            out[(size_t)i * width + j] = (float)(j + seed % 5) * 0.25f + (own + common) / (float)(1 + j % 7);
        }
    }
    return out;
}

/* ---- Closed forms -------------------------------------------------------------------------------------- */

static void test_one_dimension(void **state)
{
    (void)state;
    static const float a[] = {-1, 0, 1}, b[] = {2, 5, 8}; /* means 0 and 5, deviations 1 and 3 */
    expect_near(distance(a, 3, b, 3, 1), 25.0 + 4.0, 1e-12);
}

/* Commuting covariances: |m1 - m2|^2 + sum (s1 - s2)^2. Row pairs at -v and +v along each axis give them
 * exactly. */
static void test_diagonal(void **state)
{
    (void)state;
    enum { WIDTH = 5, ROWS = 2 * WIDTH };
    static const float scale_a[WIDTH] = {1, 2, 3, 0, 5}, scale_b[WIDTH] = {4, 2, 1, 7, 0.5f};
    static const float mean_b[WIDTH] = {0, 1, -2, 0, 4};
    float a[ROWS * WIDTH] = {0}, b[ROWS * WIDTH];
    for (int i = 0; i < ROWS * WIDTH; i++) b[i] = mean_b[i % WIDTH];
    double spread = 0.0;
    for (int j = 0; j < WIDTH; j++) {
        a[2 * j * WIDTH + j] += scale_a[j];
        a[(2 * j + 1) * WIDTH + j] -= scale_a[j];
        b[2 * j * WIDTH + j] += scale_b[j];
        b[(2 * j + 1) * WIDTH + j] -= scale_b[j];
        spread += pow((double)scale_a[j] - (double)scale_b[j], 2.0);
    }
    expect_near(distance(a, ROWS, b, ROWS, WIDTH), 21.0 + spread * 2.0 / (ROWS - 1), 1e-12);
}

/* C1 = [2 1; 1 2] and C2 = [1 0; 0 4] do not commute. For 2x2, tr sqrt(P) = sqrt(tr P + 2 sqrt(det P)); here
 * tr P = 10 and det P = 12. The rows below have exactly these covariances. */
static void test_not_commuting(void **state)
{
    (void)state;
    static const float a[] = {2, 1, -2, -1, 1, 2, -1, -2, 1, -1, -1, 1, 0, 0};
    static const float b[] = {1, 2, -1, -2, 1, -2, -1, 2, 0, 0};
    double wanted = 4.0 + 5.0 - 2.0 * sqrt(10.0 + 2.0 * sqrt(12.0));
    expect_near(distance(a, 7, b, 5, 2), wanted, 1e-14);
    expect_near(distance(b, 5, a, 7, 2), wanted, 1e-14);
}

/* Twice as large: tr (C + 4 C - 2 * 2 C) = tr C. It holds with fewer rows than features, too, where C is
 * singular. */
static void test_scaled(void **state)
{
    (void)state;
    enum { ROWS = 4, WIDTH = 9 };
    float *a = random_features(ROWS, WIDTH, 3), b[ROWS * WIDTH];
    double wanted = 0.0;
    for (int i = 0; i < ROWS * WIDTH; i++) b[i] = 2.0f * a[i];
    for (int j = 0; j < WIDTH; j++) {
        double mean = 0.0, square = 0.0;
        for (int i = 0; i < ROWS; i++) mean += (double)a[i * WIDTH + j] / ROWS;
        for (int i = 0; i < ROWS; i++) square += pow((double)a[i * WIDTH + j] - mean, 2.0);
        wanted += mean * mean + square / (ROWS - 1);
    }
    expect_near(distance(a, ROWS, b, ROWS, WIDTH), wanted, 1e-12 * wanted);
    free(a);
}

static void test_itself(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{2, 1}, {50, 3}, {10, 40}, {300, 64}, {2000, 256}}; /* rows, width */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        float *a = random_features(sizes[i][0], sizes[i][1], i + 1);
        expect_near(distance(a, sizes[i][0], a, sizes[i][0], sizes[i][1]), 0.0, 1e-10);
        free(a);
    }
    static const float dead[3 * 4]; /* features that never change */
    expect_near(distance(dead, 3, dead, 3, 4), 0.0, 0.0);
}

/* ---- Another way --------------------------------------------------------------------------------------- */

enum { N = 24 };
typedef double matrix[N][N];

static void covariance(const float *features, uint32_t rows, matrix out)
{
    double mean[N] = {0};
    for (uint32_t i = 0; i < rows; i++) {
        for (int j = 0; j < N; j++) mean[j] += (double)features[i * N + (uint32_t)j] / rows;
    }
    memset(out, 0, sizeof(matrix));
    for (uint32_t i = 0; i < rows; i++) {
        const float *row = features + i * N;
        for (int j = 0; j < N; j++) {
            for (int k = 0; k < N; k++) {
                out[j][k] += ((double)row[j] - mean[j]) * ((double)row[k] - mean[k]) / (rows - 1.0);
            }
        }
    }
}

/* Gauss-Jordan with partial pivoting. */
static void invert(matrix in, matrix out)
{
    matrix a;
    memcpy(a, in, sizeof a);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) out[i][j] = i == j;
    }
    for (int c = 0; c < N; c++) {
        int pivot = c;
        for (int i = c + 1; i < N; i++) {
            if (fabs(a[i][c]) > fabs(a[pivot][c])) pivot = i;
        }
        for (int j = 0; j < N; j++) {
            double t = a[c][j], u = out[c][j];
            a[c][j] = a[pivot][j], a[pivot][j] = t;
            out[c][j] = out[pivot][j], out[pivot][j] = u;
        }
        double scale = a[c][c];
        for (int j = 0; j < N; j++) a[c][j] /= scale, out[c][j] /= scale;
        for (int i = 0; i < N; i++) {
            double factor = a[i][c];
            if (i == c) continue;
            for (int j = 0; j < N; j++) a[i][j] -= factor * a[c][j], out[i][j] -= factor * out[c][j];
        }
    }
}

/* tr sqrt(A B) by Denman and Beavers: Y = (Y + Z^-1)/2, Z = (Z + Y^-1)/2 from Y = A B, Z = 1 leads to Y =
 * sqrt(A B). */
static double root_trace(matrix a, matrix b)
{
    matrix y = {{0}}, z = {{0}}, y_inverse, z_inverse;
    for (int i = 0; i < N; i++) {
        z[i][i] = 1.0;
        for (int j = 0; j < N; j++) {
            for (int k = 0; k < N; k++) y[i][j] += a[i][k] * b[k][j];
        }
    }
    for (int step = 0; step < 40; step++) {
        invert(y, y_inverse);
        invert(z, z_inverse);
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < N; j++) {
                y[i][j] = 0.5 * (y[i][j] + z_inverse[i][j]);
                z[i][j] = 0.5 * (z[i][j] + y_inverse[i][j]);
            }
        }
    }
    double trace = 0.0;
    for (int i = 0; i < N; i++) trace += y[i][i];
    return trace;
}

static void test_another_way(void **state)
{
    (void)state;
    enum { ROWS_A = 500, ROWS_B = 333 };
    float *a = random_features(ROWS_A, N, 11), *b = random_features(ROWS_B, N, 12);
    for (uint32_t i = 0; i < ROWS_B * N; i += N) b[i] += 0.7f * b[i + 1]; /* so that they do not commute */
    matrix c_a, c_b;
    covariance(a, ROWS_A, c_a);
    covariance(b, ROWS_B, c_b);
    double wanted = -2.0 * root_trace(c_a, c_b);
    for (uint32_t j = 0; j < N; j++) {
        double mean_a = 0.0, mean_b = 0.0;
        for (uint32_t i = 0; i < ROWS_A; i++) mean_a += (double)a[i * N + j] / ROWS_A;
        for (uint32_t i = 0; i < ROWS_B; i++) mean_b += (double)b[i * N + j] / ROWS_B;
        wanted += c_a[j][j] + c_b[j][j] + (mean_a - mean_b) * (mean_a - mean_b);
    }
    assert_true(wanted > 0.01);
    expect_near(distance(a, ROWS_A, b, ROWS_B, N), wanted, 1e-9);
    expect_near(distance(b, ROWS_B, a, ROWS_A, N), wanted, 1e-9);
    free(a);
    free(b);
}

/* ---- What is refused ----------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    (void)state;
    static const float good[4] = {1, 2, 3, 4}, bad[4] = {1, NAN, 3, 4}, huge[4] = {1, 2, INFINITY, 4};
    pm_error error;
    double d;
    expect_failure(pm_frechet_distance(good, 1, good, 2, 2, &d, &error), PM_BAD_USAGE, &error,
                   "first set has 1 rows");
    expect_failure(pm_frechet_distance(good, 2, good, 0, 2, &d, &error), PM_BAD_USAGE, &error,
                   "second set has 0");
    expect_failure(pm_frechet_distance(good, 2, good, 2, 0, &d, &error), PM_BAD_USAGE, &error, "0 features");
    expect_failure(pm_frechet_distance(good, 2, good, 2, 1025, &d, &error), PM_BAD_USAGE, &error,
                   "1025 features");
    expect_failure(pm_frechet_distance(bad, 2, good, 2, 2, &d, &error), PM_FAILED, &error,
                   "feature 1 of row 0 of the first");
    expect_failure(pm_frechet_distance(good, 2, huge, 2, 2, &d, &error), PM_FAILED, &error,
                   "feature 0 of row 1 of the second");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_dimension), cmocka_unit_test(test_diagonal),
        cmocka_unit_test(test_not_commuting), cmocka_unit_test(test_scaled),
        cmocka_unit_test(test_itself),        cmocka_unit_test(test_another_way),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
