/* The Gaussian process, variance preserving and in discrete time: x_t = a_t x0 + s_t e, e ~ N(0, I), with
 * a_t^2 = abar_t and s_t^2 = 1 - abar_t (DDPM, 2006.11239 eq. 4). Everything here is on the host, in double;
 * what steps on the device are tables of f32 for pm_corrupt and pm_denoise_step.
 *
 * Timesteps count from 0: alpha_bar[0] belongs to the least noise, x_1 in the papers. */
#ifndef PM_PROCESSES_GAUSSIAN_H
#define PM_PROCESSES_GAUSSIAN_H

#include "pumice.h"

typedef enum pm_schedule {
    /* beta from 1e-4 to 0.02 (2006.11239, section 4), both times 1000/T (as in 2102.09672). */
    PM_SCHEDULE_LINEAR,
    /* 2102.09672 eq. 17, beta at most 0.999. */
    PM_SCHEDULE_COSINE,
} pm_schedule;

/* What the network predicts. */
typedef enum pm_target {
    PM_TARGET_EPSILON, /* the noise e (2006.11239 eq. 14) */
    PM_TARGET_V,       /* v = a_t e - s_t x0 (2202.00512, appendix D) */
    PM_TARGET_X0,
} pm_target;

typedef struct pm_gaussian_config {
    pm_schedule schedule;
    uint32_t timesteps; /* T */
    pm_target target;
} pm_gaussian_config;

typedef struct pm_gaussian {
    pm_gaussian_config config;
    double *alpha_bar; /* [T] */
} pm_gaussian;

/* Fails with PM_BAD_USAGE when a beta leaves (0,1), as the linear schedule does for T of 20 and less, or when
 * T is not in 1 .. 2^24. The caller destroys the process. */
pm_status pm_gaussian_create(const pm_gaussian_config *config, pm_gaussian **out, pm_error *error);
void pm_gaussian_destroy(pm_gaussian *process);

/* Tables [T,2] for pm_corrupt(x0, e): rows (a_t, s_t) make x_t; rows of the second make the target of the
 * network. */
void pm_gaussian_corrupt_table(const pm_gaussian *process, float *table);
void pm_gaussian_target_table(const pm_gaussian *process, float *table);

/* Which S of the T timesteps a sampler visits; the numbers are for T = 1000, S = 10. */
typedef enum pm_spacing {
    PM_SPACING_LEADING,   /* multiples of floor(T/S): 900, 800 .. 0 */
    PM_SPACING_LINSPACE,  /* even from T-1 to 0, both included: 999, 888 .. 0 */
    PM_SPACING_TRAILING,  /* even from T-1 down in steps of T/S: 999, 899 .. 99 */
    PM_SPACING_QUADRATIC, /* squares of even numbers to sqrt(0.8 T): 800, 632 .. 0 (2010.02502, D.2) */
} pm_spacing;

typedef enum pm_method {
    PM_METHOD_DDPM_SMALL, /* ancestral, variance of the posterior ("fixed small", 2006.11239 section 3.2) */
    PM_METHOD_DDPM_LARGE, /* ancestral, variance beta ("fixed large") */
    PM_METHOD_DDIM,       /* 2010.02502 eq. 12, with eta */
} pm_method;

typedef struct pm_sampler {
    pm_method method;
    pm_spacing spacing;
    uint32_t steps; /* S, 1 .. T */
    double eta;     /* of DDIM: 0 deterministic, 1 as much noise as DDPM */
} pm_sampler;

/* A sampler from names: "ddim", "ddpm" (small) or "ddpm-large"; "leading", "linspace", "trailing" or
 * "quadratic". Fails with PM_BAD_USAGE for others, for no steps at all, and for an eta that is negative or
 * not finite. */
pm_status pm_sampler_from_names(const char *method, const char *spacing, uint32_t steps, double eta,
                                pm_sampler *out, pm_error *error);

/* Timesteps in the order in which they are visited, strictly decreasing: timesteps[S]. Where two of the
 * quadratic spacing fall on one timestep, the later (noisier) one moves up by one. */
pm_status pm_gaussian_timesteps(const pm_gaussian *process, pm_spacing spacing, uint32_t steps,
                                uint32_t *timesteps, pm_error *error);

#define PM_GAUSSIAN_DATA (-1) /* "the timestep before 0": no noise, abar = 1 */

/* The coefficients of one step from timestep t to s < t (or to PM_GAUSSIAN_DATA): row[PM_STEP_COLUMNS], in
 * double. Fails with PM_BAD_USAGE where a variance would be negative (an eta that is too large); nothing is
 * ever clamped. */
pm_status pm_gaussian_step(const pm_gaussian *process, const pm_sampler *sampler, int32_t t, int32_t s,
                           double *row, pm_error *error);

/* All of a trajectory: the table [S][PM_STEP_COLUMNS] for pm_denoise_step, and the timestep [S] that the
 * network is told at each step. The state starts as N(0, I). */
pm_status pm_gaussian_steps(const pm_gaussian *process, const pm_sampler *sampler, float *table,
                            uint32_t *timesteps, pm_error *error);

#endif
