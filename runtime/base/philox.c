/* The C half of the counter-based random numbers; philox.glsl is the other, operation for operation. */
#include "base/philox.h"

#include "base/exact.h"

static uint32_t multiply_high(uint32_t a, uint32_t b)
{
    return (uint32_t)(((uint64_t)a * b) >> 32);
}

void pm_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint32_t high0 = multiply_high(0xd2511f53u, c0), low0 = 0xd2511f53u * c0;
        uint32_t high1 = multiply_high(0xcd9e8d57u, c2), low1 = 0xcd9e8d57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9e3779b9u; /* the golden ratio, and sqrt(3) - 1 */
        k1 += 0xbb67ae85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

float pm_uniform01(uint32_t bits)
{
    return (float)(bits >> 8) * 5.96046448e-08f;
}

float pm_uniform01_positive(uint32_t bits)
{
    return (float)((bits >> 8) + 1) * 5.96046448e-08f;
}

uint32_t pm_below(uint32_t bits, uint32_t n)
{
    return multiply_high(bits, n);
}

bool pm_happens(uint32_t bits, float rate)
{
    if (rate >= 1.0f) return true;
    return rate > 0.0f && bits < (uint32_t)(rate * 4294967296.0f);
}

bool pm_happens_at(const uint32_t counter[4], uint32_t stream, uint32_t sample, uint32_t element, float rate)
{
    const uint32_t place[4] = {element / 4, counter[0], counter[1] + sample, stream};
    uint32_t bits[4];
    pm_philox4x32(place, counter + 2, bits);
    return pm_happens(bits[element % 4], rate);
}

/* Near 1 a float has steps of 2^-24, so there it is -log(1 - v) as a series, with v <= 1/32. */
float pm_exponential(uint32_t bits)
{
    float v = ((float)~bits + 0.5f) * 2.32830644e-10f;
    if (bits >= 0xf8000000u) return v + v * v * (0.5f + v * (0.333333333f + v * (0.25f + v * 0.2f)));
    return -pmf_log(((float)bits + 0.5f) * 2.32830644e-10f);
}

void pm_normal4(const uint32_t bits[4], float out[4])
{
    for (int i = 0; i < 4; i += 2) {
        float radius = pmf_sqrt(-2.0f * pmf_log(pm_uniform01_positive(bits[i])));
        float turns = pm_uniform01(bits[i + 1]);
        out[i] = radius * pmf_cos_turns(turns);
        out[i + 1] = radius * pmf_sin_turns(turns);
    }
}

/* A hash of one half of a Feistel network; every bit of the result depends on all bits below it and, through
 * the shifts, above it. */
static uint32_t mix_half(uint32_t x)
{
    x *= 0x9e3779b1u;
    x ^= x >> 15;
    x *= 0x85ebca77u;
    x ^= x >> 13;
    x *= 0xc2b2ae3du;
    return x ^ (x >> 16);
}

/* A Feistel network is a bijection whatever its round function is. Over `half` bits twice it permutes 0 ..
 * 4^half - 1, the smallest such range that holds n; where it leads out of 0 .. n-1, it is applied again until
 * it leads back in (cycle walking), which is a bijection of 0 .. n-1. A walk takes fewer than four steps on
 * average; the bound is there for an i out of range, and to be certain that the loop ends. */
uint32_t pm_permute(uint32_t i, uint32_t n, const uint32_t key[2], uint32_t epoch)
{
    uint32_t counter[4] = {n, epoch, 0, PM_STREAM_PERMUTE};
    uint32_t keys[4];
    uint32_t half = 0;
    if (n < 2) return 0;
    while (half < 16 && ((n - 1) >> (2 * half)) != 0) half++;
    uint32_t mask = (1u << half) - 1;
    pm_philox4x32(counter, key, keys);
    for (int walk = 0; walk < 1024; walk++) {
        uint32_t left = i >> half, right = i & mask;
        for (uint32_t round = 0; round < 8; round++) {
            uint32_t next = left ^ (mix_half(right + keys[round & 3] + round) & mask);
            left = right;
            right = next;
        }
        i = (left << half) | right;
        if (i < n) return i;
    }
    return n - 1;
}
