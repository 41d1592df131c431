/* Philox against the published vectors; what is drawn from it against the distributions it should follow. */
#include "unit.h"

#include "base/philox.h"

#include <math.h>
#include <stdlib.h>

enum { DRAWS = 1000000 };

/* The vectors that the authors publish with Random123 (philox4x32, 10 rounds). */
static void test_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
        {{0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu},
         {0xffffffffu, 0xffffffffu},
         {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
        {{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
         {0xa4093822u, 0x299f31d0u},
         {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t out[4];
        pm_philox4x32(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

static void test_uniform(void **state)
{
    (void)state;
    assert_true(pm_uniform01(0) == 0 && pm_uniform01(0xffffffffu) == 1 - 0x1p-24f &&
                pm_uniform01(1u << 31) == 0.5f);
    assert_true(pm_uniform01_positive(0) == 0x1p-24f && pm_uniform01_positive(0xffffffffu) == 1);
    assert_true(pm_below(0, 7) == 0 && pm_below(0xffffffffu, 7) == 6 && pm_below(123, 0) == 0);
    assert_true(pm_below(0xffffffffu, 1) == 0 && pm_below(0xffffffffu, 0xffffffffu) == 0xfffffffeu);
}

/* Draw i of stream 0 of the seed `seed`. */
static void draw(uint32_t i, uint32_t seed, uint32_t bits[4])
{
    uint32_t counter[4] = {i, 0, 0, 0}, key[2] = {seed, 0};
    pm_philox4x32(counter, key, bits);
}

/* Chi-squared over 64 cells, 63 degrees of freedom: mean 63, standard deviation 11.2. */
static void test_below_is_uniform(void **state)
{
    (void)state;
    double cells[64] = {0}, chi = 0;
    for (uint32_t i = 0; i < DRAWS / 4; i++) {
        uint32_t bits[4];
        draw(i, 11, bits);
        for (int j = 0; j < 4; j++) cells[pm_below(bits[j], 64)]++;
    }
    for (int i = 0; i < 64; i++)
        chi += (cells[i] - DRAWS / 64.0) * (cells[i] - DRAWS / 64.0) / (DRAWS / 64.0);
    assert_true(chi > 63 - 4 * 11.2 && chi < 63 + 5 * 11.2);
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Each bound is five standard deviations of the statistic for a million true normals; Kolmogorov and
 * Smirnov's is its 1e-6 quantile. */
static void test_normal(void **state)
{
    (void)state;
    float *z = malloc(DRAWS * sizeof *z);
    assert_non_null(z);
    for (uint32_t i = 0; i < DRAWS / 4; i++) {
        uint32_t bits[4];
        draw(i, 12, bits);
        pm_normal4(bits, z + 4 * i);
    }
    double moments[5] = {0}, lag[4] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double power = 1, x = (double)z[i];
        for (int k = 1; k < 5; k++) moments[k] += (power *= x) / DRAWS;
        for (int k = 1; k < 4; k++) lag[k] += i >= k ? x * (double)z[i - k] / DRAWS : 0;
    }
    qsort(z, DRAWS, sizeof *z, ascending);
    double ks = 0;
    for (int i = 0; i < DRAWS; i++) {
        double cdf = 0.5 * erfc(-(double)z[i] * sqrt(0.5));
        ks = fmax(ks, fmax(cdf - (double)i / DRAWS, (double)(i + 1) / DRAWS - cdf));
    }
    double largest = fmax(-(double)z[0], (double)z[DRAWS - 1]);
    free(z);
    print_message("mean %.5f, variance %.5f, skewness %.5f, kurtosis %.5f, KS %.6f, largest %.3f\n",
                  moments[1], moments[2], moments[3], moments[4], ks, largest);
    double one = 5 / sqrt(DRAWS);
    assert_true(fabs(moments[1]) < one);
    assert_true(fabs(moments[2] - 1) < one * sqrt(2));
    assert_true(fabs(moments[3]) < one * sqrt(15));
    assert_true(fabs(moments[4] - 3) < one * sqrt(96));
    for (int k = 1; k < 4; k++) assert_true(fabs(lag[k]) < one);
    assert_true(ks < 2.69 / sqrt(DRAWS));
    assert_true(largest > 4.2 && largest < 5.78);
}

/* ---- Permutations -------------------------------------------------------------------------------------- */

static void check_bijection(uint32_t n, uint32_t seed, uint32_t epoch)
{
    uint32_t key[2] = {seed, 1};
    unsigned char *seen = calloc(n, 1);
    assert_non_null(seen);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t p = pm_permute(i, n, key, epoch);
        assert_true(p < n);
        assert_false(seen[p]);
        seen[p] = 1;
    }
    free(seen);
}

static void test_permute_is_a_bijection(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 3, 4, 5, 10, 63, 64, 65, 1000, 1024, 1025, 60000};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
        for (uint32_t epoch = 0; epoch < 4; epoch++) check_bijection(sizes[k], 5 + epoch, epoch);
}

static void test_permute_range(void **state)
{
    (void)state;
    const uint32_t key[2] = {1, 2};
    assert_int_equal(pm_permute(0, 0, key, 0), 0);
    assert_true(pm_permute(12345, 10, key, 0) < 10 && pm_permute(0xffffffffu, 1000, key, 0) < 1000);
    static const uint32_t large[] = {0x10001, 0x3fffffff, 0x40000000, 0x40000001, 0x7fffffff, 0x80000000u};
    for (size_t k = 0; k < sizeof large / sizeof large[0]; k++)
        for (uint32_t i = 0; i < 100; i++)
            assert_true(pm_permute(large[k] - 1 - i, large[k], key, 0) < large[k]);
}

/* Two random permutations of n agree at one place on average. */
static void test_permute_differs(void **state)
{
    (void)state;
    const uint32_t n = 60000, a[2] = {1, 0}, b[2] = {2, 0}, c[2] = {1, 1};
    int same[4] = {0};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t p = pm_permute(i, n, a, 0);
        same[0] += p == pm_permute(i, n, b, 0);
        same[1] += p == pm_permute(i, n, c, 0);
        same[2] += p == pm_permute(i, n, a, 1);
        same[3] += p == i;
    }
    for (int k = 0; k < 4; k++) assert_in_range(same[k], 0, 9);
}

/* Over many keys, where 0 and its neighbour go is uniform over the n (n - 1) pairs. */
static void check_pairs(uint32_t n)
{
    enum { KEYS = 200000 };
    double cells[10][10] = {{0}}, chi = 0, expected = KEYS / (double)(n * (n - 1));
    for (uint32_t k = 0; k < KEYS; k++) {
        const uint32_t key[2] = {k, 9};
        cells[pm_permute(0, n, key, 3)][pm_permute(1, n, key, 3)]++;
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++)
            if (i != j) chi += (cells[i][j] - expected) * (cells[i][j] - expected) / expected;
    double freedom = n * (n - 1) - 1;
    print_message("n = %u: chi-squared %.1f for %.0f degrees of freedom\n", n, chi, freedom);
    assert_true(chi < freedom + 5 * sqrt(2 * freedom) + 5);
}

static void test_permute_is_uniform(void **state)
{
    (void)state;
    check_pairs(2);
    check_pairs(3);
    check_pairs(4);
    check_pairs(10);
}

/* A shuffled order has no trend: consecutive places are uncorrelated, and so are a place and its index. */
static void test_permute_has_no_trend(void **state)
{
    (void)state;
    const uint32_t n = 60000, key[2] = {3, 4};
    double before = 0, trend = 0, neighbours = 0, middle = (n - 1) / 2.0, variance = (double)n * n / 12;
    for (uint32_t i = 0; i < n; i++) {
        double p = pm_permute(i, n, key, 0) - middle;
        trend += p * (i - middle) / variance / n;
        neighbours += p * before / variance / n;
        before = p;
    }
    assert_true(fabs(trend) < 5 / sqrt(n) && fabs(neighbours) < 5 / sqrt(n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),          cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_below_is_uniform),       cmocka_unit_test(test_normal),
        cmocka_unit_test(test_permute_is_a_bijection), cmocka_unit_test(test_permute_range),
        cmocka_unit_test(test_permute_differs),        cmocka_unit_test(test_permute_is_uniform),
        cmocka_unit_test(test_permute_has_no_trend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
