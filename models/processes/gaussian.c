/* Schedules and coefficients of Gaussian diffusion. Below, b is beta, abar the product of 1 - b, t the
 * timestep that a step leaves and s < t the one that it goes to. A step that skips timesteps has its own
 * beta, b' = 1 - abar_t / abar_s (2102.09672 section 4.1), which is what makes every formula for neighbours
 * hold for any pair. */
#include "processes/gaussian.h"

#include "base/checked.h"
#include "base/status.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Schedules ----------------------------------------------------------------------------------------- */

/* 2102.09672 eq. 17, without the division by f(0). */
static double cosine(double t_over_T)
{
    double c = cos((t_over_T + 0.008) / 1.008 * acos(-1.0) / 2.0);
    return c * c;
}

static double beta_at(pm_schedule schedule, uint32_t t, uint32_t timesteps)
{
    double T = timesteps;
    if (schedule == PM_SCHEDULE_COSINE) return fmin(1.0 - cosine((t + 1.0) / T) / cosine(t / T), 0.999);
    double first = 1e-4 * 1000.0 / T, last = 0.02 * 1000.0 / T;
    return timesteps == 1 ? first : first + (last - first) * t / (T - 1.0);
}

static pm_status fill_alpha_bar(pm_gaussian *process, pm_error *error)
{
    uint32_t timesteps = process->config.timesteps;
    double product = 1.0;
    for (uint32_t t = 0; t < timesteps; t++) {
        double beta = beta_at(process->config.schedule, t, timesteps);
        if (!(beta > 0.0 && beta < 1.0)) {
            return pm_fail(error, PM_BAD_USAGE,
                           "gaussian: beta is %g at timestep %u of %u: use more timesteps", beta, t,
                           timesteps);
        }
        product *= 1.0 - beta;
        process->alpha_bar[t] = product;
    }
    return PM_OK;
}

pm_status pm_gaussian_create(const pm_gaussian_config *config, pm_gaussian **out, pm_error *error)
{
    size_t bytes = 0;
    *out = NULL;
    if (config->timesteps == 0 || config->timesteps > 1u << 24 ||
        !pm_mul_size(config->timesteps, sizeof(double), &bytes)) {
        return pm_fail(error, PM_BAD_USAGE, "gaussian: timesteps must be 1 .. 2^24, not %u",
                       config->timesteps);
    }
    pm_gaussian *process = calloc(1, sizeof *process);
    if (process) process->alpha_bar = malloc(bytes);
    if (!process || !process->alpha_bar) {
        pm_gaussian_destroy(process);
        return pm_fail(error, PM_NO_MEMORY, "gaussian: out of host memory");
    }
    process->config = *config;
    pm_status status = fill_alpha_bar(process, error);
    if (status == PM_OK) {
        *out = process;
    } else {
        pm_gaussian_destroy(process);
    }
    return status;
}

void pm_gaussian_destroy(pm_gaussian *process)
{
    if (!process) return;
    free(process->alpha_bar);
    free(process);
}

void pm_gaussian_corrupt_table(const pm_gaussian *process, float *table)
{
    for (size_t t = 0; t < process->config.timesteps; t++) {
        table[2 * t] = (float)sqrt(process->alpha_bar[t]);
        table[2 * t + 1] = (float)sqrt(1.0 - process->alpha_bar[t]);
    }
}

void pm_gaussian_target_table(const pm_gaussian *process, float *table)
{
    for (size_t t = 0; t < process->config.timesteps; t++) {
        float *of_x0 = &table[2 * t], *of_noise = &table[2 * t + 1];
        switch (process->config.target) {
        case PM_TARGET_EPSILON:
            *of_x0 = 0.0f;
            *of_noise = 1.0f;
            break;
        case PM_TARGET_V:
            *of_x0 = (float)-sqrt(1.0 - process->alpha_bar[t]);
            *of_noise = (float)sqrt(process->alpha_bar[t]);
            break;
        case PM_TARGET_X0:
            *of_x0 = 1.0f;
            *of_noise = 0.0f;
            break;
        }
    }
}

/* ---- Names --------------------------------------------------------------------------------------------- */

typedef struct named {
    const char *name;
    int value;
} named;

static bool find_name(const named *names, const char *name, int *value)
{
    for (; names->name; names++) {
        if (strcmp(names->name, name) == 0) {
            *value = names->value;
            return true;
        }
    }
    return false;
}

