/* How exact a draw is: shares of rare tokens, counted over all 2^32 draws, and that a race in f32 would not
 * have them; running sums that are met exactly; neighbouring floats. */
/* ctest labels: device */
#include "drawing.h"

#include "base/exact.h"
#include "base/philox.h"
#include "ops/random.h"

#include <math.h>
#include <stdlib.h>

/* ---- Rare tokens --------------------------------------------------------------------------------------- */

#define RARE 1000u
#define RARE_WEIGHT 1e-7
#define RARE_SHARE (RARE * RARE_WEIGHT / (1.0 + RARE * RARE_WEIGHT))
#define FREQUENT 400u /* where the token of weight 1 is */

/* Whether this share of all draws is what all rare tokens together have. */
static bool is_rare_share(double share)
{
    return fabs(share / RARE_SHARE - 1.0) < 1e-3;
}

/* The least of the draws 0 .. 2^32 that gives token `token` or a later one. */
static uint64_t first_draw_of(const double *logits, uint32_t token, uint64_t low)
{
    pm_draw_args args = {.temperature = 1.0f};
    uint64_t high = UINT64_C(1) << 32;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (pm_draw_row(logits, NULL, RARE + 1, &args, (uint32_t)middle, 0).token >= token) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static void test_rare_tokens_have_their_share(void **state)
{
    (void)state;
    double logits[RARE + 1], rare = 0;
    for (uint32_t i = 0; i <= RARE; i++) logits[i] = i == FREQUENT ? 0.0 : (double)logf((float)RARE_WEIGHT);
    uint64_t begin = 0;
    for (uint32_t i = 0; i <= RARE; i++) {
        uint64_t end = first_draw_of(logits, i + 1, begin);
        double share = (double)(end - begin) / 4294967296.0;
        double wanted = (i == FREQUENT ? 1.0 : RARE_WEIGHT) * (1.0 - RARE_SHARE);
        if (fabs(share - wanted) > 1.01 / 4294967296.0 + 2e-7 * wanted)
            fail_msg("token %u: share %.9g, not %.9g", i, share, wanted);
        if (i != FREQUENT) rare += share;
        begin = end;
    }
    assert_true(begin == UINT64_C(1) << 32);
    assert_true(is_rare_share(rare));
}

/* The same with a race in f32, over all pairs of uniform numbers k / 2^24 of the frequent and one rare token:
 * the token of the least -log(u) / weight. */
static double share_of_a_race(void)
{
    const double all = 16777215.0;
    double share = 0;
    for (uint32_t k = 1; k < 100; k++) {
        float rare = -pmf_log((float)(16777216 - k) * 5.96046448e-08f) / (float)RARE_WEIGHT;
        uint32_t low = 1, high = 16777216; /* the frequent token's numbers below `low` lose */
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (-pmf_log((float)middle * 5.96046448e-08f) > rare) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        share += (low - 1) / all / all;
    }
    return RARE * share;
}

static void test_a_race_would_be_caught(void **state)
{
    (void)state;
    double share = share_of_a_race();
    assert_false(is_rare_share(share));
    assert_true(fabs(share / RARE_SHARE - 0.731) < 0.01); /* w z / (e^z - 1) with z = 2^-24 / w */
}

static void test_exponentials(void **state)
{
    (void)state;
    float last = 100.0f;
    for (uint64_t i = 0; i <= 400000; i++) {
        uint64_t bits = i < 1000 ? i : i > 399000 ? 0xffffffffu - (400000 - i) : i * 10737;
        double u = ((double)bits + 0.5) / 4294967296.0, wanted = -log1p(u - 1.0);
        float got = pm_exponential((uint32_t)bits);
        if (fabs((double)got / wanted - 1.0) > 3e-6 || got > last)
            fail_msg("bits %u: %.9g, not %.9g", (unsigned)bits, (double)got, wanted);
        last = got;
    }
}

static void test_chance(void **state)
{
    (void)state;
    assert_true(pm_happens(0xffffffffu, 1.0f));
    assert_false(pm_happens(0, 0.0f));
    assert_true(pm_happens(0, 2.32830644e-10f)); /* 2^-32: for one number of all */
    assert_false(pm_happens(1, 2.32830644e-10f));
    assert_true(pm_happens(0x7fffffffu, 0.5f));
    assert_false(pm_happens(0x80000000u, 0.5f));
    assert_false(pm_happens(0, NAN));
    const uint32_t counter[4] = {3, 10, 77, 5}, moved[4] = {3, 13, 77, 5};
    uint32_t happened = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        bool happens = pm_happens_at(counter, 4, 3, i, 0.25f);
        happened += happens;
        assert_true(happens == pm_happens(pm_draw_element(counter, 4, 3, i), 0.25f));
        assert_true(happens == pm_happens_at(moved, 4, 0, i, 0.25f));
    }
    assert_true(abs((int)happened - 2500) < 5 * 43);
}

