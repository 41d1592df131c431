/* Float arithmetic, measured; see arithmetic.h. The probe runs as a graph of one node whose operator is in no
 * table. */
#include "plan/arithmetic.h"

#include "base/status.h"
#include "ops/op.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIPLES = 16384 };

static const char *const names[PM_ARITHMETIC_RESULTS] = {
    "+",
    "-",
    "*",
    "* and +, apart",
    "uint to float",
    "int to float",
    "float to int",
    "float to uint",
    "floor",
    "roundEven",
    "min",
    "max",
    "fma",
    "division",
    "sqrt",
    "uint above 2^24 to float",
    "int above 2^24 to float",
    "copying bits",
};

const char *pm_arithmetic_name(uint32_t result)
{
    return result < PM_ARITHMETIC_RESULTS ? names[result] : "";
}

static float as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t as_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- Operands ------------------------------------------------------------------------------------------ */

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8 ^ *state << 13;
}

static uint32_t compose(uint32_t sign, uint32_t exponent, uint32_t fraction)
{
    return sign << 31 | (exponent & 255u) << 23 | (fraction & 0x7fffffu);
}

/* Half a unit in the last place of a, or its neighbours: sums that are ties or just not. */
static uint32_t near_half_unit(uint32_t a, uint32_t random)
{
    uint32_t exponent = a >> 23 & 255u, below = exponent > 30 ? exponent - 24 : 1;
    static const uint32_t fractions[] = {0, 0, 1, 0x7fffff, 0x400000, 0};
    uint32_t kind = random % 6;
    return compose(random >> 8 & 1u, below - (kind == 3), fractions[kind]);
}

static void make_triple(uint32_t i, uint32_t *state, uint32_t out[3])
{
    static const uint32_t specials[] = {0x00000000, 0x80000000, 0x3f800000, 0x7f7fffff, 0x00800000,
                                        0x7f800000, 0xff800000, 0x7fc00000, 0x00000001, 0x007fffff,
                                        0x4b800000, 0x4f000000, 0x33800000, 0x34000000, 0xbf800000};
    enum { SPECIALS = sizeof specials / sizeof specials[0] };
    uint32_t r = next(state), s = next(state), t = next(state);
    uint32_t exponent = 100 + r % 56;
    switch (i % 8) {
    case 0: /* any bits */
        out[0] = r, out[1] = s, out[2] = t;
        return;
    case 1: /* near each other: cancellation, and rounding of sums */
        out[0] = compose(r >> 31, exponent, s);
        out[1] = compose(t >> 31, exponent - (t & 31u) + 3, t >> 5);
        out[2] = compose(s >> 31, exponent, r);
        return;
    case 2: /* sums that are ties */
        out[0] = compose(r >> 31, exponent, s);
        out[1] = near_half_unit(out[0], t);
        out[2] = s;
        return;
    case 3: /* products of 25 bits, which are ties: 13 odd bits times 12 */
        out[0] = compose(r >> 31, exponent, (s & 0xfffu) << 11 | 1u << 11);
        out[1] = compose(t >> 31, 127, (t & 0x7ffu) << 12 | 1u << 12);
        out[2] = compose(s >> 31, exponent, t);
        return;
    case 4: /* an a*b + c that rounds otherwise once than twice, often: c cancels the product */
        out[0] = compose(0, exponent, s);
        out[1] = compose(0, 127, t);
        out[2] = as_bits(-(as_float(out[0]) * as_float(out[1])));
        return;
    case 5: /* near denormals: operands and results */
        out[0] = compose(r >> 31, r & 3u, s);
        out[1] = r & 4u ? compose(t >> 31, 120 + t % 20, t) : compose(t >> 31, t & 1u, s ^ t);
        out[2] = 0;
        return;
    case 6: /* whole numbers, halves, large ones */
        out[0] = as_bits((float)(int32_t)s * ldexpf(1.0f, -(int)(r % 34u)));
        out[1] = as_bits((float)(t & 0xffffu));
        out[2] = as_bits(1.5f);
        return;
    default:
        out[0] = specials[r % SPECIALS], out[1] = specials[s % SPECIALS], out[2] = specials[t % SPECIALS];
    }
}

/* ---- The probe as a graph ------------------------------------------------------------------------------ */

static void shape_probe(pm_graph *graph, pm_node *node)
{
    (void)pm_node_output(graph, node, PM_DTYPE_U32, PM_SHAPE(TRIPLES, PM_ARITHMETIC_RESULTS));
}

static void lower_probe(pm_lowering *lowering, const pm_node *node)
{
    enum { LANES = 64 }; /* whose operands and results are multiples of 256 bytes, where a piece may begin */
    pm_dispatch *d = pm_dispatch_begin(lowering, "probe_arithmetic", LANES);
    pm_push_u32(d, TRIPLES);
    pm_bind_in(d, node->in[0], 1, LANES * 3 * 4);
    pm_bind_out(d, node->out[0], LANES * PM_ARITHMETIC_RESULTS * 4);
    pm_groups(d, TRIPLES / LANES, 1, 1, 0, 0);
}

