/* The exact elementary functions against libm in double, at their edges, and against a checksum of their
 * bits, which a compiler that fuses or reorders float arithmetic would change. */
#include "unit.h"

#include "base/bits.h"
#include "base/exact.h"

#include <float.h>
#include <math.h>

static const double pi = 3.14159265358979323846;

/* ---- The functions in double --------------------------------------------------------------------------- */

static double rcp(double x)
{
    return 1 / x;
}

static double rsqrt(double x)
{
    return 1 / sqrt(x);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double sigmoid_slope(double x)
{
    double e = exp(-fabs(x));
    return e / ((1 + e) * (1 + e));
}

static double silu(double x)
{
    return x * sigmoid(x);
}

static double silu_grad(double x)
{
    return sigmoid(x) + x * sigmoid_slope(x);
}

static double gelu_argument(double x)
{
    return 2 * sqrt(2 / pi) * (x + 0.044715 * x * x * x);
}

static double gelu(double x)
{
    return x * sigmoid(gelu_argument(x));
}

static double gelu_grad(double x)
{
    double u = gelu_argument(x);
    return sigmoid(u) + x * sigmoid_slope(u) * 2 * sqrt(2 / pi) * (1 + 3 * 0.044715 * x * x);
}

/* Reduced to an eighth of a turn first, since 2 pi x is not exact in double either. */
static double sin_turns_from(double x, int quarter)
{
    double q = floor(4 * x + 0.5), f = 2 * pi * (x - q / 4);
    int k = ((int)(q - 4 * floor(q / 4)) + quarter) & 3;
    double v = (k & 1) ? cos(f) : sin(f);
    return (k & 2) ? -v : v;
}

static double sin_turns(double x)
{
    return sin_turns_from(x, 0);
}

static double cos_turns(double x)
{
    return sin_turns_from(x, 1);
}

/* ---- Errors -------------------------------------------------------------------------------------------- */

static double in_ulp(double got, double want)
{
    int exponent;
    (void)frexp(want, &exponent);
    return fabs(got - want) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

typedef struct range {
    const char *name;
    float (*f)(float);
    double (*exact)(double);
    float low, high; /* of |x| */
    int signs;       /* which: 1 positive x, 2 negative x, 3 both */
    double ulp;      /* the error allowed: in ulp, where it is not 0 */
    double absolute; /* and by itself, where it is not 0 */
} range;

static const range ranges[] = {
    {"rcp", pmf_rcp, rcp, 0x1p-100f, 0x1p100f, 3, 1.7, 0},
    {"rsqrt", pmf_rsqrt, rsqrt, 0x1p-100f, 0x1p126f, 1, 1.5, 0},
    {"sqrt", pmf_sqrt, sqrt, 0x1p-100f, 0x1p127f, 1, 0.9, 0},
    {"exp", pmf_exp, exp, 0x1p-100f, 88, 1, 1, 0},
    {"exp", pmf_exp, exp, 0x1p-100f, 80, 2, 1, 0},
    {"log", pmf_log, log, 0x1p-100f, FLT_MAX, 1, 0.8, 0},
    {"tanh", pmf_tanh, tanh, 0x1p-100f, FLT_MAX, 3, 1.9, 0},
    {"sigmoid", pmf_sigmoid, sigmoid, 0x1p-100f, FLT_MAX, 1, 3.1, 0},
    {"sigmoid", pmf_sigmoid, sigmoid, 0x1p-100f, 64, 2, 3.1, 0},
    {"silu", pmf_silu, silu, 0x1p-100f, FLT_MAX, 1, 3, 0},
    {"silu", pmf_silu, silu, 0x1p-100f, 64, 2, 3, 0},
    {"silu_grad", pmf_silu_grad, silu_grad, 0x1p-100f, FLT_MAX, 1, 4, 3e-7},
    {"silu_grad", pmf_silu_grad, silu_grad, 0x1p-100f, 0.5f, 2, 4, 0},
    {"silu_grad", pmf_silu_grad, silu_grad, 0.5f, FLT_MAX, 2, 0, 1e-7},
    {"gelu", pmf_gelu, gelu, 0x1p-100f, 1e12f, 1, 3, 0},
    {"gelu", pmf_gelu, gelu, 0x1p-100f, 1, 2, 3, 0},
    {"gelu", pmf_gelu, gelu, 1, 1e12f, 2, 0, 5e-8},
    {"gelu_grad", pmf_gelu_grad, gelu_grad, 0x1p-100f, 1e12f, 1, 4, 3e-7},
    {"gelu_grad", pmf_gelu_grad, gelu_grad, 0x1p-100f, 0.5f, 2, 4, 0},
    {"gelu_grad", pmf_gelu_grad, gelu_grad, 0.5f, 1e12f, 2, 0, 1e-7},
    {"sin_turns", pmf_sin_turns, sin_turns, 0x1p-100f, 0x1p120f, 3, 1.8, 0},
    {"cos_turns", pmf_cos_turns, cos_turns, 0x1p-100f, 0x1p120f, 3, 1.8, 0},
};

/* Every 499th float of the range and its last one. */
static void check_range(const range *r)
{
    double worst_ulp = 0, worst = 0;
    float where_ulp = 0, where = 0;
    for (int negative = 0; negative < 2; negative++) {
        if ((r->signs & (negative + 1)) == 0) continue;
        uint32_t last = pm_bits_of(r->high);
        for (uint32_t u = pm_bits_of(r->low);; u = last - u > 499 ? u + 499 : last) {
            float x = negative ? -pm_from_bits(u) : pm_from_bits(u);
            double got = r->f(x), want = r->exact(x), ulp = in_ulp(got, want);
            if (!(ulp <= worst_ulp)) worst_ulp = ulp, where_ulp = x;
            if (!(fabs(got - want) <= worst)) worst = fabs(got - want), where = x;
            if (u == last) break;
        }
    }
    print_message("%-10s |x| %8.2g .. %8.2g: %6.3f ulp at %.9g, %.2g at %.9g\n", r->name, (double)r->low,
                  (double)r->high, worst_ulp, (double)where_ulp, worst, (double)where);
    assert_true(r->ulp > 0 || r->absolute > 0);
    if (r->ulp > 0) assert_true(worst_ulp <= r->ulp);
    if (r->absolute > 0) assert_true(worst <= r->absolute);
}

static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) check_range(&ranges[i]);
}

