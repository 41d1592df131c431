/* `pumice systems`: the processes and samplers of this build, and for each the test that proves it. */
#include "cli.h"
#include "commands.h"

#include <stdio.h>

typedef struct proven_system {
    const char *kind, *name, *paper, *option;
    const char *tests[3]; /* "TEST FUNCTION", in tests/test_TEST.c; or "ops OPERATOR" */
} proven_system;

static const proven_system systems[] = {
    {"process",
     "Gaussian noise, linear schedule (DDPM)",
     "2006.11239 eq. 4 and sec. 4",
     "--set process.schedule=linear",
     {"gaussian test_schedules", "gaussian_gpu test_moments_of_all_steps", "ops corrupt"}},
    {"process",
     "Gaussian noise, cosine schedule (improved DDPM)",
     "2102.09672 eq. 17",
     "--set process.schedule=cosine",
     {"gaussian test_schedules", "gaussian_gpu test_moments_of_all_steps"}},
    {"target",
     "the noise",
     "2006.11239 eq. 14",
     "--set process.target=epsilon",
     {"gaussian test_tables", "gaussian test_moments"}},
    {"target",
     "v",
     "2202.00512 app. D",
     "--set process.target=v",
     {"gaussian test_tables", "gaussian test_moments"}},
    {"target",
     "x0",
     "2006.11239 sec. 3.2",
     "--set process.target=x0",
     {"gaussian test_tables", "gaussian test_moments"}},
    {"sampler",
     "DDPM, with either fixed variance",
     "2006.11239 alg. 2 and sec. 3.2",
     "--sampler ddpm",
     {"gaussian test_all_steps_are_the_paper", "gaussian_gpu test_moments_of_all_steps", "ops denoise_step"}},
    {"sampler",
     "DDIM",
     "2010.02502 eq. 12",
     "--sampler ddim",
     {"gaussian test_moments", "gaussian_gpu test_moments_of_few_steps", "ops denoise_step"}},
    {"sampler",
     "DDIM with noise; DDPM at eta 1",
     "2010.02502 eq. 16",
     "--sampler ddim --eta E",
     {"gaussian test_ddim_with_all_noise_is_ddpm", "gaussian_gpu test_ddim_with_all_noise_is_ddpm"}},
    {"spacing",
     "fewer steps: leading, linspace, trailing, quadratic",
     "2010.02502 app. D.2; 2305.08891 sec. 3.3",
     "--steps N --spacing S",
     {"gaussian test_timesteps", "gaussian test_timesteps_of_every_length"}},
    {"guidance",
     "classifier-free guidance",
     "2207.12598 eq. 6",
     "--guidance W",
     {"gaussian_gpu test_guidance_identities", "training guidance_identities", "ops guide"}},
    {"process",
     "autoregressive text, with a cache of keys and values",
     "1706.03762; the chain rule",
     "train kjv-ar",
     {"text_models left_to_right_reaches_the_entropy", "attention_cache singles_have_the_bits_of_the_whole",
      "text_models beginnings_continue_alike"}},
    {"process",
     "masked (absorbing) text in continuous time: MDLM, MD4, RADD",
     "2406.07524; 2406.04329; 2406.03736",
     "--set masked.objective=t|lambda|k --set masked.schedule=S",
     {"masked test_bounds_over_all_masks", "masked test_wrong_bounds_over_all_masks",
      "masked_chain test_bound_of_chain"}},
    {"process",
     "masked text at one rate (BERT)",
     "1810.04805",
     "--set masked.objective=bert",
     {"masked test_fixed_rate"}},
    {"sampler",
     "from left to right: temperature, top-k, top-p, min-p, repetition penalty",
     "1904.09751; 1909.05858",
     "--temperature R --top-k N --top-p R --min-p R --repetition R",
     {"draw_tokens test_draws_are_as_defined", "draw_exactness test_rare_tokens_have_their_share",
      "ops draw_tokens"}},
    {"sampler",
     "masked text: ancestral, and cached",
     "2107.03006; 2406.07524",
     "--sampler ancestral|cached --steps N",
     {"masked_sampler test_ancestral_laws", "masked_options test_cached_is_ancestral",
      "discrete_laws test_ancestral"}},
    {"sampler",
     "masked text: first-hitting, any-order, left-to-right, random",
     "2409.02908; 2406.03736; 2502.09992",
     "--sampler first-hitting|any-order|left-to-right|random",
     {"masked_sampler test_order_laws", "masked_options test_hitting_times_have_their_law",
      "discrete_laws test_decoders"}},
    {"sampler",
     "masked text: low-confidence (LLaDA), threshold (Fast-dLLM), blocks",
     "2502.09992; 2505.22618",
     "--sampler low-confidence|threshold --block N",
     {"masked_sampler test_confidence_laws", "masked_options test_blocks_in_order",
      "discrete_laws test_thresholds"}},
    {"sampler",
     "masked text: entropy, margin, max-prob (Dream)",
     "2508.15487",
     "--sampler entropy|margin|max-prob --position-temperature R",
     {"masked_sampler test_confidence_laws", "reveal test_positions_have_their_frequency",
      "discrete_laws test_decoders"}},
    {"given",
     "prompts, suffixes and blanks, of given or free length",
     "2406.07524",
     "--prompt TEXT --suffix TEXT --infill TEXT",
     {"masked_sampler test_conditioning_is_exact", "text_models blanks_are_filled_and_the_rest_is_kept"}},
    {"guidance",
     "classifier-free guidance of masked text: what is given, against all masks",
     "2502.09992",
     "--guidance W",
     {"masked_sampler test_guidance_laws", "discrete_laws test_guidance"}},
};

static json_t *print_system(const proven_system *s)
{
    json_t *tests = json_array();
    if (!cli.json)
        printf("%-9s %s\n          arXiv %s; %s\n          proven by ctest", s->kind, s->name, s->paper,
               s->option);
    for (int i = 0; i < 3 && s->tests[i]; i++) {
        (void)json_array_append_new(tests, json_string(s->tests[i]));
        if (!cli.json) printf("%s %s", i ? "," : "", s->tests[i]);
    }
    if (!cli.json) putchar('\n');
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "kind", s->kind, "name", s->name, "paper", s->paper,
                     "option", s->option, "tests", tests);
}

static pm_status run(uint32_t count, const char *const *arguments, pm_error *error)
{
    (void)count;
    (void)arguments;
    (void)error;
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof systems / sizeof systems[0]; i++) {
        (void)json_array_append_new(list, print_system(&systems[i]));
    }
    cli_result(json_pack("{s:o}", "systems", list));
    return PM_OK;
}

const cli_verb cli_systems = {
    .name = "systems",
    .summary = "list the processes and samplers of this build, with what proves each",
    .arguments = "",
    .about = "A process says how data is destroyed; a sampler, how a trained network\n"
             "undoes it. Each line names the paper, the option that asks for it, and the test\n"
             "that holds it against the paper.\n",
    .examples = "  pumice systems\n      the list\n",
    .run = run,
};