/* ---- On a device --------------------------------------------------------------------------------------- */

/* At steps whose random number falls to a rare token, the device draws the one that the host does. */
static void test_rare_tokens_on_the_device(void **state)
{
    (void)state;
    static float logits[RARE + 1];
    static double same[RARE + 1];
    drawing d;
    pm_draw_attr attr = {{.temperature = 1.0f}, 2, 0};
    uint32_t counter[4] = {0, 0, 11, 12}, found = 0;
    for (uint32_t i = 0; i <= RARE; i++) {
        logits[i] = i == FREQUENT ? 0.0f : logf((float)RARE_WEIGHT);
        same[i] = (double)logits[i];
    }
    open_drawing(&d, 1, RARE + 1, attr);
    write_to(d.plan, d.logits, logits, sizeof logits);
    for (; found < 24; counter[0]++) {
        uint32_t bits = pm_draw_element(counter, attr.stream, 0, 0), token;
        double u = bits / 4294967296.0;
        if (u > 0.9e-7 * FREQUENT && u < 1.0 - 0.9e-7 * (RARE - FREQUENT)) continue;
        uint32_t wanted = pm_draw_row(same, NULL, RARE + 1, &attr.args, bits, 0).token;
        assert_int_not_equal(wanted, FREQUENT);
        write_to(d.plan, d.counter, counter, sizeof counter);
        run_once(d.plan);
        read_from(d.plan, d.token, &token, sizeof token);
        assert_int_equal(token, wanted);
        found++;
    }
    close_drawing(&d);
}

/* Of 2^upper equal tokens the upper bits of the random number choose one. */
static void expect_upper_bits(uint32_t upper, uint32_t row_lanes, const uint32_t *steps, uint32_t count)
{
    static const float logits[4096];
    static const double same[4096];
    drawing d;
    pm_draw_attr attr = {{.temperature = 1.0f}, 2, row_lanes};
    uint32_t width = 1u << upper;
    open_drawing(&d, 1, width, attr);
    write_to(d.plan, d.logits, logits, sizeof(float) * width);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t counter[4] = {steps[i], 0, 5, 6};
        uint32_t bits = pm_draw_element(counter, attr.stream, 0, 0), token;
        assert_true(i > 0 || bits << upper == 0);
        assert_int_equal(pm_draw_row(same, NULL, width, &attr.args, bits, 0).token, bits >> (32 - upper));
        write_to(d.plan, d.counter, counter, sizeof counter);
        run_once(d.plan);
        read_from(d.plan, d.token, &token, sizeof token);
        assert_int_equal(token, bits >> (32 - upper));
    }
    close_drawing(&d);
}

/* At the first step the lower 26 bits are 0 (found by trying): running sums are met exactly, that of a lane's
 * first token too. */
static void test_equal_tokens(void **state)
{
    (void)state;
    static const uint32_t steps[] = {74062057, 0, 1, 2, 3, 4, 5, 6};
    expect_upper_bits(12, 1, steps, 8);
    expect_upper_bits(12, 64, steps, 8);
    expect_upper_bits(6, 64, steps, 8);
}

/* Logits that are neighbouring floats are not equals. */
static void test_neighbouring_floats(void **state)
{
    (void)state;
    enum { WIDTH = 9 };
    for (uint32_t p = 0; p < 2; p++) {
        drawing d;
        float logits[2 * WIDTH], confidence[2];
        uint32_t tokens[2];
        pm_draw_args args = {.temperature = 1.0f};
        if (p) {
            args.top_p = 3.0f / 9.0f - 1e-4f;
        } else {
            args.top_k = 2;
        }
        for (uint32_t i = 0; i < WIDTH; i++) {
            logits[i] = i % 3 == 1 ? nextafterf(3.0f, 4.0f) : 3.0f;
            logits[WIDTH + i] = i % 3 == 0 ? -3.0f : nextafterf(-3.0f, -4.0f);
        }
        open_drawing(&d, 2, WIDTH, (pm_draw_attr){args, 1, 0});
        write_to(d.plan, d.logits, logits, sizeof logits);
        run_once(d.plan);
        read_from(d.plan, d.token, tokens, sizeof tokens);
        read_from(d.plan, d.confidence, confidence, sizeof confidence);
        assert_int_equal(tokens[0] % 3, 1);
        assert_int_equal(tokens[1] % 3, 0);
        for (uint32_t i = 0; i < 2; i++) assert_true(fabsf(confidence[i] - 1.0f / 3.0f) < 1e-6f);
        close_drawing(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rare_tokens_have_their_share),
        cmocka_unit_test(test_a_race_would_be_caught),
        cmocka_unit_test(test_exponentials),
        cmocka_unit_test(test_chance),
        cmocka_unit_test(test_rare_tokens_on_the_device),
        cmocka_unit_test(test_equal_tokens),
        cmocka_unit_test(test_neighbouring_floats),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
