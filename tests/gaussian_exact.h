/* Data N(m, v) has an exact denoiser that is affine in x: E[x0 | x_t] = m + a v / (a^2 v + s^2) (x_t - a m).
 * A sampler's step is affine as well, so that mean and variance of its samples can be carried from step to
 * step without drawing one. Tests hold the coefficients (test_gaussian.c) and what a device makes of them
 * (test_gaussian_gpu.c) against that. */
#ifndef PM_TESTS_GAUSSIAN_EXACT_H
#define PM_TESTS_GAUSSIAN_EXACT_H

#include "processes/gaussian.h"

#include <math.h>
#include <stdbool.h>

#define MOST_STEPS 1000u

typedef struct moments {
    double mean, std;
} moments;

/* What the exact network predicts at timestep t for data N(m, v): p + q x. */
static inline void exact_network(const pm_gaussian *process, int32_t t, double m, double v, double *p,
                                 double *q)
{
    double a = sqrt(process->alpha_bar[t]), s2 = 1 - process->alpha_bar[t], s = sqrt(s2);
    double slope = a * v / (a * a * v + s2), offset = m - slope * a * m; /* E[x0 | x] = offset + slope x */
    *p = offset;
    *q = slope;
    switch (process->config.target) {
    case PM_TARGET_X0:
        break;
    case PM_TARGET_EPSILON: /* (x - a x0) / s */
        *p = -a * offset / s;
        *q = (1 - a * slope) / s;
        break;
    case PM_TARGET_V: /* (a x - x0) / s */
        *p = -offset / s;
        *q = (a - slope) / s;
        break;
    }
}

/* Mean and standard deviation of what a sampler makes of a start with such moments, for data N(m, v); NAN
 * when it has no such steps. */
static inline moments propagate(const pm_gaussian *process, const pm_sampler *sampler, double m, double v,
                                moments start)
{
    static uint32_t timesteps[MOST_STEPS];
    double mean = start.mean, variance = start.std * start.std;
    bool ok = sampler->steps <= MOST_STEPS &&
              pm_gaussian_timesteps(process, sampler->spacing, sampler->steps, timesteps, NULL) == PM_OK;
    for (uint32_t i = 0; ok && i < sampler->steps; i++) {
        double c[PM_STEP_COLUMNS], p, q;
        int32_t t = (int32_t)timesteps[i];
        int32_t s = i + 1 < sampler->steps ? (int32_t)timesteps[i + 1] : PM_GAUSSIAN_DATA;
        ok = pm_gaussian_step(process, sampler, t, s, c, NULL) == PM_OK;
        exact_network(process, t, m, v, &p, &q);
        double x0_p = c[PM_STEP_X0_PRED] * p, x0_q = c[PM_STEP_X0_X] + c[PM_STEP_X0_PRED] * q;
        double e_p = c[PM_STEP_NOISE_X0] * x0_p, e_q = c[PM_STEP_NOISE_X] + c[PM_STEP_NOISE_X0] * x0_q;
        double next_p = c[PM_STEP_OUT_X0] * x0_p + c[PM_STEP_OUT_NOISE] * e_p;
        double next_q = c[PM_STEP_OUT_X0] * x0_q + c[PM_STEP_OUT_NOISE] * e_q + c[PM_STEP_OUT_X];
        mean = next_p + next_q * mean;
        variance = next_q * next_q * variance + c[PM_STEP_OUT_Z] * c[PM_STEP_OUT_Z];
    }
    return ok ? (moments){mean, sqrt(variance)} : (moments){(double)NAN, (double)NAN};
}

#endif