pm_status pm_sampler_from_names(const char *method, const char *spacing, uint32_t steps, double eta,
                                pm_sampler *out, pm_error *error)
{
    static const named methods[] = {{"ddim", PM_METHOD_DDIM},
                                    {"ddpm", PM_METHOD_DDPM_SMALL},
                                    {"ddpm-large", PM_METHOD_DDPM_LARGE},
                                    {NULL, 0}};
    static const named spacings[] = {{"leading", PM_SPACING_LEADING},
                                     {"linspace", PM_SPACING_LINSPACE},
                                     {"trailing", PM_SPACING_TRAILING},
                                     {"quadratic", PM_SPACING_QUADRATIC},
                                     {NULL, 0}};
    int of_method = 0, of_spacing = 0;
    if (!find_name(methods, method, &of_method)) {
        return pm_fail(error, PM_BAD_USAGE, "no sampler is called %s: use ddim, ddpm or ddpm-large", method);
    }
    if (!find_name(spacings, spacing, &of_spacing)) {
        return pm_fail(error, PM_BAD_USAGE,
                       "no spacing is called %s: use leading, linspace, trailing or quadratic", spacing);
    }
    if (steps == 0) return pm_fail(error, PM_BAD_USAGE, "sampler: needs at least one step");
    if (!(eta >= 0.0 && isfinite(eta))) {
        return pm_fail(error, PM_BAD_USAGE, "sampler: eta must be 0 or more, not %g", eta);
    }
    *out = (pm_sampler){(pm_method)of_method, (pm_spacing)of_spacing, steps, eta};
    return PM_OK;
}

/* ---- Timesteps ----------------------------------------------------------------------------------------- */

/* The i-th timestep from the clean end, i = 0 .. S-1, as a number that may need rounding. */
static double spaced(pm_spacing spacing, uint32_t i, uint32_t steps, uint32_t timesteps)
{
    double T = timesteps, S = steps, root = 0.0;
    switch (spacing) {
    case PM_SPACING_LEADING:
        return (double)i * (timesteps / steps);
    case PM_SPACING_LINSPACE:
        return steps == 1 ? T - 1.0 : rint(i * (T - 1.0) / (S - 1.0));
    case PM_SPACING_TRAILING:
        return rint(T - (S - 1.0 - i) * T / S) - 1.0;
    case PM_SPACING_QUADRATIC:
        root = steps == 1 ? sqrt(0.8 * T) : i * sqrt(0.8 * T) / (S - 1.0);
        break;
    }
    return floor(root * root + 1e-9); /* the square of a root: its integer part, rounding errors aside */
}

pm_status pm_gaussian_timesteps(const pm_gaussian *process, pm_spacing spacing, uint32_t steps,
                                uint32_t *timesteps, pm_error *error)
{
    uint32_t T = process->config.timesteps;
    if (steps == 0 || steps > T) {
        return pm_fail(error, PM_BAD_USAGE, "sampler: %u steps of a process of %u timesteps; use 1 .. %u",
                       steps, T, T);
    }
    for (uint32_t i = 0; i < steps; i++) {
        double at = spaced(spacing, i, steps, T);
        double previous = i ? (double)timesteps[steps - i] : -1.0;
        if (spacing == PM_SPACING_QUADRATIC) at = fmax(at, previous + 1.0);
        if (!(at > previous && at < (double)T)) {
            return pm_fail(error, PM_FAILED, "sampler: timestep %g after %g of %u", at, previous, T);
        }
        timesteps[steps - 1 - i] = (uint32_t)at;
    }
    return PM_OK;
}

/* ---- Steps --------------------------------------------------------------------------------------------- */

/* x0 and noise from x and the prediction. By x = a x0 + s e and v = a e - s x0, a^2 + s^2 = 1:
 *   e:  x0 = x/a - (s/a) e        v:  x0 = a x - s v
 * The noise then comes from x and the x0 in use, e = (x - a x0) / s. Where x0 was clipped, it is the clipped
 * one: so the pair (x0, e) always reproduces x, and DDIM with eta = 1 remains DDPM. */
static void estimate(pm_target target, double a, double s, double *row)
{
    switch (target) {
    case PM_TARGET_EPSILON:
        row[PM_STEP_X0_X] = 1.0 / a;
        row[PM_STEP_X0_PRED] = -s / a;
        break;
    case PM_TARGET_V:
        row[PM_STEP_X0_X] = a;
        row[PM_STEP_X0_PRED] = -s;
        break;
    case PM_TARGET_X0:
        row[PM_STEP_X0_X] = 0.0;
        row[PM_STEP_X0_PRED] = 1.0;
        break;
    }
    row[PM_STEP_NOISE_X] = 1.0 / s;
    row[PM_STEP_NOISE_X0] = -a / s;
}

