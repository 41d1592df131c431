/* `pumice systems`: the processes and samplers of this build, and for each the test that proves it. */
#include "cli.h"
#include "commands.h"

#include <stdio.h>

typedef struct proven_system {
    const char *kind, *name, *paper, *option;
    const char *test, *function; /* in tests/test_TEST.c; or the test "ops" and an operator */
} proven_system;

static const proven_system systems[] = {
    {"process", "DDPM: Gaussian noise, linear schedule", "2006.11239 eq. 4, sec. 4",
     "--set process.schedule=linear", "gaussian", "test_schedules"},
    {"process", "improved DDPM: cosine schedule", "2102.09672 eq. 17", "--set process.schedule=cosine",
     "gaussian", "test_schedules"},
    {"target", "noise prediction", "2006.11239 eq. 14", "--set process.target=epsilon", "gaussian",
     "test_tables"},
    {"target", "v prediction", "2202.00512 app. D", "--set process.target=v", "gaussian", "test_tables"},
    {"target", "x0 prediction", "2006.11239 sec. 3.2", "--set process.target=x0", "gaussian", "test_tables"},
    {"sampler", "DDPM: ancestral, both fixed variances", "2006.11239 alg. 2, sec. 3.2", "--sampler ddpm",
     "gaussian", "test_moments"},
    {"sampler", "DDIM, any eta", "2010.02502 eq. 12", "--sampler ddim --eta E", "gaussian",
     "test_all_steps_are_the_paper"},
    {"sampler", "DDIM with eta 1 is DDPM", "2010.02502 sec. 4.1", "--sampler ddim --eta 1", "gaussian",
     "test_ddim_with_all_noise_is_ddpm"},
    {"sampler", "fewer steps: leading, linspace, trailing, quadratic", "2010.02502 app. D.2",
     "--steps N --spacing S", "gaussian", "test_timesteps"},
    {"guidance", "classifier-free guidance", "2207.12598 eq. 6", "--guidance W", "ops", "guide"},
};

static pm_status run(uint32_t count, const char *const *arguments, pm_error *error)
{
    (void)count;
    (void)arguments;
    (void)error;
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof systems / sizeof systems[0]; i++) {
        const proven_system *s = &systems[i];
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "kind", s->kind, "name",
                                                    s->name, "paper", s->paper, "option", s->option, "test",
                                                    s->test, "function", s->function));
        if (cli.json) continue;
        printf("%-9s %s\n          arXiv %s; %s\n          proven by ctest %s: %s\n", s->kind, s->name,
               s->paper, s->option, s->test, s->function);
    }
    cli_result(json_pack("{s:o}", "systems", list));
    return PM_OK;
}

const cli_verb cli_systems = {
    .name = "systems",
    .summary = "list the processes and samplers of this build, with what proves each",
    .arguments = "",
    .about = "A process says how data is destroyed by noise; a sampler, how a trained network\n"
             "undoes it. Each line names the paper, the option that asks for it, and the test\n"
             "that holds it against the paper.\n",
    .examples = "  pumice systems\n      the list\n",
    .run = run,
};