static const pm_op op_probe = {.name = "probe_arithmetic", .shape = shape_probe, .lower = lower_probe};

static pm_status run_probe(pm_device *device, const uint32_t *operands, uint32_t *results, pm_error *error)
{
    pm_plan *plan = NULL;
    pm_plan_options options = {.precision = PM_F32};
    pm_graph *graph = pm_graph_create();
    if (!graph) return pm_fail(error, PM_NO_MEMORY, "arithmetic: out of host memory");
    pm_tensor in = pm_constant(graph, "operands", PM_DTYPE_U32, PM_SHAPE(TRIPLES, 3), operands);
    pm_tensor out = pm_emit(graph, &op_probe, &in, 1, NULL, 0, NULL);
    pm_output(graph, out);
    pm_status status = pm_plan_create(device, graph, &options, &plan, error);
    if (status == PM_OK) status = pm_plan_run(plan, 1, error);
    if (status == PM_OK)
        status = pm_plan_read(plan, out, results, sizeof(uint32_t) * TRIPLES * PM_ARITHMETIC_RESULTS, error);
    pm_plan_destroy(plan);
    pm_graph_destroy(graph);
    return status;
}

/* ---- What is right ------------------------------------------------------------------------------------- */

static bool tiny(float x) /* a denormal */
{
    return x != 0 && fabsf(x) < FLT_MIN;
}

/* Whether Vulkan leaves no choice: rounding may go to a denormal, or to the smallest normal number from
 * below, where drivers differ. */
static bool ordinary(float x)
{
    return isfinite(x) && (x == 0 || fabsf(x) > FLT_MIN);
}

static void expect_bits(pm_arithmetic *m, uint32_t which, const uint32_t *operand, uint32_t got,
                        uint32_t want)
{
    pm_arithmetic_result *r = &m->result[which];
    r->tried++;
    if (got == want || r->wrong++) return;
    memcpy(r->operand, operand, sizeof r->operand);
    r->got = got;
    r->wanted = want;
}

/* The sign of a zero is nobody's promise. */
static void expect(pm_arithmetic *m, uint32_t which, const uint32_t *operand, uint32_t got, float want)
{
    if (!ordinary(want)) return;
    if (want == 0 && (got & 0x7fffffffu) == 0) got = as_bits(want);
    expect_bits(m, which, operand, got, as_bits(want));
}

static void count(pm_arithmetic_count *c, bool yes)
{
    c->tried++;
    c->yes += yes;
}

static void look_at_denormals(pm_arithmetic *m, float a, float b, const uint32_t *got)
{
    float sum = a + b, product = a * b;
    if (!isfinite(a) || !isfinite(b)) return;
    if (tiny(a) && tiny(b) && ordinary(sum) && sum != 0) count(&m->add_operand, as_float(got[0]) == sum);
    if (!tiny(a) && !tiny(b) && tiny(sum)) count(&m->add_result, as_float(got[0]) == sum);
    if (tiny(a) != tiny(b) && ordinary(product) && product != 0)
        count(&m->multiply_operand, as_float(got[2]) == product);
    if (!tiny(a) && !tiny(b) && tiny(product)) count(&m->multiply_result, as_float(got[2]) == product);
}

static void look_at_numbers(pm_arithmetic *m, const uint32_t *operand, const uint32_t *got)
{
    float a = as_float(operand[0]), b = as_float(operand[1]), c = as_float(operand[2]);
    float product = a * b, twice = product + c, once = fmaf(a, b, c);
    expect(m, PM_ARITHMETIC_ADD, operand, got[0], a + b);
    expect(m, PM_ARITHMETIC_SUBTRACT, operand, got[1], a - b);
    expect(m, PM_ARITHMETIC_MULTIPLY, operand, got[2], product);
    if (ordinary(c) && ordinary(product)) {
        expect(m, PM_ARITHMETIC_MULTIPLY_ADD, operand, got[3], twice);
        if (product != 0 || a == 0 || b == 0) expect(m, PM_ARITHMETIC_FMA, operand, got[12], once);
        if (once != twice && ordinary(once) && ordinary(twice))
            count(&m->fma_twice, as_float(got[12]) == twice);
    }
    expect(m, PM_ARITHMETIC_MIN, operand, got[10], a < b ? a : b);
    expect(m, PM_ARITHMETIC_MAX, operand, got[11], a > b ? a : b);
    if (b != 0 && fabsf(b) < 0x1p126f) expect(m, PM_ARITHMETIC_DIVIDE, operand, got[13], a / b);
    if (a >= 0) expect(m, PM_ARITHMETIC_SQRT, operand, got[14], sqrtf(a));
    if (fabsf(a) < 0x1p31f) expect_bits(m, PM_ARITHMETIC_TO_INT, operand, got[6], (uint32_t)(int32_t)a);
    if (a >= 0 && a < 0x1p32f) expect_bits(m, PM_ARITHMETIC_TO_UINT, operand, got[7], (uint32_t)a);
    expect(m, PM_ARITHMETIC_FLOOR, operand, got[8], floorf(a));
    expect(m, PM_ARITHMETIC_ROUND_EVEN, operand, got[9], nearbyintf(a));
}