/* 2006.11239 eq. 6 and 7, with b' for b:
 *   mean = sqrt(abar_s) b' / (1 - abar_t) x0 + sqrt(1 - b') (1 - abar_s) / (1 - abar_t) x
 *   variance small: b' (1 - abar_s) / (1 - abar_t);  large: b'
 * The last step returns its mean. */
static double step_ddpm(double abar_t, double abar_s, bool large, double *row)
{
    double beta = 1.0 - abar_t / abar_s, rest = (1.0 - abar_s) / (1.0 - abar_t);
    row[PM_STEP_OUT_X0] = sqrt(abar_s) * beta / (1.0 - abar_t);
    row[PM_STEP_OUT_X] = sqrt(1.0 - beta) * rest;
    row[PM_STEP_OUT_NOISE] = 0.0;
    return large && abar_s < 1.0 ? beta : beta * rest;
}

/* 2010.02502 eq. 12 with eq. 16 for the variance:
 *   c^2 = eta^2 (1 - abar_s) / (1 - abar_t) (1 - abar_t / abar_s)
 *   x_s = sqrt(abar_s) x0 + sqrt(1 - abar_s - c^2) e + c z
 * 1 - abar_s - c^2 is written as a product, (1 - abar_s) (1 - eta^2 b' / (1 - abar_t)), in which nothing
 * cancels that should not: into the data it is 0 for every eta, and for eta = 1 it is never negative. */
static double step_ddim(double abar_t, double abar_s, double eta, double *row)
{
    double beta = 1.0 - abar_t / abar_s;
    row[PM_STEP_OUT_X0] = sqrt(abar_s);
    row[PM_STEP_OUT_X] = 0.0;
    row[PM_STEP_OUT_NOISE] =
        (1.0 - abar_s) * (1.0 - eta * eta * beta / (1.0 - abar_t)); /* a square: see below */
    return eta * eta * (1.0 - abar_s) / (1.0 - abar_t) * beta;
}

pm_status pm_gaussian_step(const pm_gaussian *process, const pm_sampler *sampler, int32_t t, int32_t s,
                           double *row, pm_error *error)
{
    if (t < 0 || (uint32_t)t >= process->config.timesteps || s >= t || s < PM_GAUSSIAN_DATA) {
        return pm_fail(error, PM_BAD_USAGE, "sampler: no step from timestep %d to %d of %u", t, s,
                       process->config.timesteps);
    }
    double abar_t = process->alpha_bar[t], abar_s = s < 0 ? 1.0 : process->alpha_bar[s], variance;
    estimate(process->config.target, sqrt(abar_t), sqrt(1.0 - abar_t), row);
    if (sampler->method == PM_METHOD_DDIM) {
        variance = step_ddim(abar_t, abar_s, sampler->eta, row);
        double square = row[PM_STEP_OUT_NOISE];
        if (!(square >= 0.0)) {
            return pm_fail(error, PM_BAD_USAGE,
                           "sampler: eta %g asks for more noise than timestep %d has (%g left of its "
                           "variance): lower it",
                           sampler->eta, s, square);
        }
        row[PM_STEP_OUT_NOISE] = sqrt(square);
    } else {
        variance = step_ddpm(abar_t, abar_s, sampler->method == PM_METHOD_DDPM_LARGE, row);
    }
    if (!(variance >= 0.0)) {
        return pm_fail(error, PM_FAILED, "sampler: variance %g in the step from %d to %d", variance, t, s);
    }
    row[PM_STEP_OUT_Z] = sqrt(variance);
    return PM_OK;
}

pm_status pm_gaussian_steps(const pm_gaussian *process, const pm_sampler *sampler, float *table,
                            uint32_t *timesteps, pm_error *error)
{
    double row[PM_STEP_COLUMNS];
    pm_status status = pm_gaussian_timesteps(process, sampler->spacing, sampler->steps, timesteps, error);
    for (uint32_t i = 0; status == PM_OK && i < sampler->steps; i++) {
        int32_t s = i + 1 < sampler->steps ? (int32_t)timesteps[i + 1] : PM_GAUSSIAN_DATA;
        status = pm_gaussian_step(process, sampler, (int32_t)timesteps[i], s, row, error);
        for (uint32_t c = 0; status == PM_OK && c < PM_STEP_COLUMNS; c++) {
            table[(size_t)i * PM_STEP_COLUMNS + c] = (float)row[c];
        }
    }
    return status;
}
