/* What a device makes of float arithmetic, measured: shaders/probe_arithmetic.comp on tricky operands, held
 * against this host's own arithmetic. Precision `exact` rests on + - * and conversions that round to nearest
 * even, each alone; the rest is for information, and for reports. */
#ifndef PM_PLAN_ARITHMETIC_H
#define PM_PLAN_ARITHMETIC_H

#include "pumice.h"

/* In the order of the shader's results. */
enum {
    PM_ARITHMETIC_ADD,
    PM_ARITHMETIC_SUBTRACT,
    PM_ARITHMETIC_MULTIPLY,
    PM_ARITHMETIC_MULTIPLY_ADD, /* precise: rounds twice */
    PM_ARITHMETIC_FROM_UINT,    /* of 24 bits: what kernels convert is exact */
    PM_ARITHMETIC_FROM_INT,
    PM_ARITHMETIC_TO_INT,
    PM_ARITHMETIC_TO_UINT,
    PM_ARITHMETIC_FLOOR,
    PM_ARITHMETIC_ROUND_EVEN,
    PM_ARITHMETIC_MIN,
    PM_ARITHMETIC_MAX,
    PM_ARITHMETIC_NEEDED, /* `exact` needs all up to here */
    PM_ARITHMETIC_FMA = PM_ARITHMETIC_NEEDED,
    PM_ARITHMETIC_DIVIDE,
    PM_ARITHMETIC_SQRT,
    PM_ARITHMETIC_FROM_LARGE_UINT, /* of 32 bits, which is rounded */
    PM_ARITHMETIC_FROM_LARGE_INT,
    PM_ARITHMETIC_COPY, /* reading and writing bits */
    PM_ARITHMETIC_RESULTS,
};

/* One operation: how often it was tried where Vulkan leaves no choice (finite operands and results outside of
 * the denormals), how often the correctly rounded result did not come, and the first such time. */
typedef struct pm_arithmetic_result {
    uint32_t tried, wrong;
    uint32_t operand[3], got, wanted; /* bits */
} pm_arithmetic_result;

/* A share of cases: none, some or all of them. */
typedef struct pm_arithmetic_count {
    uint32_t tried, yes;
} pm_arithmetic_count;

typedef struct pm_arithmetic {
    pm_arithmetic_result result[PM_ARITHMETIC_RESULTS]; /* fma: of a single rounding */
    bool rounds; /* all that `exact` needs, and bits that survive a copy */
    /* Of fma() where once and twice differ: rounded twice. */
    pm_arithmetic_count fma_twice;
    /* Denormals that came through: as operands and as results of + - and of *. */
    pm_arithmetic_count add_operand, add_result, multiply_operand, multiply_result;
    pm_arithmetic_count nan_ignored; /* min, max of a number and NaN: the number */
} pm_arithmetic;

const char *pm_arithmetic_name(uint32_t result);

/* Takes milliseconds, and a shader to compile. Fails as pm_plan_create and pm_plan_run do. */
pm_status pm_arithmetic_measure(pm_device *device, pm_arithmetic *out, pm_error *error);

/* Says it in words, line by line; the first line tells whether `exact` can hold. */
void pm_arithmetic_describe(const pm_arithmetic *measured, void (*line)(void *user, const char *text),
                            void *user);

#endif