/* x >> 8, whatever this compiler makes of that for negative numbers. */
static int32_t shifted_down(int32_t x)
{
    return x >= 0 ? x / 256 : -((-(x + 1)) / 256) - 1;
}

static void look(pm_arithmetic *m, const uint32_t *operand, const uint32_t *got)
{
    float a = as_float(operand[0]), b = as_float(operand[1]);
    expect(m, PM_ARITHMETIC_FROM_UINT, operand, got[4], (float)(operand[0] >> 8));
    expect(m, PM_ARITHMETIC_FROM_INT, operand, got[5], (float)shifted_down((int32_t)operand[0]));
    expect(m, PM_ARITHMETIC_FROM_LARGE_UINT, operand, got[15], (float)operand[0]);
    expect(m, PM_ARITHMETIC_FROM_LARGE_INT, operand, got[16], (float)(int32_t)operand[0]);
    expect_bits(m, PM_ARITHMETIC_COPY, operand, got[17], operand[0]);
    if (isnan(a) != isnan(b)) {
        float number = isnan(a) ? b : a;
        count(&m->nan_ignored, as_float(got[10]) == number && as_float(got[11]) == number);
    }
    look_at_denormals(m, a, b, got);
    if (ordinary(a) && ordinary(b)) look_at_numbers(m, operand, got);
}

pm_status pm_arithmetic_measure(pm_device *device, pm_arithmetic *out, pm_error *error)
{
    uint32_t *operands = malloc(sizeof *operands * TRIPLES * 3), state = 1;
    uint32_t *results = malloc(sizeof *results * TRIPLES * PM_ARITHMETIC_RESULTS);
    pm_status status =
        operands && results ? PM_OK : pm_fail(error, PM_NO_MEMORY, "arithmetic: out of host memory");
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; status == PM_OK && i < TRIPLES; i++) make_triple(i, &state, operands + 3 * i);
    if (status == PM_OK) status = run_probe(device, operands, results, error);
    for (uint32_t i = 0; status == PM_OK && i < TRIPLES; i++)
        look(out, operands + 3 * i, results + PM_ARITHMETIC_RESULTS * i);
    out->rounds = status == PM_OK && out->result[PM_ARITHMETIC_COPY].wrong == 0;
    for (uint32_t i = 0; i < PM_ARITHMETIC_NEEDED; i++) out->rounds &= out->result[i].wrong == 0;
    free(operands);
    free(results);
    return status;
}

/* ---- In words ------------------------------------------------------------------------------------------ */

static const char *kept(pm_arithmetic_count c)
{
    return !c.tried ? "unknown" : c.yes == c.tried ? "kept" : c.yes ? "kept at times" : "flushed to zero";
}

void pm_arithmetic_describe(const pm_arithmetic *m, void (*line)(void *user, const char *text), void *user)
{
    char text[300];
    pm_arithmetic_count f = m->fma_twice;
    line(user, m->rounds ? "+ - * and conversions round correctly: precision exact can hold here"
                         : "WARNING: precision exact does not hold on this device:");
    for (uint32_t i = 0; i < PM_ARITHMETIC_RESULTS; i++) {
        const pm_arithmetic_result *r = &m->result[i];
        if (!r->wrong || i == PM_ARITHMETIC_FMA) continue;
        if (i > PM_ARITHMETIC_FMA && i < PM_ARITHMETIC_COPY) {
            (void)snprintf(text, sizeof text,
                           "%s: not the correctly rounded result, %u times of %u (not needed)", names[i],
                           r->wrong, r->tried);
        } else {
            (void)snprintf(
                text, sizeof text, "%s: wrong %u times of %u, first %08x, %08x, %08x -> %08x, not %08x",
                names[i], r->wrong, r->tried, r->operand[0], r->operand[1], r->operand[2], r->got, r->wanted);
        }
        line(user, text);
    }
    (void)snprintf(text, sizeof text, "fma() rounds %s",
                   !f.tried           ? "in a way that was not seen"
                   : f.yes == f.tried ? "twice"
                   : f.yes            ? "at times once, at times twice"
                                      : "once");
    line(user, text);
    (void)snprintf(
        text, sizeof text, "denormal operands are %s by +, %s by *; denormal results are %s by +, %s by *",
        kept(m->add_operand), kept(m->multiply_operand), kept(m->add_result), kept(m->multiply_result));
    line(user, text);
    for (uint32_t i = PM_ARITHMETIC_DIVIDE; i < PM_ARITHMETIC_COPY; i++) {
        if (m->result[i].wrong) continue;
        (void)snprintf(text, sizeof text, "%s rounds correctly", names[i]);
        line(user, text);
    }
    pm_arithmetic_count n = m->nan_ignored;
    (void)snprintf(text, sizeof text, "min and max of a number and NaN are %s",
                   n.yes == n.tried ? "the number"
                   : n.yes          ? "at times the number"
                                    : "not the number");
    line(user, text);
}
