/* The parts of a recipe that become a process and a sampler. */
#include "recipes/recipe.h"

#include "base/status.h"

#include <string.h>

pm_status pm_recipe_process(const pm_recipe *recipe, pm_gaussian **out, pm_error *error)
{
    pm_gaussian_config config = {recipe->process.schedule, recipe->process.timesteps, recipe->process.target};
    return pm_gaussian_create(&config, out, error);
}

/* Position of `name` among `names`, or -1. */
static int find_name(const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) return i;
    }
    return -1;
}

pm_status pm_recipe_sampler(const pm_recipe *recipe, const char *sampler, const char *spacing, uint32_t steps, double eta,
                            pm_sampler *out, pm_error *error)
{
    static const char *const spacings[] = {"leading", "linspace", "trailing", "quadratic"};
    int which = find_name(spacing, spacings, 4);
    bool ddim = strcmp(sampler, "ddim") == 0;
    if (!ddim && strcmp(sampler, "ddpm") != 0) {
        return pm_fail(error, PM_BAD_USAGE, "no sampler \"%.40s\": there are ddim and ddpm", sampler);
    }
    if (which < 0) {
        return pm_fail(error, PM_BAD_USAGE, "no spacing \"%.40s\": there are leading, linspace, trailing and quadratic",
                       spacing);
    }
    if (steps < 1 || steps > recipe->process.timesteps) {
        return pm_fail(error, PM_BAD_USAGE, "%u steps: between 1 and the %u timesteps of the process", steps,
                       recipe->process.timesteps);
    }
    pm_method ddpm = recipe->process.large_variance ? PM_METHOD_DDPM_LARGE : PM_METHOD_DDPM_SMALL;
    *out = (pm_sampler){ddim ? PM_METHOD_DDIM : ddpm, (pm_spacing)which, steps, eta};
    return PM_OK;
}