static uint32_t random_state;

static uint32_t random_bits(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state ^ (random_state >> 15)) * 0x2c1b3c6du;
}

/* A float of either sign with 2^low <= |x| < 2^(high + 1). */
static float random_float(int low, int high)
{
    uint32_t exponent = (uint32_t)(127 + low) + (random_bits() >> 8) % (uint32_t)(high - low + 1);
    return pm_from_bits((random_bits() & 0x807fffffu) | exponent << 23);
}

static void test_division(void **state)
{
    (void)state;
    double worst = 0;
    random_state = 1;
    for (int i = 0; i < 2000000; i++) {
        int wide = i % 2 ? 99 : 3;
        float a = random_float(-wide, wide), b = random_float(-wide, wide);
        double want = (double)a / b;
        if (fabs(want) >= 0x1p127) continue;
        float got = pmf_div(a, b);
        if (fabs(want) < 0x1.ffp-101) {
            assert_true(got == 0);
        } else if (fabs(want) > 0x1.01p-100) {
            double ulp = in_ulp(got, want);
            if (!(ulp <= worst)) worst = ulp;
        }
    }
    print_message("div: %.3f ulp\n", worst);
    assert_true(worst <= 1.7);
}

static void test_power(void **state)
{
    (void)state;
    random_state = 2;
    double worst = 0; /* of the error over what exact.h allows */
    for (int i = 0; i < 500000; i++) {
        float x = fabsf(random_float(-20, 20)), y = random_float(-3, 2);
        double want = pow(x, y), exponent = fabs(y * log(x));
        if (exponent > 79) continue;
        double ratio = in_ulp(pmf_pow(x, y), want) / (2 + 2.6 * exponent);
        if (!(ratio <= worst)) worst = ratio;
    }
    print_message("pow: %.3f of the bound\n", worst);
    assert_true(worst <= 1);
}

/* ---- Edges --------------------------------------------------------------------------------------------- */

static void test_edges(void **state)
{
    (void)state;
    assert_true(pmf_flush(0x1.fffffep-101f) == 0 && pmf_flush(-0x1.fffffep-101f) == 0);
    assert_true(pmf_flush(0x1p-100f) == 0x1p-100f && pmf_flush(-3) == -3);
    assert_true(pmf_sqrt(0) == 0 && pmf_sqrt(-1) == 0 && pmf_sqrt(1) == 1 && pmf_sqrt(4) == 2);
    assert_true(pmf_exp(0) == 1 && pmf_exp(-80.00001f) == 0 && pmf_exp(-80) > 0 && pmf_exp(-INFINITY) == 0);
    assert_true(pmf_exp(INFINITY) == pmf_exp(88) && pmf_exp(88) < FLT_MAX);
    assert_true(pmf_log(1) == 0 && pmf_log(0) == pmf_log(0x1p-100f) && pmf_log(-5) == pmf_log(0));
    assert_true(pmf_tanh(0) == 0 && pmf_tanh(INFINITY) == 1 && pmf_tanh(-INFINITY) == -1);
    assert_true(pmf_sigmoid(0) == 0.5f && pmf_sigmoid(INFINITY) == 1 && pmf_sigmoid(-INFINITY) == 0);
    assert_true(pmf_silu(0) == 0 && pmf_silu(-65) == 0 && pmf_silu(-FLT_MAX) == 0 &&
                pmf_silu(FLT_MAX) == FLT_MAX);
    assert_true(pmf_silu_grad(0) == 0.5f && pmf_silu_grad(FLT_MAX) == 1 && pmf_silu_grad(-FLT_MAX) == 0);
    assert_true(pmf_gelu(0) == 0 && pmf_gelu(-FLT_MAX) == 0 && pmf_gelu(1e30f) == 1e30f);
    assert_true(pmf_gelu_grad(0) == 0.5f && pmf_gelu_grad(FLT_MAX) == 1 && pmf_gelu_grad(-FLT_MAX) == 0);
    for (int n = -3; n < 4; n++) {
        float turns = (float)n;
        assert_true(pmf_sin_turns(turns) == 0 && pmf_cos_turns(turns) == 1);
        assert_true(pmf_sin_turns(turns + 0.25f) == 1 && pmf_cos_turns(turns + 0.25f) == 0);
        assert_true(pmf_sin_turns(turns + 0.5f) == 0 && pmf_cos_turns(turns + 0.5f) == -1);
    }
}

typedef struct unary {
    const char *name;
    float (*f)(float);
} unary;

static const unary functions[] = {
    {"flush", pmf_flush},
    {"rcp", pmf_rcp},
    {"rsqrt", pmf_rsqrt},
    {"sqrt", pmf_sqrt},
    {"exp", pmf_exp},
    {"log", pmf_log},
    {"tanh", pmf_tanh},
    {"sigmoid", pmf_sigmoid},
    {"silu", pmf_silu},
    {"silu_grad", pmf_silu_grad},
    {"gelu", pmf_gelu},
    {"gelu_grad", pmf_gelu_grad},
    {"sin_turns", pmf_sin_turns},
    {"cos_turns", pmf_cos_turns},
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0], RCP = 1, RSQRT = 2 };

/* A denormal gives what zero gives, so that a driver that flushes its inputs agrees with one that does
 * not. */
static void test_denormals(void **state)
{
    (void)state;
    static const uint32_t denormals[] = {1, 0x12345, 0x7fffff, 0x80000001u, 0x807fffffu};
    for (size_t k = 0; k < FUNCTIONS; k++) {
        if (k == RCP || k == RSQRT) continue; /* zero is outside their domain */
        for (size_t i = 0; i < sizeof denormals / sizeof denormals[0]; i++)
            assert_true(functions[k].f(pm_from_bits(denormals[i])) == functions[k].f(0));
    }
    assert_true(pmf_div(pm_from_bits(1), 0x1p-100f) == 0 && pmf_div(0x1p-90f, 0x1p50f) == 0);
}

static void test_nan(void **state)
{
    (void)state;
    static const uint32_t nans[] = {0x7fc00000, 0xffc00000u, 0x7fffffff, 0x7fc00001};
    for (size_t i = 0; i < sizeof nans / sizeof nans[0]; i++) {
        float nan_value = pm_from_bits(nans[i]);
        for (size_t k = 0; k < FUNCTIONS; k++) {
            if (!isnan(functions[k].f(nan_value))) fail_msg("pmf_%s(NaN) is a number", functions[k].name);
        }
        assert_true(isnan(pmf_div(nan_value, 2)) && isnan(pmf_div(2, nan_value)));
        assert_true(isnan(pmf_pow(nan_value, 2)) && isnan(pmf_pow(2, nan_value)));
    }
}

/* ---- The bits ------------------------------------------------------------------------------------------ */

static void test_bits(void **state)
{
    (void)state;
    static const uint32_t expected[FUNCTIONS] = {
        0xd88668dau, 0x137a948du, 0x4258d68eu, 0xd3f45054u, 0xe0c36187u, 0x42ae21a8u, 0x3ed024ecu,
        0x29d4d021u, 0xe11e53e7u, 0x99c17703u, 0x9ae49b28u, 0x44727ebeu, 0x084a749eu, 0x6dccb4aau};
    int wrong = 0;
    for (size_t k = 0; k < FUNCTIONS; k++) {
        uint32_t hash = 2166136261u;
        random_state = 3;
        for (int i = 0; i < 50000; i++) {
            float x = i % 2 ? random_float(-99, 99) : random_float(-8, 6);
            float y = functions[k].f(k == RSQRT ? fabsf(x) : x);
            hash = (hash ^ (y == 0 ? 0 : pm_bits_of(y))) * 16777619u; /* either zero will do */
        }
        wrong += hash != expected[k];
        if (hash != expected[k])
            print_error("pmf_%s: the checksum of its bits is 0x%08x\n", functions[k].name, hash);
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors), cmocka_unit_test(test_division),  cmocka_unit_test(test_power),
        cmocka_unit_test(test_edges),  cmocka_unit_test(test_denormals), cmocka_unit_test(test_nan),
        cmocka_unit_test(test_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
